"""1-bit networks: estimators against closed forms, layers against the product written out, meters, schedules, bits."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from checking import unchecked
from loops import fit
from surefoot.analysis.surrogates import (
    EquilibriumState,
    compute,
    estimating_error,
    gradient_instability,
    read_equilibrium,
    recommend_sharpness,
    slope_unevenness,
    update,
)
from surefoot.nn.binary import (
    EDE,
    STE,
    ApproxSign,
    BinaryConv2d,
    BinaryLinear,
    EDESchedule,
    PackedLinear,
    ReSTE,
    ReSTESchedule,
    SignSwish,
    binarize,
    pack_signs,
    packed_matmul,
    set_sharpness,
    surrogate_gradient,
    surrogate_value,
)
from watching import watching

Z = torch.linspace(-3, 3, 601, dtype=torch.float64)
UNIFORM = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000  # midpoints of (0, 1)
ALL = (ReSTE(), ReSTE(o=1.7), STE(), ApproxSign(), SignSwish(), EDE(t=0.5), EDE(t=2.0))


# ---- estimators ----


def test_o_1_is_straight_through_up_to_the_clip():
    slope = surrogate_gradient(Z, o=1.0)
    assert torch.equal(slope, (Z.abs() <= 1.5).double())


@pytest.mark.parametrize(
    ("o", "z", "slope"),
    [
        (3.0, 0.0, 4.641588833612779),
        (3.0, 0.05, 4.641588833612779),
        (3.0, 0.1, 4.641588833612779),  # at the knee the secant holds
        (3.0, 0.5, 0.5291336839893999),
        (3.0, 1.0, 1 / 3),
        (3.0, 1.5, 0.2543809427896293),
        (3.0, 1.6, 0.0),
        (2.0, 0.0, 3.1622776601683795),
        (2.0, 0.5, 0.7071067811865476),
        (10.0, 0.0, 7.943282347242815),
        (10.0, 0.5, 0.18660659830736148),
    ],
)
def test_slopes_at_points(o, z, slope):
    both = surrogate_gradient(torch.tensor([z, -z], dtype=torch.float64), o=o)
    assert both.tolist() == pytest.approx([slope, slope], abs=1e-14)


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_the_slope_is_the_derivative_of_the_value(estimator):
    z = torch.linspace(0.11, 0.99, 200, dtype=torch.float64)
    z = torch.cat([z, -z])
    h = 1e-6
    difference = (surrogate_value(z + h, estimator) - surrogate_value(z - h, estimator)) / (2 * h)
    torch.testing.assert_close(surrogate_gradient(z, estimator), difference, atol=1e-8, rtol=1e-7)


def test_baselines_at_points():
    at = torch.tensor([0.0, 0.25, 1.0, 40.0], dtype=torch.float64)
    assert surrogate_gradient(at, "ste").tolist() == [1, 1, 1, 0]
    assert surrogate_gradient(at, "approx_sign").tolist() == [2, 1.5, 0, 0]
    assert surrogate_gradient(at, "sign_swish")[0] == pytest.approx(5.0)  # β (2 − 0) / (1 + 1)
    assert surrogate_gradient(at, "sign_swish")[3] == pytest.approx(0.0, abs=1e-12)  # and not ∞/∞
    assert surrogate_gradient(at, "ede", t=0.1)[0] == pytest.approx(1.0)  # k t = 1 as long as t ≤ 1
    assert surrogate_gradient(at, "ede", t=10.0)[0] == pytest.approx(10.0)


@pytest.mark.parametrize("name", ["ste_sign", "approx_sign", "swish_sign"])
def test_baselines_are_the_formulas_of_larq(name):
    """Written out from larq's documentation, in float64."""
    x = Z.numpy()
    written, ours = {
        "ste_sign": (np.abs(x) <= 1, "ste"),
        "approx_sign": (np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0), "approx_sign"),
        "swish_sign": (5 * (2 - 5 * x * np.tanh(2.5 * x)) / (1 + np.cosh(5 * x)), "sign_swish"),
    }[name]
    assert np.abs(surrogate_gradient(Z, ours).numpy() - written).max() < 1e-14
    assert np.array_equal(binarize(Z, ours).numpy(), np.where(x < 0, -1.0, 1.0))


