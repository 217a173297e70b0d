"""Discretisation drift: flows that follow finite steps, DAL, two players and their interaction, smoothness."""

from __future__ import annotations

import numpy as np
import torch

from surefoot.analysis.drift import quadratic_flow
from surefoot.analysis.drift.flows import Order
from surefoot.optim.two_players import game_spectrum
from surefoot.plots import figure
from surefoot.studies._drift_runs import (
    complexity_at_equal_loss,
    descend,
    dirac,
    edge_of_stability,
    ring_gan,
)
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance

RATES = (0.02, 0.1, 0.4)
FIXED = (0.25, 0.5, 1.0, 2.0)

# Fixed before the first full run.
CLAIMS = (
    Claim(
        "The principal flow is where gradient descent is, oscillating too, and the other flows are not",
        "PF tracks stable, oscillating and divergent regimes (figures)",
        "after five oscillating steps on a quadratic: PF within 1e-6; NGF and IGR wrong by more than 0.1",
        lambda m: bool((m["pf_error"] < 1e-6).all() and (m["ngf_error"] > 0.1).all() and (m["igr_error"] > 0.1).all()),
        ("pf_error", "ngf_error", "igr_error"),
    ),
    Claim(
        "The loss rises only where the sharpest direction is beyond 2/h",
        "instability needs λ > 2/h and gradient on it",
        "no rise while hλ < 1.95 (measured at every tenth step); hλ passes 1.95 and the loss rises, for every seed",
        lambda m: bool(
            (m["rises_below_edge"] == 0).all() and (m["rises"] > 0).all() and (m["largest_scaled"] > 1.95).all()
        ),
        ("rises_below_edge", "rises", "largest_scaled"),
    ),
    Claim(
        "DAL trains without tuning and without spikes",
        "where fixed large rates diverge",
        "largest rise below 1e-3, and a final loss below that of the best fixed rate with no such rise, for every seed",
        lambda m: bool((m["dal_largest_rise"] < 1e-3).all() and (m["dal_final"] < m["best_monotone_final"]).all()),
        ("dal_largest_rise", "dal_final", "best_monotone_final"),
    ),
    Claim(
        "A smaller power is faster and less stable",
        "DAL-0.5 reaches better accuracy",
        "final loss lower and share of rising steps higher at p = 0.5 than at p = 1, for every seed",
        lambda m: bool((m["dal_half_final"] < m["dal_final"]).all() and (m["dal_half_rising"] > m["dal_rising"]).all()),
        ("dal_half_final", "dal_final", "dal_half_rising", "dal_rising"),
    ),
    Claim(
        "Drift predicts that simultaneous steps diverge where the flow converges, and alternating ones do not",
        "stability analysis of the linear game",
        "e = 0.09, h = 0.2: flow < 1 < simultaneous (predicted > 1), alternating < 1; within 5e-4 of the steps' radius",
        lambda m: bool(
            ((m["game_flow"] < 1) & (m["game_simultaneous"] > 1) & (m["game_predicted"] > 1)).all()
            and (m["game_alternating"] < 1).all()
            and (np.abs(m["game_predicted"] - m["game_simultaneous"]) < 5e-4).all()
        ),
        ("game_flow", "game_simultaneous", "game_predicted", "game_alternating"),
    ),
    Claim(
        "Cancelling the interaction holds the Dirac GAN where it began; more brings it home",
        "explicit cancellation",
        "radius after 2,000 steps > 3 plain, within 1 % of √2 cancelled, < 1e-3 over-corrected",
        lambda m: bool(
            (m["dirac_plain"] > 3).all()
            and (np.abs(m["dirac_cancelled"] / 2**0.5 - 1) < 0.01).all()
            and (m["dirac_over"] < 1e-3).all()
        ),
        ("dirac_plain", "dirac_cancelled", "dirac_over"),
    ),
    Claim(
        "A GAN under simultaneous SGD is saved by cancelling",
        "CIFAR-10 GANs approach Adam's Inception Score",
        "ring of eight: mean discrepancy at least 3 times lower and all 8 modes for every seed",
        lambda m: bool(
            (m["ring_plain"].mean() > 3 * m["ring_cancelled"].mean()) and (m["ring_modes_cancelled"] == 8).all()
        ),
        ("ring_plain", "ring_cancelled", "ring_modes_plain", "ring_modes_cancelled"),
    ),
    Claim(
        "Larger rates leave smoother models at equal loss",
        "implicit gradient regularisation",
        "geometric complexity falls over the rates, and at 0.4 is below 0.65 of that at 0.02, for every seed",
        lambda m: bool((np.diff(m["complexity"], axis=1) < 0).all() and (m["complexity_ratio"] < 0.65).all()),
        ("complexity", "complexity_ratio"),
    ),
)


