"""A policy's loss whose terms drown each other: edges in closed form, and shared layers as a script has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from histories import train
from watching import watching


def policy(
    shared: float = 1e-3,
    reward: Callable[[int], float] = lambda step: 0.2,
    name: str = "reward",
    bonus: float = 0.01,
    entropy: float = 1.0,
) -> list[str]:
    """320 steps of an actor and a critic: their gradients in the layers that both share."""
    stream = train([3.0] * 320, constant=1.0)
    for step in range(8, 321, 8):
        row = {("term_gradient_norm", "mean_mul"): 1.0, ("term_shared_norm", "mean_mul"): shared}
        row |= {("term_gradient_norm", "squared_error"): 2.0, ("term_shared_norm", "squared_error"): 1.0}
        row |= {("term_gradient_norm", "mean_neg"): bonus, ("term_shared_norm", "mean_neg"): bonus}
        row |= {("term_weight", "mean_mul"): -1.0, ("term_weight", "squared_error"): 0.5}
        row |= {("term_weight", "mean_neg"): 0.01, ("term_value", "squared_error"): 2.0 + step % 3}
        stream.row(step, "terms", row)
        level = 1.38 * (entropy if step > 40 else 1.0)
        stream.row(step, "policy", {("zero_advantage_share", ""): 0.0, ("policy_entropy", ""): level})
        if name:
            stream.row(step, "printed", {("printed_number", name): reward(step) + 0.02 * (step // 8 % 3)})
    return stream.loud()


def test_a_value_drowns_a_policy_in_the_layers_that_both_share() -> None:
    assert policy() == ["loss-term-imbalance"]
    assert policy(shared=0.05) == []
    assert policy(shared=0.0) == []  # each has its own network
    assert policy(reward=lambda step: step / 100) == []  # it earns more and more
    assert policy(name="") == policy(name="kilometres") == []  # nothing says that it does not


def test_a_bonus_holds_a_policy_where_all_actions_are_alike() -> None:
    assert policy(shared=0.5, bonus=0.8) == ["loss-term-imbalance"]
    assert policy(shared=0.5, bonus=0.8, name="") == ["loss-term-imbalance"]
    assert policy(shared=0.5, bonus=0.1) == []
    assert policy(shared=0.5, bonus=0.8, entropy=0.8) == []  # it prefers something
    assert policy(shared=0.5, bonus=0.8, entropy=0.95, name="") == []
    assert policy(shared=0.5, bonus=0.8, reward=lambda step: step / 100) == []


@pytest.mark.parametrize("shared", [True, False])
def test_norms_where_terms_meet(shared: bool) -> None:
    torch.manual_seed(0)
    trunk, other, one, two = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 1), nn.Linear(4, 1)
    models = [trunk, one, two] if shared else [trunk, other, one, two]
    optimizer = torch.optim.SGD([p for model in models for p in model.parameters()], 0.01)
    x = torch.randn(16, 5)
    with watching(1) as seen:
        a = one(trunk(x).tanh()).square().mean()
        b = (two((trunk if shared else other)(x).tanh()) - 1).abs().mean()
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(a, list(trunk.parameters()), retain_graph=True)])
        optimizer.zero_grad()
        (a + b).backward()
        optimizer.step()
    measured = seen.signal("term_shared_norm", "squared_error")[1]
    assert measured == pytest.approx(float(expected.norm()) if shared else 0.0, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (lambda r: r.square().sum(1).mean(), "squared_error"),
        (lambda r: r.pow(2).mean(-1).sum(), "squared_error"),
        (lambda r: (r * r).sum(dim=(1, 2)).mean(), "squared_error"),
        (lambda r: r.abs().mean(1).mean(), "absolute_error"),
    ],
)
def test_errors_that_are_reduced_in_two_steps(loss: Callable, kind: str) -> None:
    model = nn.Linear(3, 6)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watching(1) as seen:
        total = loss(model(torch.randn(7, 3)).view(7, 3, 2))
        optimizer.zero_grad()
        (0.5 * total + model.weight.square().sum()).backward()
        optimizer.step()
    assert seen.signal("term_value", kind)[1] == pytest.approx(0.5 * total.item(), rel=1e-5)
    terms = {where for _, family, _ in seen.rows for signal, where in family.columns if signal == "term_weight"}
    assert terms == {kind, "sum_pow"}  # what is squared of parameters is no error


def test_a_policy_gradient_after_a_stage_of_imitation_is_seen() -> None:
    """The loss of the first stage was searched in vain at all its looks."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 5))
    with watching(1) as seen:
        for imitates in (True, False):
            optimizer = torch.optim.Adam(model.parameters(), 1e-3)
            for _ in range(30):
                made = torch.distributions.Categorical(logits=model(torch.randn(32, 4)))
                chosen = made.sample()
                advantage = torch.ones(32) if imitates else (chosen == 2).float() - 0.5
                loss = -(made.log_prob(chosen).mean() if imitates else (advantage * made.log_prob(chosen)).mean())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    assert min(seen.signal("zero_advantage_share")) > 30
