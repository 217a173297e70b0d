"""Gradient-normalised Newton: closed forms, invariances, the published counts of iterations, the optimiser."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surefoot.optim import GradNormNewton
from surefoot.solvers import (
    LogisticRegression,
    LogSumExp,
    LowRank,
    PowerResidual,
    SoftmaxRegression,
    gamma_from_search,
    minimize,
    progress_condition,
    sampled_gamma,
)
from surefoot.solvers.gradient_normalized import search
from surefoot.solvers.shifted import Metric, ShiftedSystem


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive(n, seed=0):
    a = draw(n, n, seed=seed)
    return a @ a.T / n


def rosenbrock(x):
    return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)])


def chebyshev(x):
    return torch.cat([(1 - x[:1]) / 2, x[1:] - (2 * x[:-1] ** 2 - 1)])


# -- one step --------------------------------------------------------------------------------------------------------


def test_without_curvature_a_step_has_length_gamma():
    g = draw(5)
    for gamma in (0.1, 3.0):
        trial = search(
            lambda x: (-1e9, g), torch.zeros(5).double(), 0.0, g, torch.zeros(5, 5).double(), Metric(), gamma
        )
        torch.testing.assert_close(trial.x, -gamma * g / g.norm(), rtol=1e-7, atol=1e-7)
        assert trial.gamma == 2 * gamma


def test_a_quadratic_is_solved_at_once_from_a_large_gamma():
    a, b = positive(6) + 0.1 * torch.eye(6).double(), draw(6, seed=1)
    found = minimize(lambda x: 0.5 * x @ a @ x - b @ x, torch.zeros(6).double(), gamma0=1e12)
    torch.testing.assert_close(found.x, torch.linalg.solve(a, b))
    assert found.nit == 1 and found.success
    assert set(minimize(lambda x: 0.5 * x @ a @ x - b @ x, torch.zeros(6).double()).probes) == {1}


@pytest.mark.parametrize("metric", [None, draw(5, seed=3).abs() + 0.1, positive(5, seed=4) + torch.eye(5).double()])
def test_a_step_is_never_longer_than_gamma_and_goes_down(metric):
    space, h, g = Metric(metric), positive(5, seed=5), draw(5, seed=6)
    for gamma in (1e-3, 1.0, 50.0):
        damping = space.dual_norm(g) / gamma
        s = -ShiftedSystem(h, g, space).solve(damping)
        assert space.norm(s) <= gamma * (1 + 1e-10)
        assert float(s @ h @ s + g @ s) == pytest.approx(-damping * space.norm(s) ** 2, rel=1e-10)


@pytest.mark.parametrize("metric", [None, draw(7, seed=3).abs() + 0.1, positive(7, seed=4) + torch.eye(7).double()])
def test_low_rank_and_products_solve_what_a_matrix_does(metric):
    u, g, space = draw(7, 2, seed=1), draw(7, seed=2), Metric(metric)
    h = u @ u.T
    for damping in (1e-2, 1.0, 30.0):
        exact = ShiftedSystem(h, g, space).solve(damping)
        torch.testing.assert_close(ShiftedSystem(LowRank(u), g, space).solve(damping), exact, rtol=1e-9, atol=1e-10)
        found = ShiftedSystem(lambda v: h @ v, g, space, tol=1e-12).solve(damping)
        torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-9)
    one = u[:, :1]  # Sherman and Morrison's formula
    inverse = space.inverse(g), space.inverse(one[:, 0])
    by_hand = inverse[0] / 3 - inverse[1] * float(one[:, 0] @ inverse[0]) / 9 / (1 + float(one[:, 0] @ inverse[1]) / 3)
    torch.testing.assert_close(ShiftedSystem(LowRank(one), g, space).solve(3.0), by_hand)


def test_values_that_are_not_finite_reject_a_trial():
    """The logarithm's barrier: a step beyond it has no value."""
    found = minimize(lambda x: x.sum() - torch.log(x).sum(), vector(5.0, 9.0), gamma0=100.0)
    torch.testing.assert_close(found.x, vector(1.0, 1.0), atol=1e-7, rtol=0)
    assert max(found.probes) > 1
    assert not progress_condition(1.0, math.nan, 1.0, 1.0, 1.0) and not progress_condition(1.0, 0.0, 1.0, math.inf, 1.0)


def test_a_hessian_that_is_not_positive_is_lifted():
    wells = minimize(lambda x: (x**4 / 4 - x**2 / 2).sum(), vector(0.1, -0.2))  # concave between the wells
    torch.testing.assert_close(wells.x, vector(1.0, -1.0))
    o = PowerResidual(chebyshev, 4)
    found = minimize(o.f, -0.5 * torch.ones(3).double(), o.grad, o.hess, target=1e-10, grad_tol=0.0)
    assert found.success
    assert all(b <= a for a, b in pairwise(found.values))


