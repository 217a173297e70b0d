"""``critical-init``: weights are drawn anew, at the critical point of the activation, before a model's first forward.

Which activation, and how large the inputs are, a run of the model on the script's own first inputs tells, which leaves
nothing behind. Where weights do not look as if they had just been drawn, nothing is done.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk
from surefoot.apply.start import Start
from surefoot.init.critical import InitPlan, critical_, dense_layers
from surefoot.init.criticality import critical_point
from surefoot.observe.attention_sites import feeding_layer
from surefoot.observe.data_sites import find_data, find_multiplied
from surefoot.observe.graph import GraphView, read_graph
from surefoot.observe.replay import Forward
from surefoot.observe.residual_sites import find_branches
from surefoot.observe.signals.initialisation import ACTIVATION_NODES, of_the_script

Function = str | nn.Module


class CriticalInit(Start):
    """Calls :func:`surefoot.init.critical_` on each model that the script's optimisers train."""

    id = "critical-init"

    def __init__(self, desk: Desk, activation: str, gamma: float, input_rms: float | None) -> None:
        super().__init__(desk)
        self.activation, self.gamma, self.input_rms = activation, gamma, input_rms

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Draw the weights."""
        found, rms, ends, by_hand = self._tried(model, args, kwargs)
        act: Function = found if self.activation == "auto" else self.activation
        first = next((module.weight for _, module, _ in dense_layers(model)), None)
        if first is None and not by_hand:
            raise ValueError("it has no Linear or Conv layer, and multiplies with no matrix of its own")
        told = []
        if first is not None:
            generator = torch.Generator().manual_seed(_seed(first))
            told.append(_told(model, act, critical_(model, act, self.gamma, self.input_rms or rms or 1.0, generator)))
        if by_hand:
            told.append(_scaled(by_hand, act, self.gamma))
        with torch.no_grad():  # each branch would add its variance to the last one's; from zero they find their size
            for weight in ends:
                weight.zero_()
        if ends:
            told.append(f"{len(ends):,} residual branches that begin at zero")
        return ", and ".join(told)

    def _tried(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Function, float | None, list[Tensor], list[tuple[Tensor, int]]]:
        """The model's commonest activation, the size of what enters its first layer, the weights at the end of residual
        branches, and those that it multiplies with by hand, each with its fan-in; from one run of it."""
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
        size = sizes[0] if sizes and 0 < sizes[0] < float("inf") else None
        theirs = {id(p) for m in model.modules() if of_the_script(m) for p in m.parameters(recurse=False)}
        by_hand = [(w, fan_in) for w, fan_in in find_multiplied(view) if id(w) in theirs - drawn]
        return _activation(view), size, list(ends.values()), by_hand


def _scaled(weights: Sequence[tuple[Tensor, int]], act: Function, gamma: float) -> str:
    """Bring matrices, as the script has drawn them, to the size of the critical point; what was done."""
    point = critical_point(act, gamma)
    if point.kind == "none":
        raise ValueError(f"{act} has no critical point")
    variance = point.C_W
    with torch.no_grad():
        for weight, fan_in in weights:
            size = weight.detach().double().square().mean() * fan_in
            if size > 0:
                weight.mul_((variance / size).sqrt().to(weight.dtype))
    count = "1 matrix" if len(weights) == 1 else f"{len(weights):,} matrices"
    return f"scaled {count} of its own to C_W = {variance:.4g}"


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
