"""Gated linear recurrence over a grid: a step a diagonal, in chunks, or in logarithmic depth; one function.

A block of 2^l × 2^l nodes acts as one node whose edges carry a boundary of 2^l cells. Four blocks make the next; what
is left when doubling stops is a smaller grid of blocks, taken diagonal by diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.plstm.gates import GridGates
from surefoot.nn.plstm.sequence import Method, levels_of


@dataclass(frozen=True)
class Blocks:
    """Gates of blocks, ``[batch, heads, columns, rows, …]``; N nodes and a boundary of J cells each."""

    right_left: Tensor  # [J, J]
    right_up: Tensor
    down_left: Tensor
    down_up: Tensor
    source_right: Tensor  # [J, N]
    source_down: Tensor
    mark_left: Tensor  # [N, J]
    mark_up: Tensor
    inside: Tensor  # [N, N]


def plstm_2d(
    q: Float[Tensor, "batch width height heads keys"],
    k: Float[Tensor, "batch width height heads keys"],
    v: Float[Tensor, "batch width height heads values"],
    gates: GridGates,
    *,
    method: Method = "chunkwise",
    levels: int | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch width height heads values"]:
    """Carry k vᵀ to the right and down along every path of a grid, and read it with q.

    Parameters
    ----------
    q, k, v : queries, keys, values; x is the first axis of places, y the second
    gates : see :class:`GridGates`
    method : ``"recurrent"`` a step a diagonal, ``"parallel"`` log₂(side) steps and (width · height)² memory,
        ``"chunkwise"`` blocks of 2**levels × 2**levels nodes in parallel and a step a diagonal of blocks
    levels : of the chunks; 3 where none is given
    scale : multiplies q · k; 1/√keys where none is given

    Raises
    ------
    ValueError
        If a gate doesn't broadcast, or the method is unknown.

    Source: arXiv 2506.11997, section 3 and appendix.
    """
    _, width, height, heads, keys = q.shape
    levels = levels_of(method, levels, max(width, height))
    blocks = grid_blocks(gates, width, height, heads, levels)
    side = 2**levels
    order = _order(levels, q.device)
    q = q * (keys**-0.5 if scale is None else scale)
    q, k, v = (_into_blocks(x, side, order) for x in (q, k, v))
    out = (blocks.inside * (q @ k.transpose(-1, -2))) @ v
    if out.shape[2] * out.shape[3] > 1:
        out = out + _across(blocks, q, k, v)
    return _from_blocks(out, side, order)[:, :width, :height]


def gating_matrix_2d(
    gates: GridGates, width: int, height: int, heads: int
) -> Float[Tensor, "batch heads width height width height"]:
    """G: what node (x', y') weighs at node (x, y), as [x, y, x', y']; the direct gate on the diagonal. The recurrence
    is (G ∘ q kᵀ) v. Batch is 1 where no gate has one."""
    levels = levels_of("parallel", None, max(width, height))
    inside = grid_blocks(gates, width, height, heads, levels).inside[:, :, 0, 0]
    side, order = 2**levels, torch.argsort(_order(levels, inside.device))
    raster = inside[:, :, order][..., order]
    return raster.unflatten(3, (side, side)).unflatten(2, (side, side))[:, :, :width, :height, :width, :height]


def grid_blocks(gates: GridGates, width: int, height: int, heads: int, levels: int) -> Blocks:
    """The gates of the blocks after some doublings; what is missing to a whole block neither writes nor carries."""
    side = 2**levels
    columns, rows = -(-width // side) * side, -(-height // side) * side
    made = []
    for gate in gates.fitted(width, height, heads).values():
        x = gate.permute(0, 3, 1, 2)
        if (columns, rows) != (width, height):
            x = torch.nn.functional.pad(x, (0, rows - height, 0, columns - width))
        made.append(x[..., None, None])
    source_right, source_down, right_left, right_up, down_left, down_up, mark_left, mark_up, direct = made
    blocks = Blocks(right_left, right_up, down_left, down_up, source_right, source_down, mark_left, mark_up, direct)
    for _ in range(levels):
        blocks = _merge(blocks)
    return blocks


def _merge(b: Blocks) -> Blocks:
    """Two by two blocks as one. Boundaries: upper half first on the right side, left half first below."""

    def four(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return x[:, :, 0::2, 0::2], x[:, :, 1::2, 0::2], x[:, :, 0::2, 1::2], x[:, :, 1::2, 1::2]

    tl_rl, tr_rl, bl_rl, br_rl = four(b.right_left)
    tl_ru, tr_ru, bl_ru, br_ru = four(b.right_up)
    tl_dl, tr_dl, bl_dl, br_dl = four(b.down_left)
    tl_du, tr_du, bl_du, br_du = four(b.down_up)
    tl_sr, tr_sr, bl_sr, br_sr = four(b.source_right)
    tl_sd, tr_sd, bl_sd, br_sd = four(b.source_down)
    tl_ml, tr_ml, bl_ml, br_ml = four(b.mark_left)
    tl_mu, tr_mu, bl_mu, br_mu = four(b.mark_up)
    tl_g, tr_g, bl_g, br_g = four(b.inside)

    # what leaves the upper right block downwards, and the lower left one to the right, for each way in
    down_of_left, down_of_up, down_of_source = tr_dl @ tl_rl, tr_dl @ tl_ru, tr_dl @ tl_sr
    right_of_left, right_of_up, right_of_source = bl_ru @ tl_dl, bl_ru @ tl_du, bl_ru @ tl_sd
    left_of_up, up_of_left = tr_ml @ tl_rl, bl_mu @ tl_du
    mark_over_right, mark_over_down = br_ml @ bl_ru, br_mu @ tr_dl

    def rows(upper: Sequence[Tensor], lower: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.cat(list(upper), -1), torch.cat(list(lower), -1)], -2)

    none = torch.zeros_like(tl_rl)
    none_jn, none_nj = torch.zeros_like(tl_sr), torch.zeros_like(tl_ml)
    cross_tr, cross_bl = tr_ml @ tl_sr, bl_mu @ tl_sd
    cross_br = mark_over_down @ tl_sr + mark_over_right @ tl_sd
    none_nn = torch.zeros_like(cross_tr)
    return Blocks(
        right_left=rows((tr_rl @ tl_rl, none), (br_ru @ down_of_left + br_rl @ right_of_left, br_rl @ bl_rl)),
        right_up=rows((tr_rl @ tl_ru, tr_ru), (br_rl @ right_of_up + br_ru @ down_of_up, br_ru @ tr_du)),
        down_left=rows((bl_du @ tl_dl, bl_dl), (br_du @ down_of_left + br_dl @ right_of_left, br_dl @ bl_rl)),
        down_up=rows((bl_du @ tl_du, none), (br_dl @ right_of_up + br_du @ down_of_up, br_du @ tr_du)),
        source_right=rows(
            (tr_rl @ tl_sr, tr_sr, none_jn, none_jn),
            (br_ru @ down_of_source + br_rl @ right_of_source, br_ru @ tr_sd, br_rl @ bl_sr, br_sr),
        ),
        source_down=rows(
            (bl_du @ tl_sd, none_jn, bl_sd, none_jn),
            (br_dl @ right_of_source + br_du @ down_of_source, br_du @ tr_sd, br_dl @ bl_sr, br_sd),
        ),
        mark_left=torch.cat(
            [
                torch.cat([tl_ml, none_nj], -1),
                torch.cat([left_of_up, none_nj], -1),
                torch.cat([bl_mu @ tl_dl, bl_ml], -1),
                torch.cat([br_ml @ right_of_left + br_mu @ down_of_left, br_ml @ bl_rl], -1),
            ],
            -2,
        ),
        mark_up=torch.cat(
            [
                torch.cat([tl_mu, none_nj], -1),
                torch.cat([tr_ml @ tl_ru, tr_mu], -1),
                torch.cat([up_of_left, none_nj], -1),
                torch.cat([br_ml @ right_of_up + br_mu @ down_of_up, br_mu @ tr_du], -1),
            ],
            -2,
        ),
        inside=torch.cat(
            [
                torch.cat([tl_g, none_nn, none_nn, none_nn], -1),
                torch.cat([cross_tr, tr_g, none_nn, none_nn], -1),
                torch.cat([cross_bl, none_nn, bl_g, none_nn], -1),
                torch.cat([cross_br, br_mu @ tr_sd, br_ml @ bl_sr, br_g], -1),
            ],
            -2,
        ),
    )


def _across(b: Blocks, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What nodes read from other blocks: a step a diagonal of blocks. q, k, v: [batch, heads, columns, rows, N, …]."""
    columns, rows = q.shape[2:4]
    device = q.device
    column = torch.arange(columns, device=device)
    row = torch.arange(columns + rows - 1, device=device)[:, None] - column  # [diagonals, columns]
    there, row = (row >= 0) & (row < rows), row.clamp(0, rows - 1)

    def skew(x: Tensor) -> Tensor:
        """[diagonals, batch, heads, columns, …]; nought off the grid."""
        taken = x[:, :, column, row].permute(2, 0, 1, *range(3, x.dim()))
        return taken * there.reshape(len(there), 1, 1, columns, *(1,) * (x.dim() - 4))

    names = ("right_left", "right_up", "down_left", "down_up", "mark_left", "mark_up")
    rl, ru, dl, du, ml, mu = (skew(getattr(b, name)).unbind() for name in names)
    reads = []
    write_right, write_down, keys, values = (skew(x).unbind() for x in (b.source_right, b.source_down, k, v))
    queries = skew(q).unbind()
    shape = (*q.shape[:3], b.right_left.shape[-1], k.shape[-1], v.shape[-1])
    right = down = q.new_zeros(shape)
    for i in range(len(there)):
        left = torch.nn.functional.pad(right, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, :-1].flatten(-2)
        up = down.flatten(-2)
        both = [(mark @ state).unflatten(-1, shape[-2:]) for mark, state in ((ml[i], left), (mu[i], up))]
        reads.append((queries[i].unsqueeze(-2) @ (both[0] + both[1])).squeeze(-2))
        outer = (keys[i].unsqueeze(-1) * values[i].unsqueeze(-2)).flatten(-2)
        right = (rl[i] @ left + ru[i] @ up + write_right[i] @ outer).unflatten(-1, shape[-2:])
        down = (dl[i] @ left + du[i] @ up + write_down[i] @ outer).unflatten(-1, shape[-2:])
    diagonals = torch.stack(reads, 2)  # [batch, heads, diagonals, columns, N, values]
    grid_row = torch.arange(rows, device=device)
    return diagonals[:, :, column[:, None] + grid_row, column[:, None].expand(columns, rows)]


