"""Drift of two players: orders of the flows, identities of zero-sum games, published spectra, cancellation."""

import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surefoot.findings import Engine
from surefoot.findings.rules.game_cures import CANCEL_DRIFT
from surefoot.optim import DriftCancellingGame
from surefoot.optim.two_players import game_spectrum, modified_field, two_player_drift
from surefoot.runs import Event
from watching import watching


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


START = (vector(0.6, -0.3, 0.2), vector(-0.5, 0.8))


def loss1(phi, theta):
    return (phi[0] * theta[0] + torch.sin(phi[1] * theta[1])) + 0.3 * (phi**4).sum() + phi[2] * theta.sum() ** 2


def loss2(phi, theta):
    return torch.cosh(theta[0] - phi[1]) - 0.7 * phi[0] * theta[1] + 0.2 * (theta**3).sum() * phi[2]


def gradients(phi, theta):
    phi, theta = phi.requires_grad_(), theta.requires_grad_()
    return torch.autograd.grad(loss1(phi, theta), phi)[0], torch.autograd.grad(loss2(phi, theta), theta)[0]


def stepped(a, b, scheme):
    phi, theta = (v.clone() for v in START)
    g1, g2 = gradients(phi.clone(), theta.clone())
    phi = phi - a * g1
    if scheme == "alternating":
        g2 = gradients(phi.clone(), theta.clone())[1]
    return torch.cat([phi, theta - b * g2]).detach()


def flowed(a, b, scheme, drift):
    """A unit of time along the field, by Runge-Kutta."""

    def field(state):
        phi, theta = state[:3].clone().requires_grad_(), state[3:].clone().requires_grad_()
        losses = loss1(phi, theta), loss2(phi, theta)
        if drift:
            (v1,), (v2,) = modified_field(*losses, [phi], [theta], (a, b), scheme)
            return torch.cat([v1, v2]).detach()
        return -torch.cat([a * torch.autograd.grad(losses[0], phi)[0], b * torch.autograd.grad(losses[1], theta)[0]])

    x, n = torch.cat(START), 8
    for _ in range(n):
        k1 = field(x)
        k2 = field(x + k1 / 2 / n)
        k3 = field(x + k2 / 2 / n)
        k4 = field(x + k3 / n)
        x = x + (k1 + 2 * k2 + 2 * k3 + k4) / 6 / n
    return x


