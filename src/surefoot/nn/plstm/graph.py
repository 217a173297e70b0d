"""The line graph of a directed acyclic graph: what gated recurrences with their state on the edges run over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class LineGraph:
    """A DAG's edges as nodes, and a line edge for every pair of edges that meet head to tail.

    Attributes
    ----------
    num_nodes
        Nodes of the DAG.
    tail, head
        Node that each edge leaves, and node that it enters, ``[edges]``.
    incoming, outgoing
        Edge that each line edge comes from, and edge that it goes to, ``[lines]``.
    level
        Longest path of line edges that ends at each edge, ``[edges]``: edges of one level are processed at once.
    """

    num_nodes: int
    tail: Int[Tensor, " edges"]
    head: Int[Tensor, " edges"]
    incoming: Int[Tensor, " lines"]
    outgoing: Int[Tensor, " lines"]
    level: Int[Tensor, " edges"]

    @property
    def num_edges(self) -> int:
        """Edges of the DAG."""
        return int(self.tail.numel())

    @property
    def num_lines(self) -> int:
        """Pairs of edges that meet: as many as there are transitions."""
        return int(self.incoming.numel())

    @property
    def depth(self) -> int:
        """Levels, and so sequential steps of the recurrent form."""
        return int(self.level.max()) + 1 if self.num_edges else 0

    @classmethod
    def from_edges(cls, num_nodes: int, edges: Iterable[tuple[int, int]] | Int[Tensor, "edges 2"]) -> LineGraph:
        """The line graph of the DAG with these edges.

        Parameters
        ----------
        num_nodes : nodes are numbered from 0
        edges : pairs (from, to), in the order in which sources and marks are given

        Raises
        ------
        ValueError
            If an edge is a loop or leaves the nodes, or the edges close a cycle.
        """
        pairs = edges.tolist() if isinstance(edges, Tensor) else [tuple(edge) for edge in edges]
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        if table.size and (table.min() < 0 or table.max() >= num_nodes):
            raise ValueError(f"edges: node {table.max()} or below 0 is out of range; number nodes 0 … {num_nodes - 1}")
        tail, head = table[:, 0], table[:, 1]
        if (tail == head).any():
            raise ValueError(f"edges: node {tail[tail == head][0]} has an edge to itself; remove self-loops")
        by_tail = np.argsort(tail, kind="stable")
        fan_out = np.bincount(tail, minlength=num_nodes)
        first = np.cumsum(fan_out) - fan_out
        counts = fan_out[head]
        incoming = np.repeat(np.arange(len(table)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        outgoing = by_tail[np.repeat(first[head], counts) + within]
        return cls(
            num_nodes,
            torch.from_numpy(tail.copy()),
            torch.from_numpy(head.copy()),
            torch.from_numpy(incoming),
            torch.from_numpy(outgoing),
            torch.from_numpy(_levels(num_nodes, tail, head)),
        )

    @classmethod
    def from_undirected(
        cls,
        num_nodes: int,
        edges: Iterable[tuple[int, int]] | Int[Tensor, "edges 2"],
        order: Int[Tensor, " nodes"] | None = None,
    ) -> LineGraph:
        """The DAG that directs each undirected edge from the earlier to the later node of an order (their numbers,
        where none is given). ``order[n]`` is the place of node n. Give each undirected edge once."""
        pairs = edges.tolist() if isinstance(edges, Tensor) else [tuple(edge) for edge in edges]
        place = range(num_nodes) if order is None else order.tolist()
        return cls.from_edges(num_nodes, [(a, b) if place[a] <= place[b] else (b, a) for a, b in pairs])

    @classmethod
    def grid(cls, width: int, height: int) -> LineGraph:
        """The right-down grid. Node (x, y) has number x · height + y; all steps to the right come first."""
        node = np.arange(width * height).reshape(width, height)
        right = np.stack([node[:-1].ravel(), node[1:].ravel()], 1)
        down = np.stack([node[:, :-1].ravel(), node[:, 1:].ravel()], 1)
        return cls.from_edges(width * height, torch.from_numpy(np.concatenate([right, down])))

    def reversed(self) -> LineGraph:
        """The DAG with every edge turned round; edges keep their numbers, line edges theirs."""
        level = torch.from_numpy(_levels(self.num_nodes, self.head.cpu().numpy(), self.tail.cpu().numpy()))
        return replace(
            self,
            tail=self.head,
            head=self.tail,
            incoming=self.outgoing,
            outgoing=self.incoming,
            level=level.to(self.level.device),
        )

    def keep(self, lines: Bool[Tensor, " lines"]) -> LineGraph:
        """The same graph with only some of the line edges."""
        return replace(self, incoming=self.incoming[lines], outgoing=self.outgoing[lines])

    def to(self, device: torch.device | str) -> LineGraph:
        """The same graph with its indices on a device."""
        names = ("tail", "head", "incoming", "outgoing", "level")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def _levels(num_nodes: int, tail: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Longest path to each edge, a frontier of nodes at a time."""
    waiting = np.bincount(head, minlength=num_nodes)
    by_tail = np.argsort(tail, kind="stable")
    starts = np.searchsorted(tail[by_tail], np.arange(num_nodes + 1))
    depth, level = np.zeros(num_nodes, dtype=np.int64), np.zeros(len(tail), dtype=np.int64)
    frontier, seen = np.flatnonzero(waiting == 0), 0
    while frontier.size:
        seen += frontier.size
        edges = np.concatenate([by_tail[starts[node] : starts[node + 1]] for node in frontier])
        level[edges] = depth[tail[edges]]
        np.maximum.at(depth, head[edges], level[edges] + 1)
        np.subtract.at(waiting, head[edges], 1)
        reached = np.unique(head[edges])
        frontier = reached[waiting[reached] == 0]
    if seen < num_nodes:
        raise ValueError(
            "edges: they close a cycle; give a directed acyclic graph, for example LineGraph.from_undirected"
        )
    return level


def _ancestors(graph: LineGraph, prune: bool) -> Tensor | None:
    """The line edges that leave at most one path between any two edges; None at the first second path if not
    ``prune``. Sets of ancestors are the bits of an integer."""
    place = torch.argsort(graph.level, stable=True).tolist()
    rank = {edge: at for at, edge in enumerate(place)}
    into: dict[int, list[tuple[int, int, int]]] = {}
    for line, (e, f) in enumerate(zip(graph.incoming.tolist(), graph.outgoing.tolist(), strict=True)):
        into.setdefault(f, []).append((rank[e], e, line))
    above: dict[int, int] = {}
    kept = torch.ones(graph.num_lines, dtype=torch.bool, device=graph.incoming.device)
    for edge in place:
        reached = 0
        for _, before, line in sorted(into.get(edge, ())):
            paths = above[before] | (1 << before)
            if not paths & reached:
                reached |= paths
            elif prune:
                kept[line] = False
            else:
                return None
        above[edge] = reached
    return kept


def is_multitree(graph: LineGraph) -> bool:
    """Whether at most one path joins any two edges, so that transitions of at most 1 cannot explode (D-mode)."""
    return _ancestors(graph, prune=False) is not None


def prune_to_multitree(graph: LineGraph) -> LineGraph:
    """Delete line edges, greedily in topological order, until at most one path joins any two edges.

    An edge keeps the line edges from its predecessors, in topological order, each unless what leads to it leads to the
    edge already.

    Source: arXiv 2506.11997, D-mode on general DAGs.
    """
    kept = _ancestors(graph, prune=True)
    assert kept is not None
    return graph.keep(kept)
