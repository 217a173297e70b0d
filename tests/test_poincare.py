"""The Poincaré ball: closed forms, gradients by hand against numerical ones, fused layers against composed ones."""

from __future__ import annotations

import math
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

import processes
from loops import fit
from surefoot.analysis.hyperbolic import collapse_profile
from surefoot.nn.hyperbolic import (
    PoincareBall,
    PoincareBatchNorm,
    PoincareBatchNorm2d,
    PoincareConv2d,
    PoincareLinear,
    PoincareResidual,
    PoincareResNet,
    conformal_factor,
    dist,
    expmap,
    expmap0,
    frechet_mean,
    gyration,
    hyperplane_linear,
    logmap,
    logmap0,
    midpoint,
    mobius_add,
    project,
    tangent_add,
    tangent_linear,
    tangent_midpoint,
    transport,
)
from watching import watching

D = torch.float64


def tensor(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=D)


def points(n: int, d: int, spread: float = 0.4, c: float = 1.0, seed: int = 0) -> torch.Tensor:
    v = spread * torch.randn(n, d, dtype=D, generator=torch.Generator().manual_seed(seed))
    return expmap0(v, c)


# ---- operations ----


def test_sums_and_distance_at_points():
    x, y = tensor(0.3, 0), tensor(0, 0.4)
    assert mobius_add(x, y).tolist() == pytest.approx([0.3430599369085174, 0.35883280757097796], abs=1e-15)
    assert mobius_add(y, x).tolist() == pytest.approx([0.24842271293375395, 0.4298107255520505], abs=1e-15)
    assert dist(x, y).item() == pytest.approx(1.0891371665366822, abs=1e-14)
    assert 2 * mobius_add(-x, y).norm().atanh().item() == pytest.approx(1.0891371665366822, abs=1e-14)


