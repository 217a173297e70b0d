"""Near collapse: what a block tightens, by how much, and whose weight decay decides."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.analysis.collapse import (
    PerturbationOperator,
    anchored_minimizer,
    central_path_flow,
    near_collapse_spectrum,
    ufm_minimizer,
)
from surefoot.analysis.collapse.anchored import traces
from surefoot.plots import figure
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance
from surefoot.studies.problems.digits import digits

K, D, N, BETA = 4, 10, 10, 100.0
FEATURE_DECAYS = {"smoke": (0.3,), "small": (0.1, 0.3, 0.5), "paper": (0.1, 0.3, 0.5)}
BETAS = (1.0, 10.0, 100.0)
ROLES = ("base", "features doubled", "head doubled", "features without", "head without")

# Fixed before the first full run.
CLAIMS = (
    Claim(
        "The block of a class on itself has the five singular values of the theorem",
        "step-like spectrum (figure 1)",
        "expansion equal to 1e-10, exact answer within (√(λ_h/λ_w)/β)² of it, at every λ_h",
        lambda m: bool((m["spectrum_gap"] <= 1e-10).all() and (m["exact_gap_over_bound"] <= 1).all()),
        ("spectrum_gap", "exact_gap_over_bound"),
    ),
    Claim(
        "Almost all singular values fall as the features' decay grows",
        "figure 1",
        "share of singular values that fall from the least to the largest λ_h ≥ 0.9",
        lambda m: bool((m["falling_share"] >= 0.9).all()),
        "falling_share",
    ),
    Claim(
        "Along the flow NC1 falls at every moment, and so does the grown spread, while the means part",
        "theorem on the central path",
        "no step of any run against the three monotone laws",
        lambda m: bool((m["flow_violations"] == 0).all()),
        "flow_violations",
    ),
    Claim(
        "The minimiser is tighter than its anchor, less so the stiffer the anchor",
        "corollary",
        "NC1 ratio below 1 and rising with β = 1, 10, 100 for every seed",
        lambda m: bool((m["anchored_ratio"] < 1).all() and (np.diff(m["anchored_ratio"], axis=1) > 0).all()),
        "anchored_ratio",
    ),
    Claim(
        "Every layer trained on top tightens further",
        "NC1 falls with every added layer on CIFAR-10 (figure 2)",
        "tr Σ_W / tr Σ_B strictly falling with depth for every seed",
        lambda m: bool((np.diff(m["depth_nc1"], axis=1) < 0).all()),
        "depth_nc1",
    ),
    Claim(
        "The features' decay matters more than the head's",
        "ResNet18, CIFAR-10 (figure 3)",
        "|log NC1 ratio| larger for the features than for the head, doubling and leaving out, for every seed",
        lambda m: bool(
            (m["role_features_doubled"] > m["role_head_doubled"]).all()
            and (m["role_features_without"] > m["role_head_without"]).all()
        ),
        ("role_features_doubled", "role_head_doubled", "role_features_without", "role_head_without"),
    ),
    Claim(
        "Doubling brings closer to collapse, leaving out farther from it",
        "figure 3",
        "NC1 lower with the features' decay doubled, higher without it, for every seed",
        lambda m: bool(
            (m["nc1_roles"][:, 1] < m["nc1_roles"][:, 0]).all() and (m["nc1_roles"][:, 3] > m["nc1_roles"][:, 0]).all()
        ),
        "nc1_roles",
    ),
)


def _spectra(decays: tuple[float, ...], seed: int) -> tuple[list[np.ndarray], float, float]:
    """For each λ_h the expansion's singular values; their gap to the closed form; the exact answer's over its bound."""
    found, gap, over = [], 0.0, 0.0
    for decay in decays:
        pair = ufm_minimizer(K, N, D, math.sqrt(2), decay, seed)
        arguments = (pair.weight, pair.features, pair.labels, math.sqrt(2), decay, BETA)
        values = torch.linalg.svdvals(PerturbationOperator(*arguments, expand=True).block(0, 0)).numpy()
        exact = torch.linalg.svdvals(PerturbationOperator(*arguments).block(0, 0)).numpy()
        told = np.sort([v for v, n in near_collapse_spectrum(K, D, N, math.sqrt(2), decay, BETA) for _ in range(n)])
        gap = max(gap, float(np.abs(np.sort(values) - told).max()))
        over = max(over, float(np.abs(np.sort(exact) - told).max()) / (math.sqrt(decay / math.sqrt(2)) / BETA) ** 2)
        found.append(values)
    return found, gap, over


def _depths(seed: int, layers: int, steps: int) -> list[float]:
    """NC1 behind each layer of a net trained a layer at a time, the input first."""
    data = digits(seed, test_share=0.0)
    features, y = data.x_train[:1000], data.y_train[:1000]
    found = [_nc1(features, y)]
    for depth in range(layers):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * seed + depth)
            layer = nn.Sequential(nn.Linear(features.shape[1], 64), nn.ReLU())
            head = nn.Linear(64, 10, bias=False)
        _fit(layer, head, features, y, steps, 5e-4, 5e-4)
        with torch.no_grad():
            features = layer(features)
        found.append(_nc1(features, y))
    return found


def _roles(seed: int, steps: int) -> list[float]:
    """NC1 of a net's last features for each way to set the two decays."""
    data = digits(seed, test_share=0.0)
    x, y = data.x_train[:800], data.y_train[:800]
    found = []
    for body_decay, head_decay in ((1, 1), (2, 1), (1, 2), (0, 1), (1, 0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU())
            head = nn.Linear(96, 10, bias=False)
        _fit(body, head, x, y, steps, 5e-4 * body_decay, 5e-4 * head_decay, cosine=True)
        with torch.no_grad():
            found.append(_nc1(body(x), y))
    return found


def _fit(
    body: nn.Module, head: nn.Module, x: Tensor, y: Tensor, steps: int, body_decay: float, head_decay: float,
    cosine: bool = False,
) -> None:  # fmt: skip
    """Full-batch Adam on half the squared error and half the decays' squares."""
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if cosine else None
    targets = nn.functional.one_hot(y, 10).float()
    for _ in range(steps):
        loss = (head(body(x)) - targets).square().sum(dim=1).mean() / 2
        for module, decay in ((body, body_decay), (head, head_decay)):
            loss = loss + decay / 2 * sum(p.square().sum() for p in module.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def _nc1(features: Tensor, y: Tensor) -> float:
    within, between = traces(features.T.double(), y)
    return within / between


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: spectra at collapse, the flow, anchored minimisers, a net by layers, the two decays."""
    smoke = scale == "smoke"
    spectra, gap, over = _spectra(FEATURE_DECAYS[scale], seed)
    generator = torch.Generator().manual_seed(seed)
    anchor = torch.randn(D, K * N, generator=generator, dtype=torch.float64)
    labels = torch.repeat_interleave(torch.arange(K), N)
    flow = central_path_flow(anchor, labels, 0.05, 0.02, 4.0 if smoke else 40.0, 0.02)
    grown = torch.exp(2 * 0.02 * flow.t)
    laws = (flow.nc1, grown * flow.trace_within, -grown * flow.trace_between)
    violations = sum(b >= a for law in laws for a, b in pairwise(law.tolist()))
    advance(0.3)
    start = traces(anchor, labels)
    ratios = []
    for beta in BETAS:
        _, features = anchored_minimizer(anchor, labels, 0.05, 0.02, beta)
        within, between = traces(features, labels)
        ratios.append(within / between / (start[0] / start[1]))
    advance(0.4)
    depths = _depths(seed, 2 if smoke else 5, 60 if smoke else 300)
    advance(0.7)
    roles = _roles(seed, 60 if smoke else 700)
    shift = [abs(math.log(value / roles[0])) for value in roles]
    measured = {
        "spectrum_gap": gap,
        "exact_gap_over_bound": over,
        "falling_share": float((np.sort(spectra[-1]) <= np.sort(spectra[0]) + 1e-12).mean()),
        "flow_violations": violations,
        "anchored_ratio": ratios,
        "depth_nc1": depths,
        "nc1_roles": roles,
        "role_features_doubled": shift[1],
        "role_head_doubled": shift[2],
        "role_features_without": shift[3],
        "role_head_without": shift[4],
    }
    steps = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": list(range(1, len(v) + 1)),
            "y": v.tolist(),
            "name": f"λ_h = {decay:g}",
        }
        for decay, v in zip(FEATURE_DECAYS[scale], spectra, strict=True)
    ]
    plot = figure(steps, title="Response of a class to itself", x="rank", y="singular value")
    return StudyResult(
        {key: np.asarray(value, dtype=float) for key, value in measured.items()},
        (
            Figure("spectrum", "Singular values of the response at collapse, β = 100", plot),
            Figure("flow", "The flow of free features", flow.plot()),
        ),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """NC1 by depth, and by decay."""
    depth = [
        {"type": "scatter", "mode": "lines+markers", "x": list(range(len(row))), "y": row.tolist(), "name": f"seed {i}"}
        for i, row in enumerate(measured["depth_nc1"])
    ]
    bars = [{"type": "bar", "x": list(ROLES), "y": measured["nc1_roles"].mean(axis=0).tolist()}]
    return (
        Figure("depth", "Layers trained one by one", figure(depth, title="Depth", x="layers", y="NC1", log_y=True)),
        Figure("decay", "Whose decay decides", figure(bars, title="Decay", y="tr Σ_W / tr Σ_B")),
    )


STUDY = Study(
    slug="collapse_perturbation",
    title="Perturbation analysis of neural collapse",
    paper="Tirer, Huang, Niles-Weed: Perturbation Analysis of Neural Collapse. ICML 2023, arXiv 2210.16658",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 0.8, "paper": 0.8},
    notes=(
        "Handwritten digits and ReLU nets in place of CIFAR-10 with MLPs and ResNet18.",
        "The paper's appendices were not at hand; the multiplicities of the spectrum are derived and checked anew.",
    ),
)
