"""Few rows with targets far from all others: closed forms, then a loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from histories import train
from surefoot.analysis.samples import far_targets
from watching import watching


def test_distances_are_in_interquartile_ranges_beyond_the_quartiles() -> None:
    calm = torch.arange(100.0)  # quartiles 24.75 and 74.25 without the others, of which there are as many on each side
    targets = torch.cat([calm, torch.tensor([-1000.0, 1099.0, 120.0])])
    low, high = targets.quantile(torch.tensor([0.25, 0.75])).tolist()
    found = far_targets(targets)
    assert found[:100].eq(0).all()
    assert found[100:].tolist() == pytest.approx([(-1000 - low) / (high - low), (1099 - high) / (high - low), 0.0])


def test_of_several_numbers_the_furthest_counts_and_a_flat_one_has_no_range() -> None:
    torch.manual_seed(0)
    targets = torch.randn(64, 3)
    targets[:, 1] = 0.0
    targets[5, 1] = 100.0
    targets[6] = torch.tensor([30.0, 0.0, -60.0])
    found = far_targets(targets)
    assert found.nonzero().flatten().tolist() == [6]
    assert found[6] < -30
    with pytest.raises(ValueError, match="fence"):
        far_targets(targets, 0.0)


def told(
    share: float, above: float = 0.5, rows: float = 0.05, left: float = 0.9, first: int = 8, once: float = 0.05
) -> bool:
    """Every eighth step of 256 is looked at, from ``first`` on; ``left`` in units of a constant's; ``once`` is the
    share of such rows in one batch."""
    stream = train([1.0] * 256, constant=1.0, looks=range(257), overshoot=1e-3)
    row = {"batch_rows": 64.0, "far_target_share": rows, "far_target_loss_share": share, "far_target_above": above}
    row |= {"far_target_unlearned": left, "row_loss_median": 0.01}
    for step in range(first, 257, 8):
        row["far_target_share"] = once if step == 64 else rows
        stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
    return "opposing-outliers" in stream.loud()


def test_few_on_both_sides_that_rule_the_loss() -> None:
    assert told(0.9)
    assert not told(0.6)  # heavy tails
    assert not told(0.9, above=0.9)  # all on one side
    assert not told(0.9, left=0.3)  # they are being learned
    assert not told(0.9, rows=0.2)  # no few
    assert not told(0.9, rows=0.001)  # no more than two of them in all
    assert not told(0.9, first=208)  # since a moment ago
    assert told(0.9, once=0.2)
    assert not told(0.9, once=0.3)  # chance gives no batch of 64 so many, if it is a tenth at most


@pytest.mark.parametrize("loss", [F.mse_loss, F.huber_loss])
def test_shares_as_a_loop_has_them(loss) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(40, 6), torch.randn(40, 1)
    y[:3] = torch.tensor([[50.0], [-50.0], [60.0]])
    with torch.no_grad():
        losses = loss(model(x), y, reduction="none")
    with watching(1) as seen:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    assert seen.signal("far_target_share")[1] == pytest.approx(3 / 40)
    assert seen.signal("far_target_above")[1] == pytest.approx(2 / 3)
    assert seen.signal("far_target_loss_share")[1] == pytest.approx(float(losses[:3].sum() / losses.sum()), rel=1e-4)
    nothing = loss(y.median().expand(3, 1), y[:3], reduction="sum")
    assert seen.signal("far_target_unlearned")[1] == pytest.approx(float(losses[:3].sum() / nothing), rel=1e-4)


def test_of_several_losses_the_one_that_such_rows_rule() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(40, 6), torch.randn(40, 2)
    y[:4, 0] = torch.tensor([30.0, -30.0, 30.0, 30.0])
    with watching(1) as seen:
        optimizer.zero_grad()
        made = model(x)
        (F.mse_loss(made[:, 0], y[:, 0]) + F.mse_loss(made[:, 1], y[:, 1])).backward()
        optimizer.step()
    assert seen.signal("far_target_share")[1] == pytest.approx(0.1)
    assert seen.signal("far_target_above")[1] == pytest.approx(0.75)


def test_labels_and_pictures_have_no_fences() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 12)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(40, 6), torch.randn(40, 12)
    with watching(1) as seen:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
    assert not seen.signal("far_target_share")


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (lambda r: r.square().mean(), torch.square),
        (lambda r: 0.5 * (r**2).sum(1).mean(), torch.square),
        (lambda r: r.abs().mean(), torch.abs),
        (lambda r: r.square().mean() + r.abs().mean(), None),  # not the rows of one error alone
        (lambda r: r.square().mean().sqrt(), None),
    ],
)
def test_rows_of_an_error_that_is_written_by_hand(error, size) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(20, 6), torch.randn(20, 2)
    with torch.no_grad():
        rest = model(x) - y
    with watching(1) as seen:
        optimizer.zero_grad()
        error(model(x) - y).backward()
        optimizer.step()
    expected = {} if size is None else {1: pytest.approx(float(size(rest).mean(1).max()), rel=1e-4)}
    assert seen.signal("row_loss_max") == expected
