"""Equilibrium propagation: the gradient of a resting point from two settlings, and what a finite nudge costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.plots import figure, line
from surefoot.studies._eqprop_runs import (
    COSINE_BETAS,
    EARLY,
    SIZES,
    Training,
    bias_of_the_nudge,
    breaking,
    cosine_by_layer,
    digits_data,
    settling_lengths,
    train,
    train_conv,
    train_deep,
    train_feedforward,
)
from surefoot.studies.frame import Claim, Figure, Scale, Study, StudyResult, advance

SCHEMES = ("random-sign", "one-sided", "symmetric", "contrastive", "backprop", "implicit")
GAINS = (0.3, 0.6, 1.0)

# Each must hold for every seed.
CLAIMS = (
    Claim(
        "One-sided, the gradient is off by O(β)",
        "theorem 1: exact as β → 0",
        "slope of log error over log β, three smallest β: 0.9 to 1.1",
        lambda m: bool((np.abs(m["slope_one_sided"] - 1) <= 0.1).all()),
        ("slope_one_sided", "error_one_sided"),
    ),
    Claim(
        "Nudged to both sides, it is off by O(β²)",
        "Laborieux et al.: the bias of first order cancels",
        "slope 1.8 to 2.2, three smallest β",
        lambda m: bool((np.abs(m["slope_symmetric"] - 2) <= 0.2).all()),
        ("slope_symmetric", "error_symmetric"),
    ),
    Claim(
        "At β = 0.05 that makes it five times as exact",
        "not in the paper",
        "error at most a fifth of the one-sided one",
        lambda m: bool((m["error_symmetric"] <= m["error_one_sided"] / 5).all()),
        ("error_symmetric", "error_one_sided"),
    ),
    Claim(
        "The paper's recipe learns: 20 free and 4 nudged steps, random sign, persistent particles",
        "MNIST: training error 0 %, test error 2 to 3 %",
        "test accuracy ≥ 0.93 on 8 × 8 digits after 8 epochs",
        lambda m: bool((m["early_test_random-sign"] >= 0.93).all()),
        ("early_test_random-sign", "early_train_random-sign"),
    ),
    Claim(
        "Trained on, it fits what it is trained on and generalises",
        "MNIST: training error 0 %, test error 2 to 3 %",
        "training accuracy ≥ 0.97 and test accuracy ≥ 0.93 after 30 epochs",
        lambda m: bool((m["train_random-sign"] >= 0.97).all() and (m["test_random-sign"] >= 0.93).all()),
        ("train_random-sign", "test_random-sign"),
    ),
    Claim(
        "It learns as well as by backpropagation through the same steps",
        "the two gradients agree as β → 0",
        "test accuracy within 0.02 of backpropagation through four steps, ρ′ = 1 on all of [0, 1]",
        lambda m: bool((np.abs(m["test_random-sign"] - m["test_backprop"]) <= 0.02).all()),
        ("test_random-sign", "test_backprop", "test_symmetric", "test_one-sided", "test_contrastive", "test_implicit",
         "test_feedforward"),
    ),
    Claim(
        "Two hidden layers learn too",
        "MNIST: training error 0 % with two and three hidden layers as well",
        "test accuracy ≥ 0.9 after 25 epochs",
        lambda m: bool((m["test_deep"] >= 0.9).all()),
        ("test_deep", "train_deep"),
    ),
    Claim(
        "A convolutional network learns when nudged to both sides, and not when nudged to one",
        "Laborieux et al., CIFAR-10: test error 11.7 % against 86 %",
        "test accuracy ≥ 0.8 symmetric, ≤ 0.3 one-sided",
        lambda m: bool((m["test_conv_symmetric"] >= 0.8).all() and (m["test_conv_one-sided"] <= 0.3).all()),
        ("test_conv_symmetric", "test_conv_one-sided"),
    ),
    Claim(
        "The few-step contrast points where the exact gradient does",
        "not in the paper",
        "cosine ≥ 0.8 in both weights of the trained network",
        lambda m: bool((m["cosine_first"] >= 0.8).all() and (m["cosine_second"] >= 0.8).all()),
        ("cosine_first", "cosine_second", "cosine_symmetric_first", "cosine_symmetric_second"),
    ),
    Claim(
        "It breaks where weights are large: the gradient does not become right as β → 0",
        "not in the paper",
        "at β 0.025 the error at gain 1.0 (largest eigenvalue above 1.5) is at least 3 times that at gain 0.6",
        lambda m: bool((m["error_small_gain_1"] >= 3 * m["error_small_gain_0.6"]).all()),
        ("error_small_gain_0.6", "error_small_gain_1", "error_gain_1", "radius_gain_0.6", "radius_gain_1"),
    ),
    Claim(
        "The free phase grows with depth",
        "20, 100, 500 steps for 1, 2, 3 hidden layers",
        "Euler steps to a residual of 1e-4, median of the samples, rise with each hidden layer",
        lambda m: bool((np.diff(m["euler_steps"], axis=1) > 0).all()),
        "euler_steps",
    ),
    Claim(
        "Alternating between layers settles in fewer sweeps than Euler takes steps",
        "not in the paper",
        "at most half as many at every depth",
        lambda m: bool((m["sweeps"] <= 0.5 * m["euler_steps"]).all()),
        ("sweeps", "euler_steps"),
    ),
)  # fmt: skip


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed."""
    sizes = SIZES[scale]
    data = digits_data(sizes)
    done, total = 0, len(SCHEMES) * sizes.epochs + sizes.deep_epochs + 2 * sizes.conv_epochs

    def tell() -> None:
        nonlocal done
        done += 1
        advance(done / (total + 1))

    report = bias_of_the_nudge(seed, sizes.betas)
    at = sizes.betas.index(0.05)
    measured: dict[str, Any] = {
        "slope_one_sided": _slope(sizes.betas[-3:], report.one_sided[-3:]),
        "slope_symmetric": _slope(sizes.betas[-3:], report.symmetric[-3:]),
        "error_one_sided": report.one_sided[at],
        "error_symmetric": report.symmetric[at],
    }
    trained: dict[str, Training] = {}
    for scheme in SCHEMES:
        trained[scheme] = made = train(data, sizes, seed, scheme, tell)
        early = min(EARLY, sizes.epochs) - 1
        measured |= {f"early_test_{scheme}": made.test[early], f"early_train_{scheme}": made.train[early]}
        measured |= {f"test_{scheme}": made.last("test"), f"train_{scheme}": made.last("train")}
    measured["test_feedforward"] = train_feedforward(data, sizes, seed)
    deep = train_deep(data, sizes, seed, tell)
    measured |= {"test_deep": deep.last("test"), "train_deep": deep.last("train")}
    for scheme in ("symmetric", "one-sided"):
        measured[f"test_conv_{scheme}"] = train_conv(data, sizes, seed, scheme, tell)
    cosines = cosine_by_layer(trained["random-sign"].model, data)
    for (scheme, weight), values in cosines.items():
        measured[f"cosine_{weight}" if scheme == "one-sided" else f"cosine_{scheme}_{weight}"] = values[0]
    measured |= breaking(data, sizes, seed, GAINS)
    lengths = settling_lengths(sizes, data, seed)
    measured["euler_steps"] = [euler for euler, _, _ in lengths.values()]
    measured["sweeps"] = [sweeps for _, sweeps, _ in lengths.values()]
    advance(1.0)

    title = "Test accuracy by epoch"
    accuracy = [line(name, range(1, len(t.test) + 1), t.test) for name, t in (trained | {"two hidden": deep}).items()]
    residuals = [line(f"{n} hidden", range(1, len(r) + 1), r) for n, (_, _, r) in lengths.items()]
    settling = "Largest change of a unit in each Euler step"
    angles = [line(f"{scheme}, {weight} weight", COSINE_BETAS, v) for (scheme, weight), v in cosines.items()]
    angle = "Cosine of the few-step contrast with the exact gradient"
    return StudyResult(
        {key: np.array(value, dtype=float) for key, value in measured.items()},
        (
            Figure("bias", "Error of the gradient against the nudge, a smooth network", report.plot()),
            Figure("accuracy", title, figure(accuracy, title=title, x="epoch", y="test accuracy")),
            Figure("cosine", angle, figure(angles, title=angle, x="β", y="cosine", log_x=True)),
            Figure("settling", settling, figure(residuals, title=settling, x="step", y="change", log_y=True)),
        ),
    )


