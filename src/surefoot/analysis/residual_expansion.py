"""How deep a residual stack really is: its expansion in the number of branches that a path goes through.

With a dial ε the stack is x_i = x_{i−1} + ε F_i(x_{i−1}); its expansion of order k is the Taylor polynomial of degree k
in ε, taken at the stack's own scale. Order 1 is all branches in parallel. For linear branches it is the product
(I + M_L) … (I + M_1) multiplied out, up to products of k.

Source: Bermeitinger, Hrycej, Handschuh, "Make Deep Networks Shallow Again", KDIR 2023, arXiv 2309.08414, for linear
branches and order 1; for nonlinear ones, bounds and orders above it is derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jvp, vjp

from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.nn.shallow import ResidualStack
from surefoot.plots import figure, line

Advice = Literal["flatten", "flatten_then_finetune", "keep_deep"]
FREE, FAITHFUL = float(np.exp(0.3) - 1.3), float(np.e - 2)  # e^S − 1 − S, the bound of order 1, at S = 0.3 and S = 1
_GENERAL = 3  # the highest order for branches that are not linear
_AFFINE = (nn.Linear, nn.Identity, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Map = Callable[[Tensor], Tensor]


def expand_residual(stack: ResidualStack, x: Tensor, order: int) -> Tensor:
    """The stack's output to an order: only paths through at most so many branches.

    Parameters
    ----------
    stack : of L branches that act alike each time (no dropout, batch statistics kept)
    x : its input
    order : 0 to L for linear branches (Linear, convolutions, Sequentials of them), of which order L is exact; 0 to 3
        for others

    Raises
    ------
    ValueError
        For an order that is no whole number or out of range, or a branch that changes the shape.

    Source: arXiv 2309.08414; orders above 1 of nonlinear branches derived.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise ValueError(f"order: got {order!r}; must be a whole number from 0")
    affine = all(map(_affine, stack.branches))
    if order > _GENERAL and not affine:
        raise ValueError(f"order: got {order}; branches that are not linear are expanded up to {_GENERAL}")
    count = len(stack.branches)
    order = min(order, count) if affine else order
    sums: list[Tensor | None] = [None] * order  # Taylor coefficients of x_i(ε), from the first on
    # order 1 needs no derivative, and is the parallel stack bit for bit
    with differentiable_kernels(stack) if order > 1 else nullcontext():
        for i in range(count if order else 0):
            grown = _coefficients(partial(stack.branch_output, i), x, sums[:-1], affine)
            sums = [_plus(s, g) for s, g in zip(sums, grown, strict=True)]
    out = x
    for s in sums:
        out = out if s is None else out + s
    return out


def path_weights(a: Sequence[float] | Float[np.ndarray, " branches"]) -> Float[np.ndarray, " orders"]:
    """Elementary symmetric polynomials e_0 … e_L of the branches' sizes: the weight of all paths through k of them.

    Computed in logarithms, so that only a result that is too large for float64 itself is infinite.

    Raises
    ------
    ValueError
        If a size is negative or no number.
    """
    sizes = _sizes(a)
    logs = np.full(len(sizes) + 1, -np.inf)
    logs[0] = 0.0
    with np.errstate(divide="ignore", over="ignore"):
        for size in np.log(sizes):
            logs[1:] = np.logaddexp(logs[1:], logs[:-1] + size)
        return np.exp(logs)


def effective_depth(a: Sequence[float] | Float[np.ndarray, " branches"]) -> float:
    """Mean number of branches on a path, Σ a/(1 + a): paths through k of them weigh e_k, their sum is Π (1 + a).

    Between 0 and the number of branches; Σ a where they are small.

    Raises
    ------
    ValueError
        If a size is negative or no number.
    """
    sizes = _sizes(a)
    return float((sizes / (1 + sizes)).sum())


