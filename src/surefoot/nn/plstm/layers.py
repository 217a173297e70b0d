"""``PLSTM1d``, ``PLSTM2d`` and ``PLSTMGraph``: the recurrences as layers, with gates that start at long range."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.plstm.dag import normalize_transition, plstm_dag
from surefoot.nn.plstm.gates import GridGates, d_mode_closed, d_mode_gates, p_mode_closed, p_mode_gates
from surefoot.nn.plstm.graph import LineGraph
from surefoot.nn.plstm.grid import gating_matrix_2d, plstm_2d
from surefoot.nn.plstm.sequence import Method, plstm_1d

Mode = Literal["P", "D", "free"]

# What gates start from, as the paper's: little is written and read, and nothing is forgotten (tanh 5 = 0.9999).
SOURCE, MARK, DIRECT, TRANSITION, STEEP = -4.0, -4.0, -6.0, 1.0, 5.0
FLIPS = ((False, False), (True, False), (False, True), (True, True))


class _Heads(nn.Module):
    """Queries, keys, values, the norm over each head and the projection out."""

    def __init__(self, dim: int, heads: int, eps: float, device: Any, dtype: torch.dtype | None) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"heads: {heads} doesn't divide dim {dim}; give a divisor")
        self.dim, self.heads, self.eps = dim, heads, eps
        self.qkv = nn.Linear(dim, 3 * dim, bias=False, device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.ones(dim, device=device, dtype=dtype))
        self.out = nn.Linear(dim, dim, bias=False, device=device, dtype=dtype)
        nn.init.normal_(self.qkv.weight, std=(2 / (5 * dim)) ** 0.5)
        nn.init.normal_(self.out.weight, std=(2 / (5 * dim)) ** 0.5)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)

    def join(self, h: Tensor) -> Tensor:
        normed = nn.functional.rms_norm(h, (h.shape[-1],), eps=self.eps)
        return self.out(normed.flatten(-2) * self.weight)


class _Gates(nn.Module):
    """Numbers behind the gates, ``[…, count, heads]``: a bias, plus a map of the input that starts at nought."""

    def __init__(self, inputs: int, bias: Tensor, device: Any, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias.to(device=device, dtype=dtype))
        self.weight = nn.Parameter(torch.zeros(bias.numel(), inputs, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return _numbers(x, self.bias, self.weight)


def _numbers(x: Tensor, bias: Tensor, weight: Tensor | None) -> Tensor:
    return bias if weight is None else nn.functional.linear(x, weight).unflatten(-1, bias.shape) + bias


class PLSTM1d(nn.Module):
    """A pLSTM over sequences, ``[batch, length, dim]`` to the same.

    Parameters
    ----------
    dim, heads : width, and into how many heads it is split
    method, levels : see :func:`plstm_1d`
    eps : of the norm over each head

    Source: arXiv 2506.11997.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        method: Method = "chunkwise",
        levels: int | None = None,
        eps: float = 1e-5,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.method: Method = method
        self.levels = levels
        self.cells = _Heads(dim, heads, eps, device, dtype)
        start = torch.tensor([SOURCE, MARK, DIRECT, TRANSITION])[:, None].repeat(1, heads)
        self.gates = _Gates(dim, start, device, dtype)

    def forward(self, x: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        source, mark, direct, transition = self.gates(x).unbind(-2)
        source, mark, direct, transition = (
            source.sigmoid(),
            mark.sigmoid(),
            direct.sigmoid(),
            (STEEP * transition).tanh(),
        )
        q, k, v = self.cells.split(x)
        out = plstm_1d(q, k, v, source, transition, mark, direct, method=self.method, levels=self.levels)
        return self.cells.join(out)

    def extra_repr(self) -> str:
        return f"{self.cells.dim}, heads={self.cells.heads}, method={self.method!r}"


class PLSTM2d(nn.Module):
    """A pLSTM over grids, ``[batch, width, height, dim]`` to the same, in up to four directions at once.

    Parameters
    ----------
    dim, heads : width, and into how many heads it is split
    mode : ``"P"`` shares what comes to a node out between its ways on, ``"D"`` leaves out one turn and ``"free"``
        bounds each transition alone by 1, which does not keep sums over paths from exploding
    gates : ``"input"`` from each place's input; ``"bias"`` equal everywhere and learnt, with closed forms that are had
        once a step and read like attention
    directions : 1 (right and down), 2 (and left and up) or 4
    variant : of P-mode. ``"reference"`` is the authors' code: its decay turns the direction and does not shorten
    chirality : of D-mode, which turn there is
    method, levels : see :func:`plstm_2d`; of gates from the input
    eps : of the norm over each head

    Source: arXiv 2506.11997; initial values from its appendix.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mode: Mode = "P",
        gates: Literal["input", "bias"] = "input",
        directions: Literal[1, 2, 4] = 4,
        *,
        variant: Literal["paper", "reference"] = "paper",
        chirality: Literal["L", "R"] = "L",
        method: Method = "chunkwise",
        levels: int | None = None,
        eps: float = 1e-5,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("mode", mode, ("P", "D", "free")),
            ("gates", gates, ("input", "bias")),
            ("directions", directions, (1, 2, 4)),
            ("variant", variant, ("paper", "reference")),
            ("chirality", chirality, ("L", "R")),
        ):
            if value not in known:
                raise ValueError(f"{name}: got {value!r}; use one of {', '.join(map(repr, known))}")
        self.mode, self.variant, self.chirality, self.levels = mode, variant, chirality, levels
        self.method: Method = method
        self.flips = {1: FLIPS[:1], 2: (FLIPS[0], FLIPS[3]), 4: FLIPS}[directions]
        self.cells = _Heads(dim, heads, eps, device, dtype)
        one = torch.ones(heads)
        if mode == "P":
            rows = [SOURCE * one, MARK * one, MARK * one, TRANSITION * one, torch.linspace(-2, 2, heads)]
        else:
            rows = [SOURCE * one] * 2 + [MARK * one] * 2 + [TRANSITION * one] * (3 if mode == "D" else 4)
        start = torch.stack(rows).repeat(directions, 1)
        bias = torch.cat([start, DIRECT * one[None]]).to(device=device, dtype=dtype)
        # in this module itself, so that a watched run knows it as a layer
        self.gate_bias = nn.Parameter(bias)
        weight = torch.zeros(bias.numel(), dim, device=device, dtype=dtype) if gates == "input" else None
        self.gate_weight: nn.Parameter | None
        self.register_parameter("gate_weight", None if weight is None else nn.Parameter(weight))

    def grid_gates(self, x: Float[Tensor, "batch width height dim"]) -> list[GridGates]:
        """The gates of each direction, in the places of that direction: mirrored where it is. The direct gate is with
        the first; the others have none."""
        raw = _numbers(x, self.gate_bias, self.gate_weight)
        direct = raw[..., -1, :].sigmoid()
        found = []
        for at, (rows, flip) in enumerate(zip(raw[..., :-1, :].chunk(len(self.flips), -2), self.flips, strict=True)):
            made = self._made(rows.unbind(-2), direct if at == 0 else torch.zeros_like(direct))
            found.append(made.flipped(*flip))
        return found

    def _made(self, rows: tuple[Tensor, ...], direct: Tensor) -> GridGates:
        if self.mode != "P":
            right, down, left, up = (row.sigmoid() for row in rows[:4])  # two sources, two marks
            carried = [(STEEP * row).tanh() for row in rows[4:]]
            if self.mode == "D":
                rl, du, turn = carried
                return d_mode_gates(right, down, left, up, direct, rl, du, turn, self.chirality)
            rl, ru, dl, du = carried
            return GridGates(right, down, rl, ru, dl, du, left, up, direct)
        source, mark_left, mark_up, decay = rows[0].sigmoid(), rows[1].sigmoid(), rows[2].sigmoid(), rows[3]
        share, decay = rows[4].sigmoid(), (STEEP * decay).tanh()
        if self.variant == "paper":
            return p_mode_gates(source, mark_left, mark_up, direct, share, decay)
        right, down = share * decay, 1 - share * decay
        return GridGates(source, 1 - source, right, right, down, down, mark_left, mark_up, direct)

    def forward(self, x: Float[Tensor, "batch width height dim"]) -> Float[Tensor, "batch width height dim"]:
        q, k, v = self.cells.split(x)
        if self.gate_weight is None:
            return self.cells.join(_attend(q, k, v, self._constant(*x.shape[1:3])))
        out = torch.zeros_like(v)
        for made, flip in zip(self.grid_gates(x), self.flips, strict=True):
            axes = [axis for axis, is_flipped in zip((1, 2), flip, strict=True) if is_flipped]
            there = [t.flip(axes) for t in (q, k, v)]
            moved = plstm_2d(there[0], there[1], there[2], made, method=self.method, levels=self.levels)
            out = out + moved.flip(axes)
        return self.cells.join(out)

    def _constant(self, width: int, height: int) -> Float[Tensor, "heads places places"]:
        """G of gates that are equal everywhere, all directions together."""
        ways, heads = len(self.flips), self.cells.heads
        if self.mode == "free" or (self.mode == "P" and self.variant == "reference"):
            total: Tensor | None = None
            none = self.gate_bias.new_empty(1, width, height, self.cells.dim)  # such gates see no input
            for made, flip in zip(self.grid_gates(none), self.flips, strict=True):
                matrix = gating_matrix_2d(made, width, height, heads)[0]
                axes = [axis for i, is_flipped in enumerate(flip) if is_flipped for axis in (1 + i, 3 + i)]
                total = matrix.flip(axes) if total is None else total + matrix.flip(axes)
            assert total is not None
            return total.flatten(3, 4).flatten(1, 2)
        closed = p_mode_closed if self.mode == "P" else d_mode_closed
        # all directions at once, as if they were heads: a small grid costs as much as it has operations
        rows = self.gate_bias[:-1].unflatten(0, (ways, -1)).transpose(0, 1).flatten(1)
        direct = nn.functional.pad(self.gate_bias[-1].sigmoid(), (0, (ways - 1) * heads))
        tables = closed(self._made(rows.unbind(0), direct), width, height).chunk(ways)
        around: Tensor | None = None
        for table, (flip_x, flip_y) in zip(tables, self.flips, strict=True):
            pads = (0, height - 1) if flip_y else (height - 1, 0), (0, width - 1) if flip_x else (width - 1, 0)
            axes = [axis for axis, is_flipped in ((1, flip_x), (2, flip_y)) if is_flipped]
            table = nn.functional.pad(table.flip(axes), (*pads[0], *pads[1]))
            around = table if around is None else around + table
        assert around is not None
        # [heads, x, y, x', y'] holds displacement (x - x', y - y'), which is a window that slides over the table
        return around.unfold(1, width, 1).unfold(2, height, 1).flip(3, 4).flatten(3, 4).flatten(1, 2)

    def extra_repr(self) -> str:
        kind = "bias" if self.gate_weight is None else "input"
        ways = f"{len(self.flips)} directions"
        return f"{self.cells.dim}, heads={self.cells.heads}, {self.mode}-mode, gates={kind!r}, {ways}"


def _attend(q: Tensor, k: Tensor, v: Tensor, gating: Tensor) -> Tensor:
    """(G ∘ q kᵀ/√keys) v over all places."""
    flat = [t.flatten(1, 2).transpose(1, 2) for t in (q, k, v)]
    scores = gating * ((flat[0] * q.shape[-1] ** -0.5) @ flat[1].transpose(-1, -2))
    return (scores @ flat[2]).transpose(1, 2).unflatten(1, q.shape[1:3])


class PLSTMGraph(nn.Module):
    """A pLSTM over a directed acyclic graph, ``[nodes, dim]`` to the same. Alternate with ``graph.reversed()``.

    Parameters
    ----------
    dim, heads : width, and into how many heads it is split
    mode : ``"P"``, or ``"D"`` for graphs from :func:`prune_to_multitree`
    edge_dim : features of an edge, that its gates see too
    method : see :func:`plstm_dag`
    eps : of the norm over each head

    Source: arXiv 2506.11997.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mode: Literal["P", "D"] = "P",
        *,
        edge_dim: int = 0,
        method: Literal["recurrent", "parallel"] = "recurrent",
        eps: float = 1e-5,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if mode not in ("P", "D"):
            raise ValueError(f"mode: got {mode!r}; use 'P' or 'D'")
        self.mode: Literal["P", "D"] = mode
        self.edge_dim = edge_dim
        self.method: Literal["recurrent", "parallel"] = method
        self.cells = _Heads(dim, heads, eps, device, dtype)

        def gate(inputs: int, start: float) -> _Gates:
            return _Gates(inputs, torch.full((heads,), start), device, dtype)

        self.source, self.mark = gate(dim + edge_dim, SOURCE), gate(dim + edge_dim, MARK)
        self.direct, self.transition = gate(dim, DIRECT), gate(dim + 2 * edge_dim, TRANSITION)

    def forward(
        self,
        x: Float[Tensor, "nodes dim"],
        graph: LineGraph,
        edges: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes dim"]:
        if (0 if edges is None else edges.shape[1]) != self.edge_dim:
            raise ValueError(f"edges: the layer was made for {self.edge_dim} features an edge; give [edges, features]")
        own = [] if edges is None else [edges]
        middle = [x[graph.head[graph.incoming]], *(f[line] for f in own for line in (graph.incoming, graph.outgoing))]
        raw = STEEP * self.transition(torch.cat(middle, -1)).T
        q, k, v = (t.transpose(0, 1) for t in self.cells.split(x))
        source = self.source(torch.cat([x[graph.tail], *own], -1)).sigmoid().T
        mark = self.mark(torch.cat([x[graph.head], *own], -1)).sigmoid().T
        transition, direct = normalize_transition(raw, graph, self.mode), self.direct(x).sigmoid().T
        out = plstm_dag(q, k, v, source, transition, mark, direct, graph, method=self.method)
        return self.cells.join(out.transpose(0, 1))

    def extra_repr(self) -> str:
        return f"{self.cells.dim}, heads={self.cells.heads}, {self.mode}-mode, edge_dim={self.edge_dim}"