# -- γ ---------------------------------------------------------------------------------------------------------------


def test_gamma_of_a_cubic_in_closed_form():
    for x in (0.5, 2.0):
        options = {"directions": 1, "radii": np.geomspace(x / 4, 8 * x, 1500)}
        h = torch.tensor([[x]], dtype=torch.float64)
        free = sampled_gamma(lambda t: t * t.abs() / 2, vector(x), h, restrict=False, **options)
        assert free == pytest.approx(x, rel=0.01)
        assert sampled_gamma(lambda t: t * t.abs() / 2, vector(x), h, **options) == pytest.approx(2 * x, rel=0.01)


def test_the_search_finds_a_gamma_of_the_order_of_the_sampled_one():
    """What it accepts may be larger, for progress is less than what a trusted radius gives, never by orders."""
    o = PowerResidual(rosenbrock, 4)
    x = vector(-1.0, 2.0)
    h = o.inexact(x)
    trusted = sampled_gamma(o.grad, x, h, directions=16, radii=np.geomspace(1e-3, 1e2, 60))
    accepted = gamma_from_search(lambda y: (float(o.f(y)), o.grad(y)), x, h, gamma0=1e6)
    assert accepted >= trusted / 2.5


def test_scale_of_the_function_and_basis_of_the_space_change_nothing():
    o = PowerResidual(rosenbrock, 4)
    plain = minimize(o.f, vector(-2.0, 2.0), o.grad, o.inexact, max_iter=20)
    seven = [lambda x, part=part: 7 * part(x) for part in (o.f, o.grad, o.inexact)]
    scaled = minimize(seven[0], vector(-2.0, 2.0), seven[1], seven[2], max_iter=20)
    np.testing.assert_allclose(scaled.gamma_history, plain.gamma_history, rtol=1e-6)
    torch.testing.assert_close(scaled.x, plain.x)
    q = vector(2.0, 1.0, 0.5, 3.0).reshape(2, 2)  # x = q y
    moved = minimize(
        lambda y: o.f(q @ y), torch.linalg.solve(q, vector(-2.0, 2.0)),
        hess=lambda y: q.T @ o.inexact(q @ y) @ q, metric=q.T @ q, max_iter=20,
    )  # fmt: skip
    torch.testing.assert_close(q @ moved.x, plain.x)


# -- problems --------------------------------------------------------------------------------------------------------


def classification(classes=2):
    a = draw(30, 3, seed=1)
    y = torch.randint(classes, (30,), generator=torch.Generator().manual_seed(2))
    return a, y


ROWS = draw(6, 3)
ORACLES = {
    "log-sum-exp": lambda: (LogSumExp(draw(9, 4), draw(9, seed=1), 0.7), 4),
    "power": lambda: (PowerResidual(rosenbrock, 3.5), 2),
    "linear power": lambda: (PowerResidual(lambda x: ROWS @ x - 1, 4, linear=True), 3),
    "logistic": lambda: (LogisticRegression(classification()[0], 2 * classification()[1] - 1, 0.1), 3),
    "softmax": lambda: (SoftmaxRegression(*classification(3), 3, 0.1), 9),
}


@pytest.mark.parametrize("name", ORACLES)
def test_gradients_and_hessians_are_autograds(name):
    oracle, n = ORACLES[name]()
    x = draw(n, seed=7)
    torch.testing.assert_close(oracle.grad(x), torch.func.grad(oracle.f)(x))
    torch.testing.assert_close(oracle.hess(x), torch.func.hessian(oracle.f)(x))


def test_what_the_approximations_leave_out():
    o, n = ORACLES["log-sum-exp"]()
    x = draw(n, seed=7)
    g = o.grad(x)
    torch.testing.assert_close(o.weighted_gn(x) - o.hess(x), torch.outer(g, g) / 0.7)
    (a, y), x = classification(), draw(3, seed=8)
    logistic = LogisticRegression(a, 2 * y - 1)
    q = torch.sigmoid(-(2 * y - 1) * (a @ x))
    torch.testing.assert_close(logistic.fisher(x) - logistic.hess(x), a.T @ ((q**2 - q * (1 - q))[:, None] * a) / 30)
    a, y = classification(3)
    soft, x = SoftmaxRegression(a, y, 3), draw(9, seed=9)
    each = torch.stack([torch.func.grad(SoftmaxRegression(a[i : i + 1], y[i : i + 1], 3).f)(x) for i in range(30)])
    torch.testing.assert_close(soft.fisher(x), each.T @ each / 30)
    square = PowerResidual(rosenbrock, 2)
    assert not square.fisher(vector(0.3, 0.4)).factor.any()


