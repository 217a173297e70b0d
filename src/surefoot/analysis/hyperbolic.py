"""How norms are carried through the layers of a hyperbolic network: to the origin, to the rim, or kept.

Source: van Spengler, Berkhout, Mettes, "Poincaré ResNet", ICCV 2023, arXiv 2303.14027: initialisations before it
multiply norms by √(2/n) a layer, so that deep networks see the origin only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.nn.hyperbolic import PoincareBatchNorm, PoincareConv2d, PoincareLinear
from surefoot.nn.hyperbolic.operations import RIM
from surefoot.plots import figure, line

LAYERS = (PoincareLinear, PoincareConv2d, PoincareBatchNorm)
KEPT = 0.7  # a mean factor a layer below this is collapse


def vector_dim(layer: nn.Module) -> int:
    """The dim along which a layer's vectors lie."""
    return -1 if isinstance(layer, PoincareLinear) else 1


def _curvature(layer: Any) -> Any:
    c = layer.ball.c
    return c.detach() if isinstance(c, Tensor) else c


def layer_transport(layer: nn.Module, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of √c times the tangent norm of a layer's outputs, its ratio to that of the inputs, and the share of outputs
    that a projection would clip: each 0-d, on the layer's device, without waiting for it."""
    dim, root = vector_dim(layer), _curvature(layer) ** 0.5
    kind = after.dtype if after.dtype == torch.float64 else torch.float32
    came, left = (root * t.detach().to(kind).norm(dim=dim) for t in (before, after))
    rim = (left.tanh() > 1 - RIM.get(after.dtype, 4e-3)).to(kind).mean()
    return left.mean(), left.mean() / came.mean(), rim


@dataclass(frozen=True)
class LayerTransport:
    """One layer: √c times its mean tangent norm, the factor from its inputs to it, the share of vectors at the rim."""

    norm: float
    factor: float
    at_rim: float


@dataclass(frozen=True)
class CollapseProfile:
    """All layers in order of execution.

    Attributes
    ----------
    factor : geometric mean of the layers' factors
    verdict : ``"collapse"`` where it is below 0.7, else ``"healthy"``
    """

    layers: dict[str, LayerTransport]
    factor: float
    verdict: str

    def plot(self) -> Any:
        """Norm against layer."""
        trace = line("norm", self.layers, [layer.norm for layer in self.layers.values()], "lines+markers")
        return figure([trace], title="Tangent norms of layers", x="layer", y="√c · mean norm", log_y=True)


@torch.no_grad()
def collapse_profile(model: nn.Module, x: Tensor) -> CollapseProfile:
    """How a batch is carried through a model of ``surefoot.nn.hyperbolic`` layers; buffers and mode stay as they are.

    Raises
    ------
    ValueError
        If no layer of the ball is met.
    """
    found: dict[str, LayerTransport] = {}
    names: dict[nn.Module, str] = {module: name for name, module in model.named_modules() if isinstance(module, LAYERS)}

    def read(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[names[layer]] = LayerTransport(*(float(v) for v in layer_transport(layer, inputs[0], output)))

    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    hooks = [module.register_forward_hook(read) for module in names]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])
    if not found:
        raise ValueError("model: it has no Poincaré layer (PoincareLinear, PoincareConv2d, PoincareBatchNorm)")
    factors = torch.tensor([layer.factor for layer in found.values()], dtype=torch.float64)
    factor = float(factors.clamp_min(1e-300).log().mean().exp())
    return CollapseProfile(found, factor, "healthy" if factor >= KEPT else "collapse")
