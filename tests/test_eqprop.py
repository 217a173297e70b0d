"""Equilibrium propagation: closed forms, references, schemes, settling, training, and what a report says."""

from __future__ import annotations

import itertools
import math
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from surefoot.analysis.nudging import nudge_report, smallest_curvature
from surefoot.nn.eqprop import (
    ConvHopfield,
    CrossEntropyReadout,
    EnergyModel,
    EqPropTrainer,
    LayeredHopfield,
    SettleError,
    Settling,
    SquaredError,
    bptt_grad,
    contrast,
    eqprop_grad,
    implicit_grad,
    settle,
    stdp_trace,
)
from surefoot.nn.eqprop.methods import Total, dense_hessian, flatten, split
from watching import watching

EXACT = Settling(60, tol=1e-13, method="newton")
LONG = Settling(4000, 0.5, 1e-12)


class Quadratic(EnergyModel):
    """E = ½ sᵀ A s − sᵀ (W x + b)."""

    def __init__(self, a: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        self.a, self.w, self.b = (nn.Parameter(t) for t in (a, w, b))

    def initial(self, x: Tensor) -> list[Tensor]:
        return [x.new_zeros(len(x), len(self.b))]

    def energy(self, state: list[Tensor], x: Tensor) -> Tensor:
        s = state[0]
        return 0.5 * (s @ self.a * s).sum(1) - (s * (x @ self.w.T + self.b)).sum(1)


def scalar(a: float, u: float) -> Quadratic:
    one = torch.ones(1, 1, dtype=torch.float64)
    return Quadratic(a * one, 0 * one, torch.tensor([u], dtype=torch.float64))


def smooth_net(scale: float = 0.4, sizes: tuple[int, ...] = (5, 7, 3)) -> tuple[LayeredHopfield, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = LayeredHopfield(sizes, "sigmoid4", dtype=torch.float64)
    with torch.no_grad():
        for weight in model.weights:
            weight.copy_(scale * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    x = torch.rand(4, sizes[0], dtype=torch.float64, generator=generator)
    return model, x, torch.rand(4, sizes[-1], dtype=torch.float64, generator=generator)


def hard_net(gain: float = 0.5, sizes: tuple[int, ...] = (6, 9, 7, 4)) -> tuple[LayeredHopfield, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    model = LayeredHopfield(sizes, gain=gain, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for bias in model.biases:
            bias.fill_(0.3)
    x = torch.rand(5, sizes[0], dtype=torch.float64, generator=generator)
    return model, x, torch.rand(5, sizes[-1], dtype=torch.float64, generator=generator)


def vector(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return float((vector(a) - vector(b)).norm() / vector(b).norm())


# ---- closed forms ----


@pytest.mark.parametrize(("beta", "one_sided", "symmetric"), [(0.5, 2 / 3, 4 / 3), (0.1, 0.9090909, 1.0101010)])
def test_scalar_quadratic(beta, one_sided, symmetric):
    model = scalar(1.0, 0.7)
    x, d = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 0.2, dtype=torch.float64)
    true = 0.7 - 0.2  # (u − a d) / a²
    how = {"free": EXACT, "nudged": EXACT}
    free = eqprop_grad(model, x, d, SquaredError(), beta=beta, scheme="one-sided", **how)
    assert free.free.output.item() == pytest.approx(0.7)
    assert free.nudged[0].output.item() == pytest.approx((0.7 + beta * 0.2) / (1 + beta))
    assert free.gradients["b"].item() / true == pytest.approx(one_sided, abs=1e-7)
    both = eqprop_grad(model, x, d, SquaredError(), beta=beta, scheme="symmetric", **how)
    assert both.gradients["b"].item() / true == pytest.approx(symmetric, abs=1e-7)
    implicit = implicit_grad(model, x, d, SquaredError(), free.free.state)
    assert implicit["b"].item() == pytest.approx(true)


def test_vector_quadratic_in_all_its_parameters():
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    root = draw(4, 4)
    model = Quadratic(root @ root.T + torch.eye(4), draw(4, 3), draw(4))
    x, d = draw(6, 3), draw(6, 4)
    beta = 0.3
    nudged = settle(model, x, beta=beta, cost=SquaredError(), target=d, how=EXACT).output
    drive = x @ model.w.T + model.b
    expected = torch.linalg.solve(model.a + beta * torch.eye(4, dtype=torch.float64), (drive + beta * d).T).T
    torch.testing.assert_close(nudged, expected, atol=1e-10, rtol=0)
    free = settle(model, x, how=EXACT)
    leaf = [p.detach().requires_grad_() for p in (model.a, model.w, model.b)]
    s = torch.linalg.solve(0.5 * (leaf[0] + leaf[0].T), (x @ leaf[1].T + leaf[2]).T).T
    by_hand = torch.autograd.grad(SquaredError()(s, d).mean(), leaf)
    implicit = implicit_grad(model, x, d, SquaredError(), free.state)
    for name, gradient in zip(("a", "w", "b"), by_hand, strict=True):
        torch.testing.assert_close(implicit[name], gradient, atol=1e-9, rtol=1e-9)
    near = eqprop_grad(model, x, d, SquaredError(), beta=1e-4, free=EXACT, nudged=EXACT)
    assert distance(near.gradients, implicit) < 1e-6


def test_a_single_unit_by_hand():
    model = LayeredHopfield((1, 1), dtype=torch.float64)
    with torch.no_grad():
        model.weights[0].zero_()
        model.biases[0].fill_(0.3)
    x = torch.zeros(1, 1, dtype=torch.float64)
    assert settle(model, x, how=LONG).output.item() == pytest.approx(0.3)
    d = torch.ones(1, 1, dtype=torch.float64)
    pulled = settle(model, x, beta=1.0, cost=SquaredError(), target=d, how=LONG)
    assert pulled.output.item() == pytest.approx(0.65)


def test_a_unit_driven_negative_returns():
    model = LayeredHopfield((1, 1))
    with torch.no_grad():
        model.weights[0].fill_(1.0)
        model.biases[0].fill_(-0.5)
    low = settle(model, torch.zeros(1, 1), [torch.full((1, 1), 0.2)])
    assert low.output.item() == 0.0
    assert settle(model, torch.ones(1, 1), low.state).output.item() == pytest.approx(0.5, abs=1e-4)


# ---- forces, energies ----


@pytest.mark.parametrize("activation", ["hard_sigmoid", "sigmoid4", "tanh"])
@pytest.mark.parametrize("kind", ["layers", "convolutions"])
def test_forces_and_gradients_are_those_of_the_energy(activation, kind):
    generator = torch.Generator().manual_seed(3)
    if kind == "layers":
        model: EnergyModel = LayeredHopfield((4, 5, 3), activation, generator=generator)
        x = torch.rand(2, 4, generator=generator)
    else:
        model = ConvHopfield(2, 7, [3, 4], 5, activation=activation, generator=generator)
        x = torch.rand(2, 2, 7, 7, generator=generator)
    state = [0.1 + 0.8 * torch.rand(s.shape, generator=generator) for s in model.initial(x)]
    closed = model.force(state, model.prepare(x))
    for a, b in zip(closed, EnergyModel.force(model, state, x), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    by_autograd = EnergyModel.energy_gradients(model, state, x)
    closed_gradients = model.energy_gradients(state, x)
    assert set(closed_gradients) == {name for name, _ in model.named_parameters()}
    for name, gradient in closed_gradients.items():
        torch.testing.assert_close(gradient, by_autograd[name], atol=1e-5, rtol=1e-5)


def test_every_step_lowers_the_energy():
    for model, x, d in (smooth_net(), hard_net()):
        cost, beta = SquaredError(), 0.4
        path = settle(model, x, beta=beta, cost=cost, target=d, how=Settling(30, 0.3), keep_path=True).path
        totals = [model.energy(s, x) + beta * cost(s[-1], d) for s in path]
        assert all(bool((b <= a + 1e-12).all()) for a, b in itertools.pairwise(totals))


def test_a_nudge_lowers_the_cost_at_the_rate_of_proposition_2():
    model, x, d = smooth_net()
    free = settle(model, x, how=EXACT).state
    h = 1e-5
    ends = [
        SquaredError()(settle(model, x, free, beta=b, cost=SquaredError(), target=d, how=EXACT).output, d)
        for b in (h, -h)
    ]
    slope = (ends[0] - ends[1]) / (2 * h)
    hessian = dense_hessian(Total(model, x), free)
    pull = torch.cat([torch.zeros_like(free[0]), free[1] - d], 1)
    expected = -(pull * torch.linalg.solve(hessian, pull.unsqueeze(2)).squeeze(2)).sum(1)
    torch.testing.assert_close(slope, expected.detach(), atol=1e-8, rtol=1e-5)
    assert (slope <= 0).all()


# ---- gradients ----


def test_a_nudge_must_lift_an_output_that_is_held_at_0():
    """Their drive is below −1: nudged by ½ they stay and nothing is learned, by the 2 of the authors' code it is."""
    model, x, d = hard_net()
    with torch.no_grad():
        model.biases[-1].fill_(-1.2)
    d = torch.ones_like(d)
    how = {"scheme": "one-sided", "free": LONG, "nudged": LONG}
    small, large = (eqprop_grad(model, x, d, SquaredError(), beta=b, **how).gradients for b in (0.5, 2.0))
    assert vector(small).abs().max() < 1e-11
    assert all(gradient.abs().max() > 0.01 for gradient in large.values())
    away = eqprop_grad(model, x, d, SquaredError(), beta=2.0, scheme="symmetric", nudged=Settling(6))
    assert all(bool(s.isfinite().all()) for s in away.nudged[1].state)


@pytest.mark.parametrize("build", [smooth_net, hard_net])
def test_implicit_gradient_is_that_of_the_unrolled_settling_and_of_finite_differences(build):
    model, x, d = build()
    free = settle(model, x, how=LONG)
    implicit = implicit_grad(model, x, d, SquaredError(), free.state)
    unrolled = bptt_grad(model, x, d, SquaredError(), steps=500)
    assert distance(implicit, unrolled) < 1e-8
    weight = model.weights[0]
    for i, j in ((0, 0), (2, 1), (4, 3)):
        ends = []
        for change in (1e-6, -1e-6):
            with torch.no_grad():
                weight[i, j] += change
                ends.append(SquaredError()(settle(model, x, how=LONG).output, d).mean())
                weight[i, j] -= change
        assert implicit["weights.0"][i, j].item() == pytest.approx(((ends[0] - ends[1]) / 2e-6).item(), abs=1e-6)


@pytest.mark.parametrize("sizes", [(5, 7, 3), (5, 7, 6, 3)])
def test_small_nudges_give_the_implicit_gradient(sizes):
    model, x, d = smooth_net(sizes=sizes)
    free = settle(model, x, how=EXACT)
    implicit = implicit_grad(model, x, d, SquaredError(), free.state)
    found = eqprop_grad(model, x, d, SquaredError(), beta=1e-4, scheme="one-sided", free=EXACT, nudged=EXACT)
    assert distance(found.gradients, implicit) < 1e-3
    assert torch.equal(model.weights[0].grad, found.gradients["weights.0"])


def test_the_average_of_both_signs_is_symmetric_and_a_met_target_gives_nothing():
    model, x, d = smooth_net()
    how = {"free": EXACT, "nudged": EXACT}
    up, down = (eqprop_grad(model, x, d, SquaredError(), beta=b, scheme="one-sided", **how) for b in (0.2, -0.2))
    both = eqprop_grad(model, x, d, SquaredError(), beta=0.2, **how).gradients
    for name, gradient in both.items():
        torch.testing.assert_close((up.gradients[name] + down.gradients[name]) / 2, gradient, atol=1e-10, rtol=0)
    for beta in (0.1, 0.7):
        met = eqprop_grad(model, x, up.free.output, SquaredError(), beta=beta, **how)
        assert vector(met.gradients).abs().max() < 1e-11


def test_cross_entropy_readout_trains_its_own_weights_too():
    model, x, _ = hard_net()
    torch.manual_seed(0)
    cost, target = CrossEntropyReadout(4, 3).double(), torch.tensor([0, 1, 2, 0, 1])
    free = settle(model, x, how=LONG)
    exact = implicit_grad(model, x, target, cost, free.state)
    unrolled = bptt_grad(model, x, target, cost, steps=500)
    assert distance(exact, unrolled) < 1e-8 and "cost.linear.weight" in exact
    found = eqprop_grad(model, x, target, cost, beta=1e-3, free=LONG, nudged=LONG)
    assert distance(found.gradients, exact) < 1e-3
    assert cost.linear.weight.grad is not None


def test_a_finite_nudge_gives_the_exact_gradient_of_the_smoothed_cost():
    """One-sided, (∂F_β/∂θ − ∂F_0/∂θ)/β is the derivative of (min F_β − min F_0)/β, whatever β and the clipping."""
    model, x, d = hard_net()
    with torch.no_grad():
        model.biases[-1].fill_(-0.6)  # outputs are held at 0, and the exact gradient is 0
    assert not vector(implicit_grad(model, x, d, SquaredError(), settle(model, x, how=LONG).state)).any()
    beta, bias = 0.9, model.biases[-1]
    found = eqprop_grad(model, x, d, SquaredError(), beta=beta, scheme="one-sided", free=LONG, nudged=LONG).gradients

    def smoothed() -> float:
        free, pulled = (settle(model, x, beta=b, cost=SquaredError(), target=d, how=LONG).state for b in (0.0, beta))
        top = model.energy(pulled, x) + beta * SquaredError()(pulled[-1], d)
        return ((top - model.energy(free, x)) / beta).mean().item()

    assert found["biases.2"].abs().max() > 1e-3
    for i in range(len(bias)):
        ends = []
        for change in (1e-5, -1e-5):
            with torch.no_grad():
                bias[i] += change
                ends.append(smoothed())
                bias[i] -= change
        assert found["biases.2"][i].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_straight_through_backpropagation_reaches_units_that_are_held():
    model, x, d = hard_net()
    with torch.no_grad():
        model.biases[-1].fill_(-0.6)
    state = settle(model, x, how=LONG).state
    assert not vector(bptt_grad(model, x, d, SquaredError(), state=state, steps=4)).any()
    # by hand: in one step the bias of the output moves it by ε, the weights by ε times the activity below
    reached = bptt_grad(model, x, d, SquaredError(), state=state, steps=1, straight_through=True)
    pull = 0.5 * (state[-1] - d)
    torch.testing.assert_close(reached["biases.2"], pull.mean(0))
    torch.testing.assert_close(reached["weights.2"], state[-2].T @ pull / len(x))
    smooth, x, d = smooth_net()
    state = settle(smooth, x, how=EXACT).state
    a, b = (bptt_grad(smooth, x, d, SquaredError(), state=state, steps=4, straight_through=s) for s in (False, True))
    assert distance(a, b) < 1e-14


@pytest.mark.parametrize("build", [smooth_net, lambda: conv_net()])
def test_spike_timing_telescopes_with_midpoints_only(build):
    model, x, d = build()
    free = settle(model, x, how=Settling(300)).state
    path = settle(model, x, free, beta=0.5, cost=SquaredError(), target=d, how=Settling(6), keep_path=True).path
    ends = contrast(model, path[-1], path[0], x, -1.0)
    left = stdp_trace(model, x, path, "left")
    for k, total in enumerate(stdp_trace(model, x, path)):
        assert (total - ends[f"weights.{k}"]).abs().max() < 2e-15
    # the input's activity does not change, so that there both rules agree
    assert (left[1] - ends["weights.1"]).abs().max() > 1e-6


# ---- settling ----


def conv_net() -> tuple[ConvHopfield, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    model = ConvHopfield(1, 6, [3, 4], 3, gain=0.7, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for bias in model.biases:
            bias.fill_(0.2)
    x = torch.rand(4, 1, 6, 6, dtype=torch.float64, generator=generator)
    return model, x, torch.rand(4, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("build", [lambda: hard_net(gain=0.6), conv_net])
@pytest.mark.parametrize("method", ["fista", "alternate"])
def test_methods_end_at_the_same_point_in_fewer_iterations(method, build):
    model, x, d = build()
    for beta in (0.0, 0.5):
        slow = settle(model, x, beta=beta, cost=SquaredError(), target=d, how=Settling(4000, 0.5, 1e-10))
        fast = settle(model, x, beta=beta, cost=SquaredError(), target=d, how=Settling(4000, 0.5, 1e-10, method))
        assert fast.converged and fast.iterations < slow.iterations
        for a, b in zip(fast.state, slow.state, strict=True):
            torch.testing.assert_close(a, b, atol=1e-8, rtol=0)


def test_settling_is_told_and_stops():
    model, x, _ = hard_net()
    found = settle(model, x, how=Settling(1000, 0.5, 1e-6), keep_path=True)
    assert found.converged and found.residual <= 1e-6 and found.iterations < 1000
    assert len(found.path) == found.iterations + 1
    assert not settle(model, x, how=Settling(2, 0.5, 1e-6)).converged
    with torch.no_grad():
        once = Total(model, x).euler_step(found.state, 0.5)
    assert max((a - b).abs().max() for a, b in zip(once, found.state, strict=True)) == pytest.approx(found.residual)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.5])
def test_newton_settles_where_its_whole_steps_do_not(scale):
    model, x, d = smooth_net(scale)
    nudge = {"beta": 0.3, "cost": SquaredError(), "target": d}
    assert settle(model, x, how=Settling(40, tol=1e-12, method="newton"), **nudge).converged
    total, state = Total(model, x, **nudge), model.initial(x)
    with torch.no_grad():
        for _ in range(40):
            force = flatten(total.forces(state)).unsqueeze(2)
            state = split(flatten(state) + torch.linalg.solve(dense_hessian(total, state), force).squeeze(2), state)
    assert flatten(total.forces(state)).abs().max() > 1e-3


def test_a_state_that_explodes_is_named():
    model = Quadratic(-50 * torch.eye(2), torch.eye(2), torch.zeros(2))
    with pytest.raises(SettleError, match=r"not finite after iteration \d+"):
        settle(model, torch.ones(1, 2), how=Settling(200, 0.5))


# ---- training, report ----


def halves(rows: int) -> tuple[Tensor, Tensor]:
    """Which half of eight numbers has the larger sum, one-hot."""
    x = torch.rand(rows, 8, generator=torch.Generator().manual_seed(0))
    first = x[:, :4].sum(1) > x[:, 4:].sum(1)
    return x, torch.stack([first, ~first], 1).float()


def test_training_with_particles_learns():
    generator = torch.Generator().manual_seed(0)
    x, d = halves(200)
    model = LayeredHopfield((8, 16, 2), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = EqPropTrainer(model, optimizer, examples=200, generator=generator)
    for _ in range(20):
        for rows in torch.randperm(200, generator=generator).split(20):
            trainer.step(x[rows], d[rows], rows)
    assert (trainer.predict(x).argmax(1) == d.argmax(1)).float().mean() > 0.9


def test_convolutions_train():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 1, 6, 6, generator=generator) * 0.2
    x[:20, :, :3] += 0.7
    x[20:, :, 3:] += 0.7
    target = (torch.arange(40) >= 20).long()
    model = ConvHopfield(1, 6, [4], 6, gain=0.5, generator=generator)
    torch.manual_seed(0)
    cost = CrossEntropyReadout(6, 2)
    optimizer = torch.optim.Adam([*model.parameters(), *cost.parameters()], lr=0.02)
    trainer = EqPropTrainer(model, optimizer, cost, scheme="symmetric", beta=0.3, nudged=Settling(8))
    for _ in range(30):
        trainer.step(x, target)
    assert (cost.linear(trainer.predict(x)).argmax(1) == target).float().mean() == 1.0


def test_the_report_of_a_healthy_network():
    model, x, d = smooth_net()
    how = Settling(60, 0.5, 1e-12, "newton")
    report = nudge_report(model, x, d, SquaredError(), betas=(0.1, 0.05, 0.025, 0.0125), how=how)
    assert report.one_sided_slope == pytest.approx(1.0, abs=0.1)
    assert report.symmetric_slope == pytest.approx(2.0, abs=0.15)
    assert report.symmetric[1] < report.one_sided[1] / 5
    assert report.verdicts == () and 0 < report.smallest_curvature < 1.5
    assert report.plot().layout.xaxis.type == "log"


def test_curvature_of_a_quadratic_is_its_least_eigenvalue():
    a = torch.diag(torch.tensor([3.0, 0.25, 1.0], dtype=torch.float64))
    model = Quadratic(a, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    x = torch.ones(2, 3, dtype=torch.float64)
    assert smallest_curvature(model, x, model.initial(x)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("gain", "how", "words"),
    [(1.0, Settling(1), "not settled"), (40.0, Settling(60, 0.2, 1e-6), "no gradient")],
)
def test_the_report_says_what_is_wrong(gain, how, words):
    model, x, d = hard_net(gain=gain)
    assert any(words in verdict for verdict in nudge_report(model, x, d, SquaredError(), how=how).verdicts)


def test_two_ends_are_called_multi_stable():
    model = LayeredHopfield((1, 2, 2), dtype=torch.float64)
    with torch.no_grad():
        model.weights[0].zero_()
        model.weights[1].copy_(3 * torch.eye(2))
        for bias in model.biases:
            bias.fill_(-0.5)
    x, d = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    report = nudge_report(model, x, d, SquaredError(), how=Settling(500, 0.2, 1e-9))
    assert any("multi-stable" in verdict for verdict in report.verdicts)


class Untied(LayeredHopfield):
    """Connections back with weights of their own."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.register_buffer("back", torch.randn(7, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64))

    def _down(self, value: Tensor, above: Tensor, k: int) -> Tensor:
        return value + above @ self.back.T


def test_separate_weights_back_have_no_energy():
    model, x, d = smooth_net()
    how = Settling(100, 0.3, 1e-6)
    tied, untied = (
        nudge_report(m, x, d, SquaredError(), (0.1,), how)
        for m in (model, Untied((5, 7, 3), "sigmoid4", gain=0.5, dtype=torch.float64))
    )
    assert tied.asymmetry < 1e-12 and untied.asymmetry > 0.01
    assert untied.verdicts[0].startswith("no energy") and not any("no energy" in v for v in tied.verdicts)


# ---- watched ----


@pytest.mark.parametrize("scheme", ["random-sign", "symmetric"])
def test_a_watched_training_stays_as_it_is_and_its_loss_and_gradients_are_seen(scheme):
    """The script itself never calls a backward."""
    x, d = halves(60)

    def train() -> tuple[list[float], list[Tensor], list[list[float]]]:
        generator = torch.Generator().manual_seed(0)
        model = LayeredHopfield((8, 16, 2), generator=generator)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = EqPropTrainer(model, optimizer, scheme=scheme, examples=60, generator=generator)
        costs, sizes = [], [[], []]
        for _ in range(4):
            for rows in torch.arange(60).split(20):
                result = trainer.step(x[rows], d[rows], rows)
                costs.append(result.loss.item())
                assert costs[-1] == SquaredError()(result.free.output, d[rows]).mean().item()
                for k in (0, 1):
                    both = [result.gradients[f"{name}.{k}"].flatten() for name in ("weights", "biases")]
                    sizes[k].append(torch.cat(both).square().mean().sqrt().item())
        return costs, [p.detach() for p in model.parameters()], sizes

    bare = train()
    with watching(every=1) as kept:
        watched = train()
    assert watched[0] == bare[0] and all(torch.equal(a, b) for a, b in zip(watched[1], bare[1], strict=True))
    for k in (0, 1):
        seen = kept.signal("gradient_rms", f"weights.{k}")
        assert list(seen.values()) == pytest.approx(bare[2][k], rel=1e-5) and len(seen) == 12
    assert list(kept.signal("loss").values()) == bare[0]
    assert kept.signal("update_ratio", "weights.0") and not kept.of("note")
    assert not [f for f in kept.findings().values() if f.severity != "info"]


@pytest.mark.parametrize(("lr", "found"), [(0.5, False), (50.0, True)])
def test_a_rate_that_is_too_high_is_found(lr, found):
    x, d = halves(60)
    model = LayeredHopfield((8, 16, 2), "sigmoid4", generator=torch.Generator().manual_seed(0))
    trainer = EqPropTrainer(model, torch.optim.SGD(model.parameters(), lr), beta=0.5, scheme="symmetric")
    with watching(every=1) as kept:
        for _ in range(6):
            for rows in torch.arange(60).split(20):
                trainer.step(x[rows], d[rows])
    bad = {f.id: f.severity for f in kept.findings().values() if f.severity != "info"}
    assert bad == ({"learning-rate-too-high": "critical"} if found else {})


def test_the_example_of_the_docs_runs(capsys):
    torch.manual_seed(0)
    page = (Path(__file__).parent.parent / "docs" / "eqprop.md").read_text(encoding="utf-8")
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), "docs/eqprop.md", "exec"), {})
    accuracy, verdicts = capsys.readouterr().out.splitlines()
    assert float(accuracy[7:-1]) > 0.85 and verdicts == "()"


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, x, d: eqprop_grad(m, x, d, SquaredError(), beta=0.0), ValueError, "beta: got 0"),
        (
            lambda m, x, d: eqprop_grad(smooth_net()[0], x[:, :5], d[:, :3], SquaredError(), beta=1.0),
            ValueError,
            "smaller than the leak",
        ),
        (
            lambda m, x, d: settle(m, x, beta=-1.0, cost=SquaredError(), target=d, how=Settling(5, method="alternate")),
            ValueError,
            "no minimum of the output",
        ),
        (lambda m, x, d: eqprop_grad(m, x, d, SquaredError(), scheme="both"), ValueError, "scheme: got"),
        (lambda m, x, d: settle(m, x, beta=0.5), ValueError, "without cost and target"),
        (lambda m, x, d: settle(m, x, how=Settling(5, method="newton")), ValueError, "needs a smooth model"),
        (lambda m, x, d: settle(m, x[:, :2]), ValueError, "x: got shape"),
        (lambda m, x, d: stdp_trace(m, x, []), ValueError, "path: got 0"),
        (lambda m, x, d: stdp_trace(m, x, [m.initial(x)] * 2, "right"), ValueError, "rule: got"),
        (lambda m, x, d: nudge_report(m, x, d, SquaredError(), betas=[0.1, -0.1]), ValueError, "betas: got"),
        (lambda m, x, d: settle(m, x, [x]), ValueError, "state: got shapes"),
        (lambda m, x, d: settle(m, x, m.initial(x[:2])), ValueError, "state: got shapes"),
        (lambda m, x, d: eqprop_grad(m, x, d.argmax(1), SquaredError()), ValueError, "target: got shape"),
        (lambda m, x, d: bptt_grad(m, x, d, SquaredError(), steps=0), ValueError, "steps: got 0"),
        (lambda m, x, d: Settling(0), ValueError, "max_iter"),
        (lambda m, x, d: Settling(step=0.0), ValueError, "step"),
        (lambda m, x, d: Settling(tol=-1.0), ValueError, "tol"),
        (lambda m, x, d: Settling(method="adam"), ValueError, "method: got"),
        (lambda m, x, d: LayeredHopfield((4,)), ValueError, "sizes: got"),
        (lambda m, x, d: LayeredHopfield((4, 2), "relu"), ValueError, "activation: got"),
        (lambda m, x, d: ConvHopfield(1, 4, [], 2), ValueError, "channels: got none"),
        (lambda m, x, d: ConvHopfield(1, 2, [2, 2], 2, padding=0), ValueError, "nothing is left"),
        (lambda m, x, d: settle(conv_net()[0], x, how=Settling(5)), ValueError, "x: got shape"),
        (
            lambda m, x, d: settle(smooth_net()[0], x[:, :5], how=Settling(5, method="alternate")),
            ValueError,
            "needs a hard-sigmoid",
        ),
        (lambda m, x, d: EqPropTrainer(m, "sgd"), TypeError, "optimizer: got str"),
        (lambda m, x, d: EqPropTrainer(m, torch.optim.SGD(m.parameters()), examples=0), ValueError, "examples: got 0"),
        (
            lambda m, x, d: EqPropTrainer(m, torch.optim.SGD(m.parameters()), examples=3).step(x, d, torch.arange(5)),
            ValueError,
            "rows: got",
        ),
        (
            lambda m, x, d: EqPropTrainer(m, torch.optim.SGD(m.parameters()), examples=3).step(x, d),
            ValueError,
            "rows: got None",
        ),
    ],
)
def test_bad_input_is_named(call, error, words):
    model, x, d = hard_net()
    with pytest.raises(error, match=words):
        call(model, x, d)


def test_inputs_outside_the_activation_are_warned_of():
    model, x, _ = hard_net()
    with pytest.warns(UserWarning, match="outside the activation's range"):
        settle(model, x + 1)
    assert math.isfinite(settle(model, x).residual)
