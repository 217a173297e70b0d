"""Residual stacks side by side: closed forms, the product multiplied out, bounds, fusion to round-off."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from surefoot.analysis.residual_expansion import (
    beyond_first_order,
    determination_ratio,
    effective_depth,
    expand_residual,
    flatten_report,
    path_weights,
    remainder_bound,
)
from surefoot.nn.shallow import BroadConv2d, BroadMLP, ParallelStack, ResidualStack, fuse_parallel

D = torch.float64


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def linear(size: int, *matrices: torch.Tensor) -> ResidualStack:
    layers = [nn.Linear(size, size, bias=False, dtype=D) for _ in matrices]
    for layer, matrix in zip(layers, matrices, strict=True):
        layer.weight.data.copy_(matrix)
    return ResidualStack(layers)


def smooth(depth: int, d: int = 5, size: float = 0.5, act: type = nn.Tanh, seed: int = 0) -> ResidualStack:
    torch.manual_seed(seed)
    branches = [nn.Sequential(nn.Linear(d, d), act(), nn.Linear(d, d)) for _ in range(depth)]
    return ResidualStack(branches, size).double()


# ---- expansion ----


def test_orders_of_scalar_branches():
    stack, x = linear(1, *(torch.tensor([[a]], dtype=D) for a in (0.1, 0.2, 0.3))), torch.ones(1, 1, dtype=D)
    orders = [expand_residual(stack, x, k).item() for k in range(4)]
    assert orders == pytest.approx([1, 1.6, 1.71, 1.716], abs=1e-14) and stack(x).item() == pytest.approx(1.716)
    assert np.cumsum(path_weights([0.1, 0.2, 0.3])) == pytest.approx(orders)
    assert path_weights([0.3] * 7) == pytest.approx([math.comb(7, k) * 0.3**k for k in range(8)])
    assert np.isfinite(path_weights([20.0] * 40)).all()  # S = 800
    assert path_weights([0.0, 2.0]).tolist() == pytest.approx([1, 2, 0])


def test_a_linear_stack_is_its_product_multiplied_out():
    generator = torch.Generator().manual_seed(0)
    matrices = [0.4 * torch.randn(4, 4, dtype=D, generator=generator) for _ in range(5)]
    stack, x = linear(4, *matrices), torch.randn(3, 4, dtype=D, generator=generator)
    wanted = x.clone()
    for k in range(6):
        if k:
            for path in itertools.combinations(range(5), k):  # later layers on the left
                y = x
                for i in path:
                    y = y @ matrices[i].T
                wanted = wanted + y
        torch.testing.assert_close(expand_residual(stack, x, k), wanted, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(wanted, stack(x), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(expand_residual(stack, x, 9), stack(x), atol=1e-12, rtol=1e-12)


def test_squares_in_closed_form():
    stack, x = ResidualStack([Function(torch.square)] * 2), torch.full((1, 1), 0.2, dtype=D)
    assert stack(x).item() == pytest.approx(0.2976)
    orders = [expand_residual(stack, x, k).item() for k in range(4)]
    assert orders == pytest.approx([0.2, 0.28, 0.296, 0.2976], abs=1e-14)


def test_the_first_order_is_the_parallel_stack():
    for scale in (1.0, 0.37):
        stack, x = smooth(4, size=scale), torch.randn(6, 5, dtype=D)
        assert torch.equal(expand_residual(stack, x, 1), stack.parallel()(x))
        assert torch.equal(expand_residual(stack, x, 0), x)
    one = smooth(1)
    torch.testing.assert_close(expand_residual(one, x, 1), one(x))
    for order in (0, 1, 3):
        assert torch.equal(expand_residual(ResidualStack([]), x, order), x)
    assert torch.equal(ParallelStack([])(x), x)


@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU])
def test_errors_fall_by_the_order_s_power_of_two(act):
    x = torch.randn(4, 5, dtype=D, generator=torch.Generator().manual_seed(1))
    for order in range(4):
        errors = []
        for size in (0.02, 0.01):
            stack = smooth(5, size=size, act=act)
            errors.append((stack(x) - expand_residual(stack, x, order)).norm().item())
        assert errors[0] / errors[1] == pytest.approx(2 ** (order + 1), rel=0.05)


def test_attention_branches_expand():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            x = self.norm(x)
            return self.attention(x, x, x, need_weights=False)[0]

    torch.manual_seed(0)
    branches, x = [Attend() for _ in range(3)], torch.randn(2, 4, 8, dtype=D)
    errors = []
    for size in (0.02, 0.01):
        stack = ResidualStack(branches, size).double()
        errors.append((stack(x) - expand_residual(stack, x, 2)).norm().item())
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_gradients_of_an_expansion():
    stack = smooth(3, d=2)
    x = torch.randn(2, 2, dtype=D, requires_grad=True)
    for order in (2, 3):
        assert gradcheck(lambda z, order=order: expand_residual(stack, z, order), x)


def test_blocks_of_ones_own():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(5, 5)

        def forward(self, x):
            return x + 0.1 * self.inner(x).tanh()

    torch.manual_seed(0)
    blocks, x = nn.Sequential(*(Block().double() for _ in range(4))), torch.randn(3, 5, dtype=D)
    stack = ResidualStack.of_blocks(blocks)
    torch.testing.assert_close(stack(x), blocks(x))
    torch.testing.assert_close(expand_residual(stack, x, 3), blocks(x), atol=1e-3, rtol=1e-3)
    assert {id(p) for p in stack.parameters()} == {id(p) for p in blocks.parameters()}


def test_more_and_smaller_branches_become_a_flow():
    """With branches of size 1/L order 1 is off by a constant, and the stack nears the flow as 1/L."""
    x = torch.randn(8, 6, dtype=D, generator=torch.Generator().manual_seed(0))
    matrix = torch.randn(6, 6, dtype=D, generator=torch.Generator().manual_seed(1))

    def stack(depth):
        return ResidualStack([Function(lambda z: (z @ matrix).tanh())] * depth, 1 / depth)

    flow = stack(4096)(x)
    errors = {depth: (stack(depth)(x) - flow).norm().item() for depth in (16, 32, 64)}
    assert errors[16] / errors[32] == pytest.approx(2, rel=0.1) and errors[32] / errors[64] == pytest.approx(2, rel=0.1)
    first = [(stack(d)(x) - expand_residual(stack(d), x, 1)).norm().item() for d in (4, 16, 64)]
    assert first[2] / first[1] == pytest.approx(1, abs=0.1) and first[1] > 0


# ---- bounds and the report ----


def test_linear_remainders_stay_below_their_bound():
    generator = torch.Generator().manual_seed(0)
    for trial in range(200):
        norms = torch.rand(6, dtype=D, generator=generator) * 0.5
        matrices = [torch.randn(4, 4, dtype=D, generator=generator) for _ in norms]
        matrices = [a * m / torch.linalg.matrix_norm(m, 2) for a, m in zip(norms, matrices, strict=True)]
        x = torch.randn(1, 4, dtype=D, generator=generator)
        order = 1 + trial % 3
        stack = linear(4, *matrices)
        error = (stack(x) - expand_residual(stack, x, order)).norm() / x.norm()
        bound = remainder_bound(norms.numpy(), order)
        S = float(norms.sum())
        assert error <= bound <= math.exp(S) - sum(S**m / math.factorial(m) for m in range(order + 1)) + 1e-12


@pytest.mark.parametrize(("size", "advice"), [(0.03, "flatten"), (1.0, "flatten_then_finetune"), (4.0, "keep_deep")])
def test_a_report_knows_how_deep_a_stack_is(size, advice):
    stack = smooth(8, d=12, size=size)
    x = torch.randn(16, 12, dtype=D, generator=torch.Generator().manual_seed(3))
    report = flatten_report(stack, x)
    assert report.advice == advice
    assert len(report.errors) == 4 and report.errors[1] <= report.bound
    assert pytest.approx(report.sizes.sum()) == report.S_hat and 0 < report.effective_depth < min(8, report.S_hat)
    if size < 0.1:
        assert report.errors[0] > report.errors[1] > report.errors[2] > report.errors[3]
    assert len(report.plot().data[0].x) == 9


def test_slopes_are_singular_values():
    matrices = [torch.randn(5, 5, dtype=D, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    report = flatten_report(linear(5, *matrices), torch.randn(4, 5, dtype=D), iters=300)
    wanted = [torch.linalg.matrix_norm(m, 2).item() for m in matrices]
    np.testing.assert_allclose(report.lipschitz, wanted, rtol=1e-3)


def test_effective_depth_is_the_mean_of_paths():
    sizes = [0.1, 0.5, 2.0, 0.0]
    weights = path_weights(sizes)
    assert effective_depth(sizes) == pytest.approx((np.arange(5) * weights).sum() / weights.sum())
    assert effective_depth([1e-6] * 10) == pytest.approx(1e-5) and effective_depth([1e9] * 10) == pytest.approx(10)
    assert effective_depth([]) == 0
    assert beyond_first_order(sizes) == pytest.approx(weights[2:].sum() / weights.sum())
    assert beyond_first_order([0.4]) == pytest.approx(0) and beyond_first_order([1e300] * 9) == pytest.approx(1)


def test_determination():
    assert determination_ratio(100, 10, nn.Linear(9, 10)) == pytest.approx(10)


# ---- sharing and fusion ----


def test_the_parallel_view_shares_its_weights():
    stack = smooth(3)
    view = stack.parallel()
    optimizer = torch.optim.SGD(view.parameters(), lr=0.1)
    before, x = stack(torch.ones(1, 5, dtype=D)).clone(), torch.randn(4, 5, dtype=D)
    view(x).square().mean().backward()
    optimizer.step()
    assert not torch.allclose(stack(torch.ones(1, 5, dtype=D)), before)
    assert all(a is b for a, b in zip(stack.parameters(), view.parameters(), strict=True))
    other = smooth(3, seed=1)
    other.load_state_dict(view.state_dict())
    torch.testing.assert_close(other(x), stack(x))


def branches_of(kind: str) -> list[nn.Module]:
    def make() -> nn.Module:
        if kind == "mlp":
            return nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 6))
        if kind == "norm":
            norm = nn.LayerNorm(6)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            return nn.Sequential(norm, nn.Linear(6, 9, bias=False), nn.Tanh(), nn.Linear(9, 6))
        if kind == "linear":
            return nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        first = nn.Conv2d(6, 6, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), *([nn.Conv2d(6, 6, 1, bias=False)] if kind == "convs" else []))

    return [make() for _ in range(4)]


@pytest.mark.parametrize("kind", ["mlp", "norm", "linear", "conv", "convs"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_fused_is_the_loop(kind, scale):
    torch.manual_seed(0)
    stack = ParallelStack(branches_of(kind), scale)
    x = torch.randn(3, 6, *((5, 5) if "conv" in kind else ()), requires_grad=True)
    fused = fuse_parallel(stack)
    assert isinstance(fused, BroadConv2d if "conv" in kind else BroadMLP)
    torch.testing.assert_close(fused(x), stack(x), atol=1e-6, rtol=1e-6)
    g = torch.randn_like(x)
    (wanted,), (found,) = (torch.autograd.grad(m(x), x, g) for m in (stack, fused))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    stack(x).backward(g)
    fused(x).backward(g)
    if kind != "norm":
        grads = torch.cat([branch[0].weight.grad for branch in stack.branches])
        torch.testing.assert_close(fused.first.weight.grad, grads, atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in fused.parameters()) <= sum(p.numel() for p in stack.parameters())


def test_the_gradient_of_a_branch_goes_through_no_other():
    ratios = []
    for make in (lambda b: ResidualStack(b), lambda b: ParallelStack(b)):
        torch.manual_seed(0)
        stack = make([nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(48)])
        stack(torch.randn(8, 16)).square().mean().backward()
        first, last = (stack.branches[i][0].weight.grad.norm().item() for i in (0, -1))
        ratios.append(first / last)
    assert 1 / 3 < ratios[1] < 3


# ---- bad input ----


def mixed(*branches: nn.Module):
    return lambda: fuse_parallel(ParallelStack(branches))


LINES = (nn.Linear(4, 4), nn.ReLU())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expand_residual(smooth(2), torch.ones(1, 5, dtype=D), -1), "order: got -1"),
        (lambda: expand_residual(smooth(2), torch.ones(1, 5, dtype=D), 1.0), "order: got 1.0"),
        (lambda: expand_residual(smooth(2), torch.ones(1, 5, dtype=D), 4), "up to 3"),
        (lambda: ResidualStack([nn.Identity(), nn.Linear(4, 5)])(torch.ones(1, 4)), "number 1 turns"),
        (lambda: expand_residual(ResidualStack([nn.Linear(4, 5)]), torch.ones(1, 4), 2), "number 0 turns"),
        (lambda: path_weights([0.1, -0.1]), "a: got"),
        (lambda: effective_depth([math.nan]), "a: got"),
        (lambda: flatten_report(ResidualStack([]), torch.ones(1, 4)), "no branch"),
        (lambda: flatten_report(smooth(2), torch.zeros(1, 5, dtype=D)), "zeros"),
        (lambda: determination_ratio(0, 1, nn.Linear(1, 1)), "n_samples"),
        (lambda: determination_ratio(1, 1, nn.Identity()), "model"),
        (mixed(), "no branch"),
        (mixed(nn.Linear(4, 4)), "number 0 is"),
        (mixed(nn.Sequential(*LINES), nn.Sequential(nn.Linear(4, 4), nn.Tanh())), "activation of number 1"),
        (mixed(nn.Sequential(*LINES), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())), "first layer of number 1"),
        (
            mixed(*(nn.Sequential(nn.Conv2d(4, 4, k, padding=k // 2), nn.ReLU()) for k in (1, 3))),
            "first layer of number 1",
        ),
        (mixed(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.ReLU())), "groups"),
        (mixed(nn.Sequential(*LINES), nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())), "bias"),
        (mixed(nn.Sequential(nn.Linear(4, 4), nn.PReLU())), "weights of its own"),
        (mixed(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))), "number 0 is"),
        (
            mixed(*(nn.Sequential(nn.LayerNorm(4, e), nn.Linear(4, 4), nn.ReLU()) for e in (1e-5, 1e-6))),
            "LayerNorm of number 1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