@pytest.mark.parametrize("scheme", ["simultaneous", "alternating"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_with_its_drift_the_flow_follows_a_step_to_third_order(scheme, ratio):
    for drift, order in ((True, 3.0), (False, 2.0)):
        ends = [(flowed(h, ratio * h, scheme, drift), stepped(h, ratio * h, scheme)) for h in (0.02, 0.01)]
        errors = [float((flow - step).norm()) for flow, step in ends]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def point():
    return tuple(v.clone().requires_grad_() for v in START)


def test_interaction_terms_by_a_double_loop():
    phi, theta = point()
    terms = two_player_drift(loss1(phi, theta), loss2(phi, theta), [phi], [theta], (0.1, 0.2))
    cross = torch.autograd.functional.hessian(loss1, (phi, theta))
    g1, g2 = gradients(*(v.clone() for v in START))
    torch.testing.assert_close(terms.self1[0], 0.1 / 2 * cross[0][0] @ g1)
    torch.testing.assert_close(terms.inter1[0], 0.2 / 2 * cross[0][1] @ g2)
    other = torch.autograd.functional.hessian(loss2, (phi, theta))
    torch.testing.assert_close(terms.inter2[0], 0.1 / 2 * other[1][0] @ g1)
    alternating = two_player_drift(loss1(phi, theta), loss2(phi, theta), [phi], [theta], (0.1, 0.2), "alternating")
    torch.testing.assert_close(alternating.inter2[0], -terms.inter2[0])
    torch.testing.assert_close(alternating.inter1[0], terms.inter1[0])
    own = two_player_drift(
        loss1(phi, theta), loss2(phi, theta), [phi], [theta], (0.1, 0.2), clock="own", updates=(2, 1)
    )
    torch.testing.assert_close(own.inter1[0], terms.inter1[0] / 2)
    torch.testing.assert_close(own.self1[0], terms.self1[0] / 2)


def test_in_a_zero_sum_game_the_interaction_raises_the_others_gradient():
    phi, theta = point()
    terms = two_player_drift(loss1(phi, theta), -loss1(phi, theta), [phi], [theta], (0.1, 0.1))
    (slope,) = torch.autograd.grad(loss1(phi, theta), theta, create_graph=True)
    (raised,) = torch.autograd.grad(slope.square().sum(), phi)
    torch.testing.assert_close(terms.inter1[0], -0.1 / 4 * raised)


def test_published_spectra_of_the_linear_game():
    def spectrum(e, scheme):
        return game_spectrum(torch.tensor([[-e, 1.0], [-1.0, -e]]), (1, 1), (0.2, 0.2), scheme)

    together, turns = spectrum(0.2, "simultaneous"), spectrum(0.2, "alternating")
    assert together.discrete == pytest.approx(0.98061, abs=1e-5)
    assert together.modified == pytest.approx(0.97941, abs=1e-5)
    assert together.flow == pytest.approx(0.96079, abs=1e-5)
    assert turns.discrete == pytest.approx(0.96000, abs=1e-5)
    assert turns.modified == pytest.approx(0.96002, abs=1e-5)
    weak = spectrum(0.09, "simultaneous")
    assert weak.flow < 1 < weak.modified == pytest.approx(1.00184, abs=1e-5)
    assert weak.discrete == pytest.approx(1.00216, abs=1e-5)
    assert spectrum(0.09, "alternating").discrete == pytest.approx(0.98200, abs=1e-5)


def dirac(cancel, steps, lr=0.1, scheme="simultaneous"):
    phi, theta = nn.Parameter(vector(1.0)), nn.Parameter(vector(1.0))

    def value():
        return F.softplus(phi * theta).sum()

    game = DriftCancellingGame(lambda b: -value(), lambda b: value(), [phi], [theta], lr, lr, scheme, cancel)
    for _ in range(steps):
        game.step()
    return float(torch.cat([phi, theta]).detach().norm())


def test_the_dirac_gan_spirals_out_and_cancelling_holds_it():
    assert dirac(0.0, 2000) == pytest.approx(3.225, abs=0.01)
    assert dirac(1.0, 2000) == pytest.approx(1.411, abs=0.01)
    assert dirac((0.05 + 0.6) / 0.05, 1000) < 1e-3


def test_a_cancelled_step_leaves_the_own_terms_alone():
    """Its error against the flow with self terms alone is of third order."""
    errors = []
    for h in (0.02, 0.01):
        phi, theta = (nn.Parameter(v.clone()) for v in START)
        game = DriftCancellingGame(
            lambda b, p=phi, t=theta: loss1(p, t), lambda b, p=phi, t=theta: loss2(p, t), [phi], [theta], h, h
        )
        game.step()

        def field(state, h=h):
            p, t = state[:3].clone().requires_grad_(), state[3:].clone().requires_grad_()
            losses = loss1(p, t), loss2(p, t)
            terms = two_player_drift(*losses, [p], [t], (h, h))
            g = torch.cat([torch.autograd.grad(losses[0], p)[0], torch.autograd.grad(losses[1], t)[0]])
            return -h * (g + torch.cat([terms.self1[0], terms.self2[0]]))

        x = torch.cat(START)
        k1 = field(x)
        k2 = field(x + k1 / 2)
        k3 = field(x + k2 / 2)
        x = x + (k1 + 2 * k2 + 2 * k3 + field(x + k3)) / 6
        errors.append(float((torch.cat([phi, theta]).detach() - x).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.15)


def test_alternating_steps_are_sgd_in_turn_when_nothing_is_cancelled():
    phi, theta = (nn.Parameter(v.clone()) for v in START)
    game = DriftCancellingGame(
        lambda b: loss1(phi, theta), lambda b: loss2(phi, theta), [phi], [theta], 0.1, 0.05, "alternating", 0.0
    )
    values = game.step()
    torch.testing.assert_close(torch.cat([phi, theta]).detach(), stepped(0.1, 0.05, "alternating"))
    assert float(values[0]) == pytest.approx(float(loss1(*START)))
    assert phi.grad is None


def test_the_split_estimator_is_unbiased_and_the_other_is_off_by_the_covariance():
    """L₁ = mean(b) φ θ, L₂ = mean(b) θ: the product of the means has expectation E[b]², of one batch E[mean(b)²]."""
    rows, found = 8, {}
    for estimator in ("split", "biased"):
        generator = torch.Generator().manual_seed(0)
        total = 0.0
        for _ in range(600):
            batch = 1 + torch.randn(rows, generator=generator, dtype=torch.float64)
            phi, theta = nn.Parameter(vector(0.5)), nn.Parameter(vector(0.0))
            game = DriftCancellingGame(
                lambda b, p=phi, t=theta: b.mean() * p.sum() * t.sum(), lambda b, t=theta: b.mean() * t.sum(),
                [phi], [theta], 1.0, 1.0, cancel=1.0, estimator=estimator,
            )  # fmt: skip
            game.step(batch)
            total += float(phi.detach()) - 0.5  # its own slope is zero: + ½ · (b θ̇-factor)
        found[estimator] = total / 600
    assert found["split"] == pytest.approx(0.5, abs=0.05)
    assert found["biased"] == pytest.approx(0.5 * (1 + 1 / rows), abs=0.05)


P, T = nn.Parameter(vector(1.0)), nn.Parameter(vector(1.0))


def game(**options):
    given = {"params1": [P], "params2": [T], "lr1": 0.1, "lr2": 0.1} | options
    return DriftCancellingGame(lambda b: (P * T).sum(), lambda b: (P * T).sum(), **given)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: game(lr1=0.0), "lrs"),
        (lambda: game(params2=[P]), "params1, params2"),
        (lambda: game(scheme="chess"), "scheme"),
        (lambda: game(cancel=-1.0), "cancel"),
        (lambda: game(estimator="third"), "estimator"),
        (lambda: game(estimator="split").step(3), "batch"),
        (lambda: game(estimator="split").step(torch.ones(1)), "batch"),
        (lambda: game_spectrum(torch.eye(3), (1, 1), (0.1, 0.1)), "jacobian"),
        (lambda: two_player_drift((P * T).sum(), (P * T).sum(), [P], [T], (0.1, 0.1), clock="sun"), "clock"),
        (lambda: two_player_drift((P * T).sum(), (P * T).sum(), [P], [T], (0.1, 0.1), updates=(0, 1)), "updates"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}:"):
        call()


@pytest.mark.parametrize("cancel", [2.0, 4.0])
def test_how_long_a_step_may_be_where_more_than_the_drift_is_cancelled(cancel):
    """Of a bilinear game of coupling 1: h² < (4/c)(1 − 1/c)."""
    limit = math.sqrt(4 / cancel * (1 - 1 / cancel))
    for share, home in ((0.97, True), (1.03, False)):
        phi, theta = (nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in range(2))
        lr = share * limit
        game = DriftCancellingGame(lambda b: phi * theta, lambda b: -phi * theta, [phi], [theta], lr, lr, cancel=cancel)  # noqa: B023
        for _ in range(60):
            game.step()
        assert (float(torch.hypot(phi, theta).detach()) < math.sqrt(2)) == home


def _played(build, cancel: float, steps: int = 500) -> tuple[list[str], float]:
    """What is found above info of a Dirac GAN under plain steps that go through a game, and how far from home it is."""
    phi, theta = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.ones_(phi.weight)
    nn.init.ones_(theta.weight)
    score = lambda _: F.softplus(phi.weight * theta.weight).sum()  # noqa: E731
    with watching(12) as seen:
        game = build(score, lambda b: -score(b), phi, theta, cancel=cancel)
        for _ in range(steps):
            game.step()
    engine = Engine()
    engine.feed_all(seen.rows, [Event(step, kind, data) for step, kind, data in seen.events])
    away = float(torch.hypot(phi.weight, theta.weight).detach())
    return [f.id for f in engine.findings if f.severity != "info"], away


def test_the_cure_that_adversarial_rotation_names_ends_it():
    names: dict = {}
    exec(CANCEL_DRIFT.how, names)
    found, away = _played(names["cancelling"], 0.0)
    assert "adversarial-rotation" in found and away > 1.5
    found, away = _played(names["cancelling"], 4.0)
    assert not found and away < 0.3