@pytest.mark.parametrize("c", [0.1, 1.0, 2.5])
def test_maps_are_inverse_and_agree(c):
    x, y, v = points(20, 4, 0.2, c), points(20, 4, 0.2, c, 1), points(20, 4, 0.2, seed=2)
    torch.testing.assert_close(logmap(x, expmap(x, v, c), c), v, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(logmap0(expmap0(v, c), c), v, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(expmap(torch.zeros_like(v), v, c), expmap0(v, c), atol=1e-14, rtol=1e-14)
    length = conformal_factor(x, c).squeeze(-1) * logmap(x, y, c).norm(dim=-1)
    torch.testing.assert_close(dist(x, y, c), length, atol=1e-12, rtol=1e-12)
    by_definition = mobius_add(-mobius_add(x, y, c), mobius_add(x, mobius_add(y, v, c), c), c)
    torch.testing.assert_close(gyration(x, y, v, c), by_definition, atol=1e-12, rtol=1e-12)
    moved = transport(x, y, v, c)
    torch.testing.assert_close(
        conformal_factor(y, c) * moved.norm(dim=-1, keepdim=True),
        conformal_factor(x, c) * v.norm(dim=-1, keepdim=True),
        atol=1e-12,
        rtol=1e-12,
    )


@pytest.mark.parametrize("function", [mobius_add, expmap, logmap, dist, tangent_add, tangent_midpoint])
def test_gradients_by_hand(function):
    x, y = points(3, 4, 0.5).requires_grad_(), points(3, 4, 0.5, seed=1).requires_grad_()
    c = tensor(0.7)[0].requires_grad_()
    arguments = (x, c) if function is tangent_midpoint else (x, y, c)
    assert gradcheck(function, arguments, atol=1e-7)
    assert gradgradcheck(function, arguments, atol=1e-6)
    if function is not tangent_midpoint:
        assert gradcheck(function, (x[:1].detach().requires_grad_(), y, c), atol=1e-7)  # broadcast


@pytest.mark.parametrize("function", [expmap0, logmap0, conformal_factor, project, partial(project, eps=0.6)])
@pytest.mark.parametrize("spread", [1e-9, 0.01, 0.5])
def test_gradients_of_one_argument(function, spread):
    x, c = points(3, 4, spread).requires_grad_(), tensor(0.7)[0].requires_grad_()
    assert gradcheck(function, (x, c), atol=1e-7)
    assert gradgradcheck(function, (x, c), atol=1e-6)


def test_small_and_zero_vectors_follow_the_series():
    v = torch.full((1, 3), 1e-9, dtype=D, requires_grad=True)
    for function in (expmap0, logmap0):
        out = function(v)
        torch.testing.assert_close(out, v, atol=0, rtol=1e-15)
        torch.testing.assert_close(torch.autograd.grad(out.sum(), v)[0], torch.ones_like(v))
    zero = torch.zeros(2, 3, dtype=D, requires_grad=True)
    x = torch.zeros(2, 3, dtype=D)
    weight = torch.eye(3, dtype=D)
    for out in (
        expmap0(zero), logmap0(zero), expmap(x, zero), logmap(x, zero), dist(x, zero), tangent_add(x, zero),
        tangent_linear(zero, weight, None), tangent_midpoint(zero),
    ):  # fmt: skip
        assert torch.autograd.grad(out.sum(), zero)[0].isfinite().all()


def test_flat_limit():
    c = 1e-12
    x, y = points(5, 3), points(5, 3, seed=1)
    torch.testing.assert_close(mobius_add(x, y, c), x + y, atol=1e-10, rtol=0)
    torch.testing.assert_close(dist(x, y, c), 2 * (x - y).norm(dim=-1), atol=1e-10, rtol=1e-10)
    weight, bias = points(4, 3, seed=2), tensor(0.1, -0.2, 0.3, 0.0)
    expected = 2 * (x @ weight.T - weight.norm(dim=1) * bias)
    torch.testing.assert_close(tangent_linear(x, weight, bias, c), expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(hyperplane_linear(x, weight, bias, c), expected, atol=1e-9, rtol=1e-9)


# ---- layers ----


@pytest.mark.parametrize("c", [0.1, 1.0])
@pytest.mark.parametrize("radius", [0.1, 0.5, 0.95])
def test_identity_initialisation_is_the_identity(c, radius):
    x = F.normalize(points(8, 6), dim=-1) * radius / math.sqrt(c)
    weight = PoincareLinear(6, 6, PoincareBall(c), dtype=D).weight
    assert (hyperplane_linear(x, weight, None, c) - x).abs().max() < 2e-14
    u = logmap0(x, c)
    assert (tangent_linear(u, weight, None, c) - u).abs().max() < 2e-14 * (1 + u.abs().max())


def test_linear_at_a_point():
    u, weight = tensor(0.5, -0.3), tensor([0.6, 0.1], [-0.2, 0.5], [0.1, -0.4])
    bias = tensor(0.1, -0.2, 0.3)
    tangent = [0.4184306522401717, -0.24391651081159285, 0.03318422532347111]
    ball = [0.38838771702953695, -0.2264035301255829, 0.030801628527393463]
    assert tangent_linear(u, weight, bias).tolist() == pytest.approx(tangent, abs=1e-14)
    assert hyperplane_linear(expmap0(u), weight, bias).tolist() == pytest.approx(ball, abs=1e-14)


@pytest.mark.parametrize("size", [1e-3, 0.5, 3.0])
def test_fused_layers_equal_composed_ones(size):
    u, v = (size * F.normalize(points(8, 5, seed=s), dim=-1) for s in (0, 1))
    weight, bias, c = points(4, 5, seed=2), tensor(0.1, -0.2, 0.3, 0.0), 0.8
    composed = logmap0(hyperplane_linear(expmap0(u, c), weight, bias, c), c)
    torch.testing.assert_close(tangent_linear(u, weight, bias, c), composed, atol=1e-10, rtol=1e-10)
    composed = logmap0(mobius_add(expmap0(u, c), expmap0(v, c), c), c)
    torch.testing.assert_close(tangent_add(u, v, c), composed, atol=1e-9, rtol=1e-9)
    composed = logmap0(midpoint(expmap0(u, c), c), c)
    torch.testing.assert_close(tangent_midpoint(u, c).squeeze(0), composed, atol=1e-9, rtol=1e-9)


def test_gradients_of_the_linear_layer_by_hand():
    u, weight = points(3, 4).requires_grad_(), points(2, 4, seed=1).requires_grad_()
    bias, c = tensor(0.2, -0.4).requires_grad_(), tensor(0.7)[0].requires_grad_()
    assert gradcheck(tangent_linear, (u, weight, bias, c), atol=1e-7)
    assert gradgradcheck(tangent_linear, (u, weight, bias, c), atol=1e-6)


def test_float32_holds_where_composed_layers_saturate():
    u = (8 * F.normalize(points(4, 6), dim=-1)).float().requires_grad_()
    layer = PoincareLinear(6, 6, PoincareBall(1.0))
    out = layer(u)
    torch.testing.assert_close(out, u, rtol=1e-5, atol=1e-5)
    (slope,) = torch.autograd.grad(out.square().sum() / 2, u)
    torch.testing.assert_close(slope, u.detach(), rtol=1e-3, atol=1e-3)
    layer.fused = False
    assert layer(u).norm(dim=-1).max() < 3.2  # atanh(0.996) and no farther
    far = 1e4 * u.detach()
    assert tangent_add(far, -far).isfinite().all() and tangent_linear(far, layer.weight, None).isfinite().all()


@pytest.mark.parametrize("bias", [True, False])
def test_convolution_without_unfolding_equals_the_one_with(bias):
    torch.manual_seed(0)
    layer = PoincareConv2d(3, 4, (3, 2), PoincareBall(0.6), (2, 1), 1, (1, 2), bias, "hnn++", dtype=D)
    with torch.no_grad():
        layer.weight.mul_(5)
        if bias:
            layer.bias.normal_(std=0.2)
    x = 0.5 * torch.randn(2, 3, 7, 8, dtype=D)
    fused = layer(x)
    layer.fused = False
    torch.testing.assert_close(fused, layer(x), atol=1e-11, rtol=1e-11)


def test_initialisations_of_a_convolution():
    assert PoincareConv2d(8, 8, 3, PoincareBall()).beta_ratio == pytest.approx(0.3242, abs=1e-4)
    constant = torch.full((1, 16, 9, 9), 0.01, dtype=D)
    inside = {}
    for init in ("identity", "center", "box"):
        layer = PoincareConv2d(16, 16, 3, PoincareBall(), padding=1, init=init, dtype=D)
        inside[init] = (layer(constant)[..., 4, 4].norm() / constant[..., 4, 4].norm()).item()
    assert inside["center"] == pytest.approx(1, abs=0.01) and inside["box"] == pytest.approx(1, abs=0.05)
    assert inside["identity"] == pytest.approx(1 / 3, abs=0.05)
    wide = PoincareLinear(3, 5, PoincareBall())  # rows of zeros are not stuck
    wide(torch.randn(4, 3)).sum().backward()
    assert (wide.weight.grad.norm(dim=1) > 0).all()


# ---- means and normalisation ----


def test_midpoint():
    x = tensor([0.5, 0], [0, 0.5], [-0.2, 0.1])
    found = midpoint(x)
    assert found.tolist() == pytest.approx([0.10734209714843827, 0.1816558567127417], abs=1e-15)
    klein = 2 * x / (1 + x.square().sum(1, keepdim=True))
    gamma = (1 - klein.square().sum(1, keepdim=True)).rsqrt()
    mean = (gamma * klein).sum(0) / gamma.sum()
    torch.testing.assert_close(found, mean / (1 + (1 - mean.square().sum()).sqrt()), atol=1e-14, rtol=0)
    two = expmap(x[0], logmap(x[0], x[1]) / 2)
    torch.testing.assert_close(midpoint(x[:2]), two, atol=1e-14, rtol=0)
    shift = tensor(0.3, -0.6)
    torch.testing.assert_close(midpoint(mobius_add(shift, x)), mobius_add(shift, found), atol=1e-14, rtol=0)
    weights = tensor([2.0], [1.0], [1.0])
    torch.testing.assert_close(midpoint(x, weights=weights), midpoint(x[[0, 0, 1, 2]]), atol=1e-15, rtol=0)
    torch.testing.assert_close(
        expmap0(tangent_midpoint(logmap0(x), 1.0, weights)).squeeze(0), midpoint(x, weights=weights), atol=1e-14, rtol=0
    )


@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_frechet_mean(spread):
    x = points(30, 3, spread).requires_grad_()
    mean = frechet_mean(x)
    assert logmap(mean, x).mean(0).norm() < 1e-12
    images = x.detach().reshape(5, 6, 3).permute(0, 2, 1)
    torch.testing.assert_close(frechet_mean(images, dim=1, reduce_dim=(0, 2)), mean, atol=1e-12, rtol=0)
    few, c = points(4, 2, spread).requires_grad_(), tensor(0.7)[0].requires_grad_()
    assert gradcheck(frechet_mean, (few, c), atol=1e-6)


@pytest.mark.parametrize("mean", ["midpoint", "frechet"])
def test_batch_norm_gives_the_variance_around_the_centre(mean):
    torch.manual_seed(0)
    norm = PoincareBatchNorm(4, PoincareBall(0.8), mean, dtype=D)
    with torch.no_grad():
        norm.bias.normal_(std=0.3)
        norm.weight.fill_(0.49)
    x = 0.4 * torch.randn(64, 4, dtype=D) + 0.2
    out, centre = expmap0(norm(x), 0.8), expmap0(norm.bias, 0.8)
    assert dist(out, centre, 0.8).square().mean().item() == pytest.approx(0.49, rel=1e-5)
    mu = frechet_mean(expmap0(x, 0.8), 0.8) if mean == "frechet" else midpoint(expmap0(x, 0.8), 0.8)
    points_x = expmap0(x, 0.8)
    scale = (0.49 / (dist(points_x, mu, 0.8).square().mean() + 1e-6)).sqrt()
    moved = transport(mu, centre, logmap(mu, points_x, 0.8), 0.8)
    torch.testing.assert_close(out, expmap(centre, scale * moved, 0.8), atol=1e-12, rtol=1e-12)
    if mean == "frechet":
        assert (frechet_mean(out, 0.8) - centre).norm() < 1e-13


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 2)])
def test_gradients_of_batch_norm(shape):
    torch.manual_seed(0)
    ball = PoincareBall(0.7)
    norm = PoincareBatchNorm(3, ball, track_running_stats=False, dtype=D)
    x = (0.5 * torch.randn(*shape, dtype=D) + 0.4).requires_grad_()
    bias, weight, c = 0.3 * torch.randn(3, dtype=D), tensor(0.6)[0], tensor(0.7)[0]
    arguments = [x, *(t.requires_grad_() for t in (bias, weight, c))]

    def call(x, bias, weight, c):
        ball._c = c
        return torch.func.functional_call(norm, {"bias": bias, "weight": weight}, (x,))

    assert gradcheck(call, arguments, atol=1e-7) and gradgradcheck(call, arguments, atol=1e-6)


