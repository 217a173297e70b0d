"""Gates of the right-down grid, the two ways to keep them from exploding, and their closed forms."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.plstm.sequence import fit_gate


@dataclass(frozen=True)
class GridGates:
    """The nine gates of a right-down grid. Each is ``[heads]``, ``[width, height, heads]``,
    ``[batch, width, height, heads]`` or what broadcasts to the last; what has no batch is computed once.

    Attributes
    ----------
    source_right, source_down
        From the node to the edge that leaves it to the right (to x + 1), and down (to y + 1).
    right_left, right_up
        To the edge that leaves to the right, from the one that came from the left, and from above.
    down_left, down_up
        The same for the edge that leaves downwards.
    mark_left, mark_up
        From the edge that came from the left, and from above, to the node.
    direct
        From the node to itself.
    """

    source_right: Tensor
    source_down: Tensor
    right_left: Tensor
    right_up: Tensor
    down_left: Tensor
    down_up: Tensor
    mark_left: Tensor
    mark_up: Tensor
    direct: Tensor

    def fitted(self, width: int, height: int, heads: int) -> dict[str, Tensor]:
        """Every gate as ``[batch or 1, width, height, heads]``.

        Raises
        ------
        ValueError
            If a gate doesn't broadcast.
        """
        names = [field.name for field in fields(self)]
        return {name: fit_gate(name, getattr(self, name), (width, height, heads)) for name in names}

    def flipped(self, flip_x: bool, flip_y: bool) -> GridGates:
        """The gates with their places mirrored; those that are equal everywhere stay as they are."""

        def mirror(gate: Tensor) -> Tensor:
            axes = [axis for axis, flip in ((-3, flip_x), (-2, flip_y)) if flip and gate.dim() >= -axis]
            return gate.flip(axes) if axes else gate

        return GridGates(*(mirror(getattr(self, field.name)) for field in fields(self)))


def p_mode_gates(
    source: Tensor,
    mark_left: Tensor,
    mark_up: Tensor,
    direct: Tensor,
    share_right: Tensor,
    decay: Tensor,
) -> GridGates:
    """Directed propagation: what comes to a node is shared out, ``share_right`` of it to the right and the rest down,
    times ``decay``.

    |decay| ≤ 1 with shares in [0, 1] bounds the sum of what leaves a node by the sum of what came; at 1 the weight of a
    node falls along its direction with a power of the distance, (2π a (1 - a) Δ)^(-1/2).

    Source: arXiv 2506.11997, P-mode.
    """
    right, down = share_right * decay, (1 - share_right) * decay
    return GridGates(
        share_right * source, (1 - share_right) * source, right, right, down, down, mark_left, mark_up, direct
    )


def d_mode_gates(
    source_right: Tensor,
    source_down: Tensor,
    mark_left: Tensor,
    mark_up: Tensor,
    direct: Tensor,
    straight_right: Tensor,
    straight_down: Tensor,
    turn: Tensor,
    chirality: str = "L",
) -> GridGates:
    """Diffusive distribution: one of the two turns is left out, so that one path joins any two nodes, and transitions
    of at most 1 are enough.

    Parameters
    ----------
    chirality : ``"L"`` goes down first and may turn to the right; ``"R"`` goes right first and may turn down

    Raises
    ------
    ValueError
        If the chirality is neither.

    Source: arXiv 2506.11997, D-mode.
    """
    none = torch.zeros_like(turn)
    if chirality not in ("L", "R"):
        raise ValueError(f"chirality: got {chirality!r}; use 'L' or 'R'")
    right_up, down_left = (turn, none) if chirality == "L" else (none, turn)
    return GridGates(
        source_right, source_down, straight_right, right_up, down_left, straight_down, mark_left, mark_up, direct
    )


def p_mode_closed(gates: GridGates, width: int, height: int) -> Float[Tensor, "heads width height"]:
    """What a node weighs at (x, y) to the right and below it, for P-mode gates that are equal everywhere, ``[heads]``.

    C(x+y, x) a^x b^y with the shares a = ``right_left`` and b = ``down_left``, split between the marks of the last
    step; in logarithms, so that large binomials do no harm. The direct gate is at (0, 0).
    """
    dtype = torch.promote_types(gates.direct.dtype, torch.float32)
    x, y = (torch.arange(n, dtype=dtype, device=gates.direct.device) for n in (width, height))
    x, y = x.reshape(1, -1, 1), y.reshape(1, 1, -1)
    steps = (x + y).clamp_min(1)
    g = {field.name: getattr(gates, field.name).reshape(-1, 1, 1).to(dtype) for field in fields(gates)}
    # the first of n steps is a source, the others are transitions; both part right and down alike
    decay, source = g["right_left"] + g["down_left"], g["source_right"] + g["source_down"]
    share = torch.where(decay != 0, g["right_left"], g["source_right"]) / torch.where(decay != 0, decay, source)
    share = share.clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps)
    paths = torch.lgamma(steps + 1) - torch.lgamma(x + 1) - torch.lgamma(y + 1)
    spread = (paths + x * share.log() + y * torch.log1p(-share)).exp()
    marks = (x * g["mark_left"] + y * g["mark_up"]) / steps  # by the paths whose last step is to the right, and down
    table = (spread * source * decay.pow(steps - 1) * marks).to(gates.direct.dtype)
    return _with_direct(table, gates.direct)


def d_mode_closed(gates: GridGates, width: int, height: int) -> Float[Tensor, "heads width height"]:
    """What a node weighs at (x, y) to the right and below it, for D-mode gates that are equal everywhere, ``[heads]``:
    the product along the one path. The direct gate is at (0, 0)."""
    x, y = (torch.arange(n, dtype=gates.direct.dtype, device=gates.direct.device) for n in (width, height))
    x, y = x.reshape(1, -1, 1), y.reshape(1, 1, -1)
    g = {field.name: getattr(gates, field.name).reshape(-1, 1, 1) for field in fields(gates)}
    right, down = g["right_left"].pow((x - 1).clamp_min(0)), g["down_up"].pow((y - 1).clamp_min(0))
    straight_right = g["source_right"] * right * g["mark_left"]
    straight_down = g["source_down"] * down * g["mark_up"]
    # whichever turn is left out contributes nothing
    round_l = g["source_down"] * down * g["right_up"] * right * g["mark_left"]
    round_r = g["source_right"] * right * g["down_left"] * down * g["mark_up"]
    table = torch.where(y == 0, straight_right, torch.where(x == 0, straight_down, round_l + round_r))
    return _with_direct(table, gates.direct)


def _with_direct(table: Tensor, direct: Tensor) -> Tensor:
    """The table with the direct gate where the displacement is nought."""
    own = torch.zeros(table.shape[1:], dtype=torch.bool, device=table.device)
    own[0, 0] = True
    return torch.where(own, direct.reshape(-1, 1, 1), table)
