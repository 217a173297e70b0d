"""How near arguments come to the edge of a domain: counted in roundings, read in the graph, told ahead of a NaN."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from histories import falling, first_cure, train
from surefoot.analysis.edges import roundings_to_one
from watching import watching


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_numbers_below_one_are_counted(dtype: torch.dtype) -> None:
    one = torch.ones((), dtype=dtype)
    below = torch.nextafter(one, -one) if dtype != torch.bfloat16 else one - torch.finfo(dtype).eps / 2
    assert roundings_to_one(below) == 1
    x = torch.stack([1 - 5 * (one - below), 0.5 * one, -(1 - 3 * (one - below)), one, -one, 1.5 * one])
    assert roundings_to_one(x) == 3  # what is on the edge or beyond it is not inside
    assert roundings_to_one(one) == roundings_to_one(x[:0]) == torch.inf


def test_whole_numbers_are_not_rounded() -> None:
    with pytest.raises(TypeError, match="int64"):
        roundings_to_one(torch.ones(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("function", "place"),
    [
        (torch.acos, "acos"),
        (torch.asin, "asin"),
        (torch.atanh, "atanh"),
        (lambda x: x.clamp(-1, 1).acos(), "acos"),
        (lambda x: x.clamp(-1 + 1e-9, 1 - 1e-9).acos(), "acos"),  # both bounds are 1 in float32
        (lambda x: x.clamp_max(0.99).acos(), "acos below"),  # the other edge is open
        (lambda x: x.clamp_min(-0.99).acos(), "acos above"),
        (lambda x: x.clamp(-1 + 1e-6, 1 - 1e-6).acos(), None),
        (lambda x: x.clamp_min(-0.99).clamp_max(0.99).atanh(), None),
        (lambda x: nn.functional.hardtanh(x, -0.9, 0.9).asin(), None),
        (torch.cos, None),
    ],
)
def test_only_an_argument_that_nothing_keeps_off_the_edge_is_read(
    function: Callable[[Tensor], Tensor], place: str | None
) -> None:
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    torch.manual_seed(0)
    given = []
    with watching(1) as seen:
        for _ in range(2):
            x = torch.tanh(model(torch.randn(8, 3)))
            open_to = {"below": x.clamp(max=0), "above": x.clamp(min=0)}.get((place or "").partition(" ")[2], x)
            given.append(float(roundings_to_one(open_to.detach())))
            optimizer.zero_grad()
            function(x).square().mean().backward()
            optimizer.step()
    places = {where for _, family, _ in seen.rows for signal, where in family.columns if signal == "edge_roundings"}
    name = (place or "").partition(" ")[0]
    assert places == ({name} if place else set())
    if place:  # nothing is so near that a clamp would move it
        assert list(seen.signal("edge_roundings", name).values()) == pytest.approx(given, rel=1e-5)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ([900.0, 200.0, 20.0, 400.0, 8.0, 100.0], 50),
        ([900.0, 200.0, 20.0, 400.0, 60.0, 100.0], None),  # one look
        ([900.0, 200.0, 40.0, 40.0, 40.0, 40.0], None),
    ],
)
def test_two_looks_near_the_edge_are_a_warning_ahead(left: list[float], told: int | None) -> None:
    stream = train(falling(100))
    for step, value in zip(range(10, 70, 10), left, strict=True):
        stream.row(step, "edges", {("edge_roundings", "acos"): value})
    found = stream.findings().get("non-finite")
    assert (found and found.detected_step) == told
    if found:
        assert found.severity == "warning" and first_cure(found) == "safe-domain" and "acos" in found.cause


@pytest.mark.parametrize(("operation", "first"), [("", "safe-domain"), ("div", "skip-bad-batch")])
def test_weights_that_became_nan_where_nothing_keeps_an_argument_off_the_edge(operation: str, first: str) -> None:
    stream = train([*falling(60), *[math.nan] * 4])
    for step in (10, 20, 40):
        stream.row(step, "edges", {("edge_roundings", "acos"): 900.0})
    stream.event(60, "nonfinite", kind="weight", where="layers.0", operation=operation, value="nan", dtype="")
    assert first_cure(stream.findings()["non-finite"]) == first
