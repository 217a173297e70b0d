"""``adam-eps`` of gradients whose squares float32 does not hold: gradient and epsilon are taken larger."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from curing import curing

TINY = 2.0**-80  # a loss in a unit of which float32 holds no square
REMEDY = "adam-eps:eps=1e-32"


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(model: nn.Module, optimizer: Optimizer, size: float, steps: range = range(20), closed: bool = False) -> None:
    """Steps on one loss of this size, each of which leaves the script its gradients, in the same tensors."""
    for step in steps:

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = size * model(torch.full((1, 6), 0.1 * step)).square().sum()  # noqa: B023
            loss.backward()
            return loss

        closure()
        had = [(p.grad, p.grad.clone()) for p in model.parameters() if p.grad is not None]
        if closed:
            optimizer.step(closure)  # type: ignore[arg-type]
        else:
            optimizer.step()
            assert all(p.grad is own for p, (own, _) in zip(model.parameters(), had, strict=True))
        assert all(torch.equal(p.grad, g) for p, (_, g) in zip(model.parameters(), had, strict=True))


Make = Callable[[Any], Optimizer]
KINDS: dict[str, Make] = {
    "Adam": lambda ps: Adam(ps, lr=0.01),
    "AdamW": lambda ps: AdamW(ps, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda ps: Adam(ps, lr=0.01, amsgrad=True),
    "one by one": lambda ps: Adam(ps, lr=0.01, foreach=False),
    "fused": lambda ps: Adam(ps, lr=0.01, fused=True),
    "maximize": lambda ps: Adam(ps, lr=0.01, maximize=True),
    "groups": lambda ps: AdamW([{"params": [p], "eps": 1e-8 if i else 1e-7} for i, p in enumerate(ps)], lr=0.01),
}


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_of_another_size_takes_the_same_steps(kind: str, closed: bool) -> None:
    usual, tiny, alone = small(), small(), small()
    train(usual, KINDS[kind](usual.parameters()), 1.0, closed=closed)
    train(alone, KINDS[kind](alone.parameters()), TINY, closed=closed)
    with curing(REMEDY) as told:
        optimizer = KINDS[kind](tiny.parameters())
        epsilons = [group["eps"] for group in optimizer.param_groups]
        train(tiny, optimizer, TINY, closed=closed)
        assert [group["eps"] for group in optimizer.param_groups] == epsilons
    torch.testing.assert_close(weights(tiny), weights(usual), rtol=1e-3, atol=1e-5)
    assert float((weights(alone) - weights(usual)).abs().max()) > 0.05  # by itself, it stands but for a decay
    assert "times as large" in told.interposer.summaries()["adam-eps"]
    assert not optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_goes_on_under_the_remedy_number_for_number(kind: str) -> None:
    whole = small()
    with curing(REMEDY):
        optimizer = KINDS[kind](whole.parameters())
        train(whole, optimizer, TINY, range(10))
        saved = copy.deepcopy((whole.state_dict(), optimizer.state_dict()))
        train(whole, optimizer, TINY, range(10, 20))
    loaded = small()
    with curing(REMEDY):
        optimizer = KINDS[kind](loaded.parameters())
        loaded.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        train(loaded, optimizer, TINY, range(10, 20))
    assert torch.equal(weights(loaded), weights(whole))


def test_a_decay_in_the_gradient_keeps_its_size() -> None:
    """Its group gets the epsilon alone: that of Adam with this epsilon, bit for bit."""
    by_hand, cured = small(), small()
    train(by_hand, Adam(by_hand.parameters(), lr=0.01, weight_decay=0.1, eps=1e-32), TINY)
    with curing(REMEDY):
        train(cured, Adam(cured.parameters(), lr=0.01, weight_decay=0.1), TINY)
    assert torch.equal(weights(cured), weights(by_hand))


def test_an_epsilon_that_float32_can_guard_with_leaves_gradients_alone() -> None:
    by_hand, cured = small(), small()
    train(by_hand, Adam(by_hand.parameters(), lr=0.01, eps=1e-19), 1e-12)
    with curing("adam-eps:eps=1e-19") as told:
        train(cured, Adam(cured.parameters(), lr=0.01), 1e-12)
    assert torch.equal(weights(cured), weights(by_hand))
    assert "times as large" not in told.interposer.summaries()["adam-eps"]


def test_other_optimisers_beside_it_are_left_alone() -> None:
    def both(model: nn.Sequential) -> None:
        first, last = Adam(model[0].parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.1)
        for step in range(5):
            first.zero_grad()
            last.zero_grad()
            model(torch.full((1, 6), 0.1 * step)).square().sum().backward()
            last.step()
            first.step()

    alone, beside = small(), small()
    both(alone)
    with curing(REMEDY):
        both(beside)
    torch.testing.assert_close(weights(beside), weights(alone), rtol=1e-4, atol=1e-6)  # ε is small for both


def test_gradients_too_large_to_be_taken_larger_still_step() -> None:
    """An ordinary gradient beside one of next to none goes by the sign of its own; what is not finite stays."""
    weight, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    with curing(REMEDY):
        optimizer = Adam([weight, other], lr=0.1)
        weight.grad, other.grad = torch.tensor([1e-24, -1e3, 1e30]), torch.tensor([math.inf, 1e-24, 0.0])
        optimizer.step()
    assert torch.allclose(weight, torch.tensor([0.9, 1.1, 0.9]))
    assert other[0].isnan()
    assert torch.allclose(other[1:], torch.tensor([0.9, 1.0]))
    assert float(other.grad[0]) == math.inf
