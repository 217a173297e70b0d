"""Faults that go on as they have begun: rates that are spent, weights of terms that grow, samples that go away."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from histories import LOOKS, Stream, falling, flat, train
from watching import watching

LN10 = math.log(10)


def scheduled(lr: Callable[[int], float], kind: str = "ExponentialLR", steps: int = 200, losses=None) -> Stream:
    stream = train(losses or flat(steps), lr=lr)
    fact = {"name": kind, "type": kind, "horizon": None, "fades": None, "rises": [], "optimizer": "",
            "optimizer_steps": 1, "steps": 0.0, "inner": False, "orphan": False}  # fmt: skip
    stream.event(1, "schedulers", final=False, schedulers=[fact])
    return stream


@pytest.mark.parametrize(
    ("lr", "told"),
    [
        (lambda s: 0.92**s, 80),  # a hundredth is left at step 56; the next look after 64 steps and 1.25 times those
        (lambda s: 0.5 ** (s // 10), 90),  # in steps
        (lambda s: 0.97**s, None),  # 33 steps at the highest rate
        (lambda s: max(0.009, 0.92**s), None),  # it rests where it is meant to
        (lambda s: 1e-3 * (s / 100) ** -0.5 if s > 1 else 1.0, None),  # one step, and an inverse root
        (lambda s: max(1e-9, 1 - s / 66), None),  # a short run to its end
    ],
)
def test_a_schedule_that_is_spent_by_the_batch(lr: Callable[[int], float], told: int | None) -> None:
    steps = 66 if lr(60) > 0.05 else 130
    found = scheduled(lr, steps=steps).findings().get("scheduler-misuse")
    assert (found and found.detected_step) == told


def test_a_spent_schedule_is_no_fault_of_a_run_that_has_fit() -> None:
    stream = scheduled(lambda s: 0.92**s, losses=falling(130, last=0.01, noise=0.001))
    assert stream.findings()["scheduler-misuse"].severity == "info"


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ({}, 0, True),
        ({}, None, False),  # it may yet end
        ({}, 1, False),
        ({"lr": lambda s: 1e-6 * min(s, 150)}, 0, False),
        ({"lr": lambda s: 1e-6 * (300 + s)}, 0, False),  # it began with half
        ({"lr": lambda s: 1e-6 * (s % 260)}, 0, False),  # a cycle
        ({"overshoot": 0.06}, 0, False),  # steps four times as long would be too long
        ({"losses": falling(300, last=0.01)}, 0, False),  # it is fit
    ],
)
def test_a_warm_up_as_long_as_the_run(how: dict[str, Any], code: int | None, told: bool) -> None:
    stream = train(**({"losses": falling(300, last=1.5), "lr": lambda s: 1e-6 * s} | how))
    if code is not None:
        stream.event(300, "exit", code=code)
    assert ("scheduler-misuse" in stream.loud()) == told


@pytest.mark.parametrize(
    ("kind", "lr", "told"),
    [
        ("MultiplicativeLR", lambda e: 0.92 ** (e * (e + 1) / 2), True),  # closed form, taken for a factor
        ("MultiplicativeLR", lambda e: 0.92**e, False),
        ("LambdaLR", lambda e: 0.92 ** (e * (e + 1) / 2), False),  # that may be meant
    ],
)
def test_a_rate_that_is_multiplied_by_its_own_schedule(kind: str, lr: Callable[[int], float], told: bool) -> None:
    stream = scheduled(lambda s: lr(s // 10), kind, losses=falling(60, last=0.01, noise=0.001))
    assert (stream.loud() == ["scheduler-misuse"]) == told


def warmed(peak: float, later: float, over: bool = False) -> Stream:
    """A rate that rises evenly to ``peak``; the loss learns for 100 steps, and is at ``later`` from then on."""
    losses = [*falling(100, 2.3, 1.2), *flat(200, later)]
    stream = train(losses, lr=lambda s: peak * min(1.0, s / 300), constant=LN10, rate=0.05, overshoot=0.1)
    if over:
        stream.event(300, "exit", code=0, exception=None)
    return stream


def test_a_warm_up_that_undoes_what_was_learned_at_lower_rates() -> None:
    found = warmed(0.1, 2.35).findings()["learning-rate-too-high"]
    assert found.severity == "warning" and 150 < found.detected_step < 250 and "is undone" in found.cause
    assert "learning-rate-too-high" not in warmed(0.1, 1.2).loud()
    lucky = train([2.0, *flat(200, 2.35)], lr=lambda s: s / 3000, constant=LN10, rate=0.05, overshoot=0.1)
    assert "learning-rate-too-high" not in lucky.loud()  # one batch is nothing learned


@pytest.mark.parametrize(("rate", "over", "told"), [(1e-4, True, True), (1e-4, False, False), (1e-2, True, False)])
def test_a_run_that_is_over_while_its_rate_still_rises(rate: float, over: bool, told: bool) -> None:
    losses = [3.4 - 0.001 * s for s in range(300)]
    stream = train(losses, lr=lambda s: 1e-5 * s, constant=2.7, rate=rate, overshoot=5e-3)
    if over:
        stream.event(300, "exit", code=0, exception=None)
    assert ("learning-rate-too-low" in stream.loud()) == told


def weighed(weight: Callable[[int], float], error: Callable[[int], float]) -> list[str]:
    stream = train(falling(400), looks=LOOKS)
    for step in (s for s in LOOKS if s <= 400):
        row = {("term_gradient_norm", "mse_loss"): 0.3, ("term_gradient_norm", "add"): 10 * weight(step)}
        row |= {("term_value", "mse_loss"): error(step)}
        row |= {("term_weight", "mse_loss"): 1.0, ("term_weight", "add"): weight(step)}
        stream.row(step, "terms", row)
    return stream.loud()


@pytest.mark.parametrize(
    ("error", "faint", "renewed", "told"),
    [
        (lambda s: 0.9, 1e-3, False, True),
        (lambda s: 0.007, 1e-3, False, False),  # its price is small
        (lambda s: 0.9 * math.exp(-(s - 200) / 60), 1e-3, False, False),  # and comes back
        (lambda s: 0.9, 0.1, False, False),  # it is heard
        (lambda s: 0.9, 1e-3, True, False),  # with a new optimizer, another loss
    ],
)
def test_a_term_that_joins_late_and_undoes_what_was_learned(
    error: Callable[[int], float], faint: float, renewed: bool, told: bool
) -> None:
    alone = {s: 0.4 * max(0.01, math.exp(-s / 30)) for s in range(1, 401)}
    stream = train([alone[s] if s < 200 else 1e3 * math.exp(-(s - 200) / 50) + error(s) for s in alone], looks=LOOKS)
    for step in (s for s in LOOKS if 200 <= s <= 400):
        row = {("term_gradient_norm", "mse_loss"): 1.0, ("term_gradient_norm", "squared_error"): 1 / faint}
        row |= {("term_value", "mse_loss"): error(step), ("term_value", "squared_error"): math.exp(4 - step / 50)}
        stream.row(step, "terms", row | {("term_weight", "mse_loss"): 1.0, ("term_weight", "squared_error"): 1.0})
    if renewed:
        stream.event(200, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": 1}])
    found = stream.findings().get("loss-term-imbalance")
    assert (found is not None) == told
    if found is not None:
        assert found.first_step == 200 and "joined the loss" in found.cause and found.severity == "warning"


@pytest.mark.parametrize("by_weight", [True, False])
def test_a_loss_that_its_weights_raise_does_not_diverge(by_weight: bool) -> None:
    def weight(step: int) -> float:
        return 0.01 * (1.03**step if by_weight else 1.0)

    errors = {step: 0.4 * math.exp(-step / 60) for step in range(1, 401)}
    penalties = {step: 2e-4 * 1.03**step for step in errors}
    stream = train([errors[step] + penalties[step] for step in errors], looks=LOOKS, constant=0.4)
    for step in (s for s in LOOKS if s <= 400):
        row = {("term_value", "mse_loss"): errors[step], ("term_value", "mean"): penalties[step]}
        row |= {("term_weight", "mse_loss"): 1.0, ("term_weight", "mean"): weight(step)}
        stream.row(step, "terms", row)
    assert ("divergence" in stream.loud()) != by_weight


def test_a_weight_that_grows_without_an_end() -> None:
    def undone(step: int) -> float:
        return max(0.01, 0.4 * math.exp(-step / 30)) * (1 + max(0, step - 200) / 50)

    assert weighed(lambda s: 1e-4 * 1.025**s, undone) == ["loss-term-imbalance"]
    assert weighed(lambda s: 1e-4 * 1.025**s, lambda s: 0.4 * math.exp(-s / 60)) == []  # the error falls all the same
    assert weighed(lambda s: s / 400, undone) == []  # a warm-up
    assert weighed(lambda s: 1e-5 * 1.012**s, undone) == []  # too faint to be why


@pytest.mark.parametrize(
    ("nats", "told"), [(lambda s: 0.2 / s, 70), (lambda s: 2.0 / s, None), (lambda s: 0.05 / s, None)]
)
def test_a_code_that_goes_for_good_is_told_early(nats: Callable[[int], float], told: int | None) -> None:
    stream = train(falling(150))
    for step in (s for s in LOOKS if s <= 150):
        stream.row(step, "latent", {("active_units_share", "mu"): 0.0, ("latent_kl", "mu"): nats(step)})
    found = stream.findings().get("posterior-collapse")
    assert (found.detected_step if found and found.severity != "info" else None) == told


def played(offset: list[float], coverage: list[float]) -> dict[str, str]:
    stream = Stream()
    for number, (away, covered) in enumerate(zip(offset, coverage, strict=True), 1):
        row = {"generated_spread": 1.5, "generated_move": 1.0, "generated_offset": away, "coverage": covered,
               "precision": covered}  # fmt: skip
        stream.row(64 * number, "game", {(signal, "G"): value for signal, value in row.items()})
    return {f.id: f.severity for f in stream.engine().findings}


def test_a_generator_that_leaves_the_data_does_not_go_round() -> None:
    covered = [0.2, 0.6, 0.7, 0.7]
    gone = played([0.3, 0.2, 0.2, 0.3, 0.8, 1.5, 3.0, 8.0], [*covered, 0.1, 0.05, 0.0, 0.0])
    assert gone["mode-collapse"] == "warning" and gone.get("adversarial-rotation", "info") == "info"
    assert "mode-collapse" not in played([0.3, 0.2, 0.2, 0.3, 0.8, 1.5, 1.2, 1.1], [*covered, 0.1, 0.05, 0.0, 0.0])
    assert "mode-collapse" not in played([1.0, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0, 4.0], [0.0] * 8)  # it has not been there


class Pair(nn.Module):
    """Both players in one module, as many write them."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def play(after: Callable[[torch.Tensor], torch.Tensor] = lambda made: made) -> list[torch.Tensor]:
    torch.manual_seed(0)
    pair = Pair()
    optimizers = [torch.optim.Adam(part.parameters(), 1e-2) for part in (pair.generator, pair.critic)]
    for _ in range(6):
        fake, real = after(pair.generator(torch.randn(32, 4))), torch.randn(32, 3)
        optimizers[1].zero_grad()
        (pair.critic(fake.detach()).mean() - pair.critic(real).mean()).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        (-pair.critic(fake).mean()).backward()
        optimizers[0].step()
    return [*pair.state_dict().values(), torch.get_rng_state()]


def test_players_that_are_parts_of_one_model_are_seen_and_not_changed() -> None:
    bare = play()
    with watching(1) as seen:
        watched = play()
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    assert {w for _, f, _ in seen.rows if f.name == "game" for _, w in f.columns} == {"generator"}


def test_samples_that_are_worked_on_after_the_generator_are_told_from_the_data() -> None:
    with watching(1) as seen:
        play(lambda made: 9 + made.tanh())
    offsets = list(seen.signal("generated_offset", "generator").values())
    assert offsets and min(offsets) > 5 > 1 > seen.signal("generated_spread", "generator")[6]
