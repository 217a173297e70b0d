"""L-BFGS on batches that change: told by what the optimizer and its batches are, before a step has leapt."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from histories import LOOKS, falling, flat, train
from surefoot.findings import Engine
from surefoot.findings.rules.quasi_newton import FIRST_ORDER
from surefoot.runs import Event, Finding
from watching import watching


def told(
    type: str = "LBFGS", rows: float = 50.0, lr: float = 1.0, batches: Any = float, last: float = 1.0, **defaults: Any
) -> dict[str, Finding]:
    stream = train([*falling(60, last=last), *flat(60, last)], lr=lambda s: lr)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": type, "parameters": 700, "defaults": defaults}])
    for look in LOOKS:
        stream.row(look, "samples", {("distinct_batches", ""): batches(look), ("batch_rows", ""): rows})
    return stream.findings()


def test_it_is_told_at_the_fourth_look_where_every_batch_is_another() -> None:
    found = told()["unsafe-step"]
    assert (found.severity, found.first_step, found.detected_step) == ("warning", 1, 8)
    assert found.remedies == (FIRST_ORDER,)
    assert told()["stalled"].severity == "warning"  # the loss has come to rest at two fifths of its first
    assert "stalled" not in told(last=0.01)


@pytest.mark.parametrize(
    "how",
    [
        {"type": "Adam"},
        {"line_search_fn": "strong_wolfe"},
        {"lr": 0.1},
        {"rows": 800.0},
        {"batches": lambda s: 1.0},
        {"batches": lambda s: 1.0 + s // 50},  # data are drawn anew now and then
    ],
    ids=lambda how: next(iter(how)),
)
def test_it_is_silent_where_a_step_is_bounded_or_the_data_stay(how: dict[str, Any]) -> None:
    assert not {"unsafe-step", "stalled"} & set(told(**how))


@pytest.mark.parametrize(("batch", "search"), [(20, None), (20, "strong_wolfe"), (None, None)])
def test_in_a_run(batch: int | None, search: str | None) -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 2)
    y = torch.sin(6 * x.sum(1, keepdim=True))
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=4, line_search_fn=search)
    with watching(1) as seen:
        for _ in range(12):
            rows = slice(None) if batch is None else torch.randint(200, (batch,))

            def closure(rows: Any = rows) -> torch.Tensor:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(net(x[rows]), y[rows])
                loss.backward()
                return loss

            optimizer.step(closure)
    engine = Engine()
    engine.feed_all(sorted(seen.rows, key=lambda row: (row[0], row[1].name)), [Event(*event) for event in seen.events])
    found = {f.id: f for f in engine.findings if f.severity != "info"}
    assert ("unsafe-step" in found) == (batch is not None and search is None)


def test_the_cure_makes_as_many_steps_of_adam_as_there_were_iterations() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    where: dict[str, Any] = {"optimizer": torch.optim.LBFGS([weight], max_iter=5)}
    exec(FIRST_ORDER.how, where)
    calls = 0

    def closure() -> torch.Tensor:
        nonlocal calls
        calls += 1
        where["optimizer"].zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert math.isclose(where["optimizer"].step(closure).item(), 9.0) and calls == 5
    assert math.isclose(weight.item(), 3.0 - 5 * 2e-3, abs_tol=1e-4)  # Adam steps by its rate
    adam = torch.optim.Adam([weight])
    exec(FIRST_ORDER.how, where := {"optimizer": adam})
    assert where["optimizer"] is adam  # of a stage before
