"""The study's comparators tell a claim that holds from one that does not; its measuring pieces on known input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.optim.exact_radius import exact_radius
from surefoot.studies import _ghosts_runs as runs
from surefoot.studies._ghosts_figures import zero_map
from surefoot.studies.frame import judge
from surefoot.studies.ghosts import CLAIMS, RADII, RATES, STUDY, TABLE_1, TEMPERATURES
from surefoot.studies.problems.digits import classifier, digits

SEEDS = 3
LOSERS = ("plain", "gradient-clip")


def good():
    """Values with which every claim holds."""
    m = {}
    for kind in ("mlp", *TABLE_1):
        for arm in runs.ARMS:
            for key in ("one-step", "lasting"):
                m[f"{key}.{kind}.{arm}"] = np.full(SEEDS, 0.1 if arm in LOSERS else 0.95)
    for lr in ("0.0001", "0.01"):
        for arm in ("plain", "safe-step"):
            m[f"lasting-from-{lr}.mlp.{arm}"] = np.full(SEEDS, 0.1 if (lr, arm) == ("0.01", "plain") else 0.95)
    m["no-spike-from-0.0001"] = np.full(SEEDS, 0.95)
    m |= {"sweep.retained-inside.median": np.full(SEEDS, 0.99), "sweep.retained-inside.worst": np.full(SEEDS, 0.93)}
    m |= {"sweep.r-half.least": np.full(SEEDS, 4.0), "sweep.r-half.median": np.full(SEEDS, 8.0)}
    m |= {"sweep.r-double.least": np.full(SEEDS, 1.3), "sweep.r-double.most": np.full(SEEDS, 5.0)}
    m["onset.raw"] = np.tile(0.2 * np.array(TEMPERATURES), (SEEDS, 1))
    m["onset.scaled"] = np.tile(2 + 0.01 * np.array(TEMPERATURES), (SEEDS, 1))
    m |= {"onset.raw.std": np.ones(SEEDS), "onset.scaled.std": np.full(SEEDS, 0.1)}
    m |= {"onset.loss-ratio-inside": np.full(SEEDS, 1.05), "onset.flips-inside": np.full(SEEDS, 0.005)}
    m["onset.loss-ratio-inside.most"] = np.full(SEEDS, 1.2)
    m |= {"exact-over-bound.least": np.full(SEEDS, 1.1), "exact-over-bound.median": np.full(SEEDS, 2.2)}
    m |= {"drift.radius-late-over-early": np.full(SEEDS, 0.3)}
    m |= {f"radius-sgd.{r:g}": np.full(SEEDS, 0.95) for r in RADII} | {
        f"sgd.{lr:g}": np.full(SEEDS, 0.9) for lr in RATES
    }
    m |= {"attention-binds": np.zeros(SEEDS), "activation-binds-early": np.ones(SEEDS)}
    return m


def test_all_claims_hold_where_they_should():
    assert all(verdict.holds for verdict in judge(STUDY, good()))


@pytest.mark.parametrize(
    "claim, key, value",
    [
        (0, "one-step.mlp.safe-step", 0.9),
        (0, "one-step.mlp-ln.gradient-clip", 0.6),
        (1, "lasting.mlp.plain", 0.6),
        (2, "lasting-from-0.0001.mlp.plain", 0.8),
        (2, "lasting-from-0.01.mlp.safe-step", 0.8),
        (3, "one-step.cnn-bn.plain", 0.8),
        (4, "sweep.retained-inside.worst", 0.89),
        (5, "sweep.r-half.least", 0.9),
        (6, "sweep.r-double.least", 0.9),
        (7, "onset.scaled", np.array(TEMPERATURES)),
        (8, "onset.flips-inside", 0.02),
        (9, "exact-over-bound.least", 0.999),
        (10, "drift.radius-late-over-early", 1.1),
        (11, "sgd.0.3", 0.96),
        (12, "attention-binds", 0.1),
    ],
)
def test_a_claim_falls_with_its_value(claim, key, value):
    measured = good()
    measured[key] = np.tile(value, (SEEDS, 1)) if np.ndim(value) else np.full(SEEDS, value)
    assert not CLAIMS[claim].compare(measured)


def test_the_first_crossing():
    x = np.array([1.0, 10.0, 100.0])
    curves = np.array([[0.0, 4.0, 9.0], [0.0, 0.0, 1.0], [5.0, 6.0, 7.0], [0.0, 1.0, np.nan]])
    assert runs.first_above(x, curves, 2.0) == pytest.approx([10**0.5, 100, 1, 10], rel=1e-6)


def test_the_onset_is_where_the_loss_has_doubled():
    onset = runs.onsets(digits(0), 0, (1.0,), np.logspace(-1, 1.5, 51), steps=20)
    assert onset.scaled[0] > 1 and onset.raw[0] > 0


def test_the_zero_map_shows_the_exact_radius():
    logits, slopes = torch.tensor([2.0, 0.0, -1.0, 0.5]), torch.tensor([0.0, 1.0, 2.0, -1.0])
    circle = zero_map(logits, slopes, points=11).data[2]
    assert np.hypot(circle.x, circle.y) == pytest.approx(float(exact_radius(logits, slopes)))


@pytest.mark.parametrize("kind", ["linear", "mlp", "mlp-ln", "cnn-bn", "transformer"])
def test_classifiers_learn_from_digits(kind):
    data = digits(0)
    assert data.x_train.shape == (1438, 64) and data.x_test.shape == (359, 64) and float(data.x_train.max()) == 1
    state = torch.get_rng_state()
    model = classifier(kind, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), classifier(kind, 0).parameters(), strict=True))
    logits = model(data.x_train[:4])
    assert logits.shape == (4, 10) and isinstance(model, nn.Module)
    F.cross_entropy(logits, data.y_train[:4]).backward()


def test_an_unknown_classifier():
    with pytest.raises(ValueError, match="kind"):
        classifier("resnet", 0)
