"""Reads one forward and backward of a model that is not trained: layers that follow each other, what is between them,
residual blocks, peaks, normalisations.

Hooks are on the modules of a model that was built to be looked at; none is left on it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from surefoot.analysis.propagation import DenseLayer
from surefoot.observe.hook import Hook
from surefoot.observe.layer_kinds import Matrix, matrix_of, normalised_variance, same_values, values_of
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
_USUAL = {
    "LeakyReluBackward0": (("negative_slope", 0.01),),
    "EluBackward0": (("alpha", 1.0), ("scale", 1.0), ("input_scale", 1.0)),
    "HardtanhBackward0": (("min_val", -1.0), ("max_val", 1.0)),
    "SoftplusBackward0": (("beta", 1.0),),
}
_FAR = 64  # nodes that are followed back from a sum
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class StartProbe:
    """A context around one forward and backward.

    Parameters
    ----------
    model : is read by hooks on all its modules
    guard : ``guard(name, function, *args)`` runs what reads a module inside a script that must not fail by it; None
        lets its exceptions through

    Attributes
    ----------
    layers : Linear and convolution layers in the order in which they ran
    activations : modules that act on each entry and are no activation of PyTorch's with its usual parameters, by the
        name that ``layers`` have for them
    counts : how often which activation was met as a module
    norms : ε and variance of what it normalises (mean square where no mean is taken off), by normalisation
    residual : by module, ‖output − input‖/‖input‖ of blocks that add to their input
    peak, peak_at : the largest magnitude of any module's output, and where
    """

    def __init__(self, model: nn.Module, guard: Callable[..., Any] | None = None) -> None:
        self._model, self._guard = model, guard
        self._made_by: dict[Any, str] = {}  # graph node → layer; holds the nodes, so that they stay themselves
        self._through: dict[Any, tuple[Any, str, float]] = {}  # node → node before, activation, factor of mean square
        self._handles: list[Any] = []
        self.layers: list[DenseLayer] = []
        self.activations: dict[str, nn.Module] = {}
        self.norms: dict[str, tuple[float, float]] = {}
        self.peak, self.peak_at = 0.0, ""
        self.counts: Counter[str] = Counter()
        self._residual: dict[str, float] = {}
        self._blocks: dict[str, dict[str, Any]] = {}

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """Of each block of ``residual``: ``name``, ``after`` how many layers it ended, and of its output the RMS,
        ``forward``, and the norm of the gradient, ``backward``.
        """
        return [self._blocks[name] for name in self.residual]

    @property
    def residual(self) -> dict[str, float]:
        """Innermost blocks only: a stage of blocks adds to its input as well."""
        names = list(self._residual)
        outer = {n for n in names if any(other != n and (not n or other.startswith(f"{n}.")) for other in names)}
        return {name: ratio for name, ratio in self._residual.items() if name not in outer}

    def __enter__(self) -> Self:
        for name, module in self._model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                self._handles.append(module.register_forward_hook(Hook(self._hook(name))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._made_by.clear()
        self._through.clear()

    def _hook(self, name: str) -> Callable[..., None]:
        seen = False

        def read(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal seen
            out, given = first_tensor(output), first_tensor(args)
            if seen or out is None or not out.is_floating_point() or not out.numel():
                return
            seen = True
            with torch.no_grad():
                leaf = not any(True for _ in module.children())
                if leaf:
                    self._read_peak(name, out)
                if (matrix := matrix_of(module)) is not None:
                    self._read_layer(name, module, matrix, given, out)
                elif given is not None and not (leaf and self._read_between(name, module, given, out)):
                    self._read_block(name, given, out)

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if self._guard is None:
                read(module, args, output)
            else:
                self._guard("start", read, module, args, output)

        return hook

    def _read_block(self, name: str, given: Tensor, out: Tensor) -> None:
        """Of a module that adds to its input: what it adds, and signal and gradient of the sum."""
        if given.shape != out.shape or not _adds(out.grad_fn, given.grad_fn):
            return
        with suppress(RuntimeError):  # the input was changed in place
            x = _sample(given)
            self._residual[name] = float((_sample(out) - x).norm() / x.norm())
            size = float(_sample(out).square().mean().sqrt())
            block = {"name": name, "after": len(self.layers), "forward": size, "backward": math.nan}
            self._blocks[name] = block
            _keep_gradient(out, lambda norm: block.update(backward=norm))

    def _read_peak(self, name: str, out: Tensor) -> None:
        peak = float(_sample(out).abs().amax())
        if not peak <= self.peak:
            self.peak, self.peak_at = peak, name

    def _read_layer(self, name: str, module: nn.Module, matrix: Matrix, given: Tensor | None, out: Tensor) -> None:
        bias = getattr(module, "bias", None)
        flat = matrix.weight.detach().flatten()[:MOST].float()
        layer = DenseLayer(
            name,
            float(flat.square().mean()) * (matrix.fan_in or math.nan),
            float(bias.detach().float().square().mean()) if isinstance(bias, Tensor) else 0.0,
            matrix.width,
            float(_sample(out).square().mean().sqrt()),
        )
        if given is not None and matrix.fan_in is not None:
            found = self._behind(given.grad_fn)
            if found is not None:
                layer.source, layer.activation, layer.boost = found
        if out.grad_fn is not None:
            if matrix.fan_in is not None:
                self._made_by[out.grad_fn] = name
            _keep_gradient(out, partial(setattr, layer, "backward"))
        self.layers.append(layer)

    def _behind(self, node: Any) -> tuple[str, str, float] | None:
        """The layer that a tensor comes from by at most one activation, which one, and by what dropout on the way
        multiplies the mean square; None if more lies between."""
        activation, boost = "", 1.0
        for _ in range(8):
            if node is None:
                return None
            known = self._made_by.get(node)
            if known is not None:
                return known, activation, boost
            node, kind, factor = self._through.get(node) or _step_back(node)
            if kind and activation:
                return None
            activation, boost = activation or kind, boost * factor
        return None

    def _read_between(self, name: str, module: nn.Module, given: Tensor, out: Tensor) -> bool:
        """Take note of an activation, a dropout or a normalisation; False if it is none of them."""
        if isinstance(module, _DROPOUT):
            if module.training and 0 < module.p < 1 and out.grad_fn is not None:
                self._through[out.grad_fn] = given.grad_fn, "", 1 / (1 - module.p)
            return True
        if "norm" in type(module).__name__.lower():
            eps = getattr(module, "eps", getattr(module, "variance_epsilon", None))
            if isinstance(eps, float):
                with suppress(RuntimeError, ValueError, TypeError, IndexError):  # it may be of any kind
                    self.norms[name] = eps, normalised_variance(module, _sample(given))
            return True
        node, before = out.grad_fn, given.grad_fn
        if node is None or before is None or node is before or _step_back(node)[:2] == (before, _kind(node)):
            if node is not None and (kind := _kind(node)):
                self.counts[kind] += 1
            return False  # in place, or one of PyTorch's own: the graph tells
        if given.shape != out.shape or values_of(module) is None:
            return False
        kind = " ".join(repr(module).removesuffix("()").split())[:60]
        known = self.activations.get(kind)
        if known is not None and not same_values(known, module):
            kind = f"{kind} of {name}"
        self.activations[kind] = module
        self.counts[kind] += 1
        self._through[node] = before, kind, 1.0
        return True


def _keep_gradient(out: Tensor, keep: Callable[[float], None]) -> None:
    """Have ``keep`` called with the norm of the gradient at this output, once it comes."""
    if out.requires_grad:
        with torch.enable_grad():
            out.register_hook(lambda gradient: keep(float(torch.linalg.vector_norm(gradient, dtype=torch.float32))))


def _step_back(node: Any) -> tuple[Any, str, float]:
    """The node before, if this one moves numbers or is an activation of PyTorch's; else None."""
    before = node.next_functions[0][0] if node.next_functions else None
    if node.name() in _SHAPES:
        return before, "", 1.0
    kind = _kind(node)
    return (before, kind, 1.0) if kind else (None, "", 1.0)


def _kind(node: Any) -> str:
    """The activation's name, if it is one with PyTorch's usual parameters."""
    kind = ACTIVATION_NODES.get(node.name(), "") if _as_named(node) else ""
    return "gelu_tanh" if kind == "gelu" and getattr(node, "_saved_approximate", "none") == "tanh" else kind


def _as_named(node: Any) -> bool:
    """The activation is that of its name, without parameters of its own."""
    return all(
        math.isclose(float(getattr(node, f"_saved_{key}", usual)), usual) for key, usual in _USUAL.get(node.name(), ())
    )


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
