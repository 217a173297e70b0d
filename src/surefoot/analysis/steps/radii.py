"""Radii of convergence inside a network: activations, attention, and the smallest of all.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), appendices on activations and attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from surefoot.autodiff.jvp import Mode, global_norm, unwrap
from surefoot.optim.safe_radius import convergence_radius
from surefoot.optim.step_report import as_call, logit_jvp

KINKED = ("relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "hardtanh")
ENTIRE = ("gelu", "sin", "cos")
ANALYTIC = ("sigmoid", "logsigmoid", "silu", "softplus", "tanh", "gelu_tanh")


def activation_radius(
    pre_activation: Float[Tensor, ...], velocity: Float[Tensor, ...], kind: str, quantile: float | None = None
) -> float:
    """Smallest over units of (distance to the activation's nearest complex singularity) / (speed of the unit).

    Parameters
    ----------
    pre_activation : input h of the activation
    velocity : its derivative along the unit direction of the step, of the same shape
    kind : ``"sigmoid"``, ``"logsigmoid"``, ``"silu"``, ``"softplus"`` (singular at ±iπ, ±3iπ, …), ``"tanh"`` (±iπ/2,
        …), ``"gelu_tanh"`` (zeros of a cubic), the entire ``"gelu"``, ``"sin"``, ``"cos"`` (no singularity: inf), or
        ``"relu"`` and other functions with a kink
    quantile : take this quantile over units in place of the smallest; the paper takes 0.01 for ReLU, whose kink is
        real, so that its radius is empirical

    Returns
    -------
    Length along the direction; inf if nothing moves or nothing is singular.
    """
    if pre_activation.shape != velocity.shape:
        raise ValueError(f"velocity: got shape {tuple(velocity.shape)}; use {tuple(pre_activation.shape)}")
    if kind in ENTIRE:
        return math.inf
    h = pre_activation.detach().double().reshape(-1)
    if kind in KINKED:
        distance = torch.minimum(h.abs(), (h - 6).abs()) if kind == "relu6" else h.abs()
        if kind == "hardtanh":
            distance = (h.abs() - 1).abs()
    elif kind in ANALYTIC:
        distance = torch.full_like(h, math.inf)
        for singularity in _singularities(kind):
            distance = torch.minimum(distance, torch.hypot(h - singularity.real, h.new_tensor(singularity.imag)))
    else:
        raise ValueError(f"kind: got {kind!r}; use one of {', '.join((*ANALYTIC, *ENTIRE, *KINKED))}")
    speed = velocity.detach().double().reshape(-1).abs()
    radii = torch.where(speed > 0, distance / speed, math.inf)
    if not radii.numel():
        raise ValueError("pre_activation: there is no unit in it")
    if quantile is None:
        return float(radii.amin())
    if not 0 < quantile < 1:
        raise ValueError(f"quantile: got {quantile}; use a number between 0 and 1 such as 0.01, or None")
    return float(radii.kthvalue(max(1, math.ceil(quantile * radii.numel()))).values)


@cache
def _singularities(kind: str) -> tuple[complex, ...]:
    """Singularities in the closed upper half plane that can be nearest to a real number."""
    if kind == "tanh":
        return (0.5j * math.pi,)
    if kind != "gelu_tanh":
        return (1j * math.pi,)
    # tanh(√(2/π)·(h + 0.044715·h³)) is singular where its argument is an odd multiple of iπ/2.
    found: list[complex] = []
    for turn in range(-4, 4):
        argument = 1j * math.pi * (turn + 0.5) / math.sqrt(2 / math.pi)
        found += [complex(root) for root in np.roots([0.044715, 0, 1, -argument])]
    return tuple(root for root in found if root.imag >= 0)


def attention_radius(
    score_slopes: Float[Tensor, "*batch queries keys"], allowed: Bool[Tensor, ...] | None = None
) -> float:
    """π over the largest spread of the slopes of the scores of one query, the minimum over heads and queries.

    Parameters
    ----------
    score_slopes : derivative of the scaled scores before the softmax along the unit direction of the step
    allowed : True where a query may see a key; broadcast against the slopes
    """
    slopes = score_slopes.detach()
    slopes = slopes if slopes.dtype == torch.float64 else slopes.float()
    if slopes.shape[-1] < 2:
        return math.inf
    if allowed is None:
        return float(convergence_radius(slopes))
    if allowed.dtype != torch.bool:
        raise TypeError(f"allowed: got {allowed.dtype}; use bool, True where a query may see a key")
    seen = allowed.expand_as(slopes)
    high = slopes.masked_fill(~seen, -math.inf).amax(dim=-1)
    low = slopes.masked_fill(~seen, math.inf).amin(dim=-1)
    spread = (high - low)[seen.any(dim=-1)].clamp_min(0)
    return float(math.pi / spread.amax()) if spread.numel() else math.inf


@dataclass(frozen=True)
class NetworkRadius:
    """Radii of a network along one direction, in the units of the parameters; inf where there is no such part.

    Parameters
    ----------
    output : of the cross-entropy's softmax
    attention : smallest over attention layers
    activation : smallest over activations
    kinds : the smallest radius of each kind of activation that the model uses
    """

    output: float
    attention: float
    activation: float
    kinds: Mapping[str, float]

    @property
    def radius(self) -> float:
        """The smallest of the three."""
        return min(self.output, self.attention, self.activation)

    @property
    def bottleneck(self) -> str:
        """Which of the three it is."""
        return min(("output", "attention", "activation"), key=lambda name: getattr(self, name))


def network_radius(
    model: nn.Module,
    params: Mapping[str, Tensor],
    update: Mapping[str, Tensor],
    inputs: Any,
    *,
    kink_quantile: float | None = 0.01,
    mode: Mode = "eval",
    **how: Any,
) -> NetworkRadius:
    """All radii of a model along an update, from one forward pass with tangents.

    Activations and attention are seen wherever the forward calls them, as modules or as functions
    (``F.scaled_dot_product_attention``, ``nn.MultiheadAttention``, or a softmax of its own, which counts as attention).

    Parameters
    ----------
    model : with forward-mode formulas throughout
    params, update, inputs, how : as for :func:`surefoot.optim.step_report.logit_jvp`
    kink_quantile : for activations with a kink; None takes the smallest
    mode : ``"eval"`` or ``"train"``
    """
    length = global_norm(list(update.values()))
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"update: its norm is {length}; it must be finite and not zero")
    seen = _Seen(kink_quantile)
    handles: list[Any] = []
    root_call = as_call(inputs)
    pick = how.pop("logits", None)

    def before(module: nn.Module, args: Any) -> None:
        seen.__enter__()

    def after(module: nn.Module, args: Any, output: Any) -> None:
        seen.__exit__(None, None, None)

    root = unwrap(model)
    handles.append(root.register_forward_pre_hook(before))
    handles.append(root.register_forward_hook(after, always_call=True))
    try:
        _, slopes, _ = logit_jvp(root, params, update, root_call, derivative="jvp", mode=mode, logits=pick, **how)
    finally:
        for handle in handles:
            handle.remove()
    kinds = {kind: length * radius for kind, radius in seen.activations.items()}
    return NetworkRadius(
        output=length * float(convergence_radius(slopes)),
        attention=length * seen.attention,
        activation=min(kinds.values(), default=math.inf),
        kinds=kinds,
    )


_FUNCTIONS = {
    "relu": "relu", "relu_": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu", "leaky_relu_": "leaky_relu",
    "prelu": "prelu", "elu": "elu", "elu_": "elu", "celu": "celu", "celu_": "celu", "selu": "selu", "selu_": "selu",
    "hardtanh": "hardtanh", "hardtanh_": "hardtanh", "sigmoid": "sigmoid", "sigmoid_": "sigmoid", "tanh": "tanh",
    "tanh_": "tanh", "silu": "silu", "silu_": "silu", "softplus": "softplus", "logsigmoid": "logsigmoid",
    "gelu": "gelu",
}  # fmt: skip


class _Seen(TorchFunctionMode):
    """Reads activations and attention scores, with their tangents, while a forward runs."""

    def __init__(self, kink_quantile: float | None) -> None:
        super().__init__()
        self._kink_quantile = kink_quantile
        self.activations: dict[str, float] = {}
        self.attention = math.inf

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _FUNCTIONS:
            kind = _FUNCTIONS[name]
            if kind == "gelu" and kwargs.get("approximate", "none") == "tanh":
                kind = "gelu_tanh"
            self._activation(kind, args[0] if args else kwargs["input"])
        elif name == "softmax":
            self._softmax(*args, **kwargs)
        elif name == "scaled_dot_product_attention":
            self._attention(*args, **kwargs)
        elif name == "multi_head_attention_forward":
            # It calls these by their global names, where no mode is looking any more.
            attend, soften = F.scaled_dot_product_attention, F.softmax

            def attention(*a: Any, **k: Any) -> Tensor:
                self._attention(*a, **k)
                return attend(*a, **k)

            def softmax(*a: Any, **k: Any) -> Tensor:
                self._softmax(*a, **k)
                return soften(*a, **k)

            with (
                mock.patch.object(F, "scaled_dot_product_attention", attention),
                mock.patch.object(F, "softmax", softmax),
            ):
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    def _activation(self, kind: str, h: Tensor) -> None:
        primal, tangent = forward_ad.unpack_dual(h)
        if tangent is None or not primal.numel():
            return
        quantile = self._kink_quantile if kind in KINKED else None
        radius = activation_radius(primal, tangent, kind, quantile)
        self.activations[kind] = min(radius, self.activations.get(kind, math.inf))

    def _softmax(self, scores: Tensor, dim: int | None = -1, *rest: Any, **others: Any) -> None:
        primal, tangent = forward_ad.unpack_dual(scores)
        if tangent is not None:
            dim = -1 if dim is None else dim
            allowed = torch.isfinite(primal).movedim(dim, -1)
            self.attention = min(self.attention, attention_radius(tangent.movedim(dim, -1), allowed))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if enable_gqa:
            key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
        _, tangent = forward_ad.unpack_dual(query @ key.transpose(-2, -1) * factor)
        if tangent is None:
            return
        allowed = None
        if is_causal:
            allowed = torch.ones(tangent.shape[-2:], dtype=torch.bool, device=tangent.device).tril()
        elif attn_mask is not None:
            allowed = attn_mask if attn_mask.dtype == torch.bool else torch.isfinite(attn_mask)
        self.attention = min(self.attention, attention_radius(tangent, allowed))