def _quadratic() -> dict[str, float]:
    hessian = torch.diag(torch.tensor([2.0, 0.02], dtype=torch.float64))
    x = start = torch.tensor([-0.35, -0.2], dtype=torch.float64)
    for _ in range(5):
        x = x - 0.9 * (hessian @ x)
    orders: tuple[Order, ...] = ("pf", "ngf", "igr")
    return {f"{o}_error": float((quadratic_flow(hessian, start, 0.9, 4.5, o) - x).norm()) for o in orders}


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed; the quadratic, the linear game and the Dirac GAN have no random part."""
    smoke = scale == "smoke"
    measured: dict[str, object] = dict(_quadratic())
    every = 10
    edge = edge_of_stability(seed, 0.8, 40 if smoke else 500, every)
    below = [i for i in edge.rises if edge.scaled[i // every] < 1.95]
    measured |= {
        "rises": len(edge.rises),
        "rises_below_edge": len(below),
        "largest_scaled": max(edge.scaled),
    }
    advance(0.25)
    steps = 40 if smoke else 300
    dal, half = descend(seed, steps), descend(seed, steps, p=0.5)
    fixed = {lr: descend(seed, steps, lr) for lr in FIXED}
    calm = [run.final for run in fixed.values() if run.largest_rise < 1e-3]
    measured |= {
        "dal_final": dal.final,
        "dal_rising": dal.rising,
        "dal_largest_rise": dal.largest_rise,
        "dal_half_final": half.final,
        "dal_half_rising": half.rising,
        "best_monotone_final": min(calm, default=float("inf")),
    }
    advance(0.5)
    jacobian = torch.tensor([[-0.09, 1.0], [-1.0, -0.09]])
    together, turns = (game_spectrum(jacobian, (1, 1), (0.2, 0.2), s) for s in ("simultaneous", "alternating"))
    rounds = 300 if smoke else 2000
    plain, cancelled, over = dirac(0.0, rounds), dirac(1.0, rounds), dirac(0.65 / 0.05, rounds)
    measured |= {
        "game_flow": together.flow,
        "game_simultaneous": together.discrete,
        "game_predicted": together.modified,
        "game_alternating": turns.discrete,
        "dirac_plain": plain[-1],
        "dirac_cancelled": cancelled[-1],
        "dirac_over": over[-1],
    }
    gans = {cancel: ring_gan(seed, cancel, 20 if smoke else 600) for cancel in (0.0, 1.0)}
    measured |= {
        "ring_plain": gans[0.0].mmd,
        "ring_cancelled": gans[1.0].mmd,
        "ring_modes_plain": gans[0.0].modes,
        "ring_modes_cancelled": gans[1.0].modes,
    }
    advance(0.8)
    rates = RATES[-2:] if smoke else RATES
    complexity = [complexity_at_equal_loss(seed, lr, 0.5 if smoke else 0.02) for lr in rates]
    measured |= {"complexity": complexity, "complexity_ratio": complexity[-1] / complexity[0]}
    losses = {"DAL": dal, "DAL, p = 0.5": half} | {f"fixed {lr:g}": r for lr, r in fixed.items()}
    curves = [
        {"type": "scatter", "x": list(range(len(r.losses))), "y": [min(v, 20.0) for v in r.losses], "name": name}
        for name, r in losses.items()
    ]
    radii = [
        {"type": "scatter", "x": list(range(rounds)), "y": r, "name": name}
        for name, r in (("plain", plain), ("cancelled", cancelled), ("over-corrected", over))
    ]
    points = [
        {"type": "scatter", "mode": "markers", "marker": {"size": 3}, "name": name,
         "x": gan.samples[:, 0].tolist(), "y": gan.samples[:, 1].tolist()}
        for name, gan in (("plain", gans[0.0]), ("cancelled", gans[1.0]))
    ]  # fmt: skip
    sharp = [
        {"type": "scatter", "x": list(range(0, len(edge.losses), every)), "y": edge.scaled, "name": "hλ"},
        {"type": "scatter", "x": [0, len(edge.losses)], "y": [2, 2], "name": "edge", "line": {"dash": "dot"}},
    ]
    return StudyResult(
        {key: np.asarray(value, dtype=float) for key, value in measured.items()},
        (
            Figure("edge", "Sharpness at the edge", figure(sharp, title="Edge of stability", x="step", y="hλ")),
            Figure("dal", "Losses", figure(curves, title="DAL and fixed rates", x="step", y="loss", log_y=True)),
            Figure("dirac", "Dirac GAN", figure(radii, title="Dirac GAN", x="step", y="distance from 0", log_y=True)),
            Figure("ring", "Samples of the ring GANs", figure(points, title="Ring", x="x", y="y")),
        ),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Geometric complexity by rate."""
    rates = list(RATES[-measured["complexity"].shape[1] :])
    traces = [
        {"type": "scatter", "mode": "lines+markers", "x": rates, "y": row.tolist(), "name": f"seed {i}"}
        for i, row in enumerate(measured["complexity"])
    ]
    plot = figure(traces, title="Smoothness", x="learning rate", y="geometric complexity", log_x=True)
    return (Figure("complexity", "Complexity at equal training loss", plot),)


STUDY = Study(
    slug="drift",
    title="Discretisation drift and smoothness in gradient descent and in games",
    paper="Rosca: On discretisation drift and smoothness regularisation in neural network training. PhD thesis, UCL "
    "2023, arXiv 2310.14036; with arXiv 2105.13922 (ICML 2021) and 2302.01952 (TMLR 2023)",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 1.5, "paper": 1.5},
    notes=(
        "Digits, toys and a ring of Gaussians in place of CIFAR-10 and ImageNet.",
        "Not done: spectral normalisation in reinforcement learning.",
    ),
)
