"""The loss along the straight line between two solutions: are they in one basin?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.autodiff.parameters import LossFunction, call_with, checked, modes_kept, one_number
from surefoot.plots import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class PathResult:
    """Loss (and accuracy, for integer targets) at (1 − t) a + t b.

    Attributes
    ----------
    t, loss, accuracy : of each point; accuracy is None where targets are no class indices
    barrier : greatest height of the loss above the chord between the ends; about zero in one basin, never positive for
        a convex loss
    above_ends : greatest height above the higher end
    distance : |b − a| in the parameters
    """

    t: Float[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    accuracy: Float[np.ndarray, " n"] | None
    barrier: float
    above_ends: float
    distance: float

    def plot(self) -> go.Figure:
        """Loss along the path, with the chord."""
        ends = [float(self.loss[0]), float(self.loss[-1])]
        traces = [
            {"type": "scatter", "x": self.t.tolist(), "y": self.loss.tolist(), "name": "loss"},
            {"type": "scatter", "x": [0, 1], "y": ends, "name": "chord", "line": {"dash": "dot"}},
        ]
        return figure(traces, title=f"Straight path, barrier {self.barrier:.3g}", x="t, from a to b", y="loss")


def linear_path(
    model: nn.Module,
    state_a: Mapping[str, Tensor],
    state_b: Mapping[str, Tensor],
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    n: int = 21,
    batch_size: int | None = None,
    batch_statistics: bool = False,
) -> PathResult:
    """The loss over ``data`` at ``n`` points of the line between two state dicts, in eval mode.

    Parameters
    ----------
    model : left as it is
    state_a, state_b : ``model.state_dict()`` of two solutions; floating entries are mixed, others taken from the nearer
        end
    loss_fn : mean over rows
    data : inputs and targets, rows first
    n : points, both ends included
    batch_size : rows at a time
    batch_statistics : batch norm takes those of the batch instead of mixed running ones; a mixture of two nets' running
        statistics belongs to neither, and shows a barrier that is not in the weights

    Raises
    ------
    ValueError
        If the states differ in names or shapes from the model's, or ``n`` is below 2.
    """
    if n < 2:
        raise ValueError(f"n: got {n}; must be at least 2 points, the two ends")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}; must be at least 1, or None for all rows at once")
    inputs, targets = checked(data)
    own = model.state_dict()
    for name, state in (("state_a", state_a), ("state_b", state_b)):
        odd = [k for k in {*own, *state} if k not in own or k not in state or own[k].shape != state[k].shape]
        if odd:
            raise ValueError(
                f"{name}: differs from the model in {', '.join(sorted(odd)[:3])}; must be its state_dict()"
            )
    weights = [name for name, _ in model.named_parameters()]
    distance = sum(float((state_b[k].double() - state_a[k].double()).square().sum()) for k in weights) ** 0.5
    ts = np.linspace(0, 1, n)
    classes = not targets.dtype.is_floating_point and targets.dim() == 1
    losses, right = np.zeros(n), np.zeros(n)
    step = batch_size or len(inputs)
    for i, t in enumerate(ts):
        point = {k: _mixed(state_a[k], state_b[k], float(t)) for k in own}
        for start in range(0, len(inputs), step):
            rows = slice(start, start + step)
            share = len(inputs[rows]) / len(inputs)
            with torch.no_grad():
                outputs = _outputs(model, point, inputs[rows], batch_statistics)
                losses[i] += share * float(one_number(loss_fn(outputs, targets[rows])))
                if classes and isinstance(outputs, Tensor) and outputs.dim() == 2:
                    right[i] += share * float((outputs.argmax(dim=1) == targets[rows]).double().mean())
    chord = (1 - ts) * losses[0] + ts * losses[-1]
    above = float((losses - max(losses[0], losses[-1])).max())
    return PathResult(ts, losses, right if classes else None, float((losses - chord).max()), above, distance)


def _mixed(a: Tensor, b: Tensor, t: float) -> Tensor:
    """A tensor of its own, since batch norm counts in place."""
    if a.dtype.is_floating_point:
        return (1 - t) * a + t * b.to(a.device)
    return (a if t < 0.5 else b.to(a.device)).clone()


def _outputs(model: nn.Module, point: dict[str, Tensor], inputs: Tensor, batch_statistics: bool) -> Tensor:
    with modes_kept(model) as modules:
        for module in modules:
            module.training = batch_statistics and isinstance(module, nn.modules.batchnorm._BatchNorm)
        return call_with(model, point, (inputs,))
