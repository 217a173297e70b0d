"""Drift of gradient descent: closed forms of the flows, their orders, DAL on quadratics, geometric complexity."""

import copy
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surefoot.analysis.drift import (
    alpha_pf,
    flow_field,
    geometric_complexity,
    integrate_flow,
    principal_flow,
    quadratic_flow,
    stability_coefficients,
)
from surefoot.findings import Engine
from surefoot.optim import DAL, drift_norm
from surefoot.runs import Event
from surefoot.studies.problems.digits import digits
from watching import watching


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_alpha():
    assert alpha_pf(0) == -1
    assert alpha_pf(0.5) == pytest.approx(-1.386294, abs=1e-6)
    assert alpha_pf(1.5) == pytest.approx(-0.462098 + 2.094395j, abs=1e-6)
    assert alpha_pf(3) == pytest.approx(0.231049 + 1.047198j, abs=1e-6)
    assert alpha_pf(2).real == pytest.approx(0, abs=1e-12)
    assert alpha_pf(1).real < -20 and math.isfinite(alpha_pf(1).real)
    for z in (-3.0, 9.9e-4, 1.1e-3, 0.9, 1.4, 7.0):
        assert alpha_pf(z).real == pytest.approx(math.log(abs(1 - z)) / z, rel=1e-9)
        shifted = z + 0.3j
        assert alpha_pf(shifted.conjugate()) == pytest.approx(alpha_pf(shifted).conjugate())


def test_the_principal_flow_is_gradient_descent_on_a_quadratic():
    """h = 0.9, E = x² + 0.01 y²: oscillating in x; the published point after five steps."""
    hessian = torch.diag(vector(2.0, 0.02))
    start, h = vector(-0.35, -0.2), 0.9
    x = start
    for _ in range(5):
        x = x - h * (hessian @ x)
    torch.testing.assert_close(x, vector(0.114688, -0.182636), atol=1e-6, rtol=0)
    torch.testing.assert_close(quadratic_flow(hessian, start, h, 5 * h), x, atol=1e-12, rtol=0)
    assert abs(float(quadratic_flow(hessian, start, h, 5 * h, "igr")[0])) < 1e-7
    assert float(quadratic_flow(hessian, start, h, 5 * h, "ngf")[0]) == pytest.approx(-4.3e-5, rel=0.02)
    a = draw(4, 4)
    hessian, start = a @ a.T / 4, draw(4, seed=1)
    h = 2.5 / float(torch.linalg.eigvalsh(hessian)[-1])  # diverging
    x = start
    for _ in range(6):
        x = x - h * (hessian @ x)
    torch.testing.assert_close(quadratic_flow(hessian, start, h, 6 * h), x, rtol=1e-10, atol=1e-10)


def quartic(x):
    return 0.3 * (x**4).sum() + (x[0] * x[1]) ** 2 + torch.cosh(x[0] - 0.5 * x[1])


