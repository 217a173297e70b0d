"""Neural collapse in deep linear networks: the closed form against descent, rare classes that vanish, a real net."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.analysis.collapse import (
    CollapseMetrics,
    CollapsePrediction,
    collapse_prediction,
    collapse_state,
    compute,
    max_safe_decay,
    solve_ufm,
    update,
)
from surefoot.plots import figure
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance
from surefoot.studies.problems.digits import digits

COUNTS = (200, 100, 50, 50)
DECAY, VANISHING = 5e-4, 0.02
NET_COUNTS = (140, 70, 35, 18)
NET_DECAY = 1e-3
DEPTHS = {"smoke": (1,), "small": (1, 2, 3), "paper": (1, 3, 6)}

# Fixed before the first full run.
CLAIMS = (
    Claim(
        "Descent on free features ends in the predicted geometry, for every depth",
        "NC1 to NC3 against the general orthogonal frame go to about 0 (figures)",
        "loss within 1e-8 of the closed form; Gram matrix of the classifier, normalised, within 1e-4, for every seed",
        lambda m: bool((m["ufm_loss_gap"] <= 1e-8).all() and (m["ufm_gram_gap"] <= 1e-4).all()),
        ("ufm_loss_gap", "ufm_gram_gap"),
    ),
    Claim(
        "Lengths depend on the class's size: an equal-norm frame does not fit",
        "first geometry for imbalanced data",
        "distance of the classifier's Gram matrix from an equal-norm frame > 0.1 for every seed",
        lambda m: bool((m["ufm_equal_norm_gap"] > 0.1).all()),
        "ufm_equal_norm_gap",
    ),
    Claim(
        "Classes below the threshold vanish",
        "minority collapse iff n_k ≤ N² λ_W λ_H for one layer",
        "at λ = 0.02 (threshold 64) the two classes of 50 have logits below 1e-4, those of 200 and 100 as predicted",
        lambda m: bool((m["vanished_logit"] < 1e-4).all() and (m["surviving_logit_gap"] < 1e-4).all()),
        ("vanished_logit", "surviving_logit_gap"),
    ),
    Claim(
        "The largest safe decay tells where",
        "the threshold, solved for λ",
        "least logit above 1e-3 at 0.9 and below 1e-4 at 1.1 times it, for every seed",
        lambda m: bool((m["safe_logit"] > 1e-3).all() and (m["unsafe_logit"] < 1e-4).all()),
        ("safe_logit", "unsafe_logit"),
    ),
    Claim(
        "A real net's last layer takes the predicted logits",
        "metrics fall to 1e-2 … 1e-3 on an imbalanced CIFAR subset (figures)",
        "four classes of digits: every logit within 0.005, loss within 1 % of the prediction, for every seed",
        lambda m: bool((m["net_logit_gap"] <= 0.005).all() and (m["net_loss_ratio"] <= 1.01).all()),
        ("net_logit_gap", "net_loss_ratio"),
    ),
    Claim(
        "And the predicted geometry, not that of equal norms",
        "NC2 against the general orthogonal frame to about 0",
        "distance of the means' Gram matrix < 0.005 from the prediction and > 0.15 from an equal-norm frame",
        lambda m: bool((m["net_nc2"] < 0.005).all() and (m["net_nc2_equal_norm"] > 0.15).all()),
        ("net_nc2", "net_nc2_equal_norm"),
    ),
    Claim(
        "Samples of a class collapse onto its mean",
        "NC1 to about 0",
        "tr Σ_W / tr Σ_B < 0.005 for every seed",
        lambda m: bool((m["net_nc1_trace"] < 0.005).all()),
        "net_nc1_trace",
    ),
)


def _normalised_gap(a: Tensor, b: Tensor) -> float:
    return float((a / a.norm() - b / b.norm()).norm())


def _free(depth: int, seed: int, smoke: bool) -> dict[str, float]:
    predicted = collapse_prediction(COUNTS, [DECAY] * depth, DECAY)
    starts = [10 * seed + i for i in range(1 if smoke or depth > 2 else 2)]
    found = solve_ufm(COUNTS, 16, [DECAY] * depth, DECAY, seeds=starts, steps=6000)
    equal = torch.eye(len(COUNTS), dtype=torch.float64)
    return {
        "loss_gap": abs(found.loss - predicted.loss),
        "gram_gap": _normalised_gap(found.gram_classifier, predicted.gram_classifier),
        "equal_norm_gap": _normalised_gap(found.gram_classifier, equal),
    }


def _vanishing(decay: float, seed: int) -> tuple[Tensor, CollapsePrediction]:
    """Own logits of the classes after descent, and what they should be."""
    found = solve_ufm(COUNTS, 8, [decay], decay, seeds=(seed,), steps=3000)
    return found.logit_matrix.diagonal(), collapse_prediction(COUNTS, decay, decay)


def _imbalanced_digits(seed: int) -> tuple[Tensor, Tensor]:
    data = digits(seed, test_share=0.0)
    rows = [torch.nonzero(data.y_train == k).flatten()[:n] for k, n in enumerate(NET_COUNTS)]
    kept = torch.cat(rows)
    return data.x_train[kept], data.y_train[kept]


def _train(
    seed: int, width: int, steps: int
) -> tuple[nn.Module, nn.Linear, CollapseMetrics, list[float], Tensor, float]:
    """Features of a ReLU net below a bias-free head, under (1) on head and features alone."""
    x, y = _imbalanced_digits(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Linear(width, width), nn.ReLU()]
        body = nn.Sequential(*layers, nn.Linear(width, width))
        head = nn.Linear(width, len(NET_COUNTS), bias=False)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    targets, losses = nn.functional.one_hot(y).float(), []
    for step in range(steps):
        features = body(x)
        fit = (head(features) - targets).square().sum() / (2 * len(x))
        loss = fit + NET_DECAY / 2 * (head.weight.square().sum() + features.square().sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 200 == 0:
            advance(0.4 + 0.6 * step / steps)
    with torch.no_grad():
        features = body(x)
        state = update(collapse_state(len(NET_COUNTS), width), features, y)
        predicted = collapse_prediction(NET_COUNTS, NET_DECAY, NET_DECAY)
        metrics = compute(state, head.weight, target=predicted.gram_means, center="none")
        logits = (head.weight.double() @ state.means.T).diagonal()
    return body, head, metrics, losses, logits, predicted.loss


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: free features by depth, vanishing classes, a net on four digits of unequal number."""
    smoke = scale == "smoke"
    free = [_free(depth, seed, smoke) for depth in DEPTHS[scale]]
    advance(0.2)
    logits, predicted = _vanishing(VANISHING, seed)
    safe = max_safe_decay(COUNTS)
    below, above = (float(_vanishing(f * safe, seed)[0].min()) for f in (0.9, 1.1))
    advance(0.4)
    width, steps = (64, 100) if smoke else (128, 4000)
    _, _, metrics, losses, own, least = _train(seed, width, steps)
    expected = collapse_prediction(NET_COUNTS, NET_DECAY, NET_DECAY).logits
    measured = {
        "ufm_loss_gap": max(f["loss_gap"] for f in free),
        "ufm_gram_gap": max(f["gram_gap"] for f in free),
        "ufm_equal_norm_gap": min(f["equal_norm_gap"] for f in free),
        "vanished_logit": float(logits[2:].abs().max()),
        "surviving_logit_gap": float((logits - predicted.logits)[:2].abs().max()),
        "safe_logit": below,
        "unsafe_logit": abs(above),
        "net_logit_gap": float((own - expected).abs().max()),
        "net_loss_ratio": losses[-1] / least,
        "net_nc1_trace": metrics.nc1_trace,
        "net_nc2": metrics.nc2_target if metrics.nc2_target is not None else math.nan,
        "net_nc2_equal_norm": metrics.nc2_of,
        "net_logits": own.numpy(),
        "net_logits_predicted": expected.numpy(),
    }
    curve = [
        {"type": "scatter", "x": list(range(1, len(losses) + 1)), "y": losses, "name": "trained"},
        {"type": "scatter", "x": [1, len(losses)], "y": [least] * 2, "name": "predicted", "line": {"dash": "dot"}},
    ]
    return StudyResult(
        {key: np.asarray(value, dtype=float) for key, value in measured.items()},
        (Figure("loss", "Loss of the net", figure(curve, title="Loss", x="step", y="loss", log_y=True)), _sweep()),
    )


