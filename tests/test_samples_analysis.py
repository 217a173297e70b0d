"""Identity of samples, their own losses, the order of labels, the scale of inputs: against plain computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.samples import (
    expansion,
    input_scale,
    label_order,
    preactivation_scale,
    row_hashes,
    row_losses,
    see,
    target_order,
    top_share,
    track,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_rows_hash_is_its_own_wherever_it_stands(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rows = torch.randint(2 if dtype == torch.bool else 100, (40, 3, 7)).to(dtype)
    order = torch.randperm(40)
    hashes = row_hashes(rows)
    assert torch.equal(row_hashes(rows[order]), hashes[order])
    assert torch.equal(row_hashes(rows[5:6]), hashes[5:6])
    assert torch.equal(row_hashes(rows.transpose(1, 2).contiguous().transpose(1, 2)), hashes)
    assert len(hashes.unique()) == len(rows.reshape(40, -1).to(torch.float64).unique(dim=0))


def test_hashes_are_spread_evenly_and_tell_neighbours_apart() -> None:
    values = torch.arange(20_000, dtype=torch.float32)[:, None]
    hashes = row_hashes(values).numpy().view(np.uint64)
    assert len(np.unique(hashes)) == 20_000
    shares = np.histogram((hashes >> np.uint64(32)).astype(np.float64), bins=16)[0] / 20_000
    assert abs(shares - 1 / 16).max() < 0.01
    one_apart = torch.zeros(500, 500)
    one_apart.fill_diagonal_(1.0)
    assert len(row_hashes(one_apart).unique()) == 500
    with pytest.raises(ValueError, match="rows"):
        row_hashes(torch.tensor(1.0))


def test_row_losses_average_to_the_loss() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(12, 5, 4), torch.randint(5, (12, 4))
    whole = F.cross_entropy(logits, labels)
    assert row_losses("cross_entropy", logits.log_softmax(1), labels).mean() == pytest.approx(whole.item(), rel=1e-5)
    flat, targets = torch.randn(9, 3), torch.rand(9, 3)
    for name, loss in (
        ("mse_loss", F.mse_loss),
        ("binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits),
        ("smooth_l1_loss", F.smooth_l1_loss),
        ("huber_loss", F.huber_loss),
    ):
        assert row_losses(name, flat, targets).mean() == pytest.approx(loss(flat, targets).item(), rel=1e-5)
    probabilities = flat.sigmoid()
    expected = F.binary_cross_entropy(probabilities, targets).item()
    assert row_losses("binary_cross_entropy", probabilities, targets).mean() == pytest.approx(expected, rel=1e-5)


def test_ignored_labels_count_for_nothing() -> None:
    logs = torch.randn(4, 3).log_softmax(1)
    labels = torch.tensor([0, -100, 2, 1])
    losses = row_losses("nll_loss", logs, labels)
    assert losses[1] == 0
    assert losses[[0, 2, 3]].mean() == pytest.approx(F.nll_loss(logs, labels).item(), rel=1e-6)
    with pytest.raises(ValueError, match="same rows"):
        row_losses("nll_loss", logs, labels[:2])
    with pytest.raises(ValueError, match="one of"):
        row_losses("cosine", logs, labels)


def test_top_share_and_expansion() -> None:
    assert top_share(torch.ones(100)) == pytest.approx(0.05)
    assert top_share(torch.tensor([0.0] * 19 + [3.0])) == 1
    a, b = torch.broadcast_tensors(torch.randn(8, 1), torch.randn(8))
    assert expansion(a, b) == 8
    assert expansion(*torch.broadcast_tensors(torch.randn(8, 1), torch.ones(1))) == 1
    assert expansion(torch.randn(8, 2), torch.randn(8, 2)) == 1


def test_order_of_labels() -> None:
    labels = np.array([3, 3, 3, 4, 4, 5])
    order = label_order(labels)
    assert order.repeats == pytest.approx(3 / 5)
    assert order.purity == pytest.approx((3 * 2 + 2 * 1) / (6 * 5))
    assert (order.majority, order.classes, order.rising, order.contiguous) == (3, 3, True, True)
    assert not label_order(labels[::-1].copy()).rising
    assert not label_order(np.array([1, 1, 1])).rising
    runs, rising = target_order(np.sort(np.random.default_rng(0).normal(size=64)))
    assert runs > 0.8 and rising
    runs, rising = target_order(np.random.default_rng(0).normal(size=64))
    assert abs(runs) < 3 / 8 and not rising
    with pytest.raises(ValueError, match="two labels"):
        label_order(np.array([1]))


def test_shuffled_labels_have_the_expected_purity() -> None:
    rng = np.random.default_rng(0)
    p = np.array([0.6, 0.3, 0.1])
    orders = [label_order(rng.choice(3, 64, p=p)) for _ in range(400)]
    assert np.mean([o.purity for o in orders]) == pytest.approx((p**2).sum(), abs=0.01)
    assert np.mean([o.repeats for o in orders]) == pytest.approx((p**2).sum(), abs=0.01)


def test_scale_of_inputs() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(500, 4) * torch.tensor([1.0, 1.0, 1.0, 200.0])
    scale = input_scale(inputs)
    assert scale.rms == pytest.approx(inputs.square().mean().sqrt().item(), rel=1e-5)
    assert scale.largest == inputs.abs().max() and scale.mean == pytest.approx(inputs.mean().item(), abs=1e-4)
    assert scale.spread == pytest.approx(200, rel=0.1)
    rare = torch.nn.functional.one_hot(torch.tensor([0] * 98 + [1, 2]), 4).float()
    assert input_scale(rare).spread == 1  # the last column is never there, the rare ones are as large as the first
    images = torch.rand(6, 3, 5, 5) * torch.tensor([1.0, 1.0, 50.0]).view(3, 1, 1)
    assert input_scale(images, 1).spread == pytest.approx(50, rel=0.2)
    with pytest.raises(ValueError, match="floating-point"):
        input_scale(torch.ones(3, 2, dtype=torch.long))


@pytest.mark.parametrize(
    "layer", [torch.nn.Linear(64, 400, bias=False), torch.nn.Conv2d(4, 400, 3, bias=False)], ids=str
)
def test_pre_activations_of_fresh_weights_have_the_predicted_size(layer: nn.Module) -> None:
    torch.manual_seed(1)
    convolution = isinstance(layer, nn.Conv2d)
    inputs = torch.rand(64, 4, 8, 8) if convolution else torch.rand(200, 64) * torch.linspace(0.1, 5, 64)
    made = layer(inputs).square().mean().sqrt().item()
    scale = input_scale(inputs, 1 if convolution else -1)
    assert preactivation_scale(scale.second_moments, layer.weight).item() == pytest.approx(made, rel=0.1)


def test_tracking_follows_the_same_samples() -> None:
    rng = np.random.default_rng(0)
    every = rng.integers(0, 2**64, 300, dtype=np.uint64)
    state, seen = see(track(), every[:200], np.zeros(200, dtype=np.float32))
    assert seen.repeated == 0 and math.isnan(seen.change)
    losses = np.concatenate([np.full(50, 3.0), np.full(50, -1.0)]).astype(np.float32)
    state, seen = see(state, every[150:250], losses)
    assert seen.repeated == 0.5 and seen.change == 3 and seen.risen == 1
    assert state.distinct == 250
    _, again = see(state, every[150:250][::-1].copy(), losses[::-1].copy())
    assert again.repeated == 1 and again.change == 0 and again.risen == 0


def test_tracking_is_bounded_and_counts_what_it_forgets() -> None:
    rng = np.random.default_rng(1)
    state = track(256)
    every = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    for part in every.reshape(100, 200):
        state, _ = see(state, part)
    assert len(state.hashes) == 256 and (np.diff(state.hashes.astype(np.float64)) > 0).all()
    assert np.array_equal(state.hashes, np.sort(every)[:256])
    assert state.distinct == pytest.approx(20_000, rel=3 / 16)
    with pytest.raises(ValueError, match="losses"):
        see(state, every[:3], np.zeros(2, dtype=np.float32))