def _order(levels: int, device: torch.device) -> Tensor:
    """Raster number x · side + y of the nodes of a block in the order in which merging puts them."""
    x = y = torch.zeros(1, dtype=torch.long, device=device)
    for level in range(levels):
        half = 2**level
        x, y = torch.cat([x, x + half, x, x + half]), torch.cat([y, y, y + half, y + half])
    return x * 2**levels + y


def _into_blocks(x: Tensor, side: int, order: Tensor) -> Tensor:
    """[batch, width, height, heads, …] to [batch, heads, columns, rows, nodes of a block, …]."""
    columns, rows = (-(-n // side) for n in x.shape[1:3])
    missing = (columns * side - x.shape[1], rows * side - x.shape[2])
    if any(missing):
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, missing[1], 0, missing[0]))
    x = x.unflatten(2, (rows, side)).unflatten(1, (columns, side)).permute(0, 5, 1, 3, 2, 4, 6).flatten(4, 5)
    return x[:, :, :, :, order]


def _from_blocks(x: Tensor, side: int, order: Tensor) -> Tensor:
    """The way back."""
    x = x[:, :, :, :, torch.argsort(order)].unflatten(4, (side, side))
    return x.permute(0, 2, 4, 3, 5, 1, 6).flatten(3, 4).flatten(1, 2)
