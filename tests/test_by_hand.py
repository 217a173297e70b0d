"""Training without an optimiser is watched like any other, and left as it is: bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from surefoot.init import critical_
from watching import Kept, watching

STEPS, WIDTH = 12, 6
TARGET = torch.linspace(-1, 1, 4).reshape(4, 1)


def batches(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(steps):
        x = torch.randn(16, 4)
        yield x, torch.sin(x @ TARGET)


def leaves() -> list[Tensor]:
    sizes = ((4, WIDTH), (WIDTH,), (WIDTH, 1), (1,))
    return [(torch.randn(size) / 2).requires_grad_() for size in sizes]


def network(params: list[Tensor], x: Tensor) -> Tensor:
    w1, b1, w2, b2 = params
    return torch.tanh(x @ w1 + b1) @ w2 + b2


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))


def plain_backward(lr: float) -> list[Tensor]:
    params = leaves()
    for x, y in batches(STEPS):
        F.mse_loss(network(params, x), y).backward()
        with torch.no_grad():
            for p in params:
                p -= lr * p.grad
                p.grad = None
    return params


def plain_data(lr: float) -> list[Tensor]:
    params = leaves()
    for x, y in batches(STEPS):
        F.mse_loss(network(params, x), y).backward()
        for p in params:
            p.data = p.data - lr * p.grad.data
            p.grad.zero_()
    return params


def plain_replaced(lr: float) -> list[Tensor]:
    params = leaves()
    for x, y in batches(STEPS):
        F.mse_loss(network(params, x), y).backward()
        params = [(p - lr * p.grad).detach().requires_grad_() for p in params]
    return params


def asked_replaced(lr: float) -> list[Tensor]:
    params = leaves()
    for x, y in batches(STEPS):
        grads = torch.autograd.grad(F.mse_loss(network(params, x), y), params)
        params = [(p - lr * g).detach().requires_grad_() for p, g in zip(params, grads, strict=True)]
    return params


def asked_of_a_module(lr: float) -> list[Tensor]:
    net = model()
    for x, y in batches(STEPS):
        grads = torch.autograd.grad(F.mse_loss(net(x), y), net.parameters())
        with torch.no_grad():
            for p, g in zip(net.parameters(), grads, strict=True):
                p.sub_(lr * g)
    return list(net.parameters())


def functional(lr: float) -> list[Tensor]:
    net = model()
    params = {name: p.detach() for name, p in net.named_parameters()}

    def loss_of(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(functional_call(net, params, (x,)), y)

    for x, y in batches(STEPS):
        grads, _ = grad_and_value(loss_of)(params, x, y)
        params = {name: p - lr * grads[name] for name, p in params.items()}
    return list(params.values())


KINDS = (plain_backward, plain_data, plain_replaced, asked_replaced, asked_of_a_module, functional)
MODULES = (asked_of_a_module, functional)


@pytest.mark.parametrize("every", [1, None])
@pytest.mark.parametrize("train", KINDS)
def test_steps_by_hand_are_seen_and_left_alone(train: Callable[[float], list[Tensor]], every: int | None) -> None:
    torch.manual_seed(0)
    bare = train(0.1)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    with watching(every) as seen:
        watched = train(0.1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(watched, bare, strict=True))
    assert not seen.of("note") and not [f for f in seen.findings().values() if f.severity != "info"]
    # of tensors that are replaced, the last update is not known to have come, for no gradient of the next is asked for
    assert seen.observer.clock.steps >= STEPS - 1
    losses, rates = seen.signal("loss"), seen.signal("learning_rate")
    if every == 1:
        assert len(losses) >= STEPS - 1
        assert list(rates.values()) == [pytest.approx(0.1, rel=1e-3)] * len(rates) and len(rates) >= STEPS - 1
        check_looks(seen, train in MODULES)


def check_looks(seen: Kept, modules: bool) -> None:
    """A step of plain descent promises lr ‖g‖², and moves each layer by lr times its gradient."""
    steps = range(3, STEPS - 1)
    names = ["0", "2"] if modules else [name for _, f, _ in seen.rows for s, name in f.columns if s == "gradient_rms"]
    assert len(set(names)) == 2  # a bias goes with its weight
    for step in steps:
        norm = seen.signal("gradient_norm")[step]
        assert seen.signal("predicted_decrease")[step] == pytest.approx(0.1 * norm**2, rel=1e-3)
        for name in names:
            moved, gradient = (seen.signal(s, name)[step] for s in ("update_rms", "gradient_rms"))
            assert moved == pytest.approx(0.1 * gradient, rel=1e-3)


def test_parts_of_a_gradient_are_added_and_lost_weights_stay_lost() -> None:
    torch.manual_seed(0)
    net = model()
    with watching(1) as seen:
        for _ in range(8):
            total = [torch.zeros_like(p) for p in net.parameters()]
            for x, y in batches(3):
                grads = torch.autograd.grad(F.mse_loss(net(x), y) / 3, list(net.parameters()))
                total = [t + g for t, g in zip(total, grads, strict=True)]
            for p, t in zip(net.parameters(), total, strict=True):
                p.data.sub_(0.1 * t)
        norm = torch.stack([t.norm() for t in total]).norm().item()
        for p in net.parameters():
            p.data.fill_(math.nan)
        for x, y in batches(5):
            torch.autograd.grad(F.mse_loss(net(x), y), list(net.parameters()))
    assert seen.observer.clock.steps == 8
    assert seen.signal("gradient_norm")[7] > 0 and seen.signal("gradient_norm")[8] == pytest.approx(norm, rel=1e-4)
    assert seen.signal("learning_rate")[7] == pytest.approx(0.1, rel=1e-3)


def test_a_layer_that_gets_no_gradient_at_first_is_trained_all_the_same() -> None:
    params = leaves()
    params[2].data.zero_()
    with watching(1) as seen:
        for x, y in batches(6):
            F.mse_loss(network(params, x), y).backward()
            with torch.no_grad():
                for p in params:
                    p -= 0.1 * p.grad
                    p.grad.zero_()
        (optimizer,) = seen.observer.clock.optimizers
    assert seen.observer.clock.steps == 6 and len(optimizer.param_groups[0]["params"]) == 4


@pytest.mark.parametrize("train", [plain_backward, asked_replaced, functional])
def test_a_rate_that_is_too_high_is_told_of(train: Callable[[float], list[Tensor]]) -> None:
    torch.manual_seed(0)
    with watching(1) as seen:
        train(80.0)
    assert "nan" not in seen.findings()["learning-rate-too-high"].cause


def test_what_is_no_training_is_no_step() -> None:
    """A network is asked for a direction to move its input in; a run with an optimiser takes gradients besides."""
    net = model()
    with watching(1) as seen:
        x = torch.randn(16, 4, requires_grad=True)
        for _ in range(6):
            (slope,) = torch.autograd.grad(net(x).sum(), x)
            x = (x - 0.1 * slope).detach().requires_grad_()
        assert not seen.observer.clock.steps
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for x, y in batches(4):
            x.requires_grad_()
            torch.autograd.grad(net(x).square().mean(), list(net.parameters()))
            (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
            loss = F.mse_loss(net(x), y) + slope.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert seen.observer.clock.steps == 4
    assert seen.signal("loss")[4] == pytest.approx(loss.item()) and not seen.of("note")


def test_a_start_that_is_computed_trains_nothing() -> None:
    """The critical point of an activation without a closed form is sought by its slopes at ever other sizes."""
    with watching(1) as seen:
        net = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        critical_(net, nn.SiLU())
        for x, y in batches(3):
            optimizer.zero_grad()
            F.mse_loss(net(x), y).backward()
            optimizer.step()
    assert len(seen.observer.clock.states) == 1 and seen.observer.clock.steps == 3


def test_gradients_that_are_handed_to_optimisers_bring_their_losses() -> None:
    players = [nn.Linear(3, 1), nn.Linear(3, 1)]
    optimizers = [torch.optim.SGD(p.parameters(), 0.1) for p in players]
    with watching(1) as seen:
        for _ in range(4):
            x = torch.randn(8, 3)
            gain = (players[0](x) * players[1](x)).mean()
            losses = (gain, -gain)
            for player, loss in zip(players, losses, strict=True):
                found = torch.autograd.grad(loss, list(player.parameters()), retain_graph=True)
                for p, g in zip(player.parameters(), found, strict=True):
                    p.grad = g
            for optimizer in optimizers:
                optimizer.step()
    values = [seen.signal("loss", state.name)[4] for state in seen.observer.clock.states]
    assert sorted(values) == pytest.approx(sorted(loss.item() for loss in losses))


def test_losses_that_a_guard_keeps_from_their_backward_are_seen() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    with watching() as seen:
        for step, (x, y) in enumerate(batches(60)):
            loss = F.mse_loss(net(x * (math.inf if step >= 20 else 1.0)), y)
            optimizer.zero_grad()
            if torch.isfinite(loss):
                loss.backward()
                optimizer.step()
    assert seen.observer.clock.steps == 20
    found = seen.findings()["non-finite"]
    assert found.severity == "critical" and "32 losses" in found.cause
    with watching() as healthy:  # a guard that leaves a few out, and losses that only measure
        for step, (x, y) in enumerate(batches(40)):
            loss = F.mse_loss(net(x * (math.inf if step % 10 == 5 else 1.0)), y)
            optimizer.zero_grad()
            if torch.isfinite(loss):
                loss.backward()
                optimizer.step()
        for x, y in batches(40):
            F.mse_loss(net(x), y)
    assert "non-finite" not in healthy.findings() and not healthy.of("untaken")


def test_a_loss_that_becomes_nan_without_an_optimizer_is_told_of() -> None:
    """No rate is recorded of a descent by hand: that it is not there does not say that no step was taken."""
    torch.manual_seed(0)
    with watching(1) as seen:
        params = leaves()
        for step, (x, y) in enumerate(batches(STEPS)):
            (F.mse_loss(network(params, x), y) * (math.nan if step == STEPS - 2 else 1.0)).backward()
            with torch.no_grad():
                for p in params:
                    p -= 0.1 * p.grad
                    p.grad = None
    assert seen.findings()["non-finite"].severity == "critical"
