"""MGT: do gates and delta rules keep the rank of tokens in Transformers of more than a hundred layers?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from surefoot.plots import figure, line
from surefoot.studies._mgt_runs import AT_START, TRAINED, Start, Trained, at_start, products, train
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance
from surefoot.studies.problems.topics_text import topics_text

DEPTHS = {"smoke": {"mid": 2, "deep": 4}, "small": {"low": 8, "mid": 64, "deep": 128}}


def _ranks(m: Measured, name: str, where: str = "deep") -> np.ndarray:
    return m[f"rank_{name}_{where}"]


def _fall(m: Measured, name: str) -> float:
    return float((_ranks(m, name, "mid") - _ranks(m, name)).mean())


# Fixed before the first full run; expected numbers are those of a reimplementation of another hand.
CLAIMS = (
    Claim(
        "With the norm after the sum tokens become one vector",
        "not as a number: rank is lost with depth",
        "effective rank < 1.5 of 32 tokens after 64 blocks, every seed",
        lambda m: bool((_ranks(m, "post", "mid") < 1.5).all()),
        "rank_post_mid",
    ),
    Claim(
        "Gate and delta rule together keep more rank than either, and either more than pre-norm",
        "a hypothesis: rank is kept at 100 layers and more only by both",
        "after 128 blocks: both > delta (β = 1) > gate > pre-norm, every seed",
        lambda m: bool((np.diff([_ranks(m, name) for name in ("pre", "gate", "delta", "both")], axis=0) > 0).all()),
        ("rank_both_deep", "rank_delta_deep", "rank_gate_deep", "rank_pre_deep"),
    ),
    Claim(
        "Only with both does rank not fall further",
        "as above",
        "from 64 to 128 blocks pre-norm and gate lose more than 1.5, both loses nothing, in the mean over seeds",
        lambda m: _fall(m, "pre") > 1.5 and _fall(m, "gate") > 1.5 and _fall(m, "both") <= 0,
        ("rank_pre_mid", "rank_pre_deep", "rank_gate_mid", "rank_gate_deep", "rank_both_mid", "rank_both_deep"),
    ),
    Claim(
        "The price at β = 1 is a gradient that grows towards the input, and β = 0.1 does not pay it",
        "not in the papers",
        "after 128 blocks ‖Jᵀu‖/‖u‖ ≥ 3 × pre-norm's at β = 1, ≤ pre-norm's at β = 0.1, every seed",
        lambda m: bool(
            (m["gradient_delta_deep"] >= 3 * m["gradient_pre_deep"]).all()
            and (m["gradient_delta_small_deep"] <= m["gradient_pre_deep"]).all()
        ),
        ("gradient_delta_deep", "gradient_pre_deep", "gradient_delta_small_deep"),
    ),
    Claim(
        "MGT's formula as written forgets its input unless α β stays below one over the sublayers",
        "x + β (v − α x), α and β learnt, no start given",
        "64 blocks: effective rank < 1.5 at α = β = 1; ≥ 25 at β = 0.02, where RMS falls below 0.2; every seed",
        lambda m: bool(
            (_ranks(m, "elementwise", "mid") < 1.5).all()
            and (_ranks(m, "elementwise_small", "mid") >= 25).all()
            and (m["rms_elementwise_small_mid"] < 0.2).all()
        ),
        ("rank_elementwise_mid", "rank_elementwise_small_mid", "rms_elementwise_small_mid"),
    ),
    Claim(
        "Gate and delta rule train a deep model better than pre-norm",
        "DDL alone, 124 M: 2.8482 against 2.8543 (one seed); MGT: no experiments",
        "24 blocks, β₀ = 0.2: validation loss ≥ 0.1 nats lower, effective rank ≥ 2 ×, every seed",
        lambda m: bool(
            (m["validation_both"] <= m["validation_pre"] - 0.1).all()
            and (m["trained_rank_both"] >= 2 * m["trained_rank_pre"]).all()
        ),
        ("validation_both", "validation_pre", "trained_rank_both", "trained_rank_pre"),
    ),
    Claim(
        "The gain is not bought with parameters",
        "no such control in the papers",
        "validation loss ≥ 0.1 nats below a wider pre-norm model's with more parameters, every seed",
        lambda m: bool(
            (m["validation_both"] <= m["validation_pre_wide"] - 0.1).all()
            and (m["parameters_both"] <= m["parameters_pre_wide"]).all()
        ),
        ("validation_both", "validation_pre_wide", "parameters_both", "parameters_pre_wide"),
    ),
    Claim(
        "Gate and delta rule are complementary",
        "a hypothesis: both together do what neither does alone",
        "validation loss of both below that of gate and that of delta at the same β₀, in the mean over seeds",
        lambda m: bool(m["validation_both"].mean() < min(m["validation_gate"].mean(), m["validation_delta"].mean())),
        ("validation_both", "validation_gate", "validation_delta"),
    ),
    Claim(
        "The formula as written does not train",
        "not in the paper",
        "α = β = 1: validation loss above pre-norm's, effective rank < 1.5, every seed",
        lambda m: bool(
            (m["validation_elementwise"] > m["validation_pre"]).all() and (m["trained_rank_elementwise"] < 1.5).all()
        ),
        ("validation_elementwise", "validation_pre", "trained_rank_elementwise"),
    ),
    Claim(
        "Free mixings multiply up, doubly stochastic ones do not",
        "27 B: composite gain about 3000 free, 1.6 constrained",
        "64 random 4 × 4: row gain ≥ 100 free; rows and columns ≤ 1 + 1e-5 after 20 Sinkhorn iterations; columns > "
        "1.05 after one; every seed",
        lambda m: bool(
            (m["gain_free"] >= 100).all()
            and (np.maximum(m["gain_sinkhorn_20"], m["column_gain_sinkhorn_20"]) <= 1 + 1e-5).all()
            and (m["column_gain_sinkhorn_1"] > 1.05).all()
        ),
        ("gain_free", "gain_sinkhorn_20", "column_gain_sinkhorn_20", "column_gain_sinkhorn_1"),
    ),
    Claim(
        "Over depth doubly stochastic mixing makes streams one",
        "not in the paper; reported of reimplementations",
        "the product of 64 is 1/n everywhere within 1e-6, every seed",
        lambda m: bool((m["spread_sinkhorn_20"] <= 1e-6).all()),
        ("spread_sinkhorn_20", "spread_sinkhorn_start"),
    ),
)


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: stacks at their start, character models, products of mixings."""
    smoke = scale == "smoke"
    depths = DEPTHS.get(scale, DEPTHS["small"])
    depth, steps = (2, 2) if smoke else (24, 60 if scale == "small" else 600)
    work, done = len(AT_START) + 3 * len(TRAINED), 0
    measured: dict[str, Any] = {}
    starts: dict[str, Start] = {}
    for name in AT_START:
        for where, blocks in depths.items():
            found = at_start(name, blocks, seed)
            measured[f"rank_{name}_{where}"] = found.profile.effective_rank[-1]
            measured[f"cosine_{name}_{where}"] = found.profile.token_cosine[-1]
            measured[f"rms_{name}_{where}"] = found.profile.rms[-1]
            measured[f"gradient_{name}_{where}"] = found.gradient
            starts[name] = found  # of the deepest
        done += 1
        advance(done / work)
    text, trained = topics_text(), {}
    for name in TRAINED:
        one = trained[name] = train(name, text, seed, depth, steps)
        measured[f"validation_{name}"] = one.validation
        measured[f"trained_rank_{name}"] = one.profile.effective_rank[-1]
        measured[f"parameters_{name}"] = one.parameters
        done += 3
        advance(done / work)
    gains = products(seed)
    for name, (rows, columns, spread) in gains.items():
        measured |= {f"gain_{name}": rows[-1], f"column_gain_{name}": columns[-1], f"spread_{name}": spread[-1]}
    return StudyResult(
        {key: np.array(value) for key, value in measured.items()},
        (*_of_starts(starts), *_of_training(trained), *_of_products(gains)),
    )