def beyond_first_order(a: Sequence[float] | Float[np.ndarray, " branches"]) -> float:
    """Share of the paths' weight that goes through two branches or more, 1 − (1 + Σ a)/Π (1 + a): what side by side
    they leave out.

    Raises
    ------
    ValueError
        If a size is negative or no number.
    """
    sizes = _sizes(a)
    return float(1 - (1 + sizes.sum()) * np.exp(-np.log1p(sizes).sum()))


def remainder_bound(a: Sequence[float] | Float[np.ndarray, " branches"], order: int = 1) -> float:
    """Σ_{m > order} e_m(a): what linear branches of norms ``a`` leave out at most, relative to ‖x‖; at most
    e^S − Σ_{m ≤ order} S^m/m! with S = Σ a."""
    return float(path_weights(a)[order + 1 :].sum())


@torch.no_grad()
def branch_norms(stack: ResidualStack, x: Tensor) -> Float[Tensor, "branches samples"]:
    """‖F_i(x)‖ of every branch at the stack's input, its scale included."""
    return torch.stack([_norms(stack.branch_output(i, x)) for i in range(len(stack.branches))])


def first_order_bound(
    lipschitz: Sequence[float], outputs: Float[Tensor, "branches samples"]
) -> Float[Tensor, " samples"]:
    """Σ a_i d_{i−1}: what order 1 leaves out at most, given the branches' Lipschitz constants a_i.

    d_i = (1 + a_i) d_{i−1} + ‖F_i(x)‖, from d_0 = 0, bounds ‖x_i − x‖.

    Parameters
    ----------
    lipschitz : with the stack's scale
    outputs : of :func:`branch_norms`
    """
    far = bound = torch.zeros_like(outputs[0])
    for a, size in zip(lipschitz, outputs, strict=True):
        bound, far = bound + a * far, (1 + a) * far + size
    return bound


@dataclass(frozen=True)
class FlattenReport:
    """How well a stack is replaced by its branches in parallel, on one batch.

    Attributes
    ----------
    sizes : ‖F_i(x)‖/‖x‖ of each branch at the stack's input, means over samples
    S_hat : their sum
    lipschitz : largest singular value of each branch's Jacobian that was met, at the stack's input and at the branch's
        own; a lower bound of its Lipschitz constant
    errors : by order from 0: ‖y − order‖/‖y‖, means over samples
    bound : Σ a_i d_{i−1}/‖y‖ of order 1, with ``lipschitz`` for a; mean over samples
    effective_depth : mean number of branches on a path, from ``sizes``
    advice : ``"flatten"`` where the error of order 1 is at most 0.05 (the bound at S = 0.3),
        ``"flatten_then_finetune"`` up to 0.72 (at S = 1), else ``"keep_deep"``
    """

    sizes: Float[np.ndarray, " branches"]
    S_hat: float
    lipschitz: Float[np.ndarray, " branches"]
    errors: tuple[float, ...]
    bound: float
    effective_depth: float
    advice: Advice

    def plot(self) -> Any:
        """Weight of paths by how many branches they go through."""
        weights = path_weights(self.sizes)
        bars = line("", range(len(weights)), (weights / weights.sum()).tolist()) | {"type": "bar"}
        bars.pop("mode")
        return figure([bars], title="Paths through the stack", x="branches on a path", y="share of their weight")