@pytest.mark.parametrize(("order", "expected"), [("ngf", 2), ("igr", 3), ("third", 4)])
def test_a_step_is_followed_to_the_order_of_the_flow(order, expected):
    start = vector(0.7, -0.4)
    errors = []
    for h in (0.04, 0.02, 0.01):
        step = start - h * torch.func.grad(quartic)(start)
        errors.append(float((integrate_flow(flow_field(quartic, h, order), start, h, 20) - step).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(expected, abs=0.2)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(expected, abs=0.1)


def test_the_principal_flow_follows_better_than_the_gradient_flow_beyond_quadratics():
    start, h = vector(0.7, -0.4), 0.05
    step = start - h * torch.func.grad(quartic)(start)
    pf, ngf = (integrate_flow(flow_field(quartic, h, order), start, h, 20) for order in ("pf", "ngf"))
    assert float((pf - step).norm()) < 0.1 * float((ngf - step).norm())
    small = principal_flow(draw(3), torch.eye(3).double(), 1e-8)
    torch.testing.assert_close(small.real, -draw(3), rtol=1e-6, atol=0)


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


DATA = (draw(40, 4, seed=3), torch.arange(40) % 3)


def test_stability_coefficients_by_the_dense_hessian():
    model = net()
    weights = list(model.parameters())
    slopes = torch.autograd.grad(F.cross_entropy(model(DATA[0]), DATA[1]), weights, create_graph=True)
    g = torch.cat([s.reshape(-1) for s in slopes])
    h = torch.stack([torch.cat([r.reshape(-1) for r in torch.autograd.grad(s, weights, retain_graph=True)]) for s in g])
    values, vectors = torch.linalg.eigh(h)
    lr = 2.6 / float(values[-1])
    found = stability_coefficients(model, F.cross_entropy, DATA, lr, k=len(g))
    along = (vectors.T @ g.detach()).numpy()
    expected = np.array([alpha_pf(lr * v).real for v in values.tolist()]) * along**2
    assert found.change == pytest.approx(expected.sum(), rel=1e-4)
    assert found.eigenvalues[0] == pytest.approx(float(values[-1]), rel=1e-6)
    assert found.unstable[0] and not found.unstable[1:].any()
    assert found.coefficients[0].real > 0 and found.rest == pytest.approx(0, abs=1e-9)
    assert len(found.plot().data) == 1
    gentle = stability_coefficients(model, F.cross_entropy, DATA, 1e-6, k=2)
    assert gentle.change == pytest.approx(-float(g.detach() @ g.detach()), rel=1e-4)
    assert not gentle.unstable.any() and 0 < gentle.rest < 1


# -- DAL -------------------------------------------------------------------------------------------------------------


def steps(loss_of, start, count=1, **options):
    x = nn.Parameter(start.clone())
    optimizer = DAL([x], **options)
    losses = [float(optimizer.step(lambda: loss_of(x))) for _ in range(count)]
    return x.detach(), optimizer, losses


def test_along_an_eigenvector_the_rate_is_the_edge_of_stability():
    curvature = vector(5.0, 0.5)
    x, optimizer, _ = steps(lambda x: 0.5 * (curvature * x.square()).sum(), vector(1.0, 0.0))
    assert float(optimizer.lr) == pytest.approx(2 / 5)
    assert float(optimizer.drift) == pytest.approx(5)
    torch.testing.assert_close(x, vector(-1.0, 0.0))
    _, flatter, _ = steps(lambda x: 0.5 * (curvature * x.square()).sum(), vector(1.0, 0.0), p=0.5)
    assert float(flatter.lr) == pytest.approx(2 / 5**0.5)


def test_scaling_the_loss_scales_the_rate_back():
    plain, scaled = (steps(lambda x, c=c: c * quartic(x), vector(0.7, -0.4), 3) for c in (1.0, 7.0))
    assert float(scaled[1].lr) == pytest.approx(float(plain[1].lr) / 7)
    torch.testing.assert_close(scaled[0], plain[0])


def test_where_the_loss_is_flat_the_rate_is_bounded_and_nothing_is_nan():
    still, optimizer, _ = steps(lambda x: x.square().sum(), vector(0.0, 0.0))
    assert float(optimizer.lr) == 5 and torch.equal(still, vector(0.0, 0.0))
    moved, _, _ = steps(lambda x: x.sum(), vector(0.0), max_lr=3.0)
    assert float(moved) == -3


def test_drift_norm_is_the_hessian_along_the_unit_gradient():
    x = vector(0.7, -0.4).requires_grad_()
    gradients, drift = drift_norm(quartic(x), [x])
    g, h = torch.func.grad(quartic)(x.detach()), torch.func.hessian(quartic)(x.detach())
    torch.testing.assert_close(gradients[0], g)
    assert float(drift) == pytest.approx(float((h @ g / g.norm()).norm()))
    eps = 1e-5
    ahead, behind = (torch.func.grad(quartic)(x.detach() + sign * eps * g / g.norm()) for sign in (1, -1))
    along = (ahead - behind) / (2 * eps)
    assert float(drift) == pytest.approx(float(along.norm()), rel=1e-6)


def test_it_trains_a_net_and_keeps_momentum_decay_and_window():
    model = net()
    optimizer = DAL(model.parameters())
    losses = [float(optimizer.step(lambda: F.cross_entropy(model(DATA[0]), DATA[1]))) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is None for p in model.parameters())

    def bowl(x):
        return 0.5 * x.square().sum()

    x, windowed, _ = steps(bowl, vector(1.0), 2, lr=0.1, window=(2, 2), max_lr=1.0)
    assert float(x) == pytest.approx(0.9 - 1.0 * 0.9)
    heavy, _, _ = steps(bowl, vector(1.0), 2, lr=0.1, window=(9, 9), momentum=0.9)
    reference = nn.Parameter(vector(1.0))
    sgd = torch.optim.SGD([reference], 0.1, momentum=0.9)
    for _ in range(2):
        sgd.zero_grad()
        bowl(reference).backward()
        sgd.step()
    torch.testing.assert_close(heavy, reference.detach())
    decayed, _, _ = steps(lambda x: x.sum() * 0, vector(2.0), lr=0.1, window=(9, 9), weight_decay=0.5)
    assert float(decayed) == pytest.approx(2 - 0.1 * 0.5 * 2)
    state = windowed.state_dict()
    DAL([nn.Parameter(vector(1.0))]).load_state_dict(state)


# -- smoothness ------------------------------------------------------------------------------------------------------


def test_geometric_complexity_of_a_linear_map_and_by_the_jacobian():
    linear = nn.Linear(4, 3).double()
    x = draw(10, 4)
    expected = float(linear.weight.detach().square().sum())
    assert geometric_complexity(linear, x, chunk=3) == pytest.approx(expected)
    assert geometric_complexity(linear, x, method="hutchinson", probes=4000) == pytest.approx(expected, rel=0.05)
    model = net()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(row[None])[0]))(x)
    assert geometric_complexity(model, x) == pytest.approx(float(jacobian.detach().square().sum()) / 10)


