"""DAL, the drift-adjusted learning rate: the step is as long as the curvature along the gradient lets it be.

Rosca, Wu, Qin, Dherin, TMLR 2023, arXiv 2302.01952: h = 2 / ‖H ĝ‖^p with ĝ the unit gradient. ‖H ĝ‖ measures how far a
step leaves the gradient flow; along an eigenvector p = 1 is exactly the edge of stability 2/λ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.autodiff.composite import graph_vjp
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.optim.closures import backward_left_to_step, loss_with_graph


def drift_norm(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The gradient of a loss (with its graph), and ‖H ĝ‖ as a 0-d tensor; 0 at a zero gradient.

    The drift of a step of length h from the gradient flow is (h²/2)‖g‖ times it, to leading order. One
    Hessian-vector product through the graph of the gradient.

    Raises
    ------
    RuntimeError
        If an op has no second derivative.
    """
    slopes = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters, strict=True)]
    detached = [g.detach() for g in gradients]
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(detached)))
    # where the gradient is zero the direction is too, and so is the product
    unit = torch._foreach_div(detached, length.clamp_min(torch.finfo(length.dtype).tiny))
    product = [p for p in graph_vjp(gradients, parameters, unit, keep=False) if p is not None]
    sizes = list(torch._foreach_norm(product)) if product else []
    return detached, torch.linalg.vector_norm(torch.stack(sizes)) if sizes else torch.zeros_like(length)


class DAL(Optimizer):
    """Gradient descent at the rate min(2 / ‖H ĝ‖^p, max_lr), found anew at each step by one Hessian-vector product.

        optimizer = DAL(model.parameters())
        loss = optimizer.step(lambda: loss_fn(model(x), y))

    The closure returns the loss with its graph and calls no ``backward``.

    Parameters
    ----------
    params : may be in several groups; the rate is one for all
    p : 1 is the most stable, ½ faster and less stable, 0 a fixed rate of ``max_lr`` or 2, whichever is less
    max_lr : bound of the rate, which it has where the loss is flat
    momentum : of SGD
    weight_decay : of SGD, added to the gradient after the rate is found
    lr : used outside ``window``
    window : (first, last) step, from 1, at which the rate is adjusted; None: always

    Attributes
    ----------
    lr, drift : rate and ‖H ĝ‖ of the last step, as tensors: reading them waits for the device

    Raises
    ------
    ValueError
        For a p outside [0, 1], rates or decays that make no sense, a closure that is missing or gives no loss.
    RuntimeError
        If the closure ran ``backward``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        p: float = 1.0,
        max_lr: float = 5.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        lr: float = 0.1,
        window: tuple[int, int] | None = None,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p: got {p}; must be in [0, 1]")
        if not max_lr > 0 or not lr > 0:
            raise ValueError(f"max_lr, lr: got {max_lr}, {lr}; must be positive")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: got {momentum}; must be in [0, 1)")
        if weight_decay < 0:
            raise ValueError(f"weight_decay: got {weight_decay}; must be at least 0")
        if window is not None and not 1 <= window[0] <= window[1]:
            raise ValueError(f"window: got {window}; must be (first, last) steps, from 1, first ≤ last")
        self.p, self.max_lr, self.window = p, max_lr, window
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.steps = 0
        self.lr: Tensor | float = math.nan
        self.drift: Tensor | float = math.nan

    def step(self, closure: Callable[[], Any] | None = None) -> Tensor:  # type: ignore[override]
        """One step; the loss before it."""
        if closure is None:
            raise ValueError("closure: is missing; step() needs a function that returns the loss with its graph")
        self.steps += 1
        parameters = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        adjusted = self.window is None or self.window[0] <= self.steps <= self.window[1]
        with torch.enable_grad(), differentiable_kernels():
            loss = loss_with_graph(closure())
            with backward_left_to_step():
                if adjusted:
                    gradients, drift = drift_norm(loss, parameters)
                else:
                    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
                    gradients = [
                        torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters, strict=True)
                    ]
        if adjusted:
            self.drift = drift
            # nothing waits for the device: at a zero drift the quotient is inf, and the bound holds
            self.lr = (2 / drift**self.p).clamp_max(self.max_lr)
        self._move(dict(zip(map(id, parameters), gradients, strict=True)), adjusted)
        return loss.detach()

    @torch.no_grad()
    def _move(self, gradients: dict[int, Tensor], adjusted: bool) -> None:
        for group in self.param_groups:
            rate = self.lr if adjusted else group["lr"]
            for parameter in group["params"]:
                if id(parameter) not in gradients:
                    continue
                gradient = gradients[id(parameter)]
                if group["weight_decay"]:
                    gradient = gradient + group["weight_decay"] * parameter
                if group["momentum"]:
                    state = self.state[parameter]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = torch.zeros_like(parameter)
                    gradient = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                if isinstance(rate, Tensor):
                    parameter.sub_(rate.to(parameter) * gradient)
                else:
                    parameter.sub_(gradient, alpha=rate)