def flatten_report(stack: ResidualStack, x: Tensor, iters: int = 15, seed: int = 0) -> FlattenReport:
    """Whether a stack could be flattened: sizes of its branches, errors of its expansion to orders 0 to 3, a bound.

    Parameters
    ----------
    stack : run as it is; put it in eval mode. Branches treat samples independently
    x : (samples, …)
    iters : of the power iteration for Lipschitz constants
    seed : of its start

    Raises
    ------
    ValueError
        For a stack without branches, or an input of zeros.
    """
    count = len(stack.branches)
    if not count:
        raise ValueError("stack: it has no branch")
    length = _norms(x)
    if not bool((length > 0).all()):
        raise ValueError("x: a sample is all zeros; sizes relative to it mean nothing")
    with torch.no_grad():
        outputs = branch_norms(stack, x)
        lipschitz, here = [], x
        with differentiable_kernels(stack):
            for i in range(count):
                branch = partial(stack.branch_output, i)
                places = (x,) if here is x else (x, here)
                lipschitz.append(max(_largest_slope(branch, at, iters, seed + i) for at in places))
                here = here + branch(here)
        y = here
        errors = [
            float((_norms(y - expand_residual(stack, x, k)) / _norms(y)).mean()) for k in range(min(3, count) + 1)
        ]
        bound = float((first_order_bound(lipschitz, outputs) / _norms(y)).mean())
    sizes = (outputs / length).mean(1).double().cpu().numpy()
    advice: Advice = (
        "flatten" if errors[1] <= FREE else "flatten_then_finetune" if errors[1] <= FAITHFUL else "keep_deep"
    )
    return FlattenReport(
        sizes, float(sizes.sum()), np.array(lipschitz), tuple(errors), bound, effective_depth(sizes), advice
    )


def determination_ratio(n_samples: int, n_outputs: int, model: nn.Module) -> float:
    """Q = K M / P: training samples times outputs over trainable parameters; below 1 a model can interpolate.

    Raises
    ------
    ValueError
        If a number is below 1, or the model has nothing to train.

    Source: arXiv 2309.08414 (reconstructed).
    """
    for name, value in (("n_samples", n_samples), ("n_outputs", n_outputs)):
        if value < 1:
            raise ValueError(f"{name}: got {value}; must be at least 1")
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if not parameters:
        raise ValueError(f"model: no parameter of {type(model).__name__} requires a gradient")
    return n_samples * n_outputs / parameters


def _coefficients(branch: Map, x: Tensor, sums: Sequence[Tensor | None], affine: bool) -> list[Tensor | None]:
    """Taylor coefficients of branch(x + Σ ε^m s_m), from the zeroth on, as many as there are sums and one."""
    if not sums or sums[0] is None:  # the first branch sees x alone
        return [branch(x), *([None] * len(sums))]
    if affine:
        slopes = [None if s is None else _along(branch, x, s)[1] for s in sums]
        return [branch(x), *slopes]
    s1 = sums[0]
    value, slope = _along(branch, x, s1)
    if len(sums) == 1:
        return [value, slope]
    _, bend = _along(lambda z: _along(branch, z, s1)[1], x, s1)
    second = bend / 2
    if sums[1] is not None:
        second = second + _along(branch, x, sums[1])[1]
    return [value, slope, second]


def _along(branch: Map, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The branch at x, and its derivative along v."""
    found: Any = jvp(branch, (x,), (v,))
    return found[0], found[1]


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _affine(module: nn.Module) -> bool:
    if isinstance(module, nn.Sequential):
        return all(map(_affine, module))
    return isinstance(module, _AFFINE)


def _sizes(a: Sequence[float] | np.ndarray) -> np.ndarray:
    sizes = np.asarray(a, dtype=np.float64)
    if sizes.ndim != 1 or not (sizes >= 0).all():
        raise ValueError(f"a: got {a!r}; must be numbers from 0, one a branch")
    return sizes


def _norms(x: Tensor) -> Float[Tensor, " samples"]:
    return x.flatten(1).norm(dim=1)


def _largest_slope(branch: Map, x: Tensor, iters: int, seed: int) -> float:
    """Largest singular value of the Jacobian over the samples, by power iteration on JᵀJ of all samples at once."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    sides = (-1,) + (1,) * (x.dim() - 1)
    found = torch.zeros(len(x), device=x.device)
    back = vjp(branch, x)[1]
    for _ in range(iters):
        u = u / _norms(u).clamp_min(torch.finfo(u.dtype).tiny).reshape(sides)
        _, moved = _along(branch, x, u)
        found = _norms(moved)
        (u,) = back(moved)
    return float(found.max())