@pytest.mark.parametrize(("o", "expected"), [(1, 1 / 3), (2, 1 / 6), (3, 0.1), (10, 2 / 132)])
def test_mean_square_error_on_uniform_numbers(o, expected):
    assert estimating_error(UNIFORM, o, "mean").item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("o", "expected"), [(1, 0), (2, 0.575646), (3, 1.539246), (5, 3.179810), (10, 5.375943)])
def test_unevenness_on_uniform_numbers(o, expected):
    assert slope_unevenness(UNIFORM, ReSTE(o=o)).item() == pytest.approx(expected, abs=2e-5)
    assert surrogate_gradient(UNIFORM, o=o).mean().item() == pytest.approx(1.0, abs=1e-5)


def test_without_the_knee_unevenness_is_finite_below_2_only():
    for o in (1.1, 1.25):
        assert slope_unevenness(UNIFORM, ReSTE(o=o, knee=1e-4)).item() == pytest.approx(1 / (o * (2 - o)) - 1, abs=0.01)
    sizes = [slope_unevenness(UNIFORM, ReSTE(o=3.0, knee=m)).item() for m in (1e-2, 1e-3, 1e-4)]
    growth = [b / a for a, b in itertools.pairwise(sizes)]
    assert growth == pytest.approx([10 ** (1 / 3)] * 2, rel=0.15)  # as knee^(2/o − 1), to infinity


@pytest.mark.parametrize("estimator", [*ALL, ReSTE(o=1.0)], ids=repr)
def test_slopes_far_out_are_zero(estimator):
    far = [1e30, -1e30] if isinstance(estimator, SignSwish | EDE) else [1e30, -1e30, math.inf, -math.inf]
    assert not surrogate_gradient(torch.tensor(far, dtype=torch.float64), estimator).any()


@given(st.floats(1, 20), st.floats(1, 20), st.floats(-3, 3))
def test_sharper_is_nowhere_farther_from_sign(a, b, z):
    low, high = sorted((a, b))
    point = torch.tensor([z], dtype=torch.float64)
    assert estimating_error(point, high, "none") <= estimating_error(point, low, "none") + 1e-12


def test_ede_is_somewhere_farther_from_sign_than_the_identity():
    one = torch.ones(1, dtype=torch.float64)
    assert estimating_error(one, EDE(t=0.5), "none").item() == pytest.approx(0.0758, abs=1e-4)


# ---- sign ----


