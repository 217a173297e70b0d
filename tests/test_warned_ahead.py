"""Facts that are there before the harm is: what a schedule has in store, weights that feed their own growth, an
optimiser that never steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from histories import LOOKS, Stream, falling, first_cure, train
from watching import watching


def scheduled(curved: float, rises: list[tuple[int, float]], taken: float = 40.0) -> Stream:
    stream = train(falling(80))
    fact = {"name": "StepLR", "type": "StepLR", "horizon": None, "fades": None, "rises": rises, "optimizer": "",
            "optimizer_steps": 1, "steps": 0.0, "inner": False, "orphan": False}  # fmt: skip
    stream.event(1, "schedulers", final=False, schedulers=[fact])
    stream.row(60, "schedule", {("scheduler_steps", "StepLR"): taken})
    stream.row(60, "curvature", {("stability_coefficient", ""): curved})
    return stream


def test_a_schedule_says_itself_that_a_step_will_go_too_far() -> None:
    found = scheduled(0.3, [(30, 10.0), (240, 10.0)]).findings()["unsafe-step"]
    assert (found.severity, found.detected_step) == ("warning", 60)
    assert "its step 240, 200 from now" in found.cause and first_cure(found) == "lr-cap:max=0.001"


@pytest.mark.parametrize(
    ("curved", "rises", "taken"),
    [(0.1, [(240, 10.0)], 40.0), (0.9, [(240, 3.0)], 40.0), (0.9, [(240, 10.0)], 240.0), (0.9, [], 40.0)],
)
def test_a_rise_that_is_small_or_past_or_not_there_is_none(
    curved: float, rises: list[tuple[int, float]], taken: float
) -> None:
    assert scheduled(curved, rises, taken).loud() == []


@pytest.mark.parametrize("gamma", [10.0, 0.1])
def test_a_scheduler_tells_of_its_rises(gamma: float) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    makers = (
        lambda: torch.optim.lr_scheduler.MultiStepLR(optimizer, [7, 9, 9], gamma),
        lambda: torch.optim.lr_scheduler.StepLR(optimizer, 5, gamma),
    )
    rises = []
    for make in makers:
        scheduler = make()
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(4, 3)).square().mean().backward()
                optimizer.step()
                scheduler.step()
        told = [s for s in seen.of("schedulers")[-1]["schedulers"] if s["optimizer"] == "" and s["steps"] == 3]
        rises.append([s["rises"] for s in told][-1])
        del scheduler
    assert rises[0] == ([(7, 10.0), (9, 100.0)] if gamma > 1 else [])
    assert rises[1][:2] == ([(5, 10.0), (10, 10.0)] if gamma > 1 else [])


def grown(norm: Callable[[int], float], radial: float) -> Stream:
    """Weights of this norm, each step of which is longer than what it adds to that by 1/radial."""
    stream = train(falling(400))
    for step in (s for s in LOOKS if s <= 400):
        update = max(1e-6, (norm(step + 1) - norm(step)) / radial)
        stream.row(step, "weights", {("weight_norm", ""): norm(step), ("update_norm", ""): update})
    return stream


def test_weights_that_feed_their_own_growth_are_told_once_they_are_three_times_as_long() -> None:
    found = grown(lambda s: 5.0 * math.exp(0.006 * s), 0.8).findings()["divergence"]
    assert found.severity == "warning" and found.evidence[0].value > 3
    assert math.log(3) / 0.006 <= found.detected_step <= math.log(3) / 0.006 + 12
    assert "surefoot" not in found.cause and found.remedies


@pytest.mark.parametrize(
    ("norm", "radial"),
    [
        (lambda s: 5.0 + 0.2 * s, 0.8),  # by the same length at each step
        (lambda s: 5.0 + 2 * math.sqrt(s), 0.8),
        (lambda s: 5.0 * math.exp(0.006 * s), 0.3),  # mostly across
        (lambda s: 5.0 * math.exp(0.002 * s), 0.8),  # not so far yet
        (lambda s: 5.0 * math.exp(0.01 * max(0, s - 250)), 0.8),  # only of late
    ],
)
def test_other_growth_is_no_fault(norm: Callable[[int], float], radial: float) -> None:
    assert "divergence" not in grown(norm, radial).loud()


def test_an_optimizer_that_never_steps_is_known_by_step_64() -> None:
    torch.manual_seed(0)
    body, head = nn.Linear(4, 8), nn.Linear(8, 1)
    mine, idle = torch.optim.SGD(head.parameters(), 1e-3), torch.optim.SGD(body.parameters(), 1e-3)
    with watching() as seen:
        for _ in range(70):
            mine.zero_grad()
            idle.zero_grad()
            x = torch.randn(16, 4)
            nn.functional.mse_loss(head(torch.tanh(body(x))), x.sum(1, keepdim=True)).backward()
            mine.step()
    found = seen.findings()["frozen-parameters"]
    assert found.severity != "info" and found.detected_step == 64
