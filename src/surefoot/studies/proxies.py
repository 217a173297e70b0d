"""Small-scale proxies: instabilities of large Transformers in tiny ones, at a higher learning rate, and foreseen."""

from __future__ import annotations

import numpy as np

from surefoot.studies._proxies_figures import figures
from surefoot.studies._proxies_runs import SIZES, jobs, measure
from surefoot.studies.frame import Claim, Scale, Study, StudyResult, advance


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: all sweeps, the ladder of sizes, transplant, z-loss and ε."""
    size = SIZES[scale]
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        advance(done / jobs(size))

    return StudyResult(measure(size, seed, told))


# Fixed before the first run at small scale; each must hold for every seed.
CLAIMS = (
    Claim(
        "Without qk-layernorm the loss minds the learning rate more",
        "figure 1: LR sensitivity is higher without qk-layernorm at every size",
        "S without ≥ 1.5 · S with, rates 3e-3 to 3e-1",
        lambda m: bool((m["sensitivity-ratio"] >= 1.5).all()),
        ("sensitivity-ratio", "sensitivity.plain", "sensitivity.qk"),
    ),
    Claim(
        "At a high rate attention logits explode without qk-layernorm",
        "§3.1.1: models with logits above 1e4 diverged",
        "rate 0.3: largest logit without ≥ 100 · that with",
        lambda m: bool((m["logit-ratio-at-top"] >= 100).all()),
        "logit-ratio-at-top",
    ),
    Claim(
        "Attention entropy collapses with them",
        "§3.1.1: attention weights collapse to one-hot",
        "rate 0.3: mean entropy without below that with",
        lambda m: bool((m["entropy-at-top.plain"] < m["entropy-at-top.qk"]).all()),
        ("entropy-at-top.plain", "entropy-at-top.qk"),
    ),
    Claim(
        "At the best rate qk-layernorm costs nothing",
        "figure 1: the best losses are about the same",
        "best losses within 0.1",
        lambda m: bool((np.abs(m["best-loss-difference"]) < 0.1).all()),
        "best-loss-difference",
    ),
    Claim(
        "The logit of a larger model is foreseen from small ones",
        "figure 7: a fit over small models foresaw the logit of 4.8 B parameters",
        "power law over five sizes: within a factor 1.5 of the sixth",
        lambda m: bool((m["logit.linear.factor"] <= 1.5).all()),
        ("logit.linear.factor", "logit.quadratic.factor", "logit.measured", "logit.linear"),
    ),
    Claim(
        "Gradients of the first MLP matrix shrink as rate and size grow",
        "figure 9: gradient RMS falls with both, onto Adam's ε",
        "RMS at rate 0.3 below that at 0.003; at the largest size below that at the smallest",
        lambda m: bool((m["gradient-over-rates"] < 1).all() and (m["gradient-over-sizes"] < 1).all()),
        ("gradient-over-rates", "gradient-over-sizes"),
    ),
    Claim(
        "Logits as large as that are what harms",
        "figure 8: with transplanted logits the loss degrades from κ = 1e3, beyond a bigram's at 1e4 (10 M parameters)",
        "loss rises with κ and passes that of pairs of symbols",
        lambda m: bool(
            (np.diff(m["transplant.loss"], axis=1) > 0).all()
            and (m["transplant.loss"][:, 0] < m["bigram"]).all()
            and (m["transplant.loss"][:, -1] > m["bigram"]).all()
        ),
        ("transplant.loss", "bigram"),
    ),
    Claim(
        "z-loss holds log Z at next to no cost",
        "§3.1.2: coefficient 1e-4",
        "1e-2: |mean log Z| < 1, loss + < 0.12; 1e-4: loss + < 0.05",
        lambda m: bool(
            (m["z.log-z-1e-2"] < 1).all() and (m["z.cost-1e-2"] < 0.12).all() and (m["z.cost-1e-4"] < 0.05).all()
        ),
        ("z.log-z-1e-2", "z.cost-1e-2", "z.cost-1e-4"),
    ),
    Claim(
        "ε above the gradient's RMS r shortens steps as r/(r + ε)",
        "§3.4: the update shrinks where RMS(g) ~ ε",
        "relative update within a factor 3 of r/(r + ε); loss rises from ε = 1e-8 on",
        lambda m: bool((m["eps.off-theory"] <= 3).all() and (np.diff(m["eps.loss"][:, 1:], axis=1) > 0).all()),
        ("eps.off-theory", "eps.gradient", "eps.loss"),
    ),
    Claim(
        "Independent weight decay lowers the sensitivity",
        "figure 5: lower LR sensitivity with independent decay",
        "S independent < S coupled (λ = 3e-3 a step, the same at rate 0.01)",
        lambda m: bool((m["decay.sensitivity.independent"] < m["decay.sensitivity.coupled"]).all()),
        ("decay.sensitivity.independent", "decay.sensitivity.coupled"),
    ),
    Claim(
        "A longer warm-up lowers the sensitivity",
        "figure 4: lower LR sensitivity with longer warm-up",
        "S with 20 % < S with 1 % of the steps",
        lambda m: bool((m["warmup.sensitivity.long"] < m["warmup.sensitivity.short"]).all()),
        ("warmup.sensitivity.long", "warmup.sensitivity.short"),
    ),
)

STUDY = Study(
    slug="proxies",
    title="Small-scale proxies: instabilities of large Transformers, met early and foreseen",
    paper="Wortsman, Liu, Xiao et al.: Small-scale proxies for large-scale Transformer training instabilities. "
    "ICLR 2024, arXiv 2309.14322",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 2.6, "paper": 1e5},
    notes=(
        "Text: the help topics of Python's pydoc, by character; the paper uses C4 with 32,101 tokens.",
        "S is taken over 3e-3 to 3e-1: lower rates are under-trained after 250 steps. The paper's is 3e-4 to 3e-1.",
        "The late divergence of the output logits did not appear at this size and length; what z-loss does to log Z "
        "did.",
        "The sweep of ε is the mirror image of the paper's: there the gradient falls onto a fixed ε.",
        "Sweeps of decay and warm-up, and the ladder of sizes, use 8 passages of 32 symbols a step to keep a seed "
        "short; λ is 3e-3 a step, since 1e-4 does nothing in 200 steps.",
        "qk-layernorm stands in front of the rotary positions; the order is not in the paper.",
    ),
)
