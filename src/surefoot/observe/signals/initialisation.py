"""What a network starts from, told once: its commonest activation, and the size of each layer's weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.observe.data_sites import find_multiplied
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools

ACTIVATION_NODES = {
    "ReluBackward0": "relu",
    "LeakyReluBackward0": "leaky_relu",
    "TanhBackward0": "tanh",
    "SigmoidBackward0": "sigmoid",
    "GeluBackward0": "gelu",
    "SiluBackward0": "silu",
    "EluBackward0": "elu",
    "SoftplusBackward0": "softplus",
    "HardtanhBackward0": "hardtanh",
    "SinBackward0": "sin",
    "MishBackward0": "mish",
    "HardswishBackward0": "hardswish",
}
_DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
MOST = 1 << 20  # elements of a weight that are read


def of_the_script(module: nn.Module) -> bool:
    """Whether a module is no class of torch's, but for lists of parameters: what others hold besides dense layers
    starts by rules of its own."""
    return isinstance(module, nn.ParameterList | nn.ParameterDict) or not type(module).__module__.startswith("torch.")


class Initialisation(Instrument):
    """Reads weights and graph at the first backward that is looked at."""

    name = "initialisation"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._told = False

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Tell the event ``initialisation``: ``activation`` and ``weight_variance`` (times fan-in) by layer."""
        if self._told:
            return
        self._told = True
        kinds = Counter(kind for node in view.nodes if (kind := ACTIVATION_NODES.get(node.name())) is not None)
        activation = kinds.most_common(1)[0][0] if kinds else ""
        sizes: dict[str, Tensor] = {}
        with torch.no_grad():
            for layer in self.tools.scene.models.layers:
                module = layer.module() if layer.module is not None else None
                if isinstance(module, _DENSE) and type(module.weight) is nn.Parameter and module.weight.numel():
                    weight = module.weight.detach()
                    fan_in = weight[0].numel()
                    sizes[layer.name] = weight.flatten()[:MOST].float().square().mean() * fan_in
            for weight, fan_in in find_multiplied(view):
                owned = self.tools.scene.models.find(weight)
                module = None if owned is None or owned.layer.module is None else owned.layer.module()
                if owned is None or owned.layer.name in sizes or not (module is None or of_the_script(module)):
                    continue  # of a layer with several the first
                sizes[owned.layer.name] = weight.detach().flatten()[:MOST].float().square().mean() * fan_in

        def tell(found: list[np.ndarray]) -> None:
            values = {name: float(value) for name, value in zip(sizes, found, strict=True)}
            self.tools.tell(self.name, activation=activation, weight_variance=values)

        self.tools.later.ask(list(sizes.values()), tell)