def _sweep() -> Figure:
    """Predicted logits against a common decay, with each class's threshold."""
    grid = np.geomspace(1e-4, 0.04, 200)
    traces = []
    for k, n in enumerate(COUNTS[:3]):
        values = [float(collapse_prediction(COUNTS, lam, lam).logits[k]) for lam in grid]
        traces.append({"type": "scatter", "x": grid.tolist(), "y": values, "name": f"{n} samples"})
        edge = math.sqrt(n) / sum(COUNTS)
        dashed = {"dash": "dot", "width": 1}
        traces.append({"type": "scatter", "x": [edge] * 2, "y": [0, 1], "showlegend": False, "line": dashed})
    plot = figure(traces, title="Minority collapse", x="decay λ of weights and features", y="own logit", log_x=True)
    return Figure("minority", "Which classes vanish at which decay", plot)


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Predicted against trained logits."""
    names = [f"{n} samples" for n in NET_COUNTS]
    traces = [
        {"type": "bar", "x": names, "y": measured[key].mean(axis=0).tolist(), "name": name}
        for key, name in (("net_logits", "trained"), ("net_logits_predicted", "predicted"))
    ]
    return (Figure("logits", "Own logits of a net on digits", figure(traces, title="Logits", y="own logit")),)


STUDY = Study(
    slug="neural_collapse",
    title="Neural collapse in deep linear networks, from balanced to imbalanced data",
    paper="Dang, Tran, Osher, Tran-The, Ho, Nguyen: Neural Collapse in Deep Linear Networks: From Balanced to "
    "Imbalanced Data. ICML 2023, arXiv 2301.00437",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 1.5, "paper": 8},
    notes=(
        "Free features by L-BFGS in float64 instead of 30,000 steps of SGD; 16 dimensions.",
        "Four handwritten digits in place of a CIFAR subset; decay on head and features alone, so that λ_H is known.",
        "Cross-entropy has no closed form here.",
    ),
)