def _dal(closure=None, **options):
    x = nn.Parameter(vector(1.0))
    return DAL([x], **options).step(closure and (lambda: closure(x)))


def _backward(x):
    loss = x.square().sum() ** 2
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: flow_field(quartic, 0.0, "pf"), "h"),
        (lambda: flow_field(quartic, 0.1, "fifth"), "order"),
        (lambda: quadratic_flow(torch.eye(2).double(), vector(1.0, 1.0), 0.1, 1.0, "fifth"), "order"),
        (lambda: principal_flow(vector(1.0), torch.eye(1).double(), -1.0), "h"),
        (lambda: integrate_flow(lambda x: x, vector(1.0), -1.0), "time, steps"),
        (lambda: stability_coefficients(net(), F.cross_entropy, DATA, 0.0), "lr"),
        (lambda: geometric_complexity(net(), torch.zeros(0, 4)), "inputs"),
        (lambda: geometric_complexity(net(), draw(2, 4), method="guess"), "method"),
        (lambda: geometric_complexity(net(), draw(2, 4), probes=0), "probes, chunk"),
        (lambda: _dal(p=2.0), "p"),
        (lambda: _dal(max_lr=0.0), "max_lr, lr"),
        (lambda: _dal(momentum=1.0), "momentum"),
        (lambda: _dal(weight_decay=-1.0), "weight_decay"),
        (lambda: _dal(window=(3, 2)), "window"),
        (lambda: _dal(), "closure"),
        (lambda: _dal(lambda x: x.detach().sum()), "closure"),
        (lambda: _dal(_backward), "closure"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises((ValueError, RuntimeError), match=rf"^{re.escape(name)}:"):
        call()


def test_the_cure_that_a_rate_too_high_names_trains():
    """Curvature was measured beyond the limit: DAL is named, pasted, and goes down where the rate went up."""
    data = digits(0, test_share=0.0)
    x, y = data.x_train[:200], data.y_train[:200]
    torch.manual_seed(0)
    names: dict = {"model": nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)), "loss_fn": F.cross_entropy}
    begun = copy.deepcopy(names["model"].state_dict())
    optimizer = names["optimizer"] = torch.optim.SGD(names["model"].parameters(), 4.0)
    with watching(4) as seen:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(names["model"](x), y).backward()
            optimizer.step()
    engine = Engine()
    engine.feed_all(seen.rows, [Event(step, kind, data) for step, kind, data in seen.events])
    (found,) = [f for f in engine.findings if f.id == "learning-rate-too-high"]
    (cure,) = [remedy for remedy in found.remedies if remedy.name == "surefoot.optim.DAL"]
    names["model"].load_state_dict(begun)
    exec(cure.how, names)
    losses = [float(names["train_step"](x, y)) for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0] and max(b - a for a, b in pairwise(losses)) < 0.05 * losses[0]
