"""Whether the gates of a recurrence over a grid or a graph explode along its many paths, or forget.

On a graph the paths between two nodes grow in number with a power of two or more a step, so that gates of at most 1 do
not bound their sum. Two local rules do (Pöppel et al., arXiv 2506.11997): what leaves a node sums to no more than what
came (P-mode), or one path joins any two nodes and each gate is at most 1 (D-mode). Under either no sum over paths
between two edges exceeds 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.plstm.dag import path_gains
from surefoot.nn.plstm.gates import GridGates
from surefoot.nn.plstm.graph import LineGraph
from surefoot.nn.plstm.grid import gating_matrix_2d, plstm_2d

if TYPE_CHECKING:
    import plotly.graph_objects as go

Verdict = Literal["explode", "critical", "vanish"]
ROUNDING = 1e-4  # by which a gain may exceed 1 in float32 without meaning anything


@dataclass(frozen=True)
class GridRecurrenceReport:
    """What gates do over distance; of several heads and samples the worst.

    Attributes
    ----------
    column_sum
        Largest sum of |transitions| from one edge to those that go on: at most 1 is P-mode's rule.
    path_gain
        Largest sum over paths of the product of |transitions| between an edge and a later node: above 1 means that
        many paths add up. It bounds what a gradient is multiplied by on its way.
    largest
        Largest |G| with the gates' own sources, marks and signs.
    profile
        ``path_gain`` by number of steps, from 1 to the farthest.
    exponent
        p where the profile falls as distance^(-p), over the last half of the steps that no side of the grid cuts off:
        1/2 for critical P-mode, 0 for critical D-mode, negative where gains grow.
    verdict
        ``"explode"`` where gains exceed 1 and grow on; ``"vanish"`` where they fall faster than 1/distance; else
        ``"critical"``.
    """

    column_sum: float
    path_gain: float
    largest: float
    profile: Float[Tensor, " distances"]
    exponent: float
    verdict: Verdict

    def plot(self) -> go.Figure:
        """Gain against distance, with the bound of both rules."""
        from surefoot.plots import figure, line

        steps = range(1, len(self.profile) + 1)
        traces = [line("gain", steps, self.profile.tolist()), line("bound of both modes", steps, [1.0] * len(steps))]
        return figure(traces, title=f"Gates: {self.verdict}", x="steps", y="sum over paths", log_x=True, log_y=True)


def check_grid(gates: GridGates, width: int, height: int, heads: int) -> GridRecurrenceReport:
    """Say of any gates of a right-down grid whether they explode. Costs (width · height)² numbers a head.

    Raises
    ------
    ValueError
        If a gate doesn't broadcast, or the grid has a single node.
    """
    if width * height < 2:
        raise ValueError(f"width, height: {width} × {height} has no edges; give two nodes or more")
    fitted = {name: gate.detach() for name, gate in gates.fitted(width, height, heads).items()}
    table = torch.stack([_matrix(_absolute(fitted, right), width, height, heads) for right in (True, False)]).amax(
        (0, 1, 2)
    )
    x, y = torch.arange(width, device=table.device), torch.arange(height, device=table.device)
    steps = (x[:, None, None, None] - x[None, None, :, None]) + (y[None, :, None, None] - y[None, None, None, :])
    farthest = width + height - 2
    profile = table.new_zeros(farthest + 1).scatter_reduce(0, steps.clamp_min(0).flatten(), table.flatten(), "amax")[1:]
    largest = _matrix(GridGates(**fitted), width, height, heads).abs().max()
    return _report(grid_column_sum(fitted), profile, _whole(width, height), float(largest))


def check_dag(
    source: Float[Tensor, "heads edges"],
    transition: Float[Tensor, "heads lines"],
    mark: Float[Tensor, "heads edges"],
    graph: LineGraph,
) -> GridRecurrenceReport:
    """The same for any directed acyclic graph, between edges; distance counts levels. Costs edges² numbers a head."""
    if not graph.num_lines:
        raise ValueError("graph: no two of its edges meet, so nothing is carried; give a deeper graph")
    sums = transition.new_zeros(len(transition), graph.num_edges).index_add(1, graph.incoming, transition.abs())
    gains = path_gains(transition.detach().abs(), graph).amax(0)
    steps = (graph.level[:, None] - graph.level).clamp_min(0)
    profile = gains.new_zeros(graph.depth).scatter_reduce(0, steps.flatten(), gains.flatten(), "amax")[1:]
    signed = mark.unsqueeze(-1) * path_gains(transition.detach(), graph) * source.unsqueeze(-2)
    return _report(sums.max(), profile, len(profile), float(signed.abs().max()))


def grid_gain(gates: GridGates, width: int, height: int, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """``path_gain`` and ``exponent`` from the first corner alone, and the largest column sum, as 0-d tensors: as cheap
    as a forward of the recurrence with one key and one value, and without a synchronisation."""
    fitted = {name: gate.detach() for name, gate in gates.fitted(width, height, heads).items()}
    batch = max(gate.shape[0] for gate in fitted.values())
    one = fitted["direct"].new_ones(batch, width, height, heads, 1)
    first = torch.zeros_like(one)
    first[:, 0, 0] = 1
    tables = [
        plstm_2d(one, one, first, _absolute(fitted, right), method="recurrent", scale=1.0) for right in (True, False)
    ]
    table = torch.stack(tables).amax((0, 1, 4, 5))
    x, y = (torch.arange(n, device=table.device) for n in (width, height))
    profile = table.new_zeros(width + height - 1)
    profile = profile.scatter_reduce(0, (x[:, None] + y).flatten(), table.flatten(), "amax")[1:]
    return profile.max(), _exponent(profile[: _whole(width, height)]), grid_column_sum(fitted)


def grid_column_sum(gates: dict[str, Tensor]) -> Tensor:
    """Largest |T| to the right plus |T| down, of the edge that comes from the left or from above."""
    left = gates["right_left"].abs() + gates["down_left"].abs()
    up = gates["right_up"].abs() + gates["down_up"].abs()
    return torch.maximum(left.max(), up.max())


def _absolute(gates: dict[str, Tensor], right: bool) -> GridGates:
    """|transitions|, marks of 1, and a source of 1 to one side: sums over paths from one edge to each node."""
    one, none = torch.ones_like(gates["direct"]), torch.zeros_like(gates["direct"])
    rl, ru, dl, du = (gates[name].abs() for name in ("right_left", "right_up", "down_left", "down_up"))
    return GridGates(one if right else none, none if right else one, rl, ru, dl, du, one, one, none)


def _matrix(gates: GridGates, width: int, height: int, heads: int) -> Tensor:
    return gating_matrix_2d(gates, width, height, heads)


def _exponent(profile: Tensor) -> Tensor:
    """-d log gain / d log distance between half of the way and its end."""
    end = len(profile)
    half = max(1, end // 2)
    if half == end:
        return profile.new_zeros(())
    tiny = torch.finfo(profile.dtype).tiny
    return (profile[half - 1].clamp_min(tiny) / profile[-1].clamp_min(tiny)).log() / math.log(end / half)


def _whole(width: int, height: int) -> int:
    """So many steps before what is carried leaves the grid at its sides, which would look like forgetting."""
    return min(width, height) - 1 if min(width, height) > 1 else max(width, height) - 1


def _report(column_sum: Tensor, profile: Tensor, whole: int, largest: float) -> GridRecurrenceReport:
    gain, exponent = float(profile.max()), float(_exponent(profile[:whole]))
    verdict: Verdict = "critical"
    if not math.isfinite(gain) or (gain > 1 + ROUNDING and exponent < 0):
        verdict = "explode"
    elif exponent > 1:
        verdict = "vanish"
    return GridRecurrenceReport(float(column_sum), gain, largest, profile, exponent, verdict)
