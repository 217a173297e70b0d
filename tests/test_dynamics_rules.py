"""Rules on the course of a run: what is lost slowly, again and again, or is only seen in hindsight."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from histories import LAYERS, LOOKS, Stream, falling, flat, layered, train
from surefoot.findings.levels import LossLevel
from watching import watching

NAN = math.nan
LN10 = math.log(10)
FEW = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_a_loss_that_came_down_to_a_constants_from_far_above_has_learned_nothing() -> None:
    def level(last: float) -> LossLevel:
        found = LossLevel()
        for step, loss in enumerate([8.0, 4.0, 2.0, *[last] * 40], 1):
            found.add(step, loss)
        found.add_constant(1.0)
        return found

    assert level(1.0).stuck
    assert not level(1.5).stuck  # it may be on its way down
    assert not level(0.9).stuck


def decayed(bits: float, steps: int, looks: list[int] = FEW) -> Stream:
    """A gradient that falls by so many bits toward the input, and updates of one size in all layers."""
    stream = train(flat(steps), constant=LN10, rate=0.01)
    layered(stream, "gradients", "gradient_rms", lambda s: [2.0 ** (bits * (1 - i / 7)) for i in range(8)], looks)
    layered(stream, "weights", "update_rms", lambda s: [1e-4] * 8, looks)
    return layered(stream, "weights", "weight_rms", lambda s: [0.1] * 8, looks)


def test_steps_of_one_size_in_all_layers_make_up_for_a_decay_for_some_time_only() -> None:
    assert decayed(-16, 120).loud() == []
    assert decayed(-16, 280).loud() == ["vanishing-gradient"]
    assert decayed(-10, 280).loud() == []


@pytest.mark.parametrize(("why", "told"), [("rate 0", False), ("other", True)])
def test_layers_that_wait_for_a_rate_are_not_held_by_their_gradient(why: str, told: bool) -> None:
    stream = decayed(-16, 280)
    layered(stream, "frozen", "unchanged_share", lambda s: [1.0] * 4 + [0.0] * 4, FEW)
    stream.event(FEW[0], "unchanged", why=why)
    assert ("vanishing-gradient" in stream.loud()) is told


def test_what_was_lost_in_time_at_the_start_is_lost_while_nothing_is_learned() -> None:
    def unrolled(bits: float, losses: list[float], elasticity=1.0) -> list[str]:
        stream = train(losses, constant=LN10, rate=0.01, elasticity=elasticity)
        for step in (4, 8, 16):
            row = {("bptt_rate", "rnn"): bits * math.log(2) / 40, ("bptt_length", "rnn"): 40.0}
            stream.row(step, "recurrence", row)
        return [id for id in stream.loud() if id == "vanishing-gradient"]

    assert unrolled(-26, flat(200)) and not unrolled(-20, flat(200)) and unrolled(-20, flat(350))
    assert not unrolled(-26, falling(300)) and not unrolled(-10, flat(350))
    assert not unrolled(-26, flat(200), elasticity=lambda s: 1.03**s)  # a plateau that is about to end


def test_one_flat_layer_leaves_paths_open() -> None:
    def found(shares: list[float]) -> list[str]:
        stream = train(falling(150), constant=LN10, rate=0.01)
        return layered(stream, "activations", "saturated_share", lambda s: shares, FEW, LAYERS[: len(shares)]).loud()

    assert found([0.75, 0.02]) == []
    assert found([0.85, 0.02]) == found([0.6, 0.6, 0.1]) == ["saturated-units"]


def test_an_optimiser_made_anew_that_costs_what_was_learned() -> None:
    def epochs(risen: float, found: float = 0.1) -> list[str]:
        stream = train([])
        losses = falling(40, 2.0, 0.1, 0.002)
        for step in (41, 81, 121):
            stream.event(step, "optimizers", optimizers=[{"name": "", "parameters": 9}], renewed="")
            # new data are seen by the new optimiser's first step already, its own harm by its second
            losses += [found, *[risen] * 4, *flat(35, 0.1, 0.002)]
        train(losses, rate=0.01, stream=stream)
        return stream.loud()

    assert epochs(0.3) == ["loss-spike"] and epochs(0.12) == epochs(0.3, 0.3) == []
    assert epochs(0.5, 0.2) == []  # other data, and its first steps on them


def test_an_optimiser_over_the_same_parameters_takes_the_old_ones_place() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    kept = []  # a scheduler, say, that keeps the old one alive
    with watching(1) as seen:
        for kind in (torch.optim.Adam, torch.optim.Adam, torch.optim.SGD):
            optimizer = kind(model.parameters(), lr=1e-3)
            kept.append(optimizer)
            for _ in range(5):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).square().mean().backward()
                optimizer.step()
    assert [data.get("renewed") for data in seen.of("optimizers")] == [None, "", None]
    assert list(seen.signal("loss"))[:10] == list(range(1, 11))


def wandering(**signals: float) -> dict:
    stream = train([1.0] * 900, rate=1e-3)
    for step in (50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900):
        row = {"generated_move": 1.5, "generated_spread": 0.9, "coverage": 0.1, "precision": 0.3, **signals}
        stream.row(step, "game", {(name, "G"): value for name, value in row.items()})
    return {id: f.severity for id, f in stream.findings().items() if id in ("mode-collapse", "adversarial-rotation")}


def test_samples_that_jump_about_the_data_together() -> None:
    assert wandering() == {"adversarial-rotation": "info"}  # a wide game may come near yet
    assert wandering(generated_offset=1.5) == {"adversarial-rotation": "warning"}
    assert wandering(generated_spread=0.2)["mode-collapse"] == "warning"
    assert wandering(generated_spread=0.2).get("adversarial-rotation") != "warning"
    assert "warning" not in wandering(coverage=0.5).values()
    assert wandering(generated_move=0.3) == {}


@pytest.mark.parametrize(("late", "told"), [(0.0, "warning"), (0.29, None)])
def test_a_generator_that_covered_more_long_ago(late: float, told: str | None) -> None:
    """Most looks are early ones: the best of the newer half of them lies in the first tenth of the run."""
    stream = train([1.0] * 2000, rate=0.02)
    early = {**dict.fromkeys(range(50, 150, 10), 0.0), **dict.fromkeys(range(160, 200, 20), 0.25)}
    for step, covered in {**early, **dict.fromkeys(range(1100, 2001, 150), late), 2000: late}.items():
        row = {"generated_move": 0.8, "generated_spread": 0.2, "coverage": covered, "precision": 0.3}
        stream.row(step, "game", {(name, "G"): value for name, value in row.items()})
    found = stream.findings().get("mode-collapse")
    assert (found.severity if found else None) == told


def test_gradients_at_the_floor_of_float16_from_the_first_look_on() -> None:
    def half(rms: float, first: float, scale: float = NAN) -> str:
        stream = train(falling(150, 2.3, 0.1), rate=0.01)
        share = lambda s: [0.99 if s > 1 else first] * 8  # noqa: E731
        layered(stream, "precision", "gradient_zero_share", lambda s: [0.0] * 8, FEW)
        layered(stream, "precision", "gradient_subnormal_share", share, FEW)
        layered(stream, "gradients", "gradient_rms", lambda s: [rms] * 8, FEW)
        for step in FEW:
            stream.row(step, "scaler", {("loss_scale", ""): scale})
        return stream.findings()["low-precision-underflow"].severity

    assert half(4e-7, 0.99) == "warning"
    assert half(1e-5, 0.99) == half(4e-7, 0.2) == half(4e-7, 0.99, 1024.0) == "info"


def terms(ratio: float, kind: str, value, weight: float = 1.0) -> list[str]:
    stream = train(falling(300), rate=0.01)
    for step in (4, 8, 16, 32, 64, 128, 256):
        row = {("term_gradient_norm", "mse_loss"): 100.0, ("term_gradient_norm", kind): 100.0 * ratio}
        row |= {("term_value", "mse_loss"): 5e4, ("term_value", kind): value(step)}
        row |= {("term_weight", "mse_loss"): weight, ("term_weight", kind): weight}
        stream.row(step, "terms", row)
    return stream.loud()


def test_a_term_that_is_given_up_for_another() -> None:
    rises = lambda s: 0.1 * s  # noqa: E731
    assert terms(1e-3, "squared_error", rises) == ["loss-term-imbalance"]
    assert terms(0.05, "squared_error", rises, weight=0.5) == ["loss-term-imbalance"]  # of their mean
    assert terms(0.2, "squared_error", rises) == terms(1e-3, "mean_sum", rises) == []


def test_labels_that_are_drowned_by_an_error() -> None:
    assert terms(1e-4, "cross_entropy", lambda s: 2.2) == ["loss-term-imbalance"]
    assert terms(1e-4, "cross_entropy", lambda s: 2.2 / s) == terms(1e-4, "kl_div", lambda s: 2.2) == []


def test_few_samples_that_throw_the_loss_up() -> None:
    def rise(concentration: float, peak: float, share: float = 0.95, correlation: float = 1.0) -> list[str]:
        stream = train([*falling(40, 2.0, 0.5, 0.001), peak, *flat(40, 0.6, 0.001)], constant=2.0)
        values = {"energy_share": share, "concentration": concentration, "lag1": -0.3, "correlation": correlation}
        stream.row(42, "samples", {(f"opposing_{name}", ""): value for name, value in values.items()})
        return stream.loud()

    assert rise(0.8, 3.0) == ["opposing-outliers"]
    assert rise(0.2, 3.0) == rise(0.8, 0.6) == []
    assert rise(0.55, 3.0, 0.7, -0.6) == ["opposing-outliers"]  # two groups that move against each other
    assert rise(0.55, 3.0, 0.7, 0.6) == rise(0.4, 3.0, 0.7, -0.6) == rise(0.55, 0.6, 0.7, -0.6) == []


def test_a_bad_batch_that_is_only_seen_in_hindsight() -> None:
    def run(size: float, peak: float, at: int = 2) -> list[str]:
        stream = train([2.0, peak, 3.0, *falling(120)], rate=0.01)
        for step in (1, 2, 4, 8, 16, 32):
            stream.row(step, "inputs", {("input_rms", "fc"): size if step == at else 1.0})
        return stream.loud()

    assert run(1e3, 50.0) == ["bad-batch"]
    assert run(1e3, 3.0) == run(2.0, 50.0) == run(1e3, 50.0, at=32) == []
    lost = train([2.0, 2.0, 80.0, *[NAN] * 40], rate=0.01)
    for step in (1, 2, 4, 8, 16, 32):
        lost.row(step, "inputs", {("input_rms", "fc"): 1e3 if step == 16 else 1.0})
    assert lost.loud()[0] == "bad-batch" and lost.findings()["bad-batch"].first_step == 3


def test_a_run_that_ends_on_its_plateau() -> None:
    def ends(losses: list[float], constant: float = 2.3, **how: float) -> list[str]:
        stream = train(losses, constant=constant, **{"rate": 1e-3, "elasticity": 0.5, **how})
        stream.event(len(losses), "exit", code=0)
        return stream.loud()

    assert ends(flat(400)) == ["stalled"]
    assert ends(flat(400, 2.2)) == ends(flat(400, 2.8)) == ends([*flat(300), *falling(100)]) == []
    assert train(flat(400), constant=2.3, rate=1e-3, elasticity=0.5).loud() == []  # it goes on
    # the plateau ends as the run does; a fall of a thousandth is the rest that noise leaves
    assert ends([*flat(384), *falling(16, 2.28, 2.1)]) == []
    assert ends([*flat(384), *falling(16, 2.3, 2.298)]) == ["stalled"]


def test_growth_through_time_at_the_only_look_before_the_loss_was_gone() -> None:
    stream = train([6.0, 6.0, *[NAN] * 5], constant=2.0, rate=0.01, looks=[2])
    stream.row(2, "recurrence", {("bptt_rate", "cell"): 1.0, ("bptt_length", "cell"): 40.0})
    assert "bptt-explosion" not in stream.findings(until=2)
    assert stream.findings()["bptt-explosion"].severity == "critical"


def test_a_run_that_was_chaotic_at_each_look_is_told_while_it_is_far_from_a_fit() -> None:
    def unrolled(first: float, later: float, losses: list[float]) -> bool:
        stream = train(losses, constant=LN10, rate=0.01)
        for step in (s for s in LOOKS if s <= len(losses)):
            bits = first if step <= 4 else later
            row = {("bptt_rate", "rnn"): bits * math.log(2) / 32, ("bptt_length", "rnn"): 32.0}
            stream.row(step, "recurrence", row)
        return "bptt-explosion" in stream.loud()

    slow = falling(200, last=1.5)
    assert unrolled(5.5, 2.0, slow)  # 2⁵ is what a loss at each of 32 time steps can add up to
    assert not unrolled(4.5, 2.0, slow) and not unrolled(5.5, -0.5, slow)
    assert not unrolled(5.5, 2.0, [*falling(64), *flat(136, 0.2)]) and not unrolled(5.5, 2.0, slow[:120])


@pytest.mark.parametrize(
    ("bits", "length", "longer", "last", "told"),
    [
        (8.0, 80.0, 100.0, 5.0, True),
        (8.0, 80.0, 100.0, 0.5, False),  # the loss has not risen above where it began
        (8.0, 80.0, 20.0, 5.0, False),  # as long as gradients of harder tasks may be
        (5.0, 80.0, 100.0, 5.0, False),
        (8.0, 12.0, 100.0, 5.0, False),  # as long as at first: it is not the length that has brought it
    ],
)
def test_growth_that_longer_sequences_have_brought(
    bits: float, length: float, longer: float, last: float, told: bool
) -> None:
    losses = [*falling(64, 1.0, 0.1), *[last] * 136]
    stream = train(losses, rate=0.01, elasticity=lambda s: 1.0 if s < 64 else longer / last)
    for step in (s for s in LOOKS if s <= len(losses)):
        now = (1.0, 8.0) if step < 64 else (bits, length)
        stream.row(
            step, "recurrence", {("bptt_rate", "f"): now[0] * math.log(2) / now[1], ("bptt_length", "f"): now[1]}
        )
    found = stream.findings().get("bptt-explosion")
    # where harm is evident, less is enough, and other words say so
    assert (found is not None and "of the first sequences" in found.cause) is told


def test_the_player_that_runs_ahead_is_slowed_and_the_other_hastened() -> None:
    stream = train([1.0] * 500, rate=0.02, name="g_opt", looks=range(50, 501, 50))
    train([1.0] * 500, rate=0.02 / 25, name="d_opt", looks=range(50, 501, 50), stream=stream)
    for step in range(50, 501, 50):
        row = {"generated_move": 2.0, "generated_spread": 0.2, "coverage": 0.1, "precision": 0.3}
        stream.row(step, "game", {(signal, "G"): value for signal, value in row.items()})
    how = stream.findings()["mode-collapse"].remedies[0].how
    players = {name: torch.optim.Adam(nn.Linear(2, 1).parameters(), lr=1e-3) for name in ("g_opt", "d_opt")}
    exec(how, players)
    for _ in range(2):
        players["g_opt"].step()
    rates = [players[name].param_groups[0]["lr"] for name in ("g_opt", "d_opt")]
    assert rates == [1e-3 / 10, 1e-3 * 10]


@pytest.mark.parametrize(
    ("gradient", "offset", "told"),
    [(0.001, 5.0, True), (0.1, 5.0, False), (0.001, 0.5, False), (0.001, None, False)],
)
def test_a_generator_whose_judge_is_never_in_doubt(gradient: float, offset: float | None, told: bool) -> None:
    stream = train([1.0] * 200, rate=0.01)
    looks = [1, 4, 16, 64, 100, 150, 200]
    for step in looks:
        away = offset if offset is not None else 20.0 / step  # it comes nearer
        stream.row(step, "game", {("generated_offset", "G"): away})
    layers = {("gradient_rms", n): 1.0 for n in ("D.0", "D.1", "G.0")}
    for step in looks:
        own = 1.0 if step < 64 else gradient
        stream.row(step, "gradients", layers | {("gradient_rms", "G.0"): own if step != 100 else NAN})
    assert ("vanishing-gradient" in stream.findings()) == told


@pytest.mark.parametrize(("move", "right", "told"), [(1e-7, 1.0, True), (1e-3, 1.0, False), (1e-7, 0.9, False)])
def test_a_generator_that_met_a_perfect_judge(move: float, right: float, told: bool) -> None:
    stream = train([1.0] * 400, rate=0.01)
    layers = ("D.0", "D.1", "G.0")
    for step in (1, 16, 100, 200, 210, 240, 280, 320, 400):
        meets = step >= 200
        if meets:
            stream.row(step, "game", {("generated_offset", "G"): 5.0, ("discriminator_auc", "G"): right})
        judge = 1.0 / step**2
        sizes = {("gradient_rms", n): judge for n in layers} | {("gradient_rms", "G.0"): 1e-6 if meets else NAN}
        stream.row(step, "gradients", sizes)
        row = {("weight_rms", n): 0.1 for n in layers} | {("update_rms", n): 1e-3 for n in layers}
        stream.row(step, "weights", row | {("update_rms", "G.0"): 0.1 * move if meets else NAN})
    assert ("vanishing-gradient" in stream.findings()) == told


def test_a_decay_of_the_start_that_biases_hide_later_has_still_lost_the_signal() -> None:
    def hidden(bits: float, losses: list[float]) -> list[str]:
        stream = train(losses, constant=LN10)
        sizes = dict.fromkeys(LAYERS, 2.0 * 4.0 ** (bits / 7))
        stream.event(1, "initialisation", activation="relu", weight_variance=sizes)

        def sizes_at(step: int) -> list[float]:
            return [2.0 ** (-bits * (i - 7) / 7) if step < 4 else 1.0 for i in range(8)]

        layered(stream, "gradients", "gradient_rms", sizes_at, FEW)
        return stream.loud()

    assert hidden(-22, flat(280)) == ["off-critical-initialisation"]
    assert hidden(-22, falling(280)) == hidden(-22, flat(120)) == hidden(-12, flat(280)) == []


def test_layers_that_epsilon_stops_while_it_slows_all_the_others() -> None:
    def found(ratios: list[float]) -> bool:
        stream = train(falling(200), constant=LN10)
        names = LAYERS[: len(ratios)]
        layered(stream, "adaptivity", "epsilon_share", lambda s: [1.0] * len(names), FEW[:-1], names)
        layered(stream, "adaptivity", "epsilon_factor", lambda s: [1e-3] * len(names), FEW[:-1], names)
        layered(stream, "adaptivity", "update_ratio", lambda s: ratios, FEW[:-1], names)
        return "epsilon-dominated-update" in stream.loud()

    assert found([8e-6, 1e-5, 2e-4, 3e-3])
    assert not found([8e-6, 1e-5, 3e-5, 4e-5])  # slow everywhere, as at a low rate
    assert not found([4e-5, 6e-5, 2e-4, 3e-3]) and not found([8e-6] * 4)


@pytest.mark.parametrize(
    ("left", "elasticity", "told"), [(2.0**-25, 1.0, True), (2.0**-23, 1.0, False), (2.0**-25, 0.0, False)]
)
def test_a_rate_that_rises_excuses_no_epsilon_that_leaves_nothing(left: float, elasticity: float, told: bool) -> None:
    stream = train(flat(200), rate=0.0, overshoot=0.0, elasticity=elasticity, lr=lambda s: 1e-5 * s, constant=LN10)
    for signal, value in (("epsilon_share", 1.0), ("epsilon_factor", left)):
        layered(stream, "adaptivity", signal, lambda s, value=value: [value] * 8, FEW[:-1])
    assert ("epsilon-dominated-update" in stream.loud()) == told


def test_one_answer_for_all_tokens_is_a_collapse_though_a_constant_was_learned() -> None:
    def found(early: float, late: float, losses: list[float]) -> bool:
        stream = train(losses)
        stream.event(1, "modules", modules=[{"name": n, "type": "LayerNorm"} for n in LAYERS[:7]])
        alike = [1 - 0.9 * 2.0 ** (-4 * i) for i in range(7)]
        stream = layered(stream, "rank", "token_cosine", lambda s: [*alike, early if s < 8 else late], FEW[:7])
        return "rank-collapse" in stream.loud()

    learned = falling(100, 2.3, 1.9)
    assert found(1.0, 1.0, learned)
    assert not found(0.9, 1.0, learned) and not found(1.0, 0.9, learned) and not found(NAN, NAN, learned)
    assert not found(1.0, 1.0, falling(100, 2.3, 0.1))


def test_units_that_die_with_what_was_learned() -> None:
    def found(share: float, losses: list[float], first: float = 0.0) -> bool:
        stream = train(losses, constant=LN10)
        names = LAYERS[:2]
        rows = lambda s: [first if s < 100 else share, 0.0]  # noqa: E731
        return (
            "dead-units" in layered(stream, "activations", "dead_share", rows, [1, 2, 4, 280, 281, 282], names).loud()
        )

    lost = [*falling(150), *falling(150, 0.2, 1.9)]
    assert found(0.55, lost)
    assert not found(0.45, lost) and not found(0.55, falling(300)) and not found(0.55, lost, first=0.5)
    assert not found(0.55, [loss - 1 for loss in lost])  # a loss without a floor


def test_a_layer_that_is_flat_everywhere_is_not_frozen() -> None:
    def found(flat_share: float) -> bool:
        stream = train(flat(280), constant=LN10)
        names, looks = LAYERS[:2], [*FEW, 270, 275]
        layered(stream, "activations", "saturated_share", lambda s: [flat_share, 0.0], looks, names)
        layered(stream, "activations", "called", lambda s: [1.0, 1.0], looks, names)
        layered(stream, "gradients", "gradient_rms", lambda s: [0.0, 1e-2], looks, names)
        return "frozen-parameters" in stream.loud()

    assert found(0.5) and not found(1.0)