@pytest.mark.parametrize(("p", "exact", "inexact"), [(2, 51, 49), (3, 53, 50), (4, 55, 55), (5, 56, 57), (6, 58, 57)])
def test_rosenbrock_takes_the_published_number_of_steps(p, exact, inexact):
    o = PowerResidual(rosenbrock, p)
    for hess, expected in ((o.hess, exact), (o.inexact, inexact)):
        options = {"target": 1e-8, "grad_tol": 0.0}
        found = minimize(o.f, vector(-2.0, 2.0), o.grad, hess, doubling="always", **options)
        assert found.success and abs(found.nit - expected) <= 1
        assert found.n_solves <= 2.2 * found.nit + 10
        assert len(found.values) == found.nit + 1 == len(found.gamma_history) + 1
        steps = zip(pairwise(found.values), pairwise(found.grad_norms), found.gamma_history, strict=True)
        assert all(progress_condition(*f, *g, gamma * (1 - 1e-9)) for f, g, gamma in steps)
    assert len(found.plot().data) == 2


def test_products_alone_take_about_as_many_steps():
    o, n = ORACLES["softmax"]()
    dense = minimize(o.f, torch.ones(n).double(), o.grad, o.hess, grad_tol=1e-9)
    free = minimize(o.f, torch.ones(n).double(), o.grad, lambda x: o.hess(x).mv, grad_tol=1e-9)
    assert dense.success and free.success and abs(free.nit - dense.nit) <= 5


@pytest.mark.parametrize("metric", [None, draw(30, seed=4).abs() + 0.1])
def test_a_second_shift_takes_no_further_product(metric):
    h, g, space = positive(30), draw(30, seed=1), Metric(metric)
    products = []
    system = ShiftedSystem(lambda v: products.append(1) or h @ v, g, space, tol=1e-6)
    for shift, again in ((0.5, True), (1.0, False), (2.0, False), (0.5, False)):
        before = len(products)
        residual = h @ (s := system.solve(shift)) + shift * space.apply(s) - g
        assert space.dual_norm(residual) <= 1.01e-6 * space.dual_norm(g)
        assert (len(products) > before) == again
    assert len(products) < 30 and system.solves == 4
    assert ShiftedSystem(lambda v: -v, g, space).solve(0.1) is None


def test_gamma_doubles_where_the_step_earned_it():
    o = PowerResidual(rosenbrock, 5)
    found, always = (
        minimize(o.f, vector(-2.0, 2.0), o.grad, o.hess, target=1e-8, grad_tol=0.0, doubling=doubling)
        for doubling in ("earned", "always")
    )
    for i, (now, then) in enumerate(pairwise(found.gamma_history)):
        f, g = found.values[i : i + 2], found.grad_norms[i : i + 2]
        begun = 2 * now if progress_condition(*f, *g, 2 * now) else now
        assert then == pytest.approx(begun / 2 ** (found.probes[i + 1] - 1), rel=1e-5)
    assert found.nit <= always.nit + 2 and found.n_solves < 0.8 * always.n_solves


def test_how_it_ends():
    steep = minimize(lambda x: x.sum(), vector(0.0), max_iter=3)
    assert steep.status == "max_iter" and steep.nit == 3 and not steep.success
    assert minimize(lambda x: x.log().sum(), vector(-1.0)).status == "nonfinite"
    wrong = minimize(lambda x: x.square().sum(), vector(1.0), jac=lambda x: -2 * x, max_probes=5)
    assert wrong.status == "search_failed" and wrong.nit == 0


# -- the optimiser ---------------------------------------------------------------------------------------------------


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


DATA = (draw(40, 4, seed=3), torch.arange(40) % 3)


@pytest.mark.parametrize(
    ("hessian", "solver"),
    [("ggn", "cholesky"), ("ggn", "cg"), ("fisher", "woodbury"), ("fisher", "cholesky"), ("exact", "cholesky")],
)
def test_a_network_is_trained(hessian, solver):
    model = net()
    optimizer = GradNormNewton(model.parameters(), hessian=hessian, solver=solver)

    def closure():
        outputs = model(DATA[0])
        loss = F.cross_entropy(outputs, DATA[1])
        return (loss, outputs) if hessian != "exact" else loss

    losses = [float(optimizer.step(closure)) for _ in range(20)]
    assert all(b <= a + 1e-12 for a, b in pairwise(losses))
    assert losses[-1] < 0.75 * losses[0]
    assert optimizer.history[-1].solves >= 1 and optimizer.gamma > 0
    assert all(p.grad is None for p in model.parameters())


