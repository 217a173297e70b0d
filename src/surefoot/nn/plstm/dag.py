"""Linear recurrence over any directed acyclic graph, with its state on the edges."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.plstm.graph import LineGraph, is_multitree


def plstm_dag(
    q: Float[Tensor, "heads nodes keys"],
    k: Float[Tensor, "heads nodes keys"],
    v: Float[Tensor, "heads nodes values"],
    source: Float[Tensor, "heads edges"],
    transition: Float[Tensor, "heads lines"],
    mark: Float[Tensor, "heads edges"],
    direct: Float[Tensor, "heads nodes"],
    graph: LineGraph,
    *,
    method: Literal["recurrent", "parallel"] = "recurrent",
    scale: float = 1.0,
) -> Float[Tensor, "heads nodes values"]:
    """Source, transition and mark gates carry k vᵀ from node to node along every path of a DAG.

    On an edge e, C_e = Σ T_{e e'} C_{e'} + S_e k vᵀ of the node that it leaves; at a node,
    h = qᵀ Σ M_e C_e + D (q · k) v.

    Parameters
    ----------
    q, k, v : queries, keys and values of the nodes
    source, mark, direct : gates of edges, edges and nodes
    transition : gates of ``graph``'s line edges, in their order
    graph : the DAG; batches are one graph of several parts
    method : ``"recurrent"`` takes a step a level of the graph and memory for an outer product an edge; ``"parallel"``
        takes log₂(levels) products of dense edges × edges matrices
    scale : multiplies q · k (the graph layer of the paper has none, its sequence and grid layers 1/√keys)

    Raises
    ------
    ValueError
        If a tensor doesn't fit the graph.

    Source: arXiv 2506.11997, section 3.
    """
    _check(graph, source, transition, mark, direct, q)
    q = q * scale
    own = direct * (q * k).sum(-1)
    if method == "parallel":
        gating = dag_gating_matrix(source, transition, mark, direct, graph)
        return (gating * (q @ k.transpose(-1, -2))) @ v
    if method != "recurrent":
        raise ValueError(f"method: got {method!r}; use 'recurrent' or 'parallel'")
    keys = (source.unsqueeze(-1) * k[:, graph.tail]).unsqueeze(-1)
    cells = propagate(keys * v[:, graph.tail].unsqueeze(-2), transition, graph)
    read = torch.einsum("hek,hekv->hev", mark.unsqueeze(-1) * q[:, graph.head], cells)
    return (own.unsqueeze(-1) * v).index_add(1, graph.head, read)


def propagate(
    inputs: Float[Tensor, "heads edges *state"], transition: Float[Tensor, "heads lines"], graph: LineGraph
) -> Float[Tensor, "heads edges *state"]:
    """c = Σ_p T^p inputs: what has gathered on each edge, a level of the graph at a time."""
    by_level = torch.argsort(graph.level, stable=True)
    place = torch.empty_like(by_level)
    place[by_level] = torch.arange(len(by_level), device=by_level.device)
    sizes = torch.bincount(graph.level).tolist() if len(by_level) else []
    into = graph.level[graph.outgoing]
    lines = torch.argsort(into, stable=True)
    per_level = torch.bincount(into, minlength=len(sizes)).tolist() if sizes else []
    shape = (-1,) + (1,) * (inputs.dim() - 2)
    done: Tensor | None = None
    for level, part in enumerate(inputs[:, by_level].split(sizes, 1) if sizes else ()):
        if done is None:
            done = part
            lines = lines[per_level[level] :]
            continue
        here, lines = lines[: per_level[level]], lines[per_level[level] :]
        weights = transition[:, here].reshape(len(transition), *shape)
        moved = weights * done[:, place[graph.incoming[here]]]
        part = part.index_add(1, place[graph.outgoing[here]] - done.shape[1], moved)
        done = torch.cat([done, part], 1)
    return inputs if done is None else done[:, place]


def path_gains(transition: Float[Tensor, "heads lines"], graph: LineGraph) -> Float[Tensor, "heads edges edges"]:
    """Sums over all paths between edges, (I - T)⁻¹ = Π (I + T^(2^i)), in log₂(levels) products; [to, from]."""
    size = graph.num_edges
    power = transition.new_zeros(len(transition), size, size)
    power = power.index_put(
        (torch.arange(len(transition), device=power.device)[:, None], graph.outgoing[None], graph.incoming[None]),
        transition,
    )
    gains = torch.eye(size, dtype=power.dtype, device=power.device) + power
    for _ in range(max(0, math.ceil(math.log2(max(1, graph.depth))) - 1)):
        power = power @ power
        gains = gains + power @ gains
    return gains


def dag_gating_matrix(
    source: Float[Tensor, "heads edges"],
    transition: Float[Tensor, "heads lines"],
    mark: Float[Tensor, "heads edges"],
    direct: Float[Tensor, "heads nodes"],
    graph: LineGraph,
) -> Float[Tensor, "heads nodes nodes"]:
    """G: what node n' weighs at node n, the sum over all paths between them; its diagonal is the direct gate. The
    recurrence is (G ∘ q kᵀ) v."""
    gains = mark.unsqueeze(-1) * path_gains(transition, graph) * source.unsqueeze(-2)
    rows = gains.new_zeros(len(gains), graph.num_nodes, graph.num_edges).index_add(1, graph.head, gains)
    both = gains.new_zeros(len(gains), graph.num_nodes, graph.num_nodes).index_add(2, graph.tail, rows)
    return both + torch.diag_embed(direct)


def normalize_transition(
    t: Float[Tensor, "heads lines"],
    graph: LineGraph,
    mode: Literal["P", "D"] = "P",
    norm: Literal["l1", "linf"] = "l1",
) -> Float[Tensor, "heads lines"]:
    """Transitions that cannot explode, from any numbers.

    Parameters
    ----------
    t : a number a line edge
    graph : the DAG; for ``"D"`` its line graph must be a multitree
    mode : ``"P"`` divides by a half plus the sum of |t|, ``"D"`` is tanh
    norm : what P-mode bounds. ``"l1"`` takes the sum over the edges that an incoming edge goes to, which keeps the sum
        of all cells bounded; ``"linf"`` over the edges that come to an outgoing one, which keeps the largest bounded

    Raises
    ------
    ValueError
        If the mode is D and two edges are joined by more than one path.

    Source: arXiv 2506.11997, P-mode and D-mode.
    """
    if t.shape[1] != graph.num_lines:
        raise ValueError(f"t: {t.shape[1]} numbers a head for {graph.num_lines} line edges; give one each")
    if norm not in ("l1", "linf"):
        raise ValueError(f"norm: got {norm!r}; use 'l1' or 'linf'")
    if mode == "D":
        if not is_multitree(graph):
            raise ValueError("graph: several paths join two of its edges; use prune_to_multitree(graph) for D-mode")
        return t.tanh()
    if mode != "P":
        raise ValueError(f"mode: got {mode!r}; use 'P' or 'D'")
    group = graph.incoming if norm == "l1" else graph.outgoing
    total = t.new_full((len(t), graph.num_edges), 0.5).index_add(1, group, t.abs())
    return t / total[:, group]


def _check(graph: LineGraph, source: Tensor, transition: Tensor, mark: Tensor, direct: Tensor, q: Tensor) -> None:
    expected = {
        "source": (source, graph.num_edges, "edge"),
        "transition": (transition, graph.num_lines, "line edge"),
        "mark": (mark, graph.num_edges, "edge"),
        "direct": (direct, graph.num_nodes, "node"),
        "q": (q, graph.num_nodes, "node"),
    }
    for name, (tensor, count, unit) in expected.items():
        if tensor.shape[1] != count:
            raise ValueError(f"{name}: {tensor.shape[1]} a head where the graph has {count}; give one for each {unit}")
