"""Rows with inputs far beyond all others: bounded, or left out of the gradient; and a schedule as long as the run."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curing import curing
from surefoot.nn import Fences, SameUnit


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
    for remedy in ("skip-outliers", "bound-inputs", "same-unit"):
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


def test_samples_in_another_unit_get_the_moments_of_the_first() -> None:
    torch.manual_seed(0)
    shift, scale = torch.tensor([5.0, 0.0, -1.0]).double(), torch.tensor([1.0, 3.0, 0.2]).double()
    first, second = (shift + scale * torch.randn(4000, 3).double() for _ in range(2))
    unit = SameUnit(3, dtype=torch.float64)
    assert torch.equal(unit(first), first)
    other = second * 100 + 40
    same = unit(torch.cat([first[:7], other]))
    assert torch.equal(same[:7], first[:7])
    torch.testing.assert_close(same[7:].mean(0), unit.first.mean)
    torch.testing.assert_close(same[7:].std(0, correction=0), unit.first.deviation)
    assert float(((same[7:] - second) / scale).abs().max()) < 0.3  # 4σ known to 2 · 4 % of it
    unit.eval()
    told = unit(other[:50])
    torch.testing.assert_close(told, same[7:57])
    assert int(unit.second.count) == len(other) and torch.equal(unit(first), first)


def test_a_picture_is_of_one_unit_as_a_whole() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(32, 1, 6, 6)
    bytes_ = (255 * torch.rand(32, 1, 6, 6)).round()
    bytes_[:, :, 0] = 0  # as dark as can be, but no share of one
    unit = SameUnit(1, dim=1)
    unit(pictures)
    same = unit(torch.cat([pictures, bytes_]))
    assert torch.equal(same[:32], pictures) and same.shape == (64, 1, 6, 6)
    assert 0.9 < float(same[32:].std() / pictures.std()) < 1.1 and float(same[32:].max()) < 1.5
    few = SameUnit(1)  # a deviation that few rows tell is none to go by
    few(torch.randn(20, 1))
    assert torch.equal(few(torch.full((3, 1), 1e3)), torch.full((3, 1), 1e3))


def test_a_second_file_in_another_unit_is_learned_as_the_first() -> None:
    def error() -> float:
        torch.manual_seed(0)
        x = torch.randn(400, 4)
        y = torch.tanh(x[:, :1]) * x[:, 1:2]
        x[200:] *= 500
        model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for half in (slice(0, 200), slice(200, 400)):
            for _ in range(300):
                loss = F.mse_loss(model(x[half]), y[half])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return loss.item()

    bare = error()
    with curing("same-unit") as told:
        assert error() < 0.1 * bare
    assert told.summaries["same-unit"] == "brought 60,000 rows to the unit of the first, in front of 0 (4 features)"


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