def test_forward_is_plus_or_minus_one_and_keeps_nan():
    z = torch.tensor([0.0, -0.0, 2.0, -1e-40, 1e-40, math.inf, -math.inf])
    for name in ("reste", "ste", "approx_sign", "sign_swish", "ede"):
        assert binarize(z, name).tolist() == [1, 1, 1, -1, 1, 1, -1]
    assert binarize(torch.tensor([math.nan])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_backward_multiplies_with_the_slope(dtype):
    z = torch.randn(64, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    g = torch.linspace(-1, 1, 64).to(dtype)
    out = binarize(z, o=2.5)
    (got,) = torch.autograd.grad(out, z, g)
    assert out.dtype == got.dtype == dtype and out.shape == z.shape
    expected = g * surrogate_gradient(z.detach().double(), o=2.5).to(dtype)
    torch.testing.assert_close(got, expected, rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_forward_mode_vmap_and_compile_agree():
    z = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slope = surrogate_gradient(z)
    value, tangent = torch.func.jvp(binarize, (z,), (torch.ones_like(z),))
    assert torch.equal(value, binarize(z)) and torch.equal(tangent, slope)
    each = torch.func.vmap(torch.func.grad(lambda row: binarize(row).sum()))(z)
    assert torch.equal(each, slope)
    layer = BinaryLinear(7, 3)
    with unchecked():  # a tracer's symbols are no shapes
        compiled = torch.compile(layer, backend="aot_eager")
        assert torch.equal(compiled(z.float()), layer(z.float()))


def test_second_derivatives_take_the_slope_as_a_constant():
    z = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad((binarize(z) ** 3).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    slope = surrogate_gradient(z.detach())
    torch.testing.assert_close(second, 6 * binarize(z.detach()) * slope**2)


# ---- layers ----


@pytest.mark.parametrize("scale", ["layer", "channel", None])
@pytest.mark.parametrize("binarize_input", [True, False])
def test_convolution_is_the_product_written_out(scale, binarize_input):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 5, 3, stride=2, padding=1, scale=scale, binarize_input=binarize_input, dtype=torch.float64)
    x = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    size = layer.weight.abs()
    factor = {"layer": size.mean(), "channel": size.mean((1, 2, 3))[:, None, None], None: torch.ones(())}[scale]
    signs = x.sign() if binarize_input else x
    expected = F.conv2d(signs, layer.weight.sign(), stride=2, padding=1) * factor + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=1e-12)


def test_gradient_of_the_weights_is_the_analytic_one():
    torch.manual_seed(1)
    layer = BinaryConv2d(2, 3, 3, bias=False, dtype=torch.float64)
    x = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    weight = layer.weight.detach()
    plain = (weight.sign() * weight.abs().mean()).requires_grad_()
    (g,) = torch.autograd.grad(F.conv2d(x.sign(), plain).square().sum(), plain)
    (got,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    slope = surrogate_gradient(weight)
    expected = slope * g * weight.abs().mean() + weight.sign() / weight.numel() * (g * weight.sign()).sum()
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)


def test_sharpness_is_saved_and_reaches_the_gradient():
    model = nn.Sequential(BinaryLinear(4, 4), nn.ReLU(), BinaryLinear(4, 2))
    set_sharpness(model, 1.5)
    again = nn.Sequential(BinaryLinear(4, 4), nn.ReLU(), BinaryLinear(4, 2))
    again.load_state_dict(model.state_dict())
    assert again[2].sharpness.item() == 1.5
    x = torch.full((1, 4), 0.5, requires_grad=True)
    for o in (1.0, 2.0):
        set_sharpness(model, o)
        (got,) = torch.autograd.grad(model[0].binary_input(x).sum(), x)
        assert got[0, 0].item() == pytest.approx(0.5 ** (1 / o - 1) / o)
    assert "reste" not in repr(model) and "ReSTE(o=3.0" in repr(model)


def test_a_half_precision_model_trains():
    model = nn.Sequential(BinaryLinear(8, 8), BinaryLinear(8, 2)).to(torch.bfloat16)
    model(torch.randn(4, 8, dtype=torch.bfloat16)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# ---- schedules ----


def test_schedules():
    schedule = ReSTESchedule(o_end=3.0, total=100)
    assert schedule.value(0) == 1.0
    assert schedule.value(50) == pytest.approx(1 + (1 - 1 / math.sqrt(2)) * 2)
    values = [schedule.value(e) for e in range(101)]
    assert values == sorted(values) and values[99] < 3 == pytest.approx(values[100])
    assert schedule.value(1000) == values[100]
    assert ReSTESchedule(3.0, 100, "linear").value(50) == 2.0
    assert ReSTESchedule(3.0, 100, "constant").value(0) == 3.0
    assert [EDESchedule(10).value(e) for e in (0, 5, 10)] == pytest.approx([0.1, 1.0, 10.0])


# ---- meters ----


def test_meters_of_a_model():
    torch.manual_seed(0)
    model = nn.Sequential(BinaryLinear(6, 5, bias=False), nn.BatchNorm1d(5), BinaryLinear(5, 2))
    with torch.no_grad():
        model[0].weight[0] = 2.0  # six of thirty beyond the reach of 1.5
    assert math.isnan(read_equilibrium(model)["0"].instability)
    model(torch.randn(8, 6)).square().sum().backward()
    reading = read_equilibrium(model, sharpness=3.0)
    assert list(reading) == ["0", "2"]
    assert reading["0"].frozen == pytest.approx(0.2)
    assert reading["0"].error == pytest.approx(estimating_error(model[0].weight, 3.0).item())
    grads = [model[0].weight.grad, model[2].weight.grad]
    total = sum(layer.instability for layer in reading.values())
    assert total == pytest.approx(gradient_instability(grads).item())
    assert gradient_instability(grads, "mean").item() == pytest.approx(total / 2)
    assert gradient_instability(grads, "none").shape == (2,)
    assert gradient_instability([torch.tensor([1.0, -3.0])]).item() == pytest.approx(2.0)  # |g| = 1, 3, unbiased
    state = update(update(EquilibriumState(), reading), reading)
    found = compute(state)
    assert found.error == pytest.approx(sum(layer.error for layer in reading.values()))
    assert (found.instability_mean, found.instability_sum) == pytest.approx((total, 2 * total))


def test_recommended_sharpness_is_the_largest_within_the_factor():
    from surefoot.analysis.surrogates import Equilibrium

    runs = {o: Equilibrium(0.0, s, s) for o, s in ((1.0, 1.0), (2.0, 3.0), (3.0, 9.0), (10.0, 80.0))}
    assert recommend_sharpness(runs) == 3.0
    assert recommend_sharpness(runs, factor=2) == 1.0
    with pytest.raises(ValueError, match="o = 1"):
        recommend_sharpness({3.0: runs[3.0]})


# ---- bits ----


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 200), st.integers(0, 2**31 - 1))
def test_packed_product_is_exact(rows, columns, features, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(rows, features, generator=generator), torch.randn(columns, features, generator=generator)
    got = packed_matmul(pack_signs(a), pack_signs(b), features)
    assert (torch.from_numpy(got) == (binarize(a) @ binarize(b).T).int()).all()


@pytest.mark.parametrize("scale", ["layer", "channel", None])
def test_packed_layer_gives_the_layers_output(scale):
    torch.manual_seed(0)
    layer = BinaryLinear(130, 7, scale=scale)
    x = torch.randn(2, 3, 130)
    torch.testing.assert_close(PackedLinear(layer)(x), layer(x), atol=1e-5, rtol=1e-5)
    assert PackedLinear(layer).words.nbytes == 7 * 3 * 8


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (partial(binarize, torch.arange(3)), TypeError, "z: got torch.int64"),
        (partial(binarize, torch.randn(3), o=0.5), ValueError, "o: got 0.5"),
        (partial(binarize, torch.randn(3), clip=0.0), ValueError, "clip: got 0.0"),
        (partial(binarize, torch.randn(3), knee=0.0), ValueError, "knee: got 0.0"),
        (partial(binarize, torch.randn(3), knee=2.0), ValueError, "knee: got 2.0"),
        (partial(binarize, torch.randn(3), "sigmoid"), ValueError, "estimator: got 'sigmoid'"),
        (partial(binarize, torch.randn(3), "ste", o=2.0), ValueError, "no such parameter"),
        (partial(binarize, torch.randn(3), ReSTE(), o=2.0), ValueError, "instance"),
        (partial(STE, clip=0.0), ValueError, "clip: got"),
        (partial(SignSwish, beta=0.0), ValueError, "beta: got"),
        (partial(EDE, t=-1.0), ValueError, "t: got"),
        (partial(ReSTESchedule, o_end=0.5, total=3), ValueError, "o_end: got"),
        (partial(ReSTESchedule, o_end=2.0, total=0), ValueError, "total: got"),
        (partial(ReSTESchedule, o_end=2.0, total=3, kind="steps"), ValueError, "kind: got"),
        (partial(BinaryLinear, 2, 2, scale="row"), ValueError, "scale: got"),
        (partial(set_sharpness, nn.Linear(2, 2), 2.0), ValueError, "no BinaryLinear"),
        (partial(set_sharpness, BinaryLinear(2, 2), 0.5), ValueError, "o: got"),
        (partial(read_equilibrium, nn.Linear(2, 2)), ValueError, "no BinaryLinear"),
        (partial(compute, EquilibriumState()), ValueError, "no reading"),
        (partial(gradient_instability, []), ValueError, "gradients: got none"),
        (partial(estimating_error, torch.randn(3), 2.0, "sum"), ValueError, "reduction: got"),
        (partial(pack_signs, torch.randn(3)), ValueError, "z: got shape"),
        (partial(PackedLinear, BinaryLinear(2, 2, binarize_input=False)), ValueError, "inputs are real"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ---- watched ----


def binary_classifier(estimator=None) -> nn.Module:
    """Two binary layers in a small classifier."""
    torch.manual_seed(0)
    made = estimator or ReSTE()
    return nn.Sequential(
        nn.Linear(12, 32), nn.BatchNorm1d(32), BinaryLinear(32, 32, estimator=made), nn.BatchNorm1d(32),
        BinaryLinear(32, 32, estimator=made), nn.BatchNorm1d(32), nn.Linear(32, 4),
    )  # fmt: skip


def test_watched_binary_layers_show_their_surrogates_and_stay_as_they_are():
    bare = fit(binary_classifier(), 256, 12, 10, 1e-2)
    model = binary_classifier()
    with watching(every=1, means="hooks") as kept:  # whatever another test has compiled
        assert fit(model, 256, 12, 10, 1e-2) == bare
    at_end = kept.signal("surrogate_unevenness", "2")
    assert len(at_end) == 10
    first = binary_classifier()[2].weight.detach()
    assert at_end[1] == pytest.approx(slope_unevenness(first, ReSTE()).item(), rel=1e-4)
    assert kept.signal("surrogate_frozen", "4")[1] == 0
    assert kept.signal("activation_rms", "2") and kept.signal("gradient_rms", "4")
    assert not [f for f in kept.findings().values() if f.severity != "info"]


@pytest.mark.parametrize("fault", ["sharp", "frozen"])
def test_a_surrogate_that_serves_no_more_is_found(fault):
    model = binary_classifier(ReSTE(o=50.0, knee=1e-5) if fault == "sharp" else ReSTE())
    if fault == "frozen":
        with torch.no_grad():
            model[4].weight.mul_(100)
    with watching(every=1, means="hooks") as kept:
        fit(model, 256, 12, 8, 1e-2)
    finding = kept.findings()["surrogate-mismatch"]
    assert finding.severity == "warning" and "4" in finding.where
    signal = {"sharp": "surrogate_unevenness", "frozen": "surrogate_frozen"}[fault]
    assert {e.signal for e in finding.evidence} == {signal}
    exec(finding.remedies[0].how, {"model": model})
    with watching(every=1, means="hooks") as kept:
        fit(model, 256, 12, 8, 1e-2)
    assert "surrogate-mismatch" not in kept.findings() or fault == "sharp"


class _WrittenByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight):
        ctx.save_for_backward(weight)
        return weight.sign()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0].abs() <= 1)


class _Binary(nn.Linear):
    def forward(self, x):
        return F.linear(x, _WrittenByHand.apply(self.weight) / self.in_features**0.5, self.bias)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_an_estimator_that_a_script_wrote_is_judged_by_what_it_reaches(scale):
    torch.manual_seed(0)
    model = nn.Sequential(_Binary(12, 64), nn.BatchNorm1d(64), nn.Hardtanh(), _Binary(64, 10), nn.BatchNorm1d(10))
    with torch.no_grad():
        model[3].weight.mul_(scale)  # uniform up to 1/8, so that one in 37 is within 1
    with watching(every=1, means="hooks") as kept:
        fit(model, 256, 12, 8, 1e-2)
    found = kept.findings().get("surrogate-mismatch")
    if scale == 1.0:
        assert found is None
        return
    assert found.severity == "warning" and found.where == ("3",)
    assert model[3].weight.abs().max() > 30
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    exec(found.remedies[0].how.split("\n", 1)[1], {"model": model, "optimizer": optimizer})
    assert model[3].weight.abs().max() <= 1
