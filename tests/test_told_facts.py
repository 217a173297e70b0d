"""Facts of a script that are told without waiting for harm, and what looks like them and is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from histories import LAYERS, LOOKS, Stream, layered, train
from surefoot.findings.rates import RateLevel
from surefoot.findings.rules.cut_short import cut_short
from surefoot.findings.rules.streams import in_levels, in_stretches
from surefoot.observe.set_rates import sets_rates
from watching import watching

LN10 = math.log(10)


def falling(n: int, first: float = 2.3, last: float = 1.0) -> list[float]:
    return [first + (last - first) * i / n for i in range(n)]


# -- rates of 0 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "sets"),
    [
        ("optimizer = Adam([{'params': a, 'lr': 0.0}])", False),
        ("for group in optimizer.param_groups:\n    group['lr'] = 0.1", True),
        ("for group in optimizer.param_groups:\n    group['lr'] *= 0.5", True),
        ("for group in optimizer.param_groups:\n    group[key] = value", True),
        ("optimizer.param_groups[0].update(lr=0.1)", True),
        ("group.update({'lr': 0.1})", True),
        ("optimizer.param_groups = kept", True),
        ("state['step'] = 1\nrows[0] = 2\nprint(group['lr'])", False),
        ("not python at all", True),
    ],
)
def test_whether_a_script_sets_rates(source: str, sets: bool) -> None:
    assert sets_rates(source) == sets


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_a_rate_that_nothing_will_ever_set(tmp_path, monkeypatch, scheduled: bool, rate: float) -> None:
    """The script under test is this file's main module: pytest's, which sets no rates."""
    script = tmp_path / "script.py"
    script.write_text("group['lr'] = 0.1\n" if scheduled else "pass\n")
    monkeypatch.setattr("__main__.__file__", str(script), raising=False)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    groups = [{"params": model[0].parameters(), "lr": rate}, {"params": model[2].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 100) if scheduled else None
    x, y = torch.randn(64, 4), torch.randint(2, (64,))
    with watching(4) as seen:
        for _ in range(100):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    told = seen.of("unchanged")
    assert [t["fixed"] for t in told] == ([] if rate else [True])
    found = seen.findings().get("frozen-parameters")
    assert (None if found is None else found.severity) == (None if rate else "critical")


def test_a_rate_that_a_statement_may_still_set_is_waited_for() -> None:
    stream = train(falling(300), constant=LN10)
    stream.event(1, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
    for step in (128, 256):
        values = {("unchanged_share", n): float(i < 2) for i, n in enumerate(LAYERS)}
        stream.row(step, "frozen", values)
    stream.event(256, "unchanged", why="rate 0", scheduled=False, fixed=False)
    assert stream.findings()["frozen-parameters"].severity == "info"


# -- parameters of a copy ----------------------------------------------------------------------------------------------


def test_an_optimizer_that_holds_the_model_before_its_copy() -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    x, y = torch.randn(64, 4), torch.randint(2, (64,))
    with watching(1) as seen:
        for _ in range(12):
            optimizer.zero_grad()
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    found = [f.id for f in seen.findings().values() if f.severity != "info"]
    assert "optimizer-misses-parameters" in found
    assert not seen.of("unchanged")  # nothing stands for an optimizer that never stepped by hand


# -- modes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("probability", "severity"), [(0.5, "warning"), (0.0, None)])
def test_dropout_that_never_drops(probability: float, severity: str | None) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(probability), nn.Linear(8, 1)).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watching(1) as seen:
        for _ in range(10):
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
    found = seen.findings().get("eval-mode-training")
    assert (None if found is None else found.severity) == severity


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "left", "losses", "told"),
    [
        (8, 0.1, falling(300, 2.3, 2.0), True),
        (29, 0.1, falling(300, 2.3, 2.0), True),
        (60, 0.1, falling(300, 2.3, 2.0), False),  # a fifth of the run had the whole rate
        (8, 0.5, falling(300, 2.3, 2.0), False),
        (8, 0.1, [2.3 * math.exp(-i / 12) for i in range(300)], False),  # it was enough
    ],
)
def test_a_schedule_that_ends_when_the_run_has_hardly_begun(
    end: int, left: float, losses: list[float], told: bool
) -> None:
    stream = train(losses, lr=lambda s: 1e-3 * (1 if s < end else left), constant=LN10)
    fact = {"name": "S", "type": "MultiStepLR", "horizon": None, "optimizer": "", "optimizer_steps": 1, "steps": 0.0,
            "inner": False, "orphan": False, "fades": end}  # fmt: skip
    stream.event(1, "schedulers", final=False, schedulers=[fact])
    for step in (1, 2, 50, 150, 299):
        stream.row(step, "schedule", {("scheduler_steps", "S"): float(step)})
    assert ("scheduler-misuse" in stream.loud()) == told


def rates_of(rates: list[float]) -> RateLevel:
    level = RateLevel()
    for step, rate in enumerate(rates, 1):
        level.add(step, rate)
    return level


def test_a_rate_that_is_set_back_while_it_rises() -> None:
    rising = [0.1 * k for k in range(1, 9)]
    assert rates_of(rising * 4).restarts == 3
    assert rates_of([*rising, 0.8, 0.8] * 4).restarts == 0  # a warm-up that was over: stages
    assert rates_of([*rising, *rising[::-1]] * 4).restarts == 0  # a cycle
    assert rates_of(rising[::-1] * 4).restarts == 0  # warm restarts
    assert rates_of([*[0.01] * 9, 0.5, 1.0] * 4).restarts == 0  # kicks
    assert rates_of([*rising * 4, 0.05, 0.04]).restarts == 0  # it fell since


def test_a_rate_below_zero_is_told_at_once() -> None:
    stream = train(falling(200), lr=lambda s: 1e-3 * (1 - s / 150), constant=LN10)
    found = stream.findings()["scheduler-misuse"]
    assert found.first_step == 151 and found.detected_step == min(look for look in LOOKS if look >= 151)
    assert "scheduler-misuse" not in stream.findings(until=150)


@pytest.mark.parametrize(("gain", "told"), [(1.0, True), (0.1, False)])
def test_a_loss_in_full_swing_when_its_rate_is_gone(gain: float, told: bool) -> None:
    """Of exp(−t/40) the first 28 steps are half of all; ``gain``: of the second half over that of the first."""
    sums = [1 - math.exp(-t / 40) for t in range(1, 301)]
    losses = [2.3 - 0.3 * (min(s, 0.5) + gain * max(0.0, s - 0.5)) for s in sums]
    stream = train(losses, lr=lambda s: 1e-3 * math.exp(-s / 40), constant=LN10)
    history = stream.engine(until=240).history
    (rate,) = history.rates.values()
    assert rate.fallen_step is not None
    assert cut_short(history, rate) == told
    assert ("scheduler-misuse" in stream.findings(until=240)) == told


@pytest.mark.parametrize(("mode", "told"), [("max", True), ("min", False)])
def test_a_plateau_scheduler_that_takes_the_loss_for_a_score(mode: str, told: bool) -> None:
    losses = falling(300, 2.3, 1.0)
    stream = train(losses, constant=LN10)
    fact = {"name": "S", "type": "ReduceLROnPlateau", "horizon": None, "optimizer": "", "optimizer_steps": 300,
            "steps": 10.0, "inner": False, "orphan": False, "fades": None, "mode": mode, "best": losses[19],
            "unbettered": True}  # fmt: skip
    stream.event(299, "schedulers", final=False, schedulers=[fact])
    assert ("scheduler-misuse" in stream.loud()) == told


@pytest.mark.parametrize(("each", "severity"), [(1, "warning"), (20, "info")])
def test_a_plateau_scheduler_that_is_told_each_batch(each: int, severity: str) -> None:
    stream = train(falling(300, 2.3, 2.2), lr=lambda s: 1e-3 * 10.0 ** -(s // 10), constant=LN10)
    fact = {"name": "S", "type": "ReduceLROnPlateau", "horizon": None, "optimizer": "", "optimizer_steps": 300,
            "steps": 10.0, "inner": False, "orphan": False, "fades": None}  # fmt: skip
    stream.event(1, "schedulers", final=False, schedulers=[fact])
    for step in (1, 50, 150, 290):
        stream.row(step, "schedule", {("scheduler_steps", "S"): float(step // each)})
    assert stream.findings()["scheduler-misuse"].severity == severity


# -- order -------------------------------------------------------------------------------------------------------------


def stream_of(majority: list[int], loss: float = 3.0, purity: float = 0.5) -> Stream:
    """Looks at two neighbouring steps each, 10 apart."""
    stream = train([loss] * (5 * len(majority)), constant=math.nan, looks=[])
    for i, label in enumerate(majority):
        step = 10 * (i // 2) + i % 2 + 1
        row = {"batch_rows": 64, "label_purity": purity, "label_majority": label, "label_runs_expected": 0.1,
               "label_classes_seen": 10, "label_classes": 2, "label_rising": 0, "label_runs": 0.5,
               "batch_returned": 0, "distinct_batches": i + 1}  # fmt: skip
        stream.row(step, "samples", {(signal, ""): float(value) for signal, value in row.items()})
        stream.row(step, "step", {("constant_loss", ""): 0.69, ("loss", ""): loss})
    return stream


def test_labels_in_stretches() -> None:
    stretches = [c // 2 % 10 for c in range(16)]
    assert stream_of(stretches).loud() == ["unshuffled-data"]
    assert stream_of(stretches, loss=0.5).loud() == []  # nothing is forgotten
    assert stream_of(stretches, purity=0.15).loud() == []  # batches have all labels
    drawn = [int(c) for c in np.random.default_rng(0).permutation(16) % 10]
    assert stream_of(drawn).loud() == []  # few labels a batch, but drawn anew for each
    assert in_stretches(stream_of(stretches).engine().history, "") is not None


def test_targets_in_stretches() -> None:
    def told(means: list[float], loss: float = 3.0) -> bool:
        stream = train([loss] * (5 * len(means)), constant=math.nan, looks=[])
        for i, mean in enumerate(means):
            step = 10 * (i // 2) + i % 2 + 1
            row = {"batch_rows": 64.0, "target_mean": mean, "target_deviation": 0.4}
            stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
            stream.row(step, "step", {("constant_loss", ""): 0.16, ("loss", ""): loss})
        return in_levels(stream.engine().history, "") is not None

    levels = [i // 2 % 5 + 0.01 * i for i in range(40)]
    assert told(levels)
    assert not told(levels, loss=0.1)  # nothing is forgotten
    assert not told([i % 5 for i in range(40)])  # drawn anew for each batch
    assert not told([0.05 * (i // 2 % 3) for i in range(40)])  # as far as chance goes


# -- a loss whose terms find their size --------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_term", "severity"), [(0.5, None), (1.5, "critical")])
def test_a_sum_that_rises_by_terms_which_began_next_to_nothing(first_term: float, severity: str | None) -> None:
    losses = [0.32] * 20 + [0.32 + 0.03 * i for i in range(30)] + [1.2] * 30
    stream = train(losses, constant=0.22)
    for step in (1, 28, 60):
        grown = step >= 28
        values = {("term_value", "mse_loss"): 0.3 * (first_term if grown else 1.0),
                  ("term_value", "mse_loss 2"): 0.9 if grown else 0.02}  # fmt: skip
        stream.row(step, "terms", values)
    found = stream.findings().get("divergence")
    assert (None if found is None else found.severity) == severity


# -- no step at all ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backwards", "stepped", "told"), [(70, False, True), (70, True, False), (20, False, False)])
def test_a_run_in_which_no_optimizer_is_ever_stepped(backwards: int, stepped: bool, told: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watching(8) as seen:
        for step in range(backwards):
            F.cross_entropy(model(torch.randn(8, 4)), torch.randint(2, (8,))).backward()
            if stepped and step == backwards - 1:  # all of it was gathered for one step
                optimizer.step()
    assert bool(seen.of("unstepped")) == told
    assert ("frozen-parameters" in seen.findings()) == told


def test_a_model_that_is_gone_by_the_end_was_never_stepped_either() -> None:
    def main() -> None:
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(70):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 4)), torch.randint(2, (8,))).backward()

    with watching(8) as seen:
        main()
    assert seen.of("unstepped") == [{"backwards": 70, "optimizers": ["SGD"]}]


# -- gradients ---------------------------------------------------------------------------------------------------------


class Trunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Sequential(nn.Linear(4, 8), nn.Tanh()), nn.Linear(8, 2)
        self.cut = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.trunk(x)
        return self.head(h.detach() if self.cut else h)


@pytest.mark.parametrize("how", ["cut", "frozen", "another optimizer", "never", "left cut"])
def test_a_graph_that_is_cut_on_the_way(how: str) -> None:
    torch.manual_seed(0)
    model = Trunk()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watching(8) as seen:
        for step in range(160):
            if step == 64:
                model.cut = how in ("cut", "another optimizer", "left cut")
                if how == "frozen":
                    model.trunk.requires_grad_(False)
                if how in ("another optimizer", "left cut"):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
            if step == 80 and how == "left cut":  # the stage of the head alone is over
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 4)), torch.randint(2, (8,))).backward()
            optimizer.step()
    found = seen.findings().get("detached-parameters")
    assert (found is not None and found.severity != "info") == (how in ("cut", "left cut"))
    since = {"cut": 64, "left cut": 80}.get(how)
    assert since is None or (found.where == ("trunk.0",) and since < found.first_step <= since + 16)


@pytest.mark.parametrize(
    ("how", "told"), [("refreshed", True), ("left", False), ("now and then", False), ("behind", False)]
)
def test_a_part_that_runs_beside_the_steps_alone(how: str, told: bool) -> None:
    """What it makes is used for many steps, and no gradient comes back to it; or nobody calls it any more."""
    torch.manual_seed(0)
    parts = {"catalogue": nn.Linear(6, 8), "query": nn.Linear(4, 8)}
    model = nn.ModuleDict(dict(reversed(parts.items())) if how == "behind" else parts)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    items = torch.randn(5, 6)
    with watching(8) as seen:
        for step in range(200):
            if step < 48 or (how == "now and then" and step % 8 == 3):  # which no look sees
                vectors = model["catalogue"](items)
            elif step % 5 == 0 and how != "left":
                with torch.no_grad():
                    vectors = model["catalogue"](items)
            else:
                vectors = vectors.detach()
            optimizer.zero_grad()
            F.cross_entropy(model["query"](torch.randn(8, 4)) @ vectors.T, torch.randint(5, (8,))).backward()
            optimizer.step()
    found = seen.findings().get("detached-parameters")
    assert (found is not None and found.severity != "info") == told
    assert not told or found.where == ("catalogue",)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("cleared", ["trunk", "all"])
def test_gradients_of_a_part_that_are_never_cleared(cleared: str) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"trunk": nn.Sequential(*(nn.Linear(6, 6) for _ in range(6))), "head": nn.Linear(6, 40)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watching(1) as seen:
        for _ in range(6):
            (model if cleared == "all" else model["trunk"]).zero_grad()
            F.cross_entropy(model["head"](model["trunk"](torch.randn(8, 6))), torch.randint(40, (8,))).backward()
            optimizer.step()
    assert ("missing-zero-grad" in seen.findings()) == (cleared == "trunk")


# -- a layer that stays as it was drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "size", "since", "last", "told"),
    [
        ((3,), 1 / 3, 0, 1.0, True),
        ((3,), 1 / 3, 0, 0.5, False),  # the others learned what there was
        ((3,), 0.9, 0, 1.0, False),  # it was learned before
        ((0,), 1 / 3, 0, 1.0, False),  # a fixed map of the inputs
        ((7,), 1 / 3, 0, 1.0, False),  # or of the outputs
        ((1, 3, 5, 6), 1 / 3, 0, 1.0, False),  # most of the network, between what adapts it
        ((3,), 1 / 3, 50, 1.0, False),  # a later stage
    ],
)
def test_a_layer_in_the_middle_that_is_told_to_stay(
    off: tuple[int, ...], size: float, since: int, last: float, told: bool
) -> None:
    stream = train(list(np.geomspace(LN10, last, 200)), constant=LN10)
    stream.event(200, "exit", code=0, exception=None)
    stream.event(1, "modules", modules=[{"name": n, "type": "Linear", "parameters": 1000} for n in LAYERS])
    stream.event(1, "initialisation", activation="tanh", weight_variance=dict.fromkeys(LAYERS, size))
    frozen = [float(i in off) for i in range(len(LAYERS))]
    shares = [math.nan if i in off else 1.0 for i in range(len(LAYERS))]
    looks = [s for s in LOOKS if s <= 200]
    layered(stream, "gradients", "gradient_share", lambda s: shares, looks)
    layered(stream, "frozen", "frozen_share", lambda s: frozen if s >= since else [0.0] * len(LAYERS), looks)
    found = stream.findings()["frozen-parameters"]
    assert found.severity == ("warning" if told else "info")
    assert not told or found.where == (LAYERS[3],)


# -- a warm-up as long as the run, of a loss without a scale -----------------------------------------------------------


@pytest.mark.parametrize(("step", "told"), [(1e-3, True), (1e-2, False)])
def test_a_warm_up_to_the_end_of_a_loss_below_zero(step: float, told: bool) -> None:
    stream = train([-1 - i / 300 for i in range(300)], lr=lambda s: 1e-5 * s, rate=step)
    stream.event(300, "exit", code=0, exception=None)
    assert ("scheduler-misuse" in stream.loud()) == told
