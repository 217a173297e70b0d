"""The two-layer linear model: closed forms against autograd, integration and sampling."""

from __future__ import annotations

import math

import pytest
import torch

from surefoot.analysis.outliers import OpposingLinearModel


def model_of(alpha=50.0, beta=10.0, d=6, k=3, p=0.1):
    direction = torch.randn(d, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    return OpposingLinearModel(alpha, beta * direction / direction.norm(), k, p)


def point(model, seed=0):
    count = len(model.beta) + model.k + 1
    return torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(4))
def test_gradient_and_hessian_are_those_of_autograd(seed):
    model = model_of()
    w = point(model, seed)
    assert torch.allclose(model.gradient(w), torch.func.grad(model.loss)(w), rtol=1e-10, atol=1e-10)
    assert torch.allclose(model.hessian(w), torch.func.hessian(model.loss)(w), rtol=1e-10, atol=1e-10)
    many = torch.stack([w, 2 * w])
    assert torch.allclose(model.hessian(many)[1], model.hessian(2 * w))
    assert torch.allclose(model.gradient(many)[1], model.gradient(2 * w))


@pytest.mark.parametrize("seed", range(2))
def test_loss_and_group_losses_are_those_of_samples(seed):
    model = model_of(alpha=5.0, beta=2.0)
    w = 0.5 * point(model, seed)
    x_b, x_o, y = model.sample(400_000, seed)
    b, o, c = model.split(w)
    losses = 0.5 * (c * (x_b @ b + x_o @ o) - y) ** 2
    sign = x_o.sum(dim=1).sign()
    assert float(losses.mean()) == pytest.approx(float(model.loss(w)), rel=0.02)
    expected = model.group_losses(w)
    assert float(losses[sign > 0].mean()) == pytest.approx(float(expected[0]), rel=0.02)
    assert float(losses[sign < 0].mean()) == pytest.approx(float(expected[1]), rel=0.02)
    assert float((sign != 0).double().mean()) == pytest.approx(model.p, rel=0.02)
    second = x_o.T @ x_o / len(x_o)
    assert float(torch.linalg.eigvalsh(second)[-1]) == pytest.approx(model.alpha, rel=0.02)
    assert float((x_o[:, 0] * y).mean()) == pytest.approx(0, abs=0.05)


def test_the_flow_conserves_q_and_descent_changes_it_by_the_square_of_the_step():
    model = model_of()
    start = model.start(s=0.5, c=1.0, seed=1)
    assert float(model.invariant(start)) == pytest.approx(0.25)
    flow = model.flow(start, dt=3e-4, steps=1000, every=50)
    assert float((flow.invariant - flow.invariant[0]).abs().max()) < 1e-8
    drift = [
        float(model.invariant(start - eta * model.gradient(start)) - model.invariant(start)) for eta in (1e-4, 1e-5)
    ]
    assert drift[0] / drift[1] == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize(
    ("s", "c", "beta", "alpha"), [(0.5, 1.0, 10.0, 50.0), (1.0, 0.5, 3.0, 10.0), (0.1, 3.0, 2.0, 0.5)]
)
def test_the_flow_ends_at_the_closed_limit(s, c, beta, alpha):
    model = model_of(alpha=alpha, beta=beta)
    start = model.start(s, c, seed=2)
    if c * float(model.split(start)[0] @ model.beta) < 0:  # else the flow passes a saddle, and takes its time
        start[: len(model.beta)] *= -1
    c2, sharpness = model.limit(start)
    dt = min(5e-3, 1 / sharpness)  # well inside of where Runge–Kutta's steps are stable
    path = model.flow(start, dt, steps=1600, every=1600)
    end = path.parameters[-1]
    b, _, c_end = model.split(end)
    assert float(c_end**2) == pytest.approx(c2, rel=1e-6)
    assert torch.allclose(c_end * b, model.beta, atol=1e-5)
    assert abs(float(path.opposing[-1])) < 1e-2
    assert float(path.sharpness[-1]) == pytest.approx(sharpness, rel=1e-3)
    # eigenvalues there: α c² along the outliers; c² + |b|² and 0 in span(b, c); c² across; 0 across the outliers' part
    end[len(model.beta) : -1] = 0
    found = torch.linalg.eigvalsh(model.hessian(end))
    power = float(model.beta @ model.beta)
    known = [alpha * c2, c2 + power / c2, 0.0, *[c2] * (len(model.beta) - 1), *[0.0] * (model.k - 1)]
    assert torch.allclose(found, torch.tensor(known, dtype=torch.float64).sort().values, atol=1e-3 * max(known))


def test_weak_outliers_leave_the_sharpness_to_the_signal():
    model = model_of(alpha=0.5, beta=3.0)
    start = model.start(seed=3)
    c2, sharpness = model.limit(start)
    assert sharpness == pytest.approx(c2 + 9 / c2) and sharpness > model.alpha * c2


def test_the_limit_does_not_cancel_for_a_large_invariant():
    model = model_of(beta=1.0)
    start = model.start(s=1e5, c=1.0)
    c2, _ = model.limit(start)
    q = 1.0 + 1e10 - 1.0
    assert c2 == pytest.approx(1 / q, rel=1e-6)


@pytest.mark.parametrize("eta", [1e-3, 4e-3, 7e-3])
def test_the_outlier_weight_is_multiplied_by_one_minus_eta_alpha_c_squared(eta):
    model = model_of()
    path = model.simulate(model.start(seed=1), eta, steps=30)
    c = model.split(path.parameters)[2]
    factor = 1 - eta * model.alpha * c[:-1] ** 2
    assert torch.allclose(path.opposing[1:], path.opposing[:-1] * factor, rtol=1e-9, atol=1e-12)


def test_the_threshold_of_growth():
    model = model_of()
    start = model.start(seed=1)
    c = float(model.split(start)[2])
    limit = 2 / (model.alpha * c**2)
    for share in (0.99, 1.01):
        after = start - share * limit * model.gradient(start)
        assert (abs(float(model.opposing(after))) > abs(float(model.opposing(start)))) == (share > 1)


def test_a_diverging_run_ends_early_with_infinite_sharpness():
    model = model_of()
    path = model.simulate(model.start(s=50.0, c=5.0, seed=1), eta=0.5, steps=100)
    assert len(path.times) < 100 and math.isinf(float(path.sharpness[-1]))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: OpposingLinearModel(0.0, torch.ones(2)), "alpha"),
        (lambda: OpposingLinearModel(1.0, torch.zeros(2)), "beta"),
        (lambda: OpposingLinearModel(1.0, torch.ones(2), k=0), "k, p"),
        (lambda: OpposingLinearModel(1.0, torch.ones(2), p=1.5), "k, p"),
        (lambda: model_of().loss(torch.ones(3)), "parameters"),
        (lambda: model_of().simulate(model_of().start(), eta=0, steps=4), "eta"),
        (lambda: model_of().flow(model_of().start(), dt=1, steps=0), "steps"),
        (lambda: model_of().sample(0), "n"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
