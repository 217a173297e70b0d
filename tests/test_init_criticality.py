"""Critical points, kernel flow and finite width: the constants and closed forms of Roberts, Yaida and Hanin (2022)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from surefoot.init import (
    aspect_report,
    critical_,
    critical_lr_groups,
    critical_point,
    exact_variance,
    gaussian_moments,
    kernel_flow,
    measure_flow,
    optimal_aspect_ratio,
    pair_kernel,
    variance_chain,
)
from surefoot.init.skips import Modes, mixed_growth, next_modes

GRID = np.logspace(-4, 4, 33)


def leaky(slope: float):
    return lambda z: F.leaky_relu(z, slope)


# -- moments -----------------------------------------------------------------------------------------------------------


def test_moments_of_relu_are_exact() -> None:
    m = gaussian_moments("relu", GRID)
    np.testing.assert_allclose(m.square, GRID / 2, rtol=1e-12)
    np.testing.assert_allclose(m.fourth, 1.5 * GRID**2, rtol=1e-12)
    np.testing.assert_allclose(m.radial, 0.5, rtol=1e-12)
    np.testing.assert_allclose(m.slope_square, 0.5, rtol=1e-12)
    np.testing.assert_allclose(m.radial - m.slope_square, 0, atol=1e-12)


@given(st.floats(1e-3, 300.0))
def test_moments_of_sine_are_exact(K: float) -> None:
    m = gaussian_moments("sin", K)
    assert float(m.square) == pytest.approx((1 - math.exp(-2 * K)) / 2, rel=1e-10)
    assert float(m.radial) == pytest.approx(math.exp(-2 * K), rel=1e-8, abs=1e-12)
    assert float(m.slope_square) == pytest.approx((1 + math.exp(-2 * K)) / 2, rel=1e-10)


@pytest.mark.parametrize("act", ["tanh", "gelu", "silu", "elu", "relu"])
def test_radial_moment_is_the_derivative_of_the_square(act: str) -> None:
    K, h = 1.7, 1e-5
    up, down = (float(gaussian_moments(act, K + s * h).square) for s in (1, -1))
    assert float(gaussian_moments(act, K).radial) == pytest.approx((up - down) / (2 * h), rel=1e-6)


def test_a_given_slope_serves_as_well() -> None:
    ours, given_slope = (gaussian_moments(torch.tanh, GRID, d) for d in (None, lambda z: 1 - torch.tanh(z) ** 2))
    np.testing.assert_allclose(ours.slope_square, given_slope.slope_square, rtol=1e-12)


def test_modules_are_activations_and_stay_as_they_are() -> None:
    module = nn.PReLU(init=0.25)
    assert pytest.approx(2 / (1 + 0.25**2)) == critical_point(module).C_W
    assert module.weight.dtype == torch.float32 and module.training


@pytest.mark.parametrize(
    ("act", "K", "say"),
    [
        ("swoosh", 1.0, "use one of linear, relu"),
        ("relu", 0.0, "variances are positive"),
        (torch.log, 2.0, "NaN or infinite at K = 2"),
        (lambda z: z.sum(), 1.0, "must act on each entry"),
    ],
)
def test_bad_activations(act, K: float, say: str) -> None:
    with pytest.raises(ValueError, match=say):
        gaussian_moments(act, K)


def test_what_cannot_be_called_is_no_activation() -> None:
    with pytest.raises(TypeError, match="use a name, a module, or a function"):
        critical_point(3.0)  # type: ignore[arg-type]


# -- critical points ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "C_W", "nu"),
    [("linear", 1.0, 2.0), ("relu", 2.0, 5.0), (leaky(0.1), 2 / 1.01, 3 * ((1 + 1e-4) / 2) / (1.01 / 2) ** 2 - 1)],
)
def test_scale_invariant(act, C_W: float, nu: float) -> None:
    point = critical_point(act)
    assert (point.kind, point.C_b, point.side) == ("scale_invariant", 0.0, "both")
    assert pytest.approx(C_W, rel=1e-12) == point.C_W and point.nu == pytest.approx(nu, rel=1e-12)


@pytest.mark.parametrize(
    ("act", "K", "C_b", "C_W"),
    [
        ("gelu", (3 + math.sqrt(17)) / 2, 0.1729223908, 1.983058257),
        ("silu", 14.32017362, 0.5551431707, 1.988004678),
    ],
)
def test_half_stable(act: str, K: float, C_b: float, C_W: float) -> None:
    point = critical_point(act)
    assert point.kind == "half_stable"
    assert point.K_star == pytest.approx(K, rel=1e-9)
    assert point.C_b == pytest.approx(C_b, abs=1e-8) and pytest.approx(C_W, abs=1e-8) == point.C_W
    flow = kernel_flow(act, point.C_b, point.C_W, 5, point.K_star)
    np.testing.assert_allclose(flow.K, point.K_star, rtol=1e-9)
    np.testing.assert_allclose([flow.chi_par, flow.chi_perp], 1, rtol=1e-9)
    assert flow.V[-1] / point.K_star**2 == pytest.approx(4 * point.nu, rel=1e-9)
    near = 1 + 3e-3 * (1 if point.side == "above" else -1)
    for start, comes_back in ((near, True), (2 - near, False)):
        before, after = kernel_flow(act, point.C_b, point.C_W, 2, start * point.K_star).K - point.K_star
        assert bool(abs(after) < abs(before)) is comes_back


def test_the_other_gelu_has_its_own_point() -> None:
    point = critical_point(nn.GELU(approximate="tanh"))
    assert point.kind == "half_stable" and 1e-4 < abs(point.K_star - critical_point("gelu").K_star) < 0.1


@pytest.mark.parametrize(("act", "a1", "C_W"), [("tanh", -2.0, 1.0), ("sin", -1.0, 1.0), ("erf", -2.0, math.pi / 4)])
def test_fixed_point_at_zero(act: str, a1: float, C_W: float) -> None:
    point = critical_point(act)
    assert (point.kind, point.K_star, point.side) == ("k_star_zero", 0.0, "above")
    assert pytest.approx(C_W, rel=1e-9) == point.C_W and point.a1 == pytest.approx(a1, rel=1e-6)
    assert point.p_perp == pytest.approx(1.0) and point.nu == pytest.approx(2 / 3)
    deep = kernel_flow(act, 0.0, point.C_W, 200, 1.0)
    assert deep.K[-1] * 200 == pytest.approx(1 / -a1, rel=0.1)
    assert 1 - deep.chi_perp[-1] == pytest.approx(1 / 200, rel=0.1)


def test_kinked_at_zero() -> None:
    elu, selu = critical_point("elu"), critical_point("selu")
    assert pytest.approx(1.0) == elu.C_W and pytest.approx(0.476771, rel=1e-6) == selu.C_W
    assert elu.kind == selu.kind == "k_star_zero" and math.isnan(elu.a1) and math.isnan(selu.a1)


def test_linear_near_zero() -> None:
    # Up to some |z| they are scale-invariant, and lose signal beyond: no power law, and no fixed point but 0.
    for act, C_W in (("hardtanh", 1.0), (F.relu6, 2.0)):
        point = critical_point(act)
        assert (point.kind, point.C_b, point.K_star) == ("k_star_zero", 0.0, 0.0)
        assert pytest.approx(C_W, rel=1e-12) == point.C_W and math.isnan(point.a1) and math.isnan(point.p_perp)


def test_one_derivative_is_enough() -> None:
    point = critical_point(lambda z: 3 * F.hardsigmoid(z) - 1.5)  # PyTorch has no second derivative of it
    assert point.kind == "k_star_zero" and pytest.approx(4.0) == point.C_W and math.isnan(point.a1)


@pytest.mark.parametrize("act", ["sigmoid", "softplus", lambda z: torch.relu(z) ** 2])
def test_no_criticality(act) -> None:
    point = critical_point(act)
    assert point.kind == "none" and math.isnan(point.C_W)


def test_residual_points() -> None:
    for act in ("tanh", "relu", "gelu"):
        assert critical_point(act, 0.0) == critical_point(act)
        plain, skip = critical_point(act), critical_point(act, 0.5)
        assert pytest.approx(0.75 * plain.C_W) == skip.C_W and skip.C_b == pytest.approx(0.75 * plain.C_b)
    assert critical_point("tanh", 0.5).nu == pytest.approx(0.625)
    assert critical_point("linear", 0.5).nu == pytest.approx(0.75 * (0.75 * 2 + 1))
    relu = critical_point("relu", 0.9)  # the book's 0.7961, and what it lacks
    assert relu.nu - mixed_growth("relu", 1.0, relu.C_W, 0.9) == pytest.approx(0.7961)
    slope = np.diff(kernel_flow("relu", 0.0, relu.C_W, 80, 1.0, 0.9).V)
    assert slope[0] == pytest.approx(0.7961) and slope[-1] == pytest.approx(relu.nu, rel=1e-3)
    point = critical_point("gelu", 0.9)
    flow = kernel_flow("gelu", point.C_b, point.C_W, 6, point.K_star, gamma=0.9)
    np.testing.assert_allclose(flow.K, point.K_star, rtol=1e-9)
    np.testing.assert_allclose(flow.chi_par, 1, rtol=1e-9)
    with pytest.raises(ValueError, match="gamma"):
        critical_point("relu", 1.0)


# -- kernel flow -------------------------------------------------------------------------------------------------------


def test_flow_constants() -> None:
    tanh = kernel_flow("tanh", 0.0, 1.0, 100, 1.0)
    np.testing.assert_allclose(tanh.K[[1, 9, 99]], [0.39429449, 0.05801185, 0.00512072], atol=5e-9)
    assert tanh.V[9] / tanh.K[9] ** 2 == pytest.approx(5.5235, abs=5e-5)
    assert kernel_flow("sin", 0.0, 1.0, 2, 1.0).K[1] == pytest.approx(0.43233236, abs=5e-9)
    np.testing.assert_allclose(kernel_flow("relu", 0.0, 1.9, 10, 1.0).K, 0.95 ** np.arange(10), rtol=1e-12)
    linear, relu = (kernel_flow(act, 0.0, C_W, 9, 1.0) for act, C_W in (("linear", 1.0), ("relu", 2.0)))
    np.testing.assert_allclose(linear.V, 2 * np.arange(9), rtol=1e-12)
    np.testing.assert_allclose(relu.V, 5 * np.arange(9), rtol=1e-12)


def test_next_order_and_tangent_kernel() -> None:
    tanh = kernel_flow("tanh", 0.0, 1.0, 32, 1.0)
    corrected = tanh.K + tanh.G1 / 64
    np.testing.assert_allclose(corrected[[7, 15]], [0.07298, 0.03271], atol=6e-6)
    np.testing.assert_allclose(tanh.theta[[3, 15, 31]], [3.14, 8.80, 16.65], atol=6e-3)
    layers = 1 / np.arange(1, 33)
    flat = kernel_flow("tanh", 0.0, 1.0, 32, 1.0, lambda_b=list(layers)).theta
    np.testing.assert_allclose(flat[[3, 15, 31]], [1.67, 1.52, 1.50], atol=0.01)
    relu = kernel_flow("relu", 0.0, 2.0, 32, 2.0).theta  # every layer adds λ_b + λ_W mean square
    np.testing.assert_allclose(np.diff(relu), 2.0, rtol=1e-12)


def test_widths_weigh_the_fluctuations() -> None:
    even = kernel_flow("relu", 0.0, 2.0, 4, 1.0).V
    np.testing.assert_allclose(kernel_flow("relu", 0.0, 2.0, 4, 1.0, width=[64] * 4).V, even)
    # V/n adds up 5/n of each layer passed
    widths = np.array([32, 64, 128, 10])
    uneven = kernel_flow("relu", 0.0, 2.0, 4, 1.0, width=widths.tolist()).V
    np.testing.assert_allclose(uneven[1:] / widths[:-1], np.cumsum(5 / widths[:-1]), rtol=1e-12)


def test_angle_of_relu() -> None:
    c = 0.5
    for _ in range(12):
        expected = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        covariance = pair_kernel("relu", np.array([[1.0, c], [c, 1.0]]), 0.0, 2.0)
        c = float(covariance[0, 1])
        assert c == pytest.approx(expected, abs=1e-9) and covariance[0, 0] == pytest.approx(1.0)
    assert pair_kernel("relu", np.array([[1.0, 0.5], [0.5, 1.0]]), 0.0, 2.0)[0, 1] == pytest.approx(0.608997781)


def test_small_angles_of_relu_fall_as_three_pi_over_the_layer() -> None:
    angles, covariance = [0.02], np.array([[1.0, math.cos(0.02)], [math.cos(0.02), 1.0]])
    for _ in range(4):
        covariance = pair_kernel("relu", covariance, 0.0, 2.0)
        angles.append(math.acos(covariance[0, 1] / covariance[0, 0]))
    np.testing.assert_allclose(np.diff(1 / np.array(angles)), 1 / (3 * math.pi), rtol=0.01)


@pytest.mark.parametrize("rho", [0.3, 0.9, 0.999])
def test_two_inputs_of_sine(rho: float) -> None:
    # ⟨sin a sin b⟩ = exp(−(A+B)/2) sinh(c)
    A, B, c = 0.7, 1.9, rho * math.sqrt(0.7 * 1.9)
    found = pair_kernel("sin", np.array([[A, c], [c, B]]), 0.1, 1.3)
    assert found[0, 1] == pytest.approx(0.1 + 1.3 * math.exp(-(A + B) / 2) * math.sinh(c), rel=1e-8)


@pytest.mark.parametrize(
    ("words", "say"),
    [
        ({"depth": 0}, "depth"),
        ({"K1": 0.0}, "K1"),
        ({"C_W": -1.0}, "C_W"),
        ({"width": [3, 3]}, "width: got 2 numbers; use one for each of the 4"),
        ({"width": [3, 3, 3, 5], "gamma": 0.5}, "are of one width"),
        ({"lambda_b": [1.0]}, "lambda_b"),
    ],
)
def test_bad_flows(words: dict, say: str) -> None:
    with pytest.raises(ValueError, match=say):
        kernel_flow(**{"act": "relu", "C_b": 0.0, "C_W": 2.0, "depth": 4, "K1": 1.0, **words})


def test_a_covariance_is_positive() -> None:
    with pytest.raises(ValueError, match="covariance"):
        pair_kernel("relu", np.array([[1.0, 1.0], [1.0, 1.0]]), 0.0, 2.0)


# -- finite width ------------------------------------------------------------------------------------------------------


def test_exact_variance() -> None:
    assert 64 * exact_variance(2.0, 64, 16) == pytest.approx(40.71, abs=0.01)
    assert 64 * exact_variance(5.0, 64, 16) == pytest.approx(140.0, abs=0.1)
    with pytest.raises(ValueError, match="width, depth"):
        exact_variance(2.0, 0, 3)


@pytest.mark.parametrize(("act", "nu"), [("linear", 2.0), ("relu", 5.0)])
def test_chain_agrees_with_the_exact_variance(act: str, nu: float) -> None:
    q = variance_chain(act, 64, 8, 20_000, generator=torch.Generator().manual_seed(0))
    assert float(q.mean(0)[-1]) == pytest.approx(1.0, abs=0.03)
    expected = [exact_variance(nu, 64, layer) for layer in range(1, 9)]
    np.testing.assert_allclose(q.var(0).numpy(), expected, rtol=0.12)


def test_chain_agrees_with_networks_and_flow() -> None:
    generator = torch.Generator().manual_seed(1)
    q = variance_chain("tanh", 32, 6, 20_000, generator=generator)
    flow = kernel_flow("tanh", 0.0, 1.0, 6, 1.0)
    np.testing.assert_allclose(q.mean(0).numpy(), flow.K + flow.G1 / 32, rtol=0.02)
    np.testing.assert_allclose(32 * q.var(0).numpy(), 2 * flow.K**2 + flow.V, rtol=0.15)


def test_chains_with_skips_are_networks_with_skips() -> None:
    gamma, width, depth, nets = 0.7, 16, 4, 20_000
    C_W, generator = critical_point("relu", gamma).C_W, torch.Generator().manual_seed(4)
    z = torch.randn(nets, width, 1, generator=generator)
    for _ in range(depth - 1):
        weight = torch.randn(nets, width, width, generator=generator) * math.sqrt(C_W / width)
        z = weight @ z.relu() + gamma * z
    q, chain = z.square().mean((1, 2)), variance_chain("relu", width, depth, nets, gamma=gamma, generator=generator)
    assert float(q.mean()) == pytest.approx(float(chain[:, -1].mean()), rel=0.03)
    assert float(q.var()) == pytest.approx(float(chain[:, -1].var()), rel=0.15)


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_networks_with_skips_fluctuate_as_predicted(act: str) -> None:
    gamma, width, depth = 0.7, 256, 5
    q = variance_chain(act, width, depth, 12_000, gamma=gamma, generator=torch.Generator().manual_seed(5))
    point = critical_point(act, gamma)
    flow = kernel_flow(act, point.C_b, point.C_W, depth, 1.0, gamma)
    np.testing.assert_allclose(width * q.var(0).numpy(), 2 * flow.K**2 + flow.V, rtol=0.07)
    np.testing.assert_allclose(q.mean(0).numpy(), flow.K + flow.G1 / width, rtol=0.01)
    if act == "relu":  # the book's slope is half of it
        book = 0.51 * (0.51 * 5 + 4 * 0.49)
        assert width * float(q.var(0)[-1]) > 1.3 * (2 + 4 * book)


def test_modes_without_skips_are_the_vertex() -> None:
    flow, modes = kernel_flow("tanh", 0.0, 1.0, 8, 1.0), Modes()
    for K, K_next in pairwise(flow.K):
        modes = next_modes(modes, "tanh", K, K_next, 1.0, 0.0)
    assert modes.vertex(flow.K[-1]) == pytest.approx(flow.V[-1], rel=1e-9)
    assert modes.correction(flow.K[-1]) == pytest.approx(flow.G1[-1], rel=1e-9)


def test_measured_flow_is_the_predicted_one() -> None:
    layers: list[nn.Module] = [nn.Linear(24, 128)]
    for _ in range(4):
        layers += [nn.GELU(), nn.Linear(128, 128)]
    model = nn.Sequential(*layers)
    before = [p.detach().clone() for p in model.parameters()]
    x = torch.randn(24, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    rms = float(x.square().mean().sqrt())
    measured = measure_flow(model, x, lambda m: critical_(m, "gelu", input_rms=rms, generator=generator), 60, generator)
    point = critical_point("gelu")
    np.testing.assert_allclose(measured.K, point.K_star, rtol=0.1)
    np.testing.assert_allclose(measured.chi_perp, 1.0, rtol=0.12)
    np.testing.assert_allclose(measured.chi_par, 1.0, rtol=0.12)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_aspect_ratios() -> None:
    for act, ratio in (("linear", 0.04), ("relu", 0.016), ("tanh", 0.12)):
        assert optimal_aspect_ratio(act, 10) == pytest.approx(ratio)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    report = aspect_report(model, "relu")
    assert report.ratio == pytest.approx(2 / 64) and report.optimum == pytest.approx(0.016)
    assert report.log_gradient_std == pytest.approx(math.sqrt(5 * 2 / 64))
    with pytest.raises(ValueError, match="a hidden one and an output"):
        aspect_report(nn.Linear(3, 3), "relu")
    with pytest.raises(ValueError, match="not known"):
        optimal_aspect_ratio("sigmoid", 10)


# -- drawing -----------------------------------------------------------------------------------------------------------


def net(act: type[nn.Module], depth: int = 6) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(50, 256), act()]
    for _ in range(depth):
        layers += [nn.Linear(256, 256), act()]
    return nn.Sequential(*layers, nn.Linear(256, 10))


def test_drawn_variances() -> None:
    model = nn.Sequential(nn.Conv2d(4, 64, 3, groups=2), nn.SiLU(), nn.Conv2d(64, 64, 3, bias=False), nn.SiLU())
    plan = critical_(model, "silu", input_rms=0.5, generator=torch.Generator().manual_seed(0))
    first, second = model[0], model[2]
    assert [layer[1] for layer in plan.layers] == [18, 576]
    assert float(first.weight.detach().var()) * 18 == pytest.approx(plan.point.K_star / 0.25, rel=0.1)
    assert bool((first.bias == 0).all())
    assert float(second.weight.detach().var()) * 576 == pytest.approx(plan.point.C_W, rel=0.03)


@pytest.mark.parametrize(("act", "K"), [(nn.ReLU, 1.0), (nn.GELU, 3.5616), (nn.SiLU, 14.32)])
def test_signal_keeps_its_size(act: type[nn.Module], K: float) -> None:
    model = net(act)
    critical_(model, act(), input_rms=3.0, generator=torch.Generator().manual_seed(1))
    x = 3 * torch.randn(200, 50, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for module in model:
            x = module(x)
            if isinstance(module, nn.Linear) and x.shape[-1] > 10:
                assert float(x.square().mean()) == pytest.approx(K, rel=0.45)


def test_drawing_is_seeded() -> None:
    one, two = net(nn.ReLU, 1), net(nn.ReLU, 1)
    for model in (one, two):
        critical_(model, "relu", generator=torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "act", "words", "say"),
    [
        (nn.Linear(2, 2), "sigmoid", {}, "sigmoid has no critical point"),
        (nn.Embedding(2, 2), "relu", {}, "Embedding has no Linear or Conv layer"),
        (nn.Linear(2, 2), "relu", {"input_rms": 0.0}, "input_rms"),
    ],
)
def test_what_cannot_be_drawn(model: nn.Module, act: str, words: dict, say: str) -> None:
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=say):
        critical_(model, act, **words)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_every_layer_contributes_the_same() -> None:
    model = net(nn.ReLU, 2)
    groups = critical_lr_groups(model, "relu", 0.5)
    assert [round(g["lr"] * g["params"][0].shape[-1], 9) for g in groups if g["params"][0].dim() == 2] == [0.125] * 4
    tanh = critical_lr_groups(net(nn.Tanh, 2), "tanh", 1.0)
    biases = [g["lr"] for g in tanh if g["params"][0].dim() == 1]
    np.testing.assert_allclose(biases, [1.0, 1 / 2, 1 / 3, 1 / 4], rtol=1e-6)
    # the general rule: contributions of all layers to the tangent kernel of the output are 1/L each
    point, depth = critical_point("gelu"), 4
    flow = kernel_flow("gelu", point.C_b, point.C_W, depth, point.K_star)
    general = critical_lr_groups(net(nn.GELU, depth - 2), "gelu", 1.0)
    weights = [g["lr"] * g["params"][0].shape[1] for g in general if g["params"][0].dim() == 2]
    square = float(gaussian_moments("gelu", point.K_star).square)
    passed = [math.prod(flow.chi_perp[layer:-1]) for layer in range(depth)]
    for layer in range(1, depth):
        assert weights[layer] * square * passed[layer] == pytest.approx(1 / depth, rel=1e-6)
    torch.optim.SGD(general, lr=1.0)


def test_rates_are_for_gradient_descent() -> None:
    model = net(nn.ReLU, 1)
    with pytest.raises(ValueError, match="AdamW rescales each tensor's step"):
        critical_lr_groups(model, "relu", 0.1, optimizer=torch.optim.AdamW)
    assert critical_lr_groups(model, "relu", 0.1, optimizer=torch.optim.AdamW, force=True)
    with pytest.raises(ValueError, match="no rate to give"):
        critical_lr_groups(model, "sigmoid", 0.1)
