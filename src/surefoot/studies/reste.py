"""ReSTE: between the straight-through estimator and sign there is an equilibrium, and one number moves along it."""

from __future__ import annotations

import numpy as np
import torch

from surefoot.nn.binary import EDE, STE, ApproxSign, EDESchedule, Estimator, ReSTE, ReSTESchedule
from surefoot.plots import figure, line
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance
from surefoot.studies.problems.binary_digits import BinaryRun, digits_split, train_binary

SHARPNESS = {"smoke": (1.0, 3.0, 10.0), "small": (1.0, 2.0, 3.0, 5.0, 10.0, 20.0)}
EPOCHS = {"smoke": 2, "small": 30}
STRESS = (1.0, 3.0, 10.0, 50.0)  # held constant, with a knee of 1e-4
RISING = (1, 2, 3, 5, 10)  # over these the paper's two monotonies are claimed


def _all(measured: Measured, key: str, against: str, ratio: float) -> bool:
    return bool((measured[key] <= ratio * measured[against]).all())


def _rises(measured: Measured, key: str, sign: int) -> bool:
    columns = [measured[f"{key}_{o}"] for o in RISING if f"{key}_{o}" in measured]
    return bool((sign * np.diff(columns, axis=0) > 0).all())


# Fixed before the first full run.
CLAIMS = (
    Claim(
        "The estimating error falls as the estimator is made sharper",
        "equilibrium figure: e falls monotonically with o_end (ResNet-20, ResNet-18, VGG-small on CIFAR-10)",
        "e strictly decreasing over o_end 1, 2, 3, 5, 10 for every seed",
        lambda m: _rises(m, "error", -1),
        ("error_1", "error_3", "error_10"),
    ),
    Claim(
        "The gradients become less stable as the estimator is made sharper",
        "equilibrium figure: s rises monotonically with o_end",
        "s strictly increasing over o_end 1, 2, 3, 5, 10 for every seed",
        lambda m: _rises(m, "instability", 1),
        ("instability_1", "instability_3", "instability_10"),
    ),
    Claim(
        "At o_end = 10 the gradients are at least ten times as unstable as straight through",
        "not in the paper as a number",
        "s(10) / s(1) ≥ 10 for every seed",
        lambda m: bool((m["instability_10"] >= 10 * m["instability_1"]).all()),
        ("instability_10", "instability_1"),
    ),
    Claim(
        "The equilibrium: o_end = 3 trains better than straight through",
        "ResNet-20 1/1: 86.75 % (ReSTE) against 84.44 % (STE)",
        "final training loss at 3 ≤ 0.65 of that at 1 for every seed",
        lambda m: _all(m, "loss_3", "loss_1", 0.65),
        ("loss_3", "loss_1"),
    ),
    Claim(
        "The equilibrium: o_end = 3 trains better than o_end = 10",
        "ResNet-20 at o_end = 10: the loss oscillates, 82.86 %",
        "final training loss at 3 ≤ 0.7 of that at 10 for every seed",
        lambda m: _all(m, "loss_3", "loss_10", 0.7),
        ("loss_3", "loss_10"),
    ),
    Claim(
        "Rational: ReSTE is nowhere farther from sign than the identity, and EDE is at some places",
        "section 4: D(sign, f_o) ≤ D(sign, identity)",
        "largest excess of the pointwise error: ≤ 1e-6 for ReSTE, > 0 for EDE",
        lambda m: bool((m["excess_reste"] <= 1e-6).all() and (m["excess_ede"] > 0).all()),
        ("excess_reste", "excess_ede"),
    ),
    Claim(
        "Without the truncations at zero a sharp estimator makes gradients explode",
        "still larger o fail outright",
        "largest |gradient| at constant o = 3, 10, 50 and a knee of 1e-4 ≥ 30 times that at o = 1 for every seed",
        lambda m: all(
            bool((m[f"stress_gradient_{o:g}"] >= 30 * m["stress_gradient_1"]).all()) for o in STRESS if o > 1
        ),
        ("stress_gradient_1", "stress_gradient_3", "stress_gradient_10", "stress_gradient_50"),
    ),
)


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: a training a sharpness, the baselines, and the stress test."""
    values, epochs = SHARPNESS.get(scale, SHARPNESS["small"]), EPOCHS.get(scale, 100)
    data = digits_split()
    if scale == "smoke":
        data = (data[0][:256], data[1][:256], data[2], data[3])
    baselines: dict[str, tuple[Estimator, EDESchedule | None]] = {
        "ste": (STE(), None),
        "approx_sign": (ApproxSign(), None),
        "ede": (EDE(), EDESchedule(epochs)),
    }
    total = len(values) + (len(baselines) if scale != "smoke" else 0) + len(STRESS)
    measured: dict[str, float] = {}
    sweep: dict[float, BinaryRun] = {}
    for o in values:
        sweep[o] = train_binary(data, ReSTE(o=o), ReSTESchedule(o, epochs).value, seed, epochs, judged_at=o)
        measured |= _numbers(f"{o:g}", sweep[o])
        advance(len(sweep) / total)
    done = len(sweep)
    for name, (estimator, schedule) in baselines.items() if scale != "smoke" else ():
        measured |= _numbers(
            name, train_binary(data, estimator, None if schedule is None else schedule.value, seed, epochs)
        )
        done += 1
        advance(done / total)
    stress: dict[float, BinaryRun] = {}
    for o in STRESS:
        stress[o] = train_binary(data, ReSTE(o=o, knee=1e-4), None, seed, max(2, epochs // 5))
        measured[f"stress_gradient_{o:g}"] = max(stress[o].largest_gradient)
        measured[f"stress_loss_{o:g}"] = stress[o].final_loss
        advance((done + len(stress)) / total)
    measured |= _excess()
    return StudyResult(
        {key: np.array(value) for key, value in measured.items()},
        (*_figures_of_estimators(), *_figures_of_gradients(sweep, stress)),
    )


def _numbers(name: str, run: BinaryRun) -> dict[str, float]:
    return {
        f"error_{name}": run.equilibrium.error,
        f"instability_{name}": run.equilibrium.instability_mean,
        f"loss_{name}": run.final_loss,
        f"accuracy_{name}": run.accuracy,
    }


def _excess() -> dict[str, float]:
    """How much farther from sign than the identity an estimator is, at the place where it is most."""
    z = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    identity = (torch.where(z >= 0, 1.0, -1.0) - z).abs()

    def excess(estimator: Estimator) -> float:
        f = estimator.value(z, estimator.sharpness)
        return float(((torch.where(z >= 0, 1.0, -1.0) - f).abs() - identity).max())

    return {"excess_reste": max(excess(ReSTE(o=o)) for o in (1.0, 1.5, 3.0, 10.0)), "excess_ede": excess(EDE(t=0.5))}


def _figures_of_estimators() -> tuple[Figure, ...]:
    z = torch.linspace(-2, 2, 801)
    values = [line(f"o = {o:g}", z.tolist(), ReSTE(o=o).value(z, o).tolist()) for o in (1, 2, 3, 10)]
    slopes = [line(f"o = {o:g}", z.tolist(), ReSTE(o=o).slope(z, o).tolist()) for o in (1, 2, 3, 10)]
    return (
        Figure("values", "f(z), from the identity towards sign", figure(values, title="ReSTE", x="z", y="f(z)")),
        Figure(
            "slopes",
            "The slope that gradients are multiplied by, cut beyond 1.5 and within 0.1",
            figure(slopes, title="Slope of ReSTE", x="z", y="φ(z)"),
        ),
    )


def _figures_of_gradients(sweep: dict[float, BinaryRun], stress: dict[float, BinaryRun]) -> tuple[Figure, ...]:
    edges = torch.linspace(-9, 0, 46)
    histograms = [
        line(
            f"o_end = {o:g}",
            edges[:-1].tolist(),
            torch.histc(r.gradients.abs().clamp_min(1e-9).log10(), 45, -9, 0).tolist(),
        )
        | {"line": {"shape": "hv"}}
        for o, r in sweep.items()
    ]
    lines = [line(f"o = {o:g}", range(1, len(r.losses) + 1), r.largest_gradient) for o, r in stress.items()]
    title = "Largest gradient of a binary weight, knee 1e-4"
    return (
        Figure(
            "gradients",
            "Gradients of the binary weights in the last step",
            figure(histograms, title="Gradients of the last step", x="log₁₀ |gradient|", y="weights"),
        ),
        Figure("stress", title, figure(lines, title=title, x="step", y="|gradient|", log_y=True)),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Both meters, the loss and the accuracy against o_end, with the seeds as points."""
    found = []
    values = [o for o in SHARPNESS["small"] if f"error_{o:g}" in measured]
    for key, title, log in (
        ("error", "Estimating error", False),
        ("instability", "Gradient instability", True),
        ("loss", "Final training loss", True),
        ("accuracy", "Test accuracy", False),
    ):
        table = np.array([measured[f"{key}_{o:g}"] for o in values])
        traces = [line("mean", values, table.mean(axis=1).tolist())] + [
            line(f"seed {i}", values, column.tolist()) | {"mode": "markers", "marker": {"size": 6}}
            for i, column in enumerate(table.T)
        ]
        plot = figure(traces, title=title, x="o_end", y=title.lower(), log_x=True, log_y=log)
        found.append(Figure(key, f"{title} against the sharpness at the end", plot))
    return tuple(found)


STUDY = Study(
    slug="reste",
    title="Estimator Meets Equilibrium: a rectified straight-through estimator for binary networks",
    paper="Wu, Zheng, Liu, Zheng: Estimator Meets Equilibrium Perspective: A Rectified Straight Through Estimator for "
    "Binary Neural Networks Training. ICCV 2023, arXiv 2308.06689",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.05, "small": 2.5, "paper": 30},
    notes=(
        "Handwritten digits of 8 × 8 pixels in place of CIFAR-10; four residual blocks of one binary convolution each.",
        "The inverted U is judged by the training loss: 450 test images are too few for differences of a point.",
        "o follows the cosine of the authors' code, once an epoch; e is judged at o_end, as there; s is a mean over "
        "epochs.",
        "The baselines (STE cut at 1, Bi-Real's, IR-Net's) are built from their own papers.",
        f"Slope at zero of the stress test: {', '.join(f'{1e-4 ** (1 / o - 1):.0f}' for o in STRESS)}.",
    ),
)
