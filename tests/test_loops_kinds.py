"""Every kind of training loop is watched as it is, and what is recorded of it is right."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import processes
from loop_kinds import KINDS, STEPS, mlp
from watching import watching

MLP = ["0", "2", "4"]
HALVES = ["stem", "trunk.0", "trunk.2", "head"]
LAYERS = {
    "gan": ["Sequential.0", "Sequential.2", "Sequential2.0", "Sequential2.2"],
    "lbfgs": ["0", "2"],
    "lbfgs strong wolfe": ["0", "2"],
    "compiled in place": HALVES,
    "compiled in place in parts": HALVES,
    "compiled parts": HALVES,
    "checkpoint": ["stem", *(f"blocks.{i}.{j}" for i in range(3) for j in (0, 3)), "head"],
    "checkpoint reentrant": ["stem", "head", *(f"blocks.{i}.{j}" for i in range(3) for j in (0, 3))],
    "sparse": ["Embedding", "Linear"],
    "group added later": ["1", "0.0"],
    "frozen": ["stem", "head"],
    "tied": ["embed", "mix"],
}
# In a compiled region nothing is hooked; what is borrowed there is what autograd saved. A model that is compiled, as a
# whole or in parts, is replayed; where it runs inside of a compiled function, nobody sees it called.
FEWER_ACTIVATIONS: dict[str, list[str]] = {
    "compiled function": [],
    "compiled whole step": [],
}


@pytest.fixture(scope="module")
def trained():
    """All kinds, in a process of their own: the type checker of the tests draws random numbers."""
    script = Path(__file__).with_name("loop_kinds.py")
    kinds = [kind for kind in KINDS if available(kind)]
    done = processes.run([sys.executable, script, *kinds], timeout=300)
    assert done.returncode == 0, done.stderr
    return {row["kind"]: row for row in json.loads(done.stdout.splitlines()[-1])}


def available(kind: str) -> bool:
    return not kind.startswith("accelerate") or importlib.util.find_spec("accelerate") is not None


@pytest.fixture(params=KINDS)
def case(request, trained):
    if not available(request.param):
        pytest.skip("accelerate is not installed")
    return trained[request.param]


def test_a_watched_run_is_the_bare_run(case):
    assert case["bare runs agree"], "two bare runs must agree for this test to mean anything"
    for every in (None, 1):
        assert case[f"identical {every}"], every
        assert not case[f"notes {every}"]
        assert case[f"compilations {every}"] <= case["compilations"], every


def test_its_steps_are_counted(case):
    steps = KINDS[case["kind"]][1]
    assert case["steps None"] == case["steps 1"] == steps


def test_its_layers_and_their_signals_are_there(case):
    kind, signals = case["kind"], case["signals"]
    layers = LAYERS.get(kind, MLP)
    steps = KINDS[kind][1]
    for signal in ("gradient_rms", "update_rms", "weight_rms"):
        assert sorted(signals[signal]) == sorted(layers), signal
    for layer in layers:
        seen = len(signals["gradient_rms"][layer])
        assert seen >= (steps // 2 if (kind, layer) == ("group added later", "0.0") else steps - 2), layer
    for layer in FEWER_ACTIVATIONS.get(kind, layers):
        assert len(signals["activation_rms"][layer]) >= 3
    assert set(signals.get("missed_parameters", {}).get("", {}).values()) <= {0.0}
    if kind != "gan":  # where the generator's backward leaves gradients in the discriminator
        assert not any(v for values in signals.get("stale_gradient_share", {}).values() for v in values.values())


def test_its_loss_is_the_scripts(case):
    kind, losses = case["kind"], case["losses"]
    recorded = case["signals"]["loss"]
    if kind == "gan":
        recorded = {"Adam": losses[::2], "RMSprop": losses[1::2]}
        for name, expected in recorded.items():
            assert list(case["signals"]["loss"][name].values()) == pytest.approx(expected, rel=1e-5)
        return
    if kind == "sparse":
        assert recorded["SparseAdam"] == recorded["Adam"]  # one loss, two optimisers
        recorded = {"": recorded["Adam"]}
    if kind == "scaler":
        losses = [loss for step, loss in enumerate(losses) if step != 5]  # that step was skipped
    if kind == "accelerate accumulation":
        losses = [(a + b) / 2 for a, b in zip(losses[::2], losses[1::2], strict=True)]
    measured = list(recorded[""].values())
    assert measured == pytest.approx(losses[: len(measured)], rel=1e-4)


# -- one kind at a time, against a plain computation -----------------------------------------------------------------


def norm(tensors) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def test_a_closures_first_gradient_is_the_steps():
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 1), torch.randn(20, 3), torch.randn(20, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    first: list[float] = []

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        if not first:
            first.append(norm(p.grad for p in model.parameters()))
        return loss

    with watching(1) as seen:
        for step in range(1, 4):
            first.clear()
            before = [p.detach().clone() for p in model.parameters()]
            optimizer.step(closure)
            moved = norm(p.detach() - b for p, b in zip(model.parameters(), before, strict=True))
            assert seen.observer.clock.steps == step
            seen.observer.catch_up()
            seen.observer._tools.rows.complete(None)
            assert seen.signal("gradient_norm")[step] == pytest.approx(first[0], rel=1e-5)
            assert seen.signal("update_norm")[step] == pytest.approx(moved, rel=1e-5)


def test_a_closure_may_raise():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def closure():
        raise ZeroDivisionError

    with watching(1) as seen:
        with pytest.raises(ZeroDivisionError):
            optimizer.step(closure)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    assert seen.observer.clock.steps == 3
    assert len(seen.signal("loss")) == 3


@pytest.mark.parametrize("delayed", [False, True])
def test_steps_inside_a_backward_are_one(delayed):
    torch.manual_seed(0)
    model, twin = mlp(), mlp()
    twin.load_state_dict(model.state_dict())
    optimizers = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for p in optimizers:
        p.register_post_accumulate_grad_hook(step)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    data = [(torch.randn(8, 20), torch.randint(5, (8,))) for _ in range(5)]
    with watching(1, delayed=delayed, models=[model], optimizers=list(optimizers.values())) as seen:
        for x, y in data:
            F.cross_entropy(model(x), y).backward()
    with watching(1, models=[twin], optimizers=[optimizer]) as usual:
        for x, y in data:
            optimizer.zero_grad()
            F.cross_entropy(twin(x), y).backward()
            optimizer.step()
    assert seen.observer.clock.steps == 5
    assert [o["name"] for e in seen.of("optimizers") for o in e["optimizers"]][-1:] == [""]
    for signal in ("gradient_norm", "weight_norm", "update_norm", "predicted_decrease", "loss"):
        assert seen.signal(signal) == pytest.approx(usual.signal(signal), rel=1e-5), signal
    for layer in MLP:
        for signal in ("gradient_rms", "gradient_share", "update_rms"):
            assert seen.signal(signal, layer) == pytest.approx(usual.signal(signal, layer), rel=1e-5), signal


def test_one_optimiser_that_steps_for_each_gradient_is_one():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: optimizer.step())
    with watching() as seen:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 20)), torch.randint(5, (8,))).backward()
    assert seen.observer.clock.steps == 40


def test_a_backward_inside_a_backward_is_a_part_of_it():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                again = x.detach().requires_grad_(True)
                again.square().sum().backward()
            return gradient * again.grad

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watching(1) as seen:
        for _ in range(4):
            optimizer.zero_grad()
            loss = Twice.apply(model(torch.ones(2, 3))).sum()
            loss.backward()
            optimizer.step()
    assert seen.signal("loss")[4] == pytest.approx(loss.item())


def test_a_thread_that_follows_another_is_watched_too():
    import threading

    def train():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 20)), torch.randint(5, (8,))).backward()
            optimizer.step()

    with watching(1) as seen:
        for _ in range(2):
            worker = threading.Thread(target=train)
            worker.start()
            worker.join()
    assert seen.observer.clock.steps == 10
    assert len(seen.signal("loss")) >= 9  # the first backward in a new thread is met before its step


def test_hooks_leave_compiled_regions_as_they_are():
    from loop_kinds import Halves

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    trunk = nn.Sequential(nn.Linear(32, 32), nn.ReLU())
    model = Halves(torch.compile(trunk, backend="aot_eager"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 20)), torch.randint(5, (8,))).backward()
            optimizer.step()
    compiled = torch._dynamo.utils.counters["frames"]["total"]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert compiled == 1
    assert set(range(2, 6)) <= set(seen.signal("activation_rms", "head"))


def test_gradients_under_a_scaler_are_those_without():
    torch.manual_seed(0)
    x, y = torch.randn(16, 20), torch.randint(5, (16,))
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    expected = norm(torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())))
    with watching(1) as seen:
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
    assert seen.signal("gradient_norm")[1] == pytest.approx(expected, rel=1e-4)


def test_kinds_have_names_and_steps():
    assert all(steps in (STEPS, STEPS - 1) for _, steps in KINDS.values())
