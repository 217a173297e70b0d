"""Rank of every layer's output, and how alike its tokens are, from a few sampled rows.

Tokens are those of a sequence, or the rows of a matrix that a constant matrix is multiplied to, or that are summed by
an index: nodes of a graph, which hear of each other by nothing else.

A dear reading: the eigenvalues of some small matrices for every layer. It has a share of the budget of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.rank import effective_rank, gram, stable_rank, token_cosine
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains
from surefoot.observe.nodes import ACCUMULATE, WEIGHT_PLUMBING, Node, saved
from surefoot.observe.signals.activations import first_tensor

SEQUENCES, TOKENS = 2, 32  # of (batch, tokens, features)
SAMPLES = 32  # of (batch, features) and (batch, channels, …)
LAYERS = 64  # of a deeper model, so many layers are read, evenly spaced
MOST = 1 << 20  # elements read of one output
_PRODUCTS = {"MmBackward0": 0, "BmmBackward0": 0, "SparseAddmmBackward0": 1}  # and where the matrix stands in front
_SUMS = frozenset(("IndexAddBackward0", "ScatterAddBackward0"))
_GUESS = 3.0  # how many steps of the run's own the first reading may take


class RankStatistics(Instrument):
    """Hooks on the layers of a step that is looked at; the outputs of the first call of each are sampled."""

    name = "rank"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._grams: dict[str, tuple[Tensor, int]] = {}  # and how many rows there are; 0: tokens of sequences
        self._nodes: set[int] = set()  # how many rows there are of what was mixed over the rows
        self._thread = threading.get_ident()

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Put hooks on, if it can be afforded."""
        self.withdraw()
        self._grams.clear()
        self._nodes.clear()
        if not self.tools.affords(self.name, _GUESS):
            return
        inside = {id(module) for root in roots for module in root.modules()}
        layers = [
            (layer.name, module, layer.unit_dim)
            for layer in self.tools.scene.models.layers
            if layer.module is not None and (module := layer.module()) is not None and id(module) in inside
            if not isinstance(module, torch.jit.ScriptModule)
        ]
        for name, module, unit_dim in layers[:: -(-len(layers) // LAYERS) or 1]:
            self._handles.append(module.register_forward_hook(Hook(self._hook(name, unit_dim))))

    def _hook(self, name: str, unit_dim: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if name not in self._grams and trains(self._thread):
                self.tools.guard(self.name, self._take, name, output, unit_dim)

        return hook

    def _take(self, name: str, output: Any, unit_dim: int) -> None:
        tensor = first_tensor(output)
        if tensor is None or not tensor.is_floating_point() or not tensor.numel():
            return
        with self.tools.spending(self.name), torch.no_grad():
            rows = sample_rows(tensor.detach(), unit_dim)
            if rows is not None:
                sequences = unit_dim == -1 and tensor.dim() >= 3
                self._grams[name] = (gram(rows), 0 if sequences else tensor.shape[0] if tensor.dim() == 2 else -1)

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """See which rows the forward has mixed."""
        if self._grams:
            self._nodes = set(mixed_rows(view.nodes))

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write the statistics; what needs eigenvalues is computed where the numbers arrive, on the host."""
        if not self._grams:
            return
        read, self._grams = self._grams, {}
        mixed = {0} | self._nodes
        step, layers, rows = self.tools.scene.clock.steps, self.tools.scene.layer_names(), self.tools.rows
        place = {name: number for number, name in enumerate(layers)}
        read = {name: value for name, value in read.items() if name in place}

        def write(found: list[np.ndarray]) -> None:
            values = {
                signal: np.full(len(layers), np.nan) for signal in ("stable_rank", "effective_rank", "token_cosine")
            }
            with self.tools.spending(self.name):
                for (name, (_, number)), grams in zip(read.items(), found, strict=True):
                    at = place[name]
                    values["stable_rank"][at] = np.mean(stable_rank(grams))
                    values["effective_rank"][at] = np.mean(effective_rank(grams))
                    if number in mixed:
                        values["token_cosine"][at] = np.mean(token_cosine(grams))
            rows.put_layers(step, self.name, **values)

        self.tools.ask(step, [grams for grams, _ in read.values()], write)


def mixed_rows(nodes: Sequence[Node]) -> Iterator[int]:
    """How many rows there are of what a constant square matrix is multiplied to, and of what is summed by an index."""
    for node in nodes:
        kind = node.name()
        if kind in _SUMS:
            if getattr(node, "_saved_dim", 1) == 0:
                yield node._input_metadata[0].shape[0]
        elif kind in _PRODUCTS:
            at = _PRODUCTS[kind]
            (mixer, _), (mixed, _) = node.next_functions[at : at + 2]
            matrix = saved(node, "self", "mat1") if mixer is None and mixed is not None else None
            # a weight is no row of anything: data may have as many rows as columns
            if matrix is not None and mixed.name() not in WEIGHT_PLUMBING | {ACCUMULATE}:
                *one, rows, columns = matrix.shape
                if rows == columns and one in ([], [1]):
                    yield rows


def sample_rows(output: Tensor, unit_dim: int) -> Tensor | None:
    """A few rows of features of a layer's output: (groups, rows, features); None where there are fewer than two.

    Tokens of a few sequences for (batch, tokens, features), each sequence a group; else samples, of which images are
    averaged over their positions.
    """
    if unit_dim == 1 and output.dim() > 2:
        output = _spaced(output, SAMPLES, MOST)
        rows = output.flatten(2).float().mean(-1)[None]
    elif output.dim() >= 3:
        output = output.flatten(1, -2)
        output = _spaced(output, SEQUENCES, MOST)
        rows = _spaced(output.transpose(0, 1), TOKENS, MOST).transpose(0, 1)
    elif output.dim() == 2:
        rows = _spaced(output, SAMPLES, MOST)[None]
    else:
        return None
    return rows if rows.shape[-2] >= 2 and rows.shape[-1] >= 2 else None


def _spaced(tensor: Tensor, most: int, elements: int) -> Tensor:
    """At most ``most`` entries of the first dimension, evenly spaced, fewer if they are large."""
    size = tensor.shape[0]
    most = max(1, min(most, elements * size // tensor.numel()))
    step = -(-size // most)
    return tensor[(size - 1) % step :: step]
