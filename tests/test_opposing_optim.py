"""SplitSGD, limits of stability, and the share of an update along a direction."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from surefoot.optim.split_sgd import SplitSGD
from surefoot.optim.stability import preconditioner, stability_limit, update_share


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def train(model, optimizer, steps=12):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(9, 5, generator=generator)).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}])
def test_an_infinite_threshold_is_dampened_sgd_bit_for_bit(options):
    split, plain = network(), network()
    ours = train(split, SplitSGD(split.parameters(), lr=0.3, momentum=0.8, threshold=math.inf, **options))
    sgd = torch.optim.SGD(plain.parameters(), lr=0.3, momentum=0.8, dampening=1 - (1 - 0.8), **options)
    for p in plain.parameters():  # torch starts its buffer at the first gradient, undampened; start at zero instead
        sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
    theirs = train(plain, sgd)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_zero_threshold_is_sign_descent_on_the_momentum():
    split, plain = network(), network()
    ours = train(split, SplitSGD(split.parameters(), lr=0.3, lr_sign=0.01, threshold=0.0))
    buffers = [torch.zeros_like(p) for p in plain.parameters()]
    generator = torch.Generator().manual_seed(1)
    for _ in range(12):
        plain.zero_grad()
        plain(torch.randn(9, 5, generator=generator)).square().mean().backward()
        with torch.no_grad():
            for p, m in zip(plain.parameters(), buffers, strict=True):
                m.mul_(0.9).add_(p.grad, alpha=1 - 0.9)
                p.add_(m.sign(), alpha=-0.01)
    assert all(torch.equal(a, b) for a, b in zip(ours, (p.detach() for p in plain.parameters()), strict=True))


def test_the_quantile_is_that_of_the_whole_model():
    weights = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.zeros(10))
    weights[0].grad, weights[1].grad = torch.arange(1.0, 11), torch.arange(11.0, 21)
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr_sign": 7.0}]
    SplitSGD(groups, lr=1.0, lr_sign=5.0, momentum=0.0, quantile=0.75).step()
    assert torch.equal(weights[0].detach(), -torch.arange(1.0, 11))
    assert torch.equal(weights[1].detach(), torch.tensor([-11.0, -12, -13, -14, -15] + [-7.0] * 5))


def test_state_goes_through_a_checkpoint_and_closures_are_called():
    model = network()
    optimizer = SplitSGD(model.parameters(), lr=0.3)
    train(model, optimizer, steps=5)
    other = copy.deepcopy(model)
    second = SplitSGD(other.parameters(), lr=99.0)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(train(model, optimizer), train(other, second), strict=True))

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 5)).square().mean()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) > 0
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.15)


def test_parameters_without_a_gradient_stay_and_an_empty_step_is_none():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    SplitSGD(model.parameters()).step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def grows(make, curvature, steps=4000):
    """Whether gradient descent on ½ λ w² from w = 1 grows, judged on the last steps."""
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = make([w])
    for _ in range(steps):
        w.grad = curvature * w.detach()
        optimizer.step()
        if float(w.detach().abs()) > 1e6:
            return True
    return float(w.detach().abs()) > 1


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, dampening=0.5),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, dampening=0.4),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5, weight_decay=3.0),
        lambda p: SplitSGD(p, lr=0.1, momentum=0.8, threshold=math.inf),
    ],
    ids=["gd", "dampening-alone", "heavy-ball", "dampened", "nesterov", "decay", "split"],
)
def test_the_limit_parts_decay_from_growth(make):
    limit = stability_limit(make([nn.Parameter(torch.ones(1))]))
    assert not limit.preconditioned
    assert not grows(make, 0.99 * limit.value)
    assert grows(make, 1.01 * limit.value)


def test_limits_in_closed_form():
    w = [nn.Parameter(torch.ones(2))]
    assert stability_limit(torch.optim.SGD(w, lr=0.5)).value == pytest.approx(4)
    assert stability_limit(torch.optim.SGD(w, lr=0.5, momentum=0.9)).value == pytest.approx(2 * 1.9 / 0.5)
    for adam in (torch.optim.Adam(w, lr=1e-3), torch.optim.AdamW(w, lr=1e-3)):
        limit = stability_limit(adam)
        assert limit.preconditioned and limit.value == pytest.approx(38 / 1e-3)
    assert stability_limit(torch.optim.RMSprop(w, lr=0.01, momentum=0.5)).value == pytest.approx(300)
    assert stability_limit(torch.optim.Adagrad(w, lr=0.01)).value == pytest.approx(200)
    groups = torch.optim.SGD([{"params": w, "lr": 0.1}, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.0}])
    assert stability_limit(groups).groups == (20, math.inf)


@pytest.mark.parametrize("share", [0.97, 1.03])
def test_adams_limit_is_met_with_its_preconditioner_frozen(share):
    # gradients so small that they don't add to the second moment, which is set by hand
    w = nn.Parameter(torch.full((1,), 1e-12, dtype=torch.float64))
    lr, curvature = 1e-3, 1.0
    optimizer = torch.optim.Adam([w], lr=lr, betas=(0.9, 0.999), eps=1e-30)
    w.grad = torch.ones_like(w)
    optimizer.step()
    state = optimizer.state[w]
    state["step"].fill_(1e6)
    limit = stability_limit(optimizer).value
    with torch.no_grad():
        w.fill_(1e-12)
        state["exp_avg"].zero_()
    for _ in range(30):
        state["exp_avg_sq"].fill_((curvature / (share * limit)) ** 2)
        w.grad = curvature * w.detach()
        optimizer.step()
    diagonal = float(preconditioner(optimizer)[0])
    assert curvature / diagonal == pytest.approx(share * limit, rel=0.01)
    assert (float(w.detach().abs()) > 1e-12) == (share > 1)


@pytest.mark.parametrize("share", [0.97, 1.03])
def test_adagrads_limit_is_met_where_its_sum_is_all_but_fixed(share):
    w = nn.Parameter(torch.full((1,), 1e-6, dtype=torch.float64))
    optimizer = torch.optim.Adagrad([w], lr=0.1, initial_accumulator_value=4.0)
    curvature = share * stability_limit(optimizer).value * 2  # √4
    for _ in range(30):
        w.grad = curvature * w.detach()
        optimizer.step()
    assert curvature / float(preconditioner(optimizer)[0]) == pytest.approx(share * 20, rel=0.01)
    assert (float(w.detach().abs()) > 1e-6) == (share > 1)


def test_the_preconditioner_is_what_adam_divides_by():
    for kind, options in ((torch.optim.Adam, {"amsgrad": True}), (torch.optim.AdamW, {}), (torch.optim.RMSprop, {}),
                          (torch.optim.Adagrad, {"lr_decay": 0.5})):  # fmt: skip
        model = network()
        optimizer = kind(model.parameters(), lr=1e-2, **options)
        assert torch.equal(preconditioner(optimizer), torch.ones(58))
        train(model, optimizer, steps=3)
        diagonal = preconditioner(optimizer)
        before = torch.cat([p.detach().reshape(-1).clone() for p in model.parameters()])
        assert diagonal.shape == before.shape and bool((diagonal > 0).all())
        if kind is torch.optim.AdamW:
            continue
        train(model, optimizer, steps=1)
        moved = before - torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        if kind is torch.optim.Adam:
            first = [optimizer.state[p]["exp_avg"].reshape(-1) / (1 - 0.9**4) for p in model.parameters()]
        else:
            first = [p.grad.reshape(-1) for p in model.parameters()]
        assert torch.allclose(moved, 1e-2 * torch.cat(first) / preconditioner(optimizer), rtol=1e-3, atol=1e-7)


def test_the_share_of_a_direction_in_itself_is_one():
    vector = torch.randn(50)
    assert update_share(vector, vector) == pytest.approx(1)
    assert update_share(-3 * vector, vector) == pytest.approx(1)
    assert update_share(torch.tensor([1.0, 0]), torch.tensor([0.0, 2])) == 0
    assert update_share(torch.tensor([3.0, 4]), torch.tensor([1.0, 0])) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda w: SplitSGD([w], lr=-1), ValueError, "lr"),
        (lambda w: SplitSGD([w], lr_sign=float("nan")), ValueError, "lr_sign"),
        (lambda w: SplitSGD([w], momentum=1.0), ValueError, "momentum"),
        (lambda w: SplitSGD([w], quantile=1.1), ValueError, "quantile"),
        (lambda w: SplitSGD([w], threshold=-1e-3), ValueError, "threshold"),
        (lambda w: SplitSGD([w], weight_decay=-1), ValueError, "weight_decay"),
        (lambda w: SplitSGD([{"params": [w], "lr": -1}]), ValueError, "lr"),
        (lambda w: stability_limit(torch.optim.Adadelta([w])), TypeError, "Adadelta"),
        (lambda w: preconditioner(torch.optim.SGD([w], lr=1)), TypeError, "SGD"),
        (lambda w: update_share(torch.ones(2), torch.ones(3)), ValueError, "direction"),
        (lambda w: update_share(torch.zeros(2), torch.ones(2)), ValueError, "zero"),
    ],
)
def test_bad_input_is_named(call, error, name):
    with pytest.raises(error, match=name):
        call(nn.Parameter(torch.ones(2)))


def test_sparse_gradients_are_refused():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        SplitSGD(table.parameters()).step()
