"""SplitSGD: momentum for most coordinates, a sign step for the few whose momentum is large."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class SplitSGD(Optimizer):
    """Dampened momentum below a threshold on |m|, a step of fixed length sign(m) above it.

    With m ← β m + (1 − β) g, coordinates with |m| > τ move by −lr_sign · sign(m), all others by −lr · m. Most of a
    gradient that opposing outliers make lies in few coordinates: there the step is bounded, as Adam bounds it, and
    elsewhere it is SGD's. τ is a quantile of |m| over the whole model, found anew at every step, or a fixed number.

    Rosenfeld and Risteski, arXiv 2311.04163, use such a split to see which part of Adam matters; the form here is
    reconstructed, with its defaults chosen in this project.

    Parameters
    ----------
    params : parameters or groups
    lr : step of the coordinates below the threshold
    lr_sign : length by which a coordinate above it moves
    momentum : β in [0, 1)
    quantile : share of the model's coordinates that are below the threshold; not used where ``threshold`` is given
    threshold : fixed τ ≥ 0. ``inf`` is SGD with ``dampening=momentum``, 0 is sign descent on the momentum
    weight_decay : λ in g + λ w, as in :class:`torch.optim.SGD`
    maximize : ascend

    Raises
    ------
    ValueError
        For values outside these ranges.
    RuntimeError
        In ``step``, for sparse gradients.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        lr_sign: float = 3e-3,
        momentum: float = 0.9,
        quantile: float = 0.9,
        threshold: float | None = None,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_sign": lr_sign,
            "momentum": momentum,
            "quantile": quantile,
            "threshold": threshold,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch's optimisers do, after a look at its values."""
        group = {**self.defaults, **param_group}
        for name in ("lr", "lr_sign", "weight_decay"):
            if not group[name] >= 0:
                raise ValueError(f"{name}: got {group[name]}; must be at least 0")
        if not 0 <= group["momentum"] < 1:
            raise ValueError(f"momentum: got {group['momentum']}; must be in [0, 1)")
        if not 0 <= group["quantile"] <= 1:
            raise ValueError(f"quantile: got {group['quantile']}; must be in [0, 1]")
        if group["threshold"] is not None and not group["threshold"] >= 0:
            raise ValueError(f"threshold: got {group['threshold']}; must be at least 0, or None to use the quantile")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """One step; ``closure`` re-evaluates the loss if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = [
            (group, [(p, self._momentum(group, p)) for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        momenta = [m for _, moving in groups for _, m in moving]
        for group, moving in groups:
            threshold = self._threshold(group, momenta)
            for parameter, m in moving:
                _move(parameter, m, threshold, group["lr"], group["lr_sign"])
        return loss

    def _momentum(self, group: dict[str, Any], parameter: Tensor) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.is_sparse:
            raise RuntimeError(
                "SplitSGD does not take sparse gradients; use torch.optim.SparseAdam for such parameters"
            )
        if group["maximize"]:
            gradient = -gradient
        if group["weight_decay"] != 0:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        m: Tensor = state["momentum_buffer"]
        return m.mul_(group["momentum"]).add_(gradient, alpha=1 - group["momentum"])

    @staticmethod
    def _threshold(group: dict[str, Any], momenta: list[Tensor]) -> float | Tensor:
        if group["threshold"] is not None:
            return float(group["threshold"])
        if not momenta:
            return math.inf
        pooled = torch.cat([m.abs().reshape(-1).to(momenta[0].device, torch.float32) for m in momenta])
        # kthvalue, since torch.quantile refuses more than 16 million values
        rank = min(len(pooled), max(1, math.ceil(group["quantile"] * len(pooled))))
        return pooled.kthvalue(rank).values if group["quantile"] > 0 else 0.0


def _move(parameter: Tensor, m: Tensor, threshold: float | Tensor, lr: float, lr_sign: float) -> None:
    if isinstance(threshold, float) and math.isinf(threshold):
        parameter.add_(m, alpha=-lr)
        return
    threshold = threshold.to(m.device) if isinstance(threshold, Tensor) else threshold
    large = m.abs() > threshold
    parameter.add_(torch.where(large, torch.zeros_like(m), m), alpha=-lr)
    parameter.add_(torch.where(large, m.sign(), torch.zeros_like(m)), alpha=-lr_sign)
