"""``attention-skip``: every token has a way past each attention on which nothing changes it.

Torch's own Transformer layers take their norms off that way, into the branch (``norm_first``). For other attentions the
first forward tells whether there is one: an attention is bridged if a residual sum adds to what came of it something
that it was made from. Around each of the others, the innermost module whose output has the shape of its input gets that
added to it, and so does each feed-forward network beside it that has no skip connection either: a token has to get past
that, too.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.fresh import sign_of_training
from surefoot.observe.attention_sites import find_attentions
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.hook import Hook
from surefoot.observe.residual_sites import find_branches

_Call = tuple[weakref.ref[nn.Module], int, int]  # a module, and the numbers of the nodes that gave its input and output


_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class AttentionSkip(ModelCure):
    """Puts a forward hook on each such module from the second step on. A model that has been trained is left alone:
    what it has learned holds for the way it is."""

    id = "attention-skip"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._looking: list[Any] = []  # hooks of the first forward
        self._hooks: list[Any] = []
        self._calls: list[_Call] = []
        self._bridged = self._fed = self._moved = 0

    def met(self, model: nn.Module) -> None:
        """Move its norms, and look at its first forward."""
        trained = "the run is continued" if self.desk.offset else sign_of_training(model)
        if trained is not None:
            self.note(f"{type(model).__name__} stays as it is: {trained}")
            return
        for module in model.modules():
            self._looking.append(module.register_forward_hook(Hook(self._look)))
            if isinstance(module, _LAYERS) and not module.norm_first:
                module.norm_first = True
                self._moved += 1
                self.act()

    def _look(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        given, made = _first(args), _first(output)
        if given is not None and made is not None and given.shape == made.shape and made.grad_fn is not None:
            before = -1 if given.grad_fn is None else given.grad_fn._sequence_nr()
            self._calls.append((weakref.ref(module), before, made.grad_fn._sequence_nr()))

    def at_backward(self, tensors: Any) -> None:
        """Decide, once there is a graph with attentions in it."""
        if not self._calls or not self._looking:
            self._calls.clear()
            return
        nodes = read_graph(roots_of(tensors)).nodes
        sites = [found.edges[0][0] for found in find_attentions(nodes) if found.edges is not None]
        calls, self._calls = self._calls, []
        if not sites:
            return
        for handle in self._looking:
            handle.remove()
        self._looking.clear()
        inside = set().union(*(branch.nodes for branch in find_branches(nodes)))
        for site in sites:
            number = site._sequence_nr()
            around = [call for call in calls if call[1] < number <= call[2]]
            module = min(around, key=lambda call: call[2] - call[1])[0]() if around and site not in inside else None
            if module is not None:
                self._bridged += 1
                self._add(module)
                for beside in self._beside(module, calls, {node._sequence_nr() for node in (*inside, *sites)}):
                    self._fed += 1
                    self._add(beside)

    def _add(self, module: nn.Module) -> None:
        self._hooks.append(module.register_forward_hook(_add_input))
        self.act()

    def _beside(self, attention: nn.Module, calls: list[_Call], other: set[int]) -> list[nn.Module]:
        """The feed-forward networks of an attention's block: two layers or more, and no way past them.

        ``other`` are the numbers of nodes that belong to no such network: those of attentions and residual branches.
        """
        blocks = [m for model in self.trained for m in model.modules() if any(c is attention for c in m.children())]
        found = []
        for ref, before, after in calls:
            module = ref()
            if module is None or module is attention or not any(c is module for b in blocks for c in b.children()):
                continue
            layers = sum(isinstance(m, nn.Linear) for m in module.modules())
            if layers > 1 and not any(before < node <= after for node in other):
                found.append(module)
        return found

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for handle in (*self._looking, *self._hooks):
            handle.remove()
        if not self.acted and not self.noted:
            self.note("no attention without a clear skip connection was found; nothing was changed")

    def summary(self) -> str:
        """How many."""
        moved = f", and the norms of {self._moved:,} layers into their branches" if self._moved else ""
        fed = f" and {self._fed:,} feed-forward networks" if self._fed else ""
        return f"put a skip connection around {self._bridged:,} attentions{fed}{moved}"


def _first(tree: Any) -> Tensor | None:
    while isinstance(tree, tuple | list) and tree:
        tree = tree[0]
    return tree if isinstance(tree, Tensor) else None


def _add_input(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    """A forward hook."""
    if isinstance(output, tuple):
        return (_add_input(module, args, output[0]), *output[1:])
    return output + args[0]
