"""The catalogue of findings and signals: complete, consistent with rules and rows, and told by commands and pages."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from rich.cells import cell_len

from surefoot.cli import app
from surefoot.cli import findings as findings_command
from surefoot.cli import signals as signals_command
from surefoot.findings import all_rules
from surefoot.findings.catalogue import FAMILIES, explanations, families
from surefoot.findings.catalogue.cures import cures
from surefoot.observe import rows
from surefoot.report import wording
from surefoot.runs.signals import SIGNALS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OWN_RULES = [r for r in all_rules() if r.check.__module__.startswith("surefoot.")]  # tests register some of theirs


def test_every_rule_is_explained_and_every_explanation_has_a_rule() -> None:
    assert {rule.id for rule in OWN_RULES} == set(explanations())
    assert len(explanations()) == sum(map(len, families().values()))  # no id twice
    assert tuple(families()) == FAMILIES


@pytest.mark.parametrize("entry", explanations().values(), ids=lambda entry: entry.id)
def test_an_explanation_says_all_there_is_to_say(entry) -> None:
    for name in ("title", "what", "mathematics", "source", "not_this"):
        text = getattr(entry, name)
        assert text and text == text.strip() and "\t" not in text, name
    assert len(entry.title) <= 80 and not entry.title.endswith(".")
    assert findings_command.levels(entry), "severities names none of critical, warning, info"
    # Code is lines that are set in; whatever cures must be code to paste or a name to import.
    for name in entry.remedies:
        assert name in cures() or importable(name), f"{name}: no such remedy beside the rules, nor such a name"


def importable(name: str) -> bool:
    home, _, attribute = name.partition(" ")[0].rpartition(".")
    try:
        return hasattr(import_module(home), attribute)
    except (ImportError, ValueError):
        return False


def declared() -> dict[str, str]:
    """Signal → family, of every column that a row can have."""
    groups = [value for name, value in vars(rows).items() if name.startswith("PER_")]
    assert groups
    return {signal: family for group in groups for family, signals in group.items() for signal in signals}


def test_every_column_of_a_row_is_a_signal_and_every_signal_a_column() -> None:
    assert declared() == {signal.name: signal.family for signal in SIGNALS.values()}


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_a_signal_is_described(signal) -> None:
    assert signal.unit and signal.where and signal.about.endswith(".")
    assert signal.title and len(signal.title) <= 60
    assert wording.title(signal.name) == signal.title
    if signal.family == "gradients" and "share" not in signal.name:
        assert "clip" in signal.about


def test_pages_say_what_the_code_says() -> None:
    how = "write it anew: surefoot {0} --markdown > docs/{0}.md"
    findings = findings_command.markdown({family: list(entries) for family, entries in families().items()})
    assert (DOCS / "findings.md").read_text(encoding="utf-8") == findings + "\n", how.format("findings")
    assert (DOCS / "signals.md").read_text(encoding="utf-8") == signals_command.markdown() + "\n", how.format("signals")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert app(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_findings_lists_them_all(narrow: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "findings")
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"\n{id} " in out for id in explanations())
    listed = json.loads(printed(capsys, "findings", "--json"))
    assert {item["id"] for item in listed} >= set(explanations())
    assert {"family", "title", "mathematics", "source", "not_this", "remedies", "severities"} <= set(listed[0])


def test_signals_lists_them_all(narrow: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "signals")
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"\n{name} " in out for name in SIGNALS)
    listed = json.loads(printed(capsys, "signals", "--json"))
    assert [item["name"] for item in listed] == list(SIGNALS)


def test_explain_teaches_each(narrow: None, capsys: pytest.CaptureFixture[str]) -> None:
    for id, entry in explanations().items():
        out = printed(capsys, "explain", id)
        assert out.startswith(id) and entry.title.split()[0] in out
        prose = [line for line in out.splitlines() if not line.startswith("    ")]
        assert max(map(cell_len, prose)) <= 80
        for name in entry.remedies:
            if name in cures():
                assert all(f"    {line}" in out for line in cures()[name].how.splitlines())
    told = json.loads(printed(capsys, "explain", "dead-units", "--json"))
    assert told["family"] == "gradient_flow" and told["remedies"][0]["how"].startswith("# after: model")


def test_explain_of_a_typo_says_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for typo, meant in {"dead-unit": "'dead-units'", "learning_rate_to_high": "'learning-rate-too-high'"}.items():
        assert app(["explain", typo]) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and meant in err
    assert app(["explain", "zzz"]) == 2
    assert "surefoot findings" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["findings", "explain", "signals"])
def test_help_has_examples(narrow: None, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, name, "--help")
    assert f"  surefoot {name}" in out and max(map(len, out.splitlines())) <= 80
