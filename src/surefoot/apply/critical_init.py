"""``critical-init``: weights are drawn anew, at the critical point of the activation, before a model's first forward.

Which activation, and how large the inputs are, a run of the model on the script's own first inputs tells, which leaves
nothing behind. Where weights do not look as if they had just been drawn, nothing is done.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk
from surefoot.apply.start import Start
from surefoot.init.critical import InitPlan, critical_, dense_layers
from surefoot.observe.attention_sites import feeding_layer
from surefoot.observe.data_sites import find_data
from surefoot.observe.graph import GraphView, read_graph
from surefoot.observe.replay import Forward
from surefoot.observe.residual_sites import find_branches
from surefoot.observe.signals.initialisation import ACTIVATION_NODES

Function = str | nn.Module


class CriticalInit(Start):
    """Calls :func:`surefoot.init.critical_` on each model that the script's optimisers train."""

    id = "critical-init"

    def __init__(self, desk: Desk, activation: str, gamma: float, input_rms: float | None) -> None:
        super().__init__(desk)
        self.activation, self.gamma, self.input_rms = activation, gamma, input_rms

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Draw the weights."""
        found, rms, ends = self._tried(model, args, kwargs)
        act: Function = found if self.activation == "auto" else self.activation
        first = next((module.weight for _, module, _ in dense_layers(model)), None)
        if first is None:
            raise ValueError("it has no Linear or Conv layer")
        generator = torch.Generator().manual_seed(_seed(first))
        plan = critical_(model, act, self.gamma, self.input_rms or rms or 1.0, generator)
        with torch.no_grad():  # each branch would add its variance to the last one's; from zero they find their size
            for weight in ends:
                weight.zero_()
        branches = f", and {len(ends):,} residual branches that begin at zero" if ends else ""
        return _told(model, act, plan) + branches

    def _tried(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Function, float | None, list[Tensor]]:
        """The model's commonest activation, the size of what enters its first layer, and the weights at the end of
        residual branches, from one run of it."""
        if torch.is_inference_mode_enabled():
            raise ValueError("its first forward is one of inference")
        with torch.enable_grad():
            outputs = [t for t in Forward(model, args, kwargs).again() if t.grad_fn is not None]
            view = read_graph(outputs)
        first = next((module.weight for _, module, _ in dense_layers(model)), None)
        sizes = [float(s.data.detach().double().square().mean().sqrt()) for s in find_data(view)
                 if s.weight is first and s.data.is_floating_point()]  # fmt: skip
        drawn = {id(module.weight) for _, module, _ in dense_layers(model)}
        ends: dict[int, Tensor] = {}  # a layer may end several branches
        for branch in find_branches(view.nodes) if not self.gamma else ():
            for fed in feeding_layer(branch.end):
                if branch.certain and fed.layer in branch.nodes and id(fed.parameter) in drawn:
                    ends[id(fed.parameter)] = fed.parameter
        return _activation(view), sizes[0] if sizes and 0 < sizes[0] < float("inf") else None, list(ends.values())


def _activation(view: GraphView) -> Function:
    """The activation that most nodes of a graph are of; "linear" where there is none."""
    nodes = [(kind, node) for node in view.nodes if (kind := ACTIVATION_NODES.get(node.name())) is not None]
    if not nodes:
        return "linear"
    kind = Counter(kind for kind, _ in nodes).most_common(1)[0][0]
    node = next(node for k, node in nodes if k == kind)
    if kind == "leaky_relu":
        slope = float(getattr(node, "_saved_negative_slope", 0.01))
        return nn.LeakyReLU(slope)
    if kind == "hardtanh":  # ReLU6, too
        low, high = (float(getattr(node, f"_saved_{end}_val", usual)) for end, usual in (("min", -1.0), ("max", 1.0)))
        return nn.Hardtanh(low, high)
    return kind


def _seed(weight: Tensor) -> int:
    """A seed that follows from the weights there were: of the script's own seed, and the same on all ranks."""
    return zlib.crc32(weight.detach().float().cpu().contiguous().numpy().tobytes())


def _told(model: nn.Module, act: Function, plan: InitPlan) -> str:
    point = plan.point
    name = act if isinstance(act, str) else repr(act)
    layers = "1 layer" if len(plan.layers) == 1 else f"{len(plan.layers):,} layers"
    return f"drew {layers} of {type(model).__name__} anew with C_W = {point.C_W:.4g}, C_b = {point.C_b:.4g} ({name})"
