"""Outliers with opposing signals: a few samples share one large feature, want opposite outputs, and swing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.optim.split_sgd import SplitSGD
from surefoot.studies._opposing_claims import CLAIMS
from surefoot.studies._opposing_figures import figures_of_natural, figures_of_planted, figures_of_race, figures_of_toy
from surefoot.studies._opposing_race import Raced, race
from surefoot.studies._opposing_runs import Planted, natural, planted
from surefoot.studies._opposing_toy import Toy, toy
from surefoot.studies.frame import Scale, Study, StudyResult, advance, data_folder
from surefoot.studies.problems.digits import digits
from surefoot.studies.problems.fashion import clothes, fetch

SLUG = "opposing"
LR, SLOW_LR, NATURAL_LR = 1.0, 0.1, 0.3
ETAS = (0.005, 0.006, 0.003)
SGD_RATES, ADAM_RATES = (0.03, 0.1, 0.3), (1e-3, 3e-3)


@dataclass(frozen=True)
class Sizes:
    """What a scale stands for."""

    toy_steps: int
    flow_steps: int
    width: int
    steps: int
    slow_steps: int
    looks: int
    amplitudes: tuple[float, ...]
    pictures: int
    natural_steps: int
    natural_width: int
    race_steps: int


SIZES: dict[Scale, Sizes] = {
    "smoke": Sizes(600, 800, 32, 80, 20, 4, (16.0, 4.0), 300, 60, 32, 20),
    "small": Sizes(2000, 6000, 64, 200, 150, 16, (16.0, 8.0, 4.0), 2000, 400, 100, 300),
    "paper": Sizes(20_000, 6000, 64, 1000, 500, 40, (16.0, 8.0, 4.0), 20_000, 2000, 400, 3000),
}


def run(scale: Scale, seed: int) -> StudyResult:
    """Measure one seed: the linear model, planted digits, natural pictures, optimisers."""
    size = SIZES[scale]
    measured: dict[str, float] = {}
    line = toy(seed, ETAS, size.toy_steps, size.flow_steps, samples=4000)
    measured |= _toy(line)
    figures = list(figures_of_toy(line))
    advance(0.05)

    every = digits(seed, test_share=0.0)
    data = (every.x_train - every.x_train.mean(dim=0), every.y_train)
    fast = planted(data, seed, LR, size.steps, size.width, size.amplitudes[0], size.looks)
    bare = planted(data, seed, LR, size.steps, size.width, 0.0, 2)
    slow = [planted(data, seed, SLOW_LR, size.slow_steps, size.width, a, 4) for a in size.amplitudes]
    measured |= _planted(fast) | _bare(bare) | _slow(slow)
    figures += figures_of_planted(fast, LR)
    advance(0.25)

    pictures = clothes(size.pictures, None if scale == "smoke" else data_folder(SLUG), seed)
    centred = (pictures.images - pictures.images.mean(dim=0), pictures.labels)
    # at the edge the sharpness alternates from step to step: look at both of two neighbours
    at = [round(size.natural_steps * share) for share in (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)]
    checks = [step for pair in at for step in (pair - 1, pair)]
    own = natural(
        centred,
        seed,
        NATURAL_LR,
        size.natural_steps,
        size.natural_width,
        checks,
        lambda share: advance(0.25 + 0.5 * share),
    )
    measured |= {
        "natural_cosine": own.best.gradient_cosine,
        "natural_lag1": own.best.lag1,
        "natural_sharpness": max(look.sharpness for look in own.run.looks),
        "natural_alignment_product": own.best.alignment[0] * own.best.alignment[1],
        "natural_alignment_least": min(map(abs, own.best.alignment)),
        "natural_span": own.span,
        "natural_on_all": own.on_all,
        "natural_without_groups": own.without_groups,
        "natural_without_random": own.without_random,
        "natural_judged": float(own.run.verdict is not None and own.run.verdict.opposing),
    }
    figures += figures_of_natural(own, pictures, NATURAL_LR)
    advance(0.75)

    raced = race(fast.data, fast.first, fast.second, _makers(), seed, size.race_steps, size.width)
    measured |= _raced(raced)
    figures += figures_of_race(raced)
    advance(1.0)
    notes = ("The pictures are a synthetic stand-in: Fashion-MNIST was not fetched.",) if pictures.synthetic else ()
    return StudyResult({name: np.asarray(value) for name, value in measured.items()}, tuple(figures), notes)


def _toy(line: Toy) -> dict[str, float]:
    flow, model = line.flow, line.model
    low = int(flow.sharpness.argmin())
    smooth = line.descents[ETAS[2]]
    values = {
        "toy_flow_error": abs(float(flow.sharpness[-1]) / line.predicted - 1),
        "toy_start": float(flow.sharpness[0]),
        "toy_turn": float(flow.times[low]),
        "toy_end": float(flow.sharpness[-1]),
        "toy_alpha": model.alpha,
        "toy_beta": float(model.beta.norm()),
        "toy_smooth_end": float(smooth.sharpness[-1]) / line.predicted,
        "toy_sample_error": line.sample_error,
        "toy_sample_ratio": line.sample_peak[0] / max(line.sample_peak[1], 1e-12),
    }
    for eta in ETAS[:2]:
        path = line.descents[eta]
        values[f"toy_end_{eta:g}"] = float(path.sharpness[-1]) * eta / 2
        values[f"toy_spike_{eta:g}"] = float((path.loss - path.loss.cummin(0).values).max()) / (model.alpha / 2)
    return values


def _planted(fast: Planted) -> dict[str, float]:
    verdict = fast.run.verdict
    assert verdict is not None
    groups = verdict.groups
    return {
        "precision": fast.precision,
        "top5": groups.concentration[1],
        "correlation": groups.correlation,
        "lag1": max(groups.lag1),
        "gradient_cosine": fast.gradient_cosine,
        "alignment_product": fast.alignment[0] * fast.alignment[1],
        "alignment_least": min(map(abs, fast.alignment)),
        "energy": groups.energy_share,
        "purity": fast.purity,
        "swap": fast.swap,
        "judged": float(verdict.opposing),
        "sharpness": fast.run.looks[-1].sharpness,
        "sharpness_without": fast.sharpness_without,
        "probe_swing": float(np.abs(np.diff(fast.run.probes)).max()),
    }


def _bare(bare: Planted) -> dict[str, float]:
    assert bare.run.verdict is not None
    groups = bare.run.verdict.groups
    lags = [lag for lag in groups.lag1 if not np.isnan(lag)]
    return {
        "bare_judged": float(bare.run.verdict.opposing),
        "bare_lag1": min(lags),
        "bare_sharpness": bare.run.looks[-1].sharpness,
        "bare_cosine": bare.gradient_cosine,
    }


def _slow(slow: list[Planted]) -> dict[str, float]:
    strong = slow[0]
    ends = [one.run.looks[-1].sharpness for one in slow]
    return {
        "slow_growth": ends[0] / strong.run.looks[0].sharpness,
        "slow_alignment_product": strong.alignment[0] * strong.alignment[1],
        "slow_alignment_least": min(map(abs, strong.alignment)),
        "slow_precision": strong.precision,
        "slow_precision_slopes": strong.precision_slopes,
        "slow_strong": ends[0],
        "slow_weak": ends[-1],
        "slow_order": float(all(a > b for a, b in pairwise(ends))),
    }


def _raced(raced: list[Raced]) -> dict[str, float]:
    values: dict[str, float] = {}
    for family in ("SGD", "Adam", "SplitSGD"):
        best = min((one for one in raced if one.family == family), key=lambda one: one.loss)
        values |= {f"share_{family}": best.share, f"loss_{family}": best.loss, f"group_loss_{family}": best.group_loss}
    return values


def _makers() -> list[tuple[str, str, Callable[[list[nn.Parameter]], Optimizer]]]:
    sgd = [(f"SGD {lr:g}", "SGD", partial(torch.optim.SGD, lr=lr, momentum=0.9)) for lr in SGD_RATES]
    adam = [(f"Adam {lr:g}", "Adam", partial(torch.optim.Adam, lr=lr)) for lr in ADAM_RATES]
    return [*sgd, *adam, ("SplitSGD", "SplitSGD", partial(SplitSGD, lr=1.0, lr_sign=3e-3))]


STUDY = Study(
    slug=SLUG,
    title="A few samples with opposing signals make the loss sharp, and swing at the edge of stability",
    paper=(
        "E. Rosenfeld, A. Risteski: Outliers with Opposing Signals Have an Outsized Effect on Neural Network "
        "Optimization. ICLR 2024, arXiv 2311.04163"
    ),
    claims=CLAIMS,
    run=run,
    minutes={"smoke": 0.1, "small": 1.0, "paper": 120.0},
    setup=fetch,
    notes=(
        "Reconstructed from the abstract, reviews and derivation: the linear model's form, the constants of its "
        "theorem, the probe, and SplitSGD. All formulas of the linear model are derived and checked against autograd.",
        "The paper trains ResNet-18, VGG-11 and ViT on CIFAR-10 and GPT-2 on text; here the networks have three layers "
        "and the pictures are digits (with a planted feature, so that the truth is known) and Fashion-MNIST.",
        "Linear model: the sharpness turns later the more b₀ points away from β, since c grows with ⟨b, β⟩. In "
        "high dimension, where the two are orthogonal, it turns at 0.038 for |β| = 10: a tenth later than the "
        "reconstructed bound says.",
        "Natural pictures: several directions are sharp at the edge, and the two groups of one step may lie along the "
        "second or third of them; natural_span is the length of their gradients within the first three.",
    ),
)
