"""How sharp a minimum an optimiser can sit in, and how much of its step goes along one direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from surefoot.optim.split_sgd import SplitSGD


@dataclass(frozen=True)
class StabilityLimit:
    """The largest curvature at which small oscillations still die out, for each parameter group.

    ``preconditioned`` says whether the curvature meant is that of P⁻¹H, with P from :func:`preconditioner`, or of H.
    """

    groups: tuple[float, ...]
    preconditioned: bool

    @property
    def value(self) -> float:
        """The smallest over the groups that move at all; inf if none does."""
        return min(self.groups)


def stability_limit(optimizer: Optimizer) -> StabilityLimit:
    """Curvature λ beyond which a quadratic of that curvature makes the optimiser oscillate and grow.

    Gradient descent: 2/η. Heavy ball with momentum β and dampening δ: 2 (1 + β) / (η (1 − δ)). Nesterov momentum:
    2 (1 + β) / (η (1 + 2β)). Adam: 2 (1 + β₁) / (η (1 − β₁)), that is 38/η at β₁ = 0.9, for
    the preconditioned Hessian (Cohen et al. 2022, arXiv 2207.14484). Each follows from the characteristic polynomial
    of the two-step recursion at its root −1. L2 weight decay λ_w is part of the curvature and is taken off. Exact for
    full-batch training; with small batches instability comes earlier.

    Parameters
    ----------
    optimizer : SGD, SplitSGD (for the coordinates below its threshold), Adam, AdamW, RMSprop or Adagrad

    Raises
    ------
    TypeError
        For an optimiser whose limit is not known.
    """
    rule, preconditioned = _rule(optimizer)
    groups = []
    for group in optimizer.param_groups:
        lr = float(group["lr"])
        decay = 0.0 if _decoupled(optimizer, group) else float(group.get("weight_decay", 0.0))
        # behind a preconditioner the decay is scaled by it too, coordinate by coordinate: no number can be taken off
        groups.append(rule(group) / lr - (0.0 if preconditioned else decay) if lr > 0 else float("inf"))
    return StabilityLimit(tuple(groups), preconditioned)


def preconditioner(optimizer: Optimizer) -> Float[Tensor, " parameters"]:
    """The diagonal P by which an adaptive optimiser divides its step now: √v̂ + ε, in one vector.

    In the order of the parameter groups; parameters that had no step yet count as 1. Adam's is bias-corrected, that of
    Adagrad the root of the sum.

    Raises
    ------
    TypeError
        For an optimiser that keeps no second moment.
    """
    if not isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW | torch.optim.RMSprop | torch.optim.Adagrad):
        raise TypeError(f"optimizer: got {type(optimizer).__name__}; must be Adam, AdamW, RMSprop or Adagrad")
    pieces = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "sum" in state and float(state["step"]) > 0:  # Adagrad, whose rate decays with its steps
                decay = 1 + (float(state["step"]) - 1) * float(group["lr_decay"])
                pieces.append(decay * (state["sum"].sqrt() + group["eps"]).reshape(-1))
                continue
            name = "exp_avg_sq" if "exp_avg_sq" in state else "square_avg"
            if name not in state:
                pieces.append(torch.ones_like(parameter).reshape(-1))
                continue
            second = state["max_exp_avg_sq"] if group.get("amsgrad") else state[name]
            if name == "exp_avg_sq":
                second = second / (1 - group["betas"][1] ** float(state["step"]))
            elif group["centered"]:
                second = second - state["grad_avg"] ** 2
            pieces.append((second.sqrt() + group["eps"]).reshape(-1))
    return torch.cat([piece.detach().to(pieces[0].device) for piece in pieces])


def update_share(update: Float[Tensor, " parameters"], direction: Float[Tensor, " parameters"]) -> float:
    """|⟨u, e⟩| / (|u| |e|): the share of an update that goes along a direction. 1 for the direction itself.

    Raises
    ------
    ValueError
        If the two differ in length, or one is zero.
    """
    if update.shape != direction.shape or update.dim() != 1:
        raise ValueError(
            f"direction: got shape {tuple(direction.shape)}; must be that of the update, {tuple(update.shape)}"
        )
    update, direction = update.detach().double(), direction.detach().double().to(update.device)
    lengths = float(update.norm()), float(direction.norm())
    if 0 in lengths:
        raise ValueError("update, direction: one of them is zero; a share needs both")
    return min(1.0, abs(float((update / lengths[0]) @ (direction / lengths[1]))))


def _rule(optimizer: Optimizer) -> tuple[Callable[[dict[str, Any]], float], bool]:
    """From a group to limit · η, and whether it is meant for the preconditioned Hessian."""
    if isinstance(optimizer, torch.optim.SGD):
        return _sgd, False
    if isinstance(optimizer, SplitSGD):
        return lambda group: _averaged(group["momentum"]), False
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        return lambda group: _averaged(float(group["betas"][0])), True
    if isinstance(optimizer, torch.optim.RMSprop):
        return lambda group: 2 * (1 + float(group["momentum"])), True
    if isinstance(optimizer, torch.optim.Adagrad):
        return lambda group: 2.0, True  # gradient descent, preconditioned
    known = "SGD, SplitSGD, Adam, AdamW, RMSprop, Adagrad"
    raise TypeError(f"optimizer: got {type(optimizer).__name__}; the limit is known for {known}")


def _sgd(group: dict[str, Any]) -> float:
    momentum = float(group["momentum"])
    if group["nesterov"]:
        return 2 * (1 + momentum) / (1 + 2 * momentum)
    # without momentum torch's SGD ignores dampening
    return 2 * (1 + momentum) / (1 - float(group["dampening"])) if momentum else 2.0


def _averaged(beta: float) -> float:
    return 2 * (1 + beta) / (1 - beta)


def _decoupled(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    return isinstance(optimizer, torch.optim.AdamW) or bool(group.get("decoupled_weight_decay", False))
