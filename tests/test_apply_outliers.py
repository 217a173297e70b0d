"""Rows with inputs far beyond all others: bounded, or left out of the gradient; and a schedule as long as the run."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curing import curing
from surefoot.nn import Fences


def test_fences_are_three_ranges_beyond_the_quartiles_and_few_rows_do_not_move_them() -> None:
    rows = torch.stack([torch.linspace(0, 1, 101), torch.linspace(-2, 2, 101), torch.ones(101)], 1).double()
    rows[:3] = torch.tensor([1e6, -1e6, 5.0])
    fences = Fences(3, dtype=torch.float64)
    bounded = fences(rows)
    first, third = torch.quantile(rows[:, :2], torch.tensor([0.25, 0.75]).double(), dim=0)
    torch.testing.assert_close(fences.low[:2], first - 3 * (third - first))
    torch.testing.assert_close(fences.high[:2], third + 3 * (third - first))
    assert bounded[0, 0] == fences.high[0] and bounded[0, 1] == fences.low[1]
    assert torch.equal(bounded[3:], rows[3:]) and torch.equal(bounded[:, 2], rows[:, 2])  # no range to be judged by
    fences.eval()
    low = fences.low.clone()
    fences(1e9 * rows)
    assert torch.equal(fences.low, low)


def test_fences_take_any_layout_and_learn_from_the_first_rows_only() -> None:
    images = torch.rand(8, 3, 5, 5)
    images[0, 1, 2, 2] = 100.0
    fences = Fences(3, dim=1)
    bounded = fences(images)
    assert bounded.shape == images.shape and bounded[0, 1, 2, 2] < 3.5 and (bounded != images).sum() == 1
    for _ in range(50):
        fences(torch.rand(8, 3, 5, 5))
    kept = fences.high.clone()
    fences(1e3 * torch.rand(8, 3, 5, 5))
    assert torch.equal(fences.high, kept)
    with pytest.raises(ValueError, match="made for 3"):
        fences(torch.zeros(2, 4, 5, 5))
    with pytest.raises(ValueError, match="num_features is 0"):
        Fences(0)


def readings() -> tuple[Tensor, Tensor]:
    """200 rows of a linear function of five columns, and ten of which two columns are 30 too high, with targets of
    either sign."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(210, 5, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0, 1.5])
    x[200:, 3:] += 30
    y[200:] = 20.0 * torch.tensor([1.0, -1.0]).repeat(5)
    return x, y


def error(lr: float = 0.05) -> float:
    """What gradient descent leaves of the error on the rows that are as they should be; infinite where it diverges."""
    torch.manual_seed(0)
    x, y = readings()
    model = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(400):
        loss = F.mse_loss(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        left = F.mse_loss(model(x[:200]).squeeze(1), y[:200]).item()
    return left if math.isfinite(left) else math.inf


def test_rows_far_off_send_no_gradient() -> None:
    bare = error()
    with curing("skip-outliers") as told:
        left = error()
    assert left < 0.5 * bare
    both = "4,000 rows with inputs and 4,000 rows with targets"
    assert told.summaries["skip-outliers"] == f"left {both} far beyond the others out"


def test_rows_with_targets_far_off_are_compared_with_the_prediction() -> None:
    def error(marks: int) -> float:
        torch.manual_seed(0)
        x = torch.randn(400, 3)
        y = x @ torch.tensor([1.0, -2.0, 0.5])
        given = y.clone()
        given[:marks] = 99.0 * torch.tensor([1.0, -1.0]).repeat(marks // 2)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            F.mse_loss(model(x).squeeze(1), given).backward()
            optimizer.step()
        return F.mse_loss(model(x).squeeze(1), y).item()

    assert error(8) > 0.1
    with curing("skip-outliers") as told:
        assert error(8) < 1e-4
    assert told.summaries["skip-outliers"] == "left 480 rows with targets far beyond the others out"
    with curing("skip-outliers") as told:
        assert error(100) > 1  # a quarter of the batch is no outlier
    assert "nothing was changed" in told.notes[0]


def test_without_rows_far_off_nothing_is_changed() -> None:
    def trained() -> Tensor:
        torch.manual_seed(0)
        x = torch.randn(64, 5).clamp(-2, 2)
        model = nn.Linear(5, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            F.mse_loss(model(x).squeeze(1), x[:, 0]).backward()
            optimizer.step()
        return model.weight.detach()

    bare = trained()
    for remedy in ("skip-outliers", "bound-inputs"):
        with curing(remedy):
            assert torch.equal(trained(), bare)


def test_many_rows_beyond_the_fences_are_no_outliers() -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 3)
    x[:12] += 50
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with curing("skip-outliers") as told:
        F.mse_loss(model(x).squeeze(1), x[:, 0]).backward()
        optimizer.step()
    assert told.interposer.cures[0].acted == 0 and "nothing was changed" in told.notes[0]


def test_bounded_inputs_reach_the_first_layer() -> None:
    x, y = readings()
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    got: list[float] = []
    with curing("bound-inputs") as told:
        for _ in range(2):
            model[0].register_forward_hook(lambda m, args, out: got.append(float(args[0].abs().max())))
            F.mse_loss(model(x).squeeze(1), y).backward()
            optimizer.step()
    assert got[-1] < 10 and told.summaries["bound-inputs"] == "bounded the inputs of 0 (5 features)"
    model(x)
    assert got[-1] > 25  # no hook is left behind


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_rate_that_is_annealed_warms_up_and_ends_at_zero(scheduled: bool) -> None:
    weight = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1) if scheduled else None
    moved = []
    with curing("anneal:steps=100") as told:
        for _ in range(102):
            before = weight.item()
            optimizer.zero_grad()
            weight.backward()
            optimizer.step()
            moved.append(before - weight.item())
            if scheduler is not None:
                scheduler.step()
    rate = moved
    assert rate[4] == pytest.approx(0.5, rel=1e-4) and rate[1] == pytest.approx(0.2, rel=1e-4)
    halfway = 0.25 * (1 + math.cos(math.pi * (52 - 5) / 95))
    assert rate[51] == pytest.approx(halfway, rel=1e-3) and max(rate[99:]) == pytest.approx(0, abs=1e-6)
    assert optimizer.param_groups[0]["lr"] == (pytest.approx(0.5 * 0.1**102) if scheduled else 0.5)
    assert told.summaries["anneal"] == "took 102 steps on a warm-up and a cosine to zero over 100"