def _over_depth(name: str, values: Iterable[float]) -> dict[str, Any]:
    y = list(values)
    return line(name, range(1, len(y) + 1), y)


def _of_starts(starts: dict[str, Start]) -> tuple[Figure, ...]:
    ranks = [_over_depth(name, one.profile.effective_rank.tolist()) for name, one in starts.items()]
    spectra = [_over_depth(name, np.maximum(one.spectrum, 1e-8).tolist()) for name, one in starts.items()]
    return (
        Figure(
            "rank-at-start",
            "Effective rank of 32 random tokens over depth, fresh weights",
            figure(ranks, title="Rank at the start", x="block", y="effective rank", log_y=True),
        ),
        Figure(
            "spectra",
            "Singular values of the tokens behind the last block, as shares of their sum",
            figure(spectra, title="Spectra at the end of the deepest stacks", x="index", y="share", log_y=True),
        ),
    )


def _of_training(trained: dict[str, Trained]) -> tuple[Figure, ...]:
    losses = [_over_depth(name, one.losses) for name, one in trained.items()]
    ranks = [_over_depth(name, one.profile.effective_rank.tolist()) for name, one in trained.items()]
    return (
        Figure("losses", "Training losses", figure(losses, title="Character model", x="step", y="cross-entropy")),
        Figure(
            "rank-trained",
            "Effective rank of the tokens of validation text over depth, after training",
            figure(ranks, title="Rank after training", x="block", y="effective rank", log_y=True),
        ),
    )


