"""Rows with far-off inputs, labels that come together, inputs far from zero: closed forms, then loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from histories import train
from surefoot.analysis.samples import far_rows, input_scale
from watching import watching

LN2 = math.log(2)


def test_rows_four_times_the_median_size() -> None:
    rows = torch.tensor([[3.0, 4.0], [-3.0, 4.0], [4.0, 3.0], [0.0, 21.0], [0.0, 19.0]])
    assert far_rows(rows).tolist() == [False, False, False, True, False]
    assert far_rows(rows.view(5, 1, 2), factor=3.5).tolist() == [False, False, False, True, True]
    with pytest.raises(ValueError, match="factor"):
        far_rows(rows, 1.0)


def test_variation_is_what_is_left_beside_the_means() -> None:
    varied = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert float(input_scale(varied).variation) == pytest.approx(1.0)
    offset = varied * 3 + torch.tensor([4.0, -4.0])
    assert float(input_scale(offset).variation) == pytest.approx(3 / 5)
    assert float(input_scale(torch.full((4, 2), 7.0)).variation) == 0.0


def ruled(share: float, rows: float = 0.1, loss: float = 1.5, first: int = 8) -> list[str]:
    """Every eighth step is looked at, of 256; ``loss`` in units of a constant's."""
    stream = train([loss * LN2] * 256, constant=LN2, looks=range(257), overshoot=1e-3)
    for step in range(first, 257, 8):
        row = {"batch_rows": 64.0, "far_row_share": rows, "far_loss_share": share}
        stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
    return [id for id in stream.loud() if id == "opposing-outliers"]


def test_few_far_rows_that_are_most_of_the_loss() -> None:
    assert ruled(0.7) == ["opposing-outliers"]
    assert ruled(0.4) == ruled(0.7, rows=0.4) == ruled(0.7, first=208) == []
    assert ruled(0.7, loss=0.1) == []  # they are learned, too, if later than the rest


def test_shares_of_far_rows_as_a_loop_has_them() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(40, 6), torch.randint(3, (40,))
    x[:4] *= 100
    with torch.no_grad():
        losses = F.cross_entropy(model(x), y, reduction="none")
    with watching(1) as seen:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert seen.signal("far_row_share")[1] == pytest.approx(0.1)
    assert seen.signal("far_loss_share")[1] == pytest.approx(float(losses[:4].sum() / losses.sum()), rel=1e-4)


def together(purity: float, share: float = 2.0, returned: bool = True) -> list[str]:
    """Batches of two of five classes that come again, or not; ``share`` in units of their own entropy."""
    stream = train([share * LN2 if step % 16 == 1 else 0.3 for step in range(1, 257)], constant=LN2, looks=range(257))
    for i, step in enumerate((1, 2, 4, 8, 16, 32, 48, 64, 65, 80, 81, 96, 97, 112, 113, 128, 129, 160, 161, 192, 193)):
        row = {"batch_rows": 64.0, "batch_returned": float(returned and i > 4), "label_purity": purity}
        row |= {"label_runs_expected": 0.2, "label_majority": float(i % 5), "distinct_batches": 5.0}
        stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
    return stream.loud()


def test_labels_that_come_together_and_are_forgotten() -> None:
    assert together(0.5) == ["unshuffled-data"]
    assert "unshuffled-data" not in together(0.22)  # chance: 0.2 ± 0.009
    assert "unshuffled-data" not in together(0.5, returned=False)  # put together anew each time, on purpose
    assert "unshuffled-data" not in together(0.5, share=1.2)  # nothing is forgotten


@pytest.mark.parametrize(("variation", "losses", "told"), [
    (0.003, [LN2] * 200, True),
    (0.1, [LN2] * 200, False),
    (0.02, [LN2] * 200, False),
    (0.02, [LN2] * 400, True),
    (0.003, [LN2 / (1 + step / 20) for step in range(200)], False),
])  # fmt: skip
def test_inputs_far_from_zero_count_where_nothing_is_learned(variation: float, losses: list, told: bool) -> None:
    stream = train(losses, constant=LN2, rate=1e-4)
    for step in (1, 2, 4, 8, 16, 64, 128):
        row = {"preactivation_scale": 2.0, "feature_spread": 1.0, "input_variation": variation}
        stream.row(step, "inputs", {(signal, "fc"): value for signal, value in row.items()})
    assert ("unscaled-inputs" in stream.loud()) == told
