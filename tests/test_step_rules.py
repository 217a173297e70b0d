"""``unsafe-step``, ``edge-of-stability``, ``loss-spike``, ``stalled``: closed histories, then real training."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from histories import LAYERS, Stream, falling, flat, train
from surefoot.findings import Engine
from surefoot.findings.rules.unsafe_step import rate_jump
from surefoot.runs import Event
from watching import watching


def read(stream: Stream, family: str, signal: str, values: dict[int, float]) -> Stream:
    for step, value in values.items():
        stream.row(step, family, {(signal, ""): value})
    return stream


def test_a_step_outside_the_radius_is_an_info() -> None:
    ratios = {s: 0.1 * 1.06**s for s in range(1, 80)}  # grows by itself, to 10
    found = read(train(falling()), "safe_step", "safe_ratio", ratios).findings()
    assert found["unsafe-step"].severity == "info" and 38 <= found["unsafe-step"].first_step <= 41


def test_a_step_out_of_nothing_is_a_warning_and_critical_with_harm() -> None:
    ratios = dict.fromkeys(range(1, 100), 0.2) | {100: 20.0} | dict.fromkeys(range(101, 140), 0.2)
    healed = read(train(falling(140)), "safe_step", "safe_ratio", ratios).findings()["unsafe-step"]
    assert (healed.severity, healed.first_step) == ("warning", 100) and healed.remedies
    losses = [*falling(100), *flat(100, 9.0)]
    hurt = read(train(losses, constant=2.3), "safe_step", "safe_ratio", ratios).findings()["unsafe-step"]
    assert hurt.severity == "critical" and hurt.evidence[0].value == pytest.approx(20.0)


def test_sparse_readings_condemn_only_with_a_rate_that_was_never_there() -> None:
    ratios = {1: 0.1, 2: 0.1, 4: 0.2, 8: 0.3, 16: 0.4, 64: 20.0}
    assert read(train(falling()), "safe_step", "safe_ratio", ratios).loud() == []
    jump = train(falling(), lr=lambda s: 1e-3 if s < 60 else 1e-2)
    assert "unsafe-step" in read(jump, "safe_step", "safe_ratio", ratios).loud()
    warm = train(falling(), lr=lambda s: 1e-4 * s)
    assert read(warm, "safe_step", "safe_ratio", ratios).loud() == []
    cycle = train(falling(), lr=lambda s: 1e-3 if s % 32 else 1e-1)
    assert read(cycle, "safe_step", "safe_ratio", ratios).loud() == []


@pytest.mark.parametrize(("values", "told"), [((0.9, 1.1, 1.0), True), ((0.1, 0.1, 0.1), False), ((1, 30, 1), False)])
def test_the_edge_of_stability_is_an_info(values: tuple[float, ...], told: bool) -> None:
    readings = dict(zip((60, 80, 100), values, strict=True))
    found = read(train(falling()), "curvature", "stability_coefficient", readings).findings()
    assert ("edge-of-stability" in found) == told
    assert not told or found["edge-of-stability"].severity == "info"


def jumped(at: int, height: float, rows: int, steps: int = 200) -> list[float]:
    losses = falling(steps)
    for i in range(rows):
        losses[at + i] = height * math.exp(-3 * i / rows) + losses[at + i]
    return losses


def test_a_spike_alone_is_an_info_that_says_whether_it_came_back() -> None:
    spike = train(jumped(120, 3.0, 12)).findings()["loss-spike"]
    assert spike.severity == "info" and spike.first_step == 121 and "was back at step" in spike.cause
    stays = train([*falling(120), *flat(30, 1.9)]).findings()["loss-spike"]
    assert stays.severity == "info" and "not come back" in stays.cause


def test_a_spike_after_a_rate_that_was_never_there_is_a_warning() -> None:
    spike = train(jumped(120, 3.0, 12), lr=lambda s: 1e-1 if s == 120 else 1e-3).findings()["loss-spike"]
    assert spike.severity == "warning" and spike.remedies and "learning rate" in spike.cause
    ratios = dict.fromkeys(range(100, 120), 0.2) | {120: 30.0}
    found = read(train(jumped(120, 3.0, 12)), "safe_step", "safe_ratio", ratios).findings()
    assert found["loss-spike"].severity == "warning" and found["loss-spike"].because_of == "unsafe-step"


def test_the_third_spike_above_the_start_is_a_warning() -> None:
    losses = falling(240)
    for at in (100, 140, 180):
        losses[at : at + 6] = [4.0] * 6
    assert train(losses[:170]).findings()["loss-spike"].severity == "info"
    assert train(losses).findings()["loss-spike"].severity == "warning"


def test_spikes_of_labels_that_are_new_are_no_fault() -> None:
    losses = falling(240)
    stream = Stream()
    for at in (100, 140, 180):
        losses[at : at + 6] = [4.0] * 6
    train(losses, stream=stream)
    for step in range(20, 241):
        stream.row(step, "rows", {("label_classes_seen", ""): 2.0 + 2 * sum(step > at for at in (100, 140, 180))})
    assert stream.findings()["loss-spike"].severity == "info"


@pytest.mark.parametrize(("trained_before", "back", "told"), [(1, 250, True), (3, 250, False), (1, 160, False)])
def test_a_spike_of_layers_that_were_frozen(trained_before: int, back: int, told: bool) -> None:
    losses = falling(250)
    losses[150:back] = [2.2] * (back - 150)
    stream = train(losses, constant=2.3)
    for step in range(20, 251, 3):
        trained = LAYERS[-trained_before if step <= 150 else -3 :]
        stream.row(step, "weights", {("update_ratio", name): 0.01 if name in trained else math.nan for name in LAYERS})
    spike = stream.findings()["loss-spike"]
    assert (spike.severity == "warning") == told == ("began to be trained" in spike.cause)


@pytest.mark.parametrize(("parameters", "jump"), [(900, 5.0), (20, 1.0)])
def test_rates_of_an_optimizer_of_other_parameters_are_no_rates_of_this_one(parameters: int, jump: float) -> None:
    stream = train(falling(200), lr=lambda s: 1e-3 if s <= 100 else 5e-3)
    for step, count in ((1, 900), (101, parameters)):
        optimizer = {"name": "", "type": "Adam", "parameters": count, "defaults": {"lr": 1e-3}}
        stream.event(step, "optimizers", optimizers=[optimizer])
    assert rate_jump(stream.engine().history, "", 110) == pytest.approx(jump)


@pytest.mark.parametrize("seed", range(4))
def test_heavy_tails_single_batches_and_cycles_are_no_spikes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heavy = [v + 0.05 * abs(float(t)) for v, t in zip(falling(400), rng.standard_t(1.5, size=400), strict=True)]
    assert "loss-spike" not in train(heavy).findings()
    single = falling(200)
    for at in (60, 100, 101, 150):
        single[at] += 5.0
    assert "loss-spike" not in train(single).findings()
    cyclic = [v + 0.2 * (1 + math.sin(s / 8)) for s, v in enumerate(falling(400))]
    assert train(cyclic, lr=lambda s: 1e-3 * (1.01 + math.sin(s / 8))).loud() == []


def test_stalled_is_an_info_first_and_a_warning_after_long() -> None:
    short = train(flat(400), constant=2.3, rate=5e-3, elasticity=0.5).findings()["stalled"]
    assert short.severity == "info" and short.evidence[0].signal == "loss"
    long = train(flat(1800), constant=2.3, rate=2e-2, elasticity=0.5).findings()["stalled"]
    assert long.severity == "warning" and long.remedies
    down = [3.0 - 0.02 * i for i in range(34)]  # from a start that was worse than a constant, and no further than it
    assert "stalled" in train([*down, *flat(366, 2.31)], constant=2.3, rate=5e-3, elasticity=0.5).findings()
    assert "stalled" not in train([*down[:20], *flat(380, 2.6)], constant=2.3, rate=5e-3, elasticity=0.5).findings()
    ended = train([*down, *flat(366, 2.31)], constant=2.3, rate=5e-3, elasticity=0.5)
    ended.event(400, "exit", code=0, exception=None)
    assert ended.findings()["stalled"].severity == "warning"  # half of the run at a constant's, and no more to come


@pytest.mark.parametrize(
    ("losses", "how"),
    [
        (falling(400), {"rate": 5e-3}),
        (flat(400), {"rate": 1e-5}),  # too short steps are another finding
        (flat(400), {"rate": 5e-3, "elasticity": 1e-4}),  # so is a missing gradient
        (flat(400, 1.2), {"rate": 5e-3}),  # below a constant's: flat where it may be all there is
        ([*flat(300), *falling(300)], {"rate": 1e-3}),  # a plateau that ends
    ],
)
def test_what_is_not_stalled(losses: list[float], how: dict) -> None:
    found = train(losses, constant=2.3, **{"elasticity": 0.5, **how}).findings()
    assert "stalled" not in found or found["stalled"].severity == "info"


# -- real training -----------------------------------------------------------------------------------------------------

DIGITS = load_digits()
INPUTS, TARGETS = torch.tensor(DIGITS.data, dtype=torch.float32) / 16, torch.tensor(DIGITS.target)


def digits(
    make: Callable,
    rate: Callable[[int], float] | None = None,
    steps: int = 90,
    batch: int | None = 64,
    seed: int = 0,
    every: int = 1,
) -> dict:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = make(model.parameters())
    with watching(every, "hooks") as seen:  # whatever another test has compiled
        for step in range(steps):
            if rate is not None:
                optimizer.param_groups[0]["lr"] = rate(step)
            at = torch.randint(len(INPUTS), (batch,)) if batch else slice(400)
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS[at]), TARGETS[at]).backward()
            optimizer.step()
    engine = Engine()
    engine.feed_all(seen.rows, [Event(*event) for event in seen.events])
    assert not engine.notes
    return {f.id: f for f in engine.findings}


SGD, Adam = torch.optim.SGD, torch.optim.Adam


@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize(("make", "usual"), [(lambda p: Adam(p, 1e-3), 1e-3), (lambda p: SGD(p, 0.1), 0.1)])
def test_one_step_of_ten_thousand_times_the_rate(make: Callable, usual: float, seed: int) -> None:
    found = digits(make, lambda s: 1e4 * usual if s == 60 else usual, seed=seed)
    assert found["unsafe-step"].severity == "critical" and found["unsafe-step"].first_step == 61
    assert not [f for f in digits(make, seed=seed).values() if f.severity != "info"]


def test_a_spike_that_heals_is_told_with_its_step() -> None:
    found = digits(lambda p: Adam(p, 1e-3), lambda s: 0.1 if s == 60 else 1e-3, steps=140)
    assert found["unsafe-step"].severity == "warning" and found["loss-spike"].because_of == "unsafe-step"


def test_full_batch_descent_at_the_edge_is_no_fault() -> None:
    found = digits(lambda p: SGD(p, 0.3), steps=260, batch=None, every=4)
    assert found["edge-of-stability"].severity == "info"
    assert not [f for f in found.values() if f.severity != "info"]