def _of_products(gains: dict[str, np.ndarray]) -> tuple[Figure, ...]:
    rows = [_over_depth(name, of[0].tolist()) for name, of in gains.items()]
    spreads = [_over_depth(name, np.maximum(of[2], 1e-17).tolist()) for name, of in gains.items()]
    return (
        Figure(
            "gain",
            "Largest absolute row sum of the product of mixings",
            figure(rows, title="Composite gain", x="depth", y="gain", log_y=True),
        ),
        Figure(
            "homogenisation",
            "How far the product of mixings is from 1/n everywhere",
            figure(spreads, title="Streams become one", x="depth", y="max |product − 1/n|", log_y=True),
        ),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Validation loss of every wiring, every seed a point."""
    names = [name for name in TRAINED if f"validation_{name}" in measured]
    points = [
        line(f"seed {i}", names, (float(measured[f"validation_{name}"][i]) for name in names), "markers")
        for i in range(len(measured["validation_pre"]))
    ]
    title = "Validation loss by wiring"
    return (Figure("validation", title, figure(points, title=title, y="cross-entropy")),)


STUDY = Study(
    slug="mgt",
    title="Deep Transformers by gates, delta rules and doubly stochastic mixing",
    paper="Su, You: Geometric and Dynamic Scaling in Deep Transformers. 2026, arXiv 2601.01014. With Deep Delta "
    "Learning, arXiv 2601.00417; mHC, arXiv 2512.24880; Hyper-Connections, arXiv 2409.19606",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.05, "small": 2.5, "paper": 25},
    notes=(
        "MGT is a proposal without experiments; its update was read in a digest. The delta rule's paper and code were "
        "read in full; of mHC public ports that agree.",
        "At the start: d = 64, 4 heads, 32 random tokens that all see each other, weights N(0, 1/fan_in). The delta "
        "rule there writes 4σ(·), as its authors' code does; both_linear writes a linear value, as its text does.",
        "Trained: characters of Python's help texts, 24 blocks of d = 32, 2 heads, 32 characters, 8 rows, AdamW 3e-3, "
        "cosine, clip 1, 60 steps. pre_wide is 36 wide, with more parameters than any other.",
        "Gradients are ‖Jᵀu‖/‖u‖ for a random u at the output.",
        "Hyper-connections start as pre-norm does, and keep as much rank as it does.",
        "Not done: language models of published size, throughput on accelerators.",
    ),
)
