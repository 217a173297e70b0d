"""Rules: a recorded run in, findings out; pure, causal, and re-computable for any old run."""

from surefoot.findings.engine import Engine, diagnose
from surefoot.findings.history import History, Layers
from surefoot.findings.rule import Rule, Sign, all_rules, rule

__all__ = ["Engine", "History", "Layers", "Rule", "Sign", "all_rules", "diagnose", "rule"]
