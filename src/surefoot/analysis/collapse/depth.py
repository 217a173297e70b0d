"""Which layer of a net does the collapsing: metrics of the features behind each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from surefoot.analysis.collapse.anchored import optimal_classifier
from surefoot.analysis.collapse.metrics import collapse_state, compute, update
from surefoot.analysis.collapse.perturbation import Spread, effective_beta, spread
from surefoot.autodiff.parameters import modes_kept
from surefoot.plots import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class LayerCollapse:
    """One layer: metrics of its output, its spread within classes inside and outside the best classifier's span, and
    the stiffness of the block between the layer before and this one (inf where it does not tighten, NaN for the first).
    """

    layer: str
    nc1: float
    nc1_trace: float
    nc2: float
    spread: Spread
    effective_beta: float


@dataclass(frozen=True)
class DepthProfile:
    """All layers, in the order in which they were named."""

    layers: tuple[LayerCollapse, ...]

    def plot(self) -> go.Figure:
        """NC1 by depth."""
        names = [row.layer for row in self.layers]
        traces = [
            {"type": "scatter", "mode": "lines+markers", "x": names, "y": y, "name": name}
            for name, y in (
                ("tr Σ_W / tr Σ_B", [r.nc1_trace for r in self.layers]), ("NC1", [r.nc1 for r in self.layers])
            )
        ]  # fmt: skip
        return figure(traces, title="Collapse by depth", x="layer", log_y=True)


def depthwise_collapse(
    model: nn.Module,
    inputs: Tensor,
    labels: Int[Tensor, " batch"],
    layers: Sequence[str],
    weight_decay: float = 1e-3,
    feature_decay: float = 1e-3,
) -> DepthProfile:
    """The metrics behind each named layer, in eval mode; the model is left as it is.

    Parameters
    ----------
    model, inputs, labels : the net, a batch, and its classes 0 … K − 1
    layers : names as in ``model.named_modules()``, from input to output; outputs of more than two dimensions are
        averaged over all but the first two
    weight_decay, feature_decay : λ_w and λ_h in whose terms a block's stiffness is told

    Raises
    ------
    ValueError
        For a name that is not there, or a layer that did not run.
    """
    modules = dict(model.named_modules())
    missing = [name for name in layers if name not in modules]
    if missing or not layers:
        raise ValueError(f"layers: {missing or 'none given'}; must be among {', '.join(list(modules)[1:8])}, …")
    outputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            outputs[name] = output.detach()

        return keep

    handles = [modules[name].register_forward_hook(keeper(name)) for name in layers]
    try:
        with modes_kept(model), torch.no_grad():
            model.eval()
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    rows: list[LayerCollapse] = []
    for name in layers:
        if name not in outputs:
            raise ValueError(f"layers: {name!r} did not run in the model's forward")
        features = _flat(outputs[name]).double()
        classes = int(labels.max()) + 1
        found = compute(update(collapse_state(classes, features.shape[1]), features, labels))
        here = spread(features.T, labels, optimal_classifier(features.T, labels, weight_decay, classes))
        stiffness = effective_beta(rows[-1].spread, here, weight_decay, feature_decay) if rows else float("nan")
        rows.append(LayerCollapse(name, found.nc1, found.nc1_trace, found.nc2_etf, here, stiffness))
    return DepthProfile(tuple(rows))


def _flat(output: Tensor) -> Float[Tensor, "batch dim"]:
    return output if output.dim() == 2 else output.flatten(2).mean(dim=2) if output.dim() > 2 else output[:, None]
