"""Which cure comes first, and how strong: by the run's own history, on rows in closed form."""

from __future__ import annotations

import pytest

from histories import LOOKS, Stream, falling, first_cure, flat, layered, train
from surefoot.apply import parse
from surefoot.findings.beside import beside
from surefoot.runs import Finding
from surefoot.runs.schema import Remedy

LN10 = 2.303


def first(found: Finding) -> str | None:
    return found.remedies[0].apply


def test_a_rate_that_rose_and_undid_the_run_is_capped_at_what_did_well() -> None:
    losses = [*falling(120, 2.3, 0.1, 0.02), *[2.0 * 1.2**i for i in range(60)]]
    risen = train(losses, lr=lambda s: 0.01 if s <= 118 else 0.5, constant=LN10).findings()["divergence"]
    assert str(first(risen)).startswith("best-of:of=lr-cap:max=0.01/")
    steady = train(losses, lr=0.01, constant=LN10).findings()["divergence"]
    assert str(first(steady)).startswith("best-of:of=lr-search:factor=0.1/clip/weight-decay")
    nothing_learned = [*flat(120), *[4.0 * 1.2**i for i in range(60)]]
    unknown = train(nothing_learned, lr=lambda s: 0.01 if s <= 118 else 0.5, constant=LN10).findings()["divergence"]
    assert str(first(unknown)).startswith("best-of:of=lr-search:factor=0.1/clip/")


def descent(momentum: float, curvature: float | None = None, **defaults: float) -> str | None:
    """The cure of a rate whose first step overshoots by 1, and whose later ones do so a million times."""
    stream = train(
        [2.3, 3.5, *[9.0 * 2**i for i in range(40)]],
        overshoot=lambda s: 1.0 if s == 1 else 1e6,
        rate=lambda s: 0.1 if s == 1 else 3.0,
        constant=LN10,
    )
    groups = {"momentum": momentum, **defaults}
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "SGD", "parameters": 10, "defaults": groups}])
    if curvature is not None:
        stream.row(1, "curvature", {("stability_coefficient", ""): curvature})
    return first_cure(stream.findings()["learning-rate-too-high"])


@pytest.mark.parametrize(
    ("momentum", "curvature", "factor"),
    [(0.0, None, 5), (0.9, None, 50), (0.0, 20.0, 50), (0.9, 0.2, 10)],  # √(5 · 20/0.1) = 32; √(50 · 0.2/0.1) = 10
)
def test_gradient_descent_is_slowed_by_what_its_first_step_shows(
    momentum: float, curvature: float | None, factor: float
) -> None:
    assert descent(momentum, curvature) == f"lr-search:factor={1 / factor:g}"


def test_optimisers_that_divide_the_gradient_by_its_size_are_slowed_by_their_worst_step() -> None:
    assert descent(0.0, eps=1e-8) == "lr-search:factor=0.0001"


def test_a_loss_that_is_maximised_is_told_as_such() -> None:
    stream = train([1.0 * 1.5**i for i in range(60)], constant=1.0)
    told = {"name": "", "type": "Adam", "parameters": 10, "defaults": {"maximize": True}}
    stream.event(1, "optimizers", optimizers=[told])
    found = stream.findings()["divergence"]
    assert first(found) == "descend" and "maximise" in found.cause


def test_the_negative_of_a_loss_function_must_not_fall() -> None:
    stream = train([-2.3 * 1.1**i for i in range(60)], constant=LN10)
    found = stream.findings()["divergence"]
    assert found.severity == "critical" and first(found) == "descend" and found.detected_step < 30
    # of a policy, of a density: no constant prediction has this scale, or the loss stays within twice of it
    assert train([-2.3 * 1.1**i for i in range(60)]).loud() == []
    assert train([-0.1 - 0.1 * i for i in range(60)], constant=LN10).loud() == []
    assert train([-2.3 - 0.02 * i for i in range(60)], constant=LN10).loud() == []
    assert "divergence" not in train([-2.3 * 1.1**i for i in range(60)], constant=LN10, stream=two()).loud()


def two() -> Stream:
    return train(flat(60), constant=LN10, name="critic")


def start(variance: float | None, activation: str = "relu") -> str | None:
    """The cure of activations that grow fourfold a layer; ``variance`` is that of weights times fan-in, if known."""
    names = tuple(f"layers.{i}" for i in range(8))
    sizes = {} if variance is None else dict.fromkeys(names, variance)
    stream = train([1e6, *flat(20, 1e6)], constant=1.0)
    stream.event(1, "initialisation", activation=activation, weight_variance=sizes)
    layered(stream, "activations", "activation_rms", lambda _: [4.0**i for i in range(8)], (1, 2, 4, 8))
    return first_cure(stream.findings()["exploding-gradient"])


def test_norms_where_no_size_of_the_weights_explains_the_growth() -> None:
    assert start(32.0) == "critical-init"  # 16 times the critical 2: fourfold in the root of the square
    assert start(2.0) == "layer-norm"  # products of layers
    assert start(None) == "layer-norm"  # layers of the script's own
    assert start(1.0, "sigmoid") == "layer-norm"  # as a function: there is no module to replace


def test_a_stage_with_next_to_no_rate_gets_that_of_the_one_before() -> None:
    def cure(before: float) -> str | None:
        stream = train(
            flat(200), lr=lambda s: before if s <= 20 else 1e-6, rate=1e-7, overshoot=1e-9, constant=LN10, looks=LOOKS
        )
        found = stream.findings().get("learning-rate-too-low")
        return None if found is None else found.remedies[0].apply

    assert cure(1e-2) == "best-of:of=lr-floor:min=0.001/lr-search:factor=100000/lr-floor:min=0.01"
    assert cure(1e-6) == "lr-search:factor=100000"


def told(id: str, severity: str, *applies: str | None) -> Finding:
    remedies = tuple(Remedy(str(apply), "", "", apply) for apply in applies)
    return Finding(id, severity, 1, 1, 1, 1, (), "", None, (), remedies)  # type: ignore[arg-type]


def test_what_else_was_found_is_tried_beside_the_first_cure() -> None:
    unsure, second = (
        told("a", "warning", "best-of:of=agc/clip", "clip"),
        told("b", "critical", "best-of:of=clip/warmup"),
    )
    others = (told("c", "warning"), told("d", "warning", None), told("e", "info", "shuffle"))
    widened = beside((unsure, second, *others, told("f", "warning", "zero-grad")))
    assert [r.apply for r in widened[0].remedies] == ["best-of:of=agc/clip/warmup/zero-grad", "clip"]
    assert widened[1:5] == (second, *others) and parse(str(widened[0].remedies[0].apply))
    sure = (told("a", "warning", "zero-grad"), second)
    assert beside(sure) == sure and beside(()) == () and beside(others[:1]) == others[:1]
    many = [told(str(i), "warning", f"clip:max_norm={i + 2}") for i in range(20)]
    assert str(beside((unsure, *many))[0].remedies[0].apply).count("/") == 7
