"""Gated linear recurrence over a sequence: recurrent, in chunks, or in logarithmic depth; one and the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Method = Literal["recurrent", "parallel", "chunkwise"]


def levels_of(method: str, levels: int | None, size: int) -> int:
    """How often blocks are doubled before the recurrence over blocks takes over."""
    top = max(0, (size - 1).bit_length())
    if method == "recurrent":
        return 0
    if method == "parallel":
        return top
    if method != "chunkwise":
        raise ValueError(f"method: got {method!r}; use 'recurrent', 'parallel' or 'chunkwise'")
    if levels is not None and levels < 0:
        raise ValueError(f"levels: got {levels}; chunks are 2**levels long, so give 0 or more")
    return min(top, 3 if levels is None else levels)


def plstm_1d(
    q: Float[Tensor, "batch length heads keys"],
    k: Float[Tensor, "batch length heads keys"],
    v: Float[Tensor, "batch length heads values"],
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    *,
    method: Method = "chunkwise",
    levels: int | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch length heads values"]:
    """Read with the mark, then forget with the transition and write with the source, node after node.

    h_t = qᵀ (M_t C + D_t k vᵀ), then C ← T_t C + S_t k vᵀ: the mark reads before the node is written.

    Parameters
    ----------
    q, k, v : queries, keys, values
    source, transition, mark, direct : gates, ``[batch, length, heads]`` or what broadcasts to it. For a state of
        ``rank`` cells (state tracking) sources and marks are ``[batch, length, heads, rank]`` and transitions
        ``[batch, length, heads, rank, rank]``
    method : ``"recurrent"`` a step a node, ``"parallel"`` log₂(length) steps and length² memory, ``"chunkwise"`` blocks
        of 2**levels nodes in parallel and a step a block
    levels : of the chunks; 3 where none is given
    scale : multiplies q · k; 1/√keys where none is given

    Raises
    ------
    ValueError
        If a gate doesn't fit, or the method is unknown.

    Source: arXiv 2506.11997, section 3 and appendix (the construction in logarithmic depth).
    """
    batch, length, heads, keys = q.shape
    scale = keys**-0.5 if scale is None else scale
    blocks = _blocks(source, transition, mark, direct, length, heads, levels_of(method, levels, length))
    t, s, m, g = blocks
    size, count = g.shape[-1], g.shape[2]
    q, k, v = (_pad(x.transpose(1, 2), size * count).unflatten(2, (count, size)) for x in (q * scale, k, v))
    out = (g * (q @ k.transpose(-1, -2))) @ v
    if count > 1:
        written = torch.einsum("...jn,...nk,...nv->...jkv", s.expand(batch, *s.shape[1:]), k, v)
        state, reads = torch.zeros_like(written[:, :, 0]), []
        for block in range(count):
            reads.append(torch.einsum("...nj,...nk,...jkv->...nv", m[:, :, block], q[:, :, block], state))
            state = torch.einsum("...ij,...jkv->...ikv", t[:, :, block], state) + written[:, :, block]
        out = out + torch.stack(reads, 2)
    return out.flatten(2, 3)[:, :, :length].transpose(1, 2)


def gating_matrix_1d(
    source: Tensor, transition: Tensor, mark: Tensor, direct: Tensor, length: int, heads: int
) -> Float[Tensor, "batch heads length length"]:
    """G: what node t' weighs at node t, M_t T_{t-1} … T_{t'+1} S_t' before it, D on the diagonal, 0 after it."""
    blocks = _blocks(source, transition, mark, direct, length, heads, levels_of("parallel", None, length))
    return blocks[-1][:, :, 0, :length, :length]


def _blocks(
    source: Tensor, transition: Tensor, mark: Tensor, direct: Tensor, length: int, heads: int, levels: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four gates of blocks of 2**levels nodes: [batch, heads, blocks, …]."""
    padded = -(-length // 2**levels) * 2**levels
    rank = transition.shape[-1] if transition.dim() == 5 else 1
    matrix = transition if transition.dim() == 5 else _gate("transition", transition, length, heads)[..., None, None]
    gates = [
        matrix,
        *(
            (x if x.dim() == 4 else _gate(name, x, length, heads)[..., None])
            for name, x in (("source", source), ("mark", mark))
        ),
        _gate("direct", direct, length, heads)[..., None, None],
    ]
    if any(x.shape[3] != rank for x in gates[:3]):
        shapes = [tuple(x.shape[3:]) for x in gates[:3]]
        raise ValueError(f"transition, source, mark: ranks {shapes} differ; give [rank, rank], [rank] and [rank]")
    t, s, m, g = (_pad(x.transpose(1, 2), padded) for x in gates)
    s, m = s.unsqueeze(-1), m.unsqueeze(-2)
    for _ in range(levels):
        (t0, t1), (s0, s1), (m0, m1), (g0, g1) = ((x[:, :, 0::2], x[:, :, 1::2]) for x in (t, s, m, g))
        across = m1 @ s0
        g = torch.cat([torch.cat([g0, torch.zeros_like(across)], -1), torch.cat([across, g1], -1)], -2)
        s, m, t = torch.cat([t1 @ s0, s1], -1), torch.cat([m0, m1 @ t0], -2), t1 @ t0
    return t, s, m, g


def _gate(name: str, gate: Tensor, length: int, heads: int) -> Tensor:
    """[1 or batch, length, heads]: a gate without a batch is computed once."""
    return fit_gate(name, gate, (length, heads))


def fit_gate(name: str, gate: Tensor, shape: Sequence[int]) -> Tensor:
    """Broadcast a gate over places and heads, but not over the batch."""
    full = gate.reshape((1,) * (len(shape) + 1 - gate.dim()) + tuple(gate.shape))
    try:
        return full.expand(full.shape[0], *shape)
    except RuntimeError:
        names = ", ".join(["batch", *map(str, shape)])
        raise ValueError(f"{name}: shape {tuple(gate.shape)} doesn't broadcast to [{names}]") from None


def _pad(x: Tensor, length: int) -> Tensor:
    """Zeros after the third dimension's end: they neither write nor carry."""
    missing = length - x.shape[2]
    return x if not missing else torch.cat([x, x.new_zeros(*x.shape[:2], missing, *x.shape[3:])], 2)