def _slope(betas: Sequence[float], errors: Sequence[float]) -> float:
    return float(np.polyfit(np.log(betas), np.log(errors), 1)[0])


STUDY = Study(
    slug="eqprop",
    title="Equilibrium Propagation: gradients from two resting points",
    paper="Scellier, Bengio: Equilibrium Propagation: Bridging the Gap Between Energy-Based Models and "
    "Backpropagation. Frontiers in Computational Neuroscience 2017, arXiv 1602.05179",
    claims=CLAIMS,
    run=run,
    minutes={"smoke": 0.1, "small": 3, "paper": 120},
    notes=(
        "Handwritten digits of 8 × 8 pixels in place of MNIST.",
        "Symmetric nudging and the convolutional network (here one convolution with a stride, a full layer, a softmax "
        "read-out) are from Laborieux et al., arXiv 2006.03824, not from this paper.",
        "C = ½|y − d|², so that β here is twice that of the authors' code, which leaves out the ½: 1 with one hidden "
        "layer, as in the paper, and 2 with two, as in the code.",
        "The bias is measured with a smooth activation: with the hard sigmoid units cross the ends of their range, and "
        "the cost is only piecewise smooth. How large it is at a given β depends on the network drawn.",
        "Reconstructed: what equilibrium propagation is held against. The exact gradient (implicit) of an output that "
        "is held at 0 is 0, and the paper's initial state holds half of them: training by it stops at once. A nudge of "
        "finite size lifts such outputs, and so does ρ′ = 1 on all of [0, 1], which the authors' dynamics has: "
        "backpropagation cut off after as many steps as the nudged phase, with this ρ′, is the reference.",
        "For the same reason the contrast of a large nudge is not parallel to the exact gradient: it is the exact "
        "gradient of (min F_β − min F_0)/β, the cost smoothed by the nudge.",
        "Accuracies at the end are means of the last three epochs: at a constant rate one epoch is a throw of dice.",
        "With half of this β an output stays at 0 for good in one seed of five, and its class is lost (test accuracy "
        "0.83); with a quarter two hidden layers do not get beyond 0.72.",
    ),
)