@pytest.mark.parametrize(("offset", "spread", "error"), [(0, 1e-4, 1e-6), (5, 0.05, 1e-3), (60, 1.0, 0.2)])
def test_batch_norm_in_float32_far_from_the_origin(offset, spread, error):
    torch.manual_seed(0)
    x = offset * F.normalize(torch.ones(8, dtype=D), dim=0) + spread * torch.randn(256, 8, dtype=D)
    exact = PoincareBatchNorm(8, PoincareBall(0.1), dtype=D)(x)
    found = PoincareBatchNorm(8, PoincareBall(0.1))(x.float())
    assert (found - exact).norm(dim=1).mean() < error * exact.norm(dim=1).mean()
    images = 0.3 * torch.randn(4, 8, 5, 5)
    norm = PoincareBatchNorm2d(8, PoincareBall())
    torch.testing.assert_close(norm(images), norm(images.to(memory_format=torch.channels_last)), atol=1e-5, rtol=1e-5)


def test_running_statistics_serve_evaluation():
    torch.manual_seed(0)
    norm = PoincareBatchNorm2d(3, PoincareBall(), momentum=0.5)
    x = 0.3 * torch.randn(8, 3, 4, 4) + 0.1
    for _ in range(30):
        trained = norm(x)
    torch.testing.assert_close(norm.eval()(x), trained, atol=1e-5, rtol=1e-5)
    assert norm(x[:1])[0].allclose(norm(x)[0], atol=1e-6)  # one image at a time
    assert not list(PoincareBatchNorm(3, PoincareBall(), track_running_stats=False).buffers())


