"""Reads one forward and backward of a model that is not trained: layers that follow each other, residual blocks, peaks.

Hooks are on the modules of a model that was built to be looked at; none is left on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from surefoot.analysis.propagation import DenseLayer
from surefoot.init.critical import Dense
from surefoot.observe.signals.activations import MAX_ELEMENTS, first_tensor
from surefoot.observe.signals.initialisation import ACTIVATION_NODES, MOST

# Operations that move numbers and change none.
_SHAPES = frozenset(
    f"{name}Backward{number}"
    for name in ("View", "UnsafeView", "Reshape", "ReshapeAlias", "Transpose", "Permute", "T", "Squeeze", "Unsqueeze",
                 "Clone", "Alias", "Contiguous")
    for number in (0, 1)
)  # fmt: skip
_SUMS = frozenset({"AddBackward0", "ReluBackward0", *_SHAPES})
_FAR = 64  # nodes that are followed back from a sum


class StartProbe:
    """A context around one forward and backward.

    Attributes
    ----------
    layers : Linear and convolution layers in the order in which they ran
    residual : by module, ‖output − input‖/‖input‖ of blocks that add to their input
    peak, peak_at : the largest magnitude of any module's output, and where
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._made_by: dict[Any, str] = {}  # graph node → layer; holds the nodes, so that they stay themselves
        self._handles: list[Any] = []
        self.layers: list[DenseLayer] = []
        self.peak, self.peak_at = 0.0, ""
        self._residual: dict[str, float] = {}

    @property
    def residual(self) -> dict[str, float]:
        """Innermost blocks only: a stage of blocks adds to its input as well."""
        names = list(self._residual)
        outer = {n for n in names if any(other != n and (not n or other.startswith(f"{n}.")) for other in names)}
        return {name: ratio for name, ratio in self._residual.items() if name not in outer}

    def __enter__(self) -> Self:
        for name, module in self._model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._made_by.clear()

    def _hook(self, name: str) -> Callable[..., None]:
        seen = False

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal seen
            out, given = first_tensor(output), first_tensor(args)
            if seen or out is None or not out.is_floating_point() or not out.numel():
                return
            seen = True
            with torch.no_grad():
                if not any(True for _ in module.children()):
                    self._read_peak(name, out)
                if isinstance(module, Dense):
                    self._read_layer(name, module, given, out)
                elif given is not None and given.shape == out.shape and _adds(out.grad_fn, given.grad_fn):
                    with suppress(RuntimeError):  # the input was changed in place
                        x = _sample(given)
                        self._residual[name] = float((_sample(out) - x).norm() / x.norm())

        return hook

    def _read_peak(self, name: str, out: Tensor) -> None:
        peak = float(_sample(out).abs().amax())
        if not peak <= self.peak:
            self.peak, self.peak_at = peak, name

    def _read_layer(self, name: str, module: nn.Module, given: Tensor | None, out: Tensor) -> None:
        weight, bias = module.weight, module.bias
        if not isinstance(weight, Tensor) or not weight.numel():
            return
        flat = weight.detach().flatten()[:MOST].float()
        layer = DenseLayer(
            name,
            float(flat.square().mean()) * weight[0].numel(),
            float(bias.detach().float().square().mean()) if isinstance(bias, Tensor) else 0.0,
            weight.shape[0],
            float(_sample(out).square().mean().sqrt()),
        )
        if given is not None:
            found = self._behind(given.grad_fn)
            if found is not None:
                layer.source, layer.activation = found
        if out.grad_fn is not None:
            self._made_by[out.grad_fn] = name

            def keep(gradient: Tensor) -> None:
                layer.backward = float(torch.linalg.vector_norm(gradient, dtype=torch.float32))

            with torch.enable_grad():
                out.register_hook(keep)
        self.layers.append(layer)

    def _behind(self, node: Any) -> tuple[str, str] | None:
        """The layer that a tensor comes from by at most one activation, and which; None if more lies between."""
        activation = ""
        for _ in range(8):
            if node is None:
                return None
            known = self._made_by.get(node)
            if known is not None:
                return known, activation
            kind = ACTIVATION_NODES.get(node.name())
            if kind is not None:
                if activation or not _as_named(node):
                    return None
                activation = kind
            elif node.name() not in _SHAPES:
                return None
            node = node.next_functions[0][0] if node.next_functions else None
        return None


def _as_named(node: Any) -> bool:
    """The activation is that of its name, without parameters of its own."""
    slope = getattr(node, "_saved_negative_slope", None)
    alpha = getattr(node, "_saved_alpha", 1.0) if node.name() == "EluBackward0" else 1.0
    scale = float(getattr(node, "_saved_scale", 1.0)) if node.name() == "EluBackward0" else 1.0
    return (slope is None or math.isclose(float(slope), 0.01)) and float(alpha) == 1.0 and scale == 1.0


def _adds(out: Any, given: Any) -> bool:
    """Whether a module's output is its input plus something, as its graph shows."""
    if out is None or given is None or out is given:
        return False
    waiting, seen, summed = [out], 0, False
    while waiting and seen < _FAR:
        node = waiting.pop()
        if node is given:
            return summed
        seen += 1
        if node.name() in _SUMS:
            summed = summed or node.name() == "AddBackward0"
            waiting.extend(child for child, _ in node.next_functions if child is not None)
    return False


def _sample(out: Tensor) -> Tensor:
    """The first rows, in float32."""
    if out.numel() > MAX_ELEMENTS and out.dim() > 0:
        out = out[: max(1, MAX_ELEMENTS * out.shape[0] // out.numel())]
    return out.detach().float()