def test_woodbury_and_the_dense_fisher_take_the_same_steps():
    ends = []
    for solver in ("woodbury", "cholesky"):
        model = net()
        optimizer = GradNormNewton(model.parameters(), hessian="fisher", solver=solver)

        def closure(model=model):
            outputs = model(DATA[0])
            return F.cross_entropy(outputs, DATA[1]), outputs

        for _ in range(5):
            optimizer.step(closure)
        ends.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8)


def test_the_optimiser_takes_the_steps_of_minimize():
    (a, y), x = classification(), nn.Parameter(torch.zeros(3).double())
    o = LogisticRegression(a, 2 * y - 1, 0.01)
    optimizer = GradNormNewton([x])
    while optimizer.status == "running":
        optimizer.step(lambda: o.f(x))
    found = minimize(o.f, torch.zeros(3).double(), o.grad, o.hess)
    assert optimizer.status == "converged" and len(optimizer.history) == found.nit
    torch.testing.assert_close(x.detach(), found.x)
    np.testing.assert_allclose([s.gamma for s in optimizer.history], found.gamma_history, rtol=1e-6)


def test_its_radius_is_saved_and_its_curvature_can_be_ones_own():
    x = nn.Parameter(vector(-2.0, 2.0))
    o = PowerResidual(rosenbrock, 4)
    optimizer = GradNormNewton([x], hessian=lambda loss: o.inexact(x.detach()))
    for _ in range(5):
        optimizer.step(lambda: o.f(x))
    again = GradNormNewton([nn.Parameter(x.detach().clone())])
    again.load_state_dict(optimizer.state_dict())
    assert again.gamma == optimizer.gamma != 1.0
    steps = minimize(o.f, vector(-2.0, 2.0), o.grad, o.inexact, max_iter=5)
    torch.testing.assert_close(x.detach(), steps.x)


def _step(closure, **options):
    x = nn.Parameter(vector(1.0, 2.0))
    return GradNormNewton([x], **options).step(closure and (lambda: closure(x)))


def _backward(x):
    loss = x.square().sum() ** 2
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: minimize(lambda x: x.sum(), torch.ones(2, 2)), "x0"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), gamma0=0), "gamma0"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), doubling="never"), "doubling"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), gamma_min=0), "gamma_min"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), max_probes=0), "max_probes, max_iter"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), metric=vector(-1.0)), "metric"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0, 1.0), metric=-torch.eye(2).double()), "metric"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), hess=lambda x: torch.eye(2).double()), "hess"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0, 1.0), hess=lambda x: draw(2, 2)), "hess"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), hess=lambda x: LowRank(draw(2, 1))), "hess"),
        (lambda: minimize(lambda x: x.sum(), vector(1.0), hess=lambda x: 3), "hess"),
        (lambda: LogSumExp(draw(3, 2), draw(3), 0), "mu"),
        (lambda: LogSumExp(draw(3, 2), draw(2)), "a, b"),
        (lambda: PowerResidual(rosenbrock, 1), "p"),
        (lambda: LogisticRegression(draw(3, 2), torch.tensor([0, 1, 1])), "y"),
        (lambda: LogisticRegression(draw(3, 2), torch.ones(2)), "a, y"),
        (lambda: LogisticRegression(draw(3, 2), torch.ones(3), -1.0), "l2"),
        (lambda: SoftmaxRegression(draw(3, 2), torch.tensor([0, 1, 2]), 2), "y"),
        (lambda: sampled_gamma(lambda x: x, vector(1.0), torch.eye(1).double(), directions=-1), "directions"),
        (lambda: sampled_gamma(lambda x: x, vector(1.0), torch.eye(1).double(), radii=[0.0]), "radii"),
        (lambda: gamma_from_search(lambda x: (0.0, x), vector(1.0), torch.eye(1).double(), gamma0=0), "gamma0"),
        (lambda: _step(None), "closure"),
        (lambda: _step(lambda x: x), "loss_fn"),
        (lambda: _step(lambda x: x.detach().sum()), "closure"),
        (lambda: _step(lambda x: x.sum(), hessian="ggn"), "closure"),
        (lambda: _step(_backward), "closure"),
        (lambda: _step(None, hessian="full"), "hessian"),
        (lambda: _step(None, solver="lu"), "solver"),
        (lambda: _step(None, solver="woodbury"), "solver"),
        (lambda: _step(None, gamma0=-1.0), "gamma0, gamma_min"),
        (lambda: _step(None, max_probes=0), "max_probes"),
        (lambda: GradNormNewton([{"params": [p]} for p in net().parameters()]), "params"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises((ValueError, RuntimeError), match=rf"^{re.escape(name)}:"):
        call()