def test_residual_works_along_channels():
    ball = PoincareBall(0.5)
    x, f = 0.3 * torch.randn(2, 3, 4, 5, dtype=D), 0.3 * torch.randn(2, 3, 4, 5, dtype=D)
    body = nn.Identity()
    body.forward = lambda _: f
    got = PoincareResidual(ball, body)(x)
    for i, j in ((0, 0), (3, 2)):
        one = logmap0(mobius_add(expmap0(f[1, :, i, j], 0.5), expmap0(x[1, :, i, j], 0.5), 0.5), 0.5)
        torch.testing.assert_close(got[1, :, i, j], one.relu(), atol=1e-12, rtol=0)


def test_resnet_trains_with_a_learned_curvature_and_half_precision():
    torch.manual_seed(0)
    ball = PoincareBall(0.1, learnable=True)
    assert ball.c.item() == pytest.approx(0.1)
    net = PoincareResNet((4, 8), depth=6, classes=3, c=ball, in_channels=1)
    out = net(torch.randn(1, 1, 8, 8))  # a batch of one keeps its shape
    assert out.shape == (1, 3)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.bfloat16()(torch.randn(2, 1, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_saved_bytes():
    def units(function, *shapes):
        arguments = [0.1 * torch.randn(*shape, requires_grad=True) for shape in shapes]
        kept: dict[int, int] = {}

        def pack(t):
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = function(*arguments)
        del out
        return sum(kept.values()) / (4 * 512 * 64)

    both = ((512, 64), (512, 64))
    assert units(mobius_add, *both) <= 2.01 and units(expmap, *both) <= 2.01 and units(tangent_add, *both) <= 2.01
    layer = PoincareLinear(64, 64, PoincareBall())
    assert units(layer, (512, 64)) <= 2 + 0.4  # input, products, and two copies of the weight


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(PoincareBall, 0.0), "c: got 0"),
        (partial(PoincareBall, -1.0), "c: got -1"),
        (partial(PoincareBall(strict=True).logmap0, torch.ones(3)), "inside the ball"),
        (partial(PoincareLinear, 2, 2, PoincareBall(), init="box"), "init: got 'box'"),
        (partial(PoincareLinear, 0, 2, PoincareBall()), "in_features: got 0"),
        (partial(PoincareConv2d, 2, 2, 3, PoincareBall(), init="dirac"), "init: got"),
        (partial(PoincareConv2d, 2, 2, 3, PoincareBall(), stride=0), "stride: got 0"),
        (partial(PoincareBatchNorm, 2, PoincareBall(), "median"), "mean: got"),
        (partial(PoincareBatchNorm(2, PoincareBall()), torch.ones(3, 4)), "x: got shape"),
        (partial(PoincareBatchNorm(2, PoincareBall()), torch.ones(1, 2)), "one vector"),
        (partial(PoincareBatchNorm2d(2, PoincareBall()), torch.ones(3, 2)), "x: got shape"),
        (partial(PoincareResNet, (4, 8), depth=8), "depth: got 8"),
        (partial(collapse_profile, nn.Linear(2, 2), torch.ones(1, 2)), "no Poincaré layer"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- collapse ----


def deep(init: str, depth: int = 10, width: int = 32) -> nn.Module:
    torch.manual_seed(0)
    ball = PoincareBall(0.1)
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [PoincareLinear(width, width, ball, init=init), nn.ReLU()]
    return nn.Sequential(*layers, PoincareLinear(width, 4, ball, init=init))


def test_collapse_profile():
    x = torch.randn(16, 32)
    fallen, kept = collapse_profile(deep("hnn++"), x), collapse_profile(deep("identity"), x)
    assert fallen.verdict == "collapse" and fallen.factor < 0.3
    assert kept.verdict == "healthy" and kept.factor > 0.7
    assert list(kept.layers) == [str(i) for i in range(0, 20, 2)]
    assert kept.layers["0"].factor == pytest.approx(1, abs=1e-5) and kept.layers["0"].at_rim == 0
    assert kept.plot() is not None


SCRIPT = """
import torch
from surefoot.nn.hyperbolic import PoincareBall, PoincareResNet
from surefoot.nn.plstm import PLSTMVis
torch.manual_seed(0)
x, y = torch.randn(16, 1, 8, 8), torch.arange(16) % 4
ball = PoincareBall(0.1, learnable=True)
for model in (
    PoincareResNet((4, 8), 6, 4, ball, 1),
    PLSTMVis(4, in_channels=1, image_size=8, patch_size=2, dim=8, heads=2, modes="PD"),
):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item(), sum(p.double().sum().item() for p in model.parameters()))
"""


def test_surefoot_run_sees_through_the_layers(tmp_path):
    from surefoot import open_run

    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    plain, watched = (
        processes.run([sys.executable, *options, script], timeout=300)
        for options in ([], ["-m", "surefoot", "run", "--look-every", "1", "--quiet", "--out", str(tmp_path / "run")])
    )
    assert plain.returncode == watched.returncode == 0, watched.stderr
    assert watched.stdout == plain.stdout
    record = open_run(tmp_path / "run")
    factors = record.frame("hyperbolic_factor")
    assert len(factors.columns) >= 9 and factors.iloc[-1].notna().any()
    assert record.frame("gating_gain").max(axis=None) <= 1 + 1e-4


@pytest.mark.parametrize("init", ["identity", "hnn++"])
def test_watched_networks_stay_as_they_are_and_collapse_is_found(init):
    bare = fit(deep(init), 128, 32, 12, 1e-3)
    with watching(every=1) as kept:
        model = deep(init)
        assert fit(model, 128, 32, 12, 1e-3) == bare
    factor = kept.signal("hyperbolic_factor", "2")
    assert factor[2] == pytest.approx(1 if init == "identity" else math.sqrt(2 / 32), rel=0.4)
    found = kept.findings()
    assert ("hyperbolic-collapse" in found) == (init == "hnn++")
    if init == "hnn++":
        exec(found["hyperbolic-collapse"].remedies[0].how, {"model": model})
        assert collapse_profile(model, torch.randn(16, 32)).verdict == "healthy"
