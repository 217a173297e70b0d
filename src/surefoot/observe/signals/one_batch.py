"""Where one and the same batch comes at every look: whether there is more data, and whether the loop asks for it.

To train on all data at once, or on one batch to see whether it can be learned, is no mistake. What makes it one is a
loop that asks for a batch at every step and is given the same; or one that keeps its batch of a training set, and is
tested on what is no part of that. Nothing of a data loader's is touched to find out:

* an iterator that is alive counts what it has given: where the count grows and the batch stays, the loop trains on
  another variable than the one that it is given;
* an iterator that is begun draws one seed from the loader's generator: where that stands still, none was begun;
* a batch that the script made once is the same object at every look, one that it was given anew is not;
* what is made anew at every look, of nothing that was there before, and is the same, was drawn from a generator that
  the loop seeds each time, as the script's text says;
* a model that is tried on other rows is called with them: once one batch alone was seen, a hook on the models waits for
  that, and goes when it has come.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset

from surefoot.analysis.samples import row_hashes
from surefoot.observe.compiled import anything_compiled
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Tools
from surefoot.observe.script_text import script_text
from surefoot.observe.seeded_loops import seeds_each_step
from surefoot.observe.signals.activations import first_tensor
from surefoot.observe.signals.batch import sample_input

NAME = "one batch"
_SEARCH = 8.0  # steps of the run's own that a search for iterators takes, before one was measured
MAX_ELEMENTS = 1 << 22  # of a tensor of data that is searched for the batch
_MOST_TRIES = 16  # calls on other rows that are compared with the training set: it may be that which is evaluated
_FEWEST = 8  # batches that a tensor must have: what is kept for training may be a small part of the data, not an eighth


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a row of the batch looks like, and where the batch lies; the tensor itself may be gone."""

    shape: torch.Size
    dtype: torch.dtype
    memory: int


class Waiting:
    """A hook that tells the inputs of evaluations. It may stay for long."""

    def __init__(self, tell: Callable[[Tensor], None]) -> None:
        self._tell = tell
        self._home = threading.get_ident()

    def __call__(self, module: nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
            return
        if (torch.is_grad_enabled() and module.training) or threading.get_ident() != self._home:
            return
        given = sample_input(args)
        if given is not None:
            self._tell(given)


@dataclass(slots=True)
class _Source:
    """What the batch is a part of.

    ``rows`` are the hashes of all its rows, ``copied``: the batch is gathered from it by indices, not a slice;
    ``split``: it is itself a part of the data, for other tensors hold the rest.
    """

    rows: np.ndarray
    copied: bool = False
    split: bool = False


class OneBatch:
    """Follows the inputs of the looks, and answers once all were the same.

    Parameters
    ----------
    tools : its scene knows the data loaders and the tensors that were alive when the models were found
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._input: weakref.ref[Tensor] | None = None
        self._kind: _Kind | None = None
        self._made_anew = False
        self._generators: dict[int, Tensor] = {}
        self._given: dict[int, int] = {}
        self._handles: list[Any] = []
        self.forget()

    def meet(self, given: Tensor | None) -> None:
        """The input of a look, the script's own object; None where it was not seen."""
        before = None if self._input is None else self._input()
        self._made_anew = given is not None and self._input is not None and given is not before
        self._input = self._kind = None
        if given is not None:
            self._input = weakref.ref(given)
            if given.layout is torch.strided:
                self._kind = _Kind(given.shape[1:], given.dtype, _memory(given))

    def forget(self) -> None:
        """It is another batch now, or the run is over."""
        self._source: _Source | None = None
        self._seeded = False
        self._sought = self._tested = False
        self._tries = _MOST_TRIES
        self._leave()

    def values(self, rows: int, hashes: np.ndarray) -> dict[str, float]:
        """How many batches of ``rows`` rows there are, whether the loop has asked for one since the last look, and
        whether the model is tested on rows that are not in what the batch is taken from."""
        known = [loader for ref in self._tools.scene.loaders if (loader := ref()) is not None]
        loaders = [loader for loader in known if loader.batch_size == rows]
        waiting = max(map(_length, loaders), default=0)
        if not self._sought:
            self._sought = True
            with torch.no_grad():
                self._source = self._source_of(rows, hashes, loaders)
                few = self._source is None or len(self._source.rows) < _FEWEST * rows
                self._seeded = few and not known and self._drawn(hashes)
        if waiting:
            begun = [self._begun(loader) for loader in loaders]  # all: each remembers where its generator stands
            asked = any(begun) if self._made_anew or self._input is None else any(map(self._advanced, loaders))
        else:
            source = self._source
            waiting = 0 if source is None or len(source.rows) < _FEWEST * rows else len(source.rows) // rows
            asked = source is not None and waiting > 0 and self._made_anew and (source.copied or source.split)
        if waiting >= 2 and not asked and self._source is not None:
            self._wait(hashes)
            if not (loaders or self._made_anew or self._tested):
                waiting = 0  # rows that were chosen once
        values = {"stale_loader_batches": float(waiting), "stale_loader_asked": float(asked)}
        return values | {
            "stale_tested": float(self._tested),
            "stale_seeded": float(self._seeded and self._made_anew),
        }

    # -- what the batch is a part of ---------------------------------------------------------------------------------

    def _source_of(self, rows: int, hashes: np.ndarray, loaders: Sequence[Any]) -> _Source | None:
        """The smallest set of more rows that holds all of the batch: a loader's, or else a tensor that was alive when
        the models were found, or its windows. None if there is none, or if some other tensor is just this batch: it was
        chosen.
        """
        kind = self._kind
        if kind is None:
            return None
        wanted = np.unique(hashes)
        for loader in loaders:
            held = _rows_of(loader.dataset, kind)
            if held is not None and len(held) > rows and np.isin(wanted, held).all():
                return _Source(held)
        batch = None if self._input is None else self._input()
        known = [tensor for ref in self._tools.scene.tensors if (tensor := ref()) is not None]
        alike = [tensor for tensor in known if tensor.dim() > 1 and _alike(tensor, kind)]
        every = [(_hashes(tensor), tensor) for tensor in alike if tensor is not batch]
        if not every and len(kind.shape) == 1:  # rows may be windows of a text, or of a series
            cut = [(_windows(tensor, kind), tensor) for tensor in known if tensor.dim() == 1]
            every = [(_hashes(windows), tensor) for windows, tensor in cut if windows is not None]
        holders = [(held, tensor) for held, tensor in every if np.isin(wanted, held).all()]
        if not holders or any(len(held) <= rows for held, _ in holders):
            return None
        held, tensor = min(holders, key=lambda found: (len(found[0]) < _FEWEST * rows, len(found[0])))
        copied = _memory(tensor) != kind.memory
        shared = [(len(np.intersect1d(held, other)), len(other)) for other, _ in every]
        # another tensor holds all of it and more, or none of it and a batch at least
        split = any((n == len(held) < size) or (n == 0 and size >= rows) for n, size in shared)
        return _Source(held, copied, split)

    def _drawn(self, hashes: np.ndarray) -> bool:
        """Whether nothing that was there before holds these rows, and the training loop seeds a generator."""
        kind, given = self._kind, None if self._input is None else self._input()
        text = script_text()
        if kind is None or not text or seeds_each_step(text) is None:
            return False
        known = [tensor for ref in self._tools.scene.tensors if (tensor := ref()) is not None and tensor is not given]
        known = [tensor for tensor in known if _alike(tensor, kind) and not _begins_as(tensor, given)]
        wanted = np.unique(hashes)
        return not any(np.isin(wanted, _hashes(tensor)).all() for tensor in known)

    # -- whether the model is tested ---------------------------------------------------------------------------------

    def _wait(self, hashes: np.ndarray) -> None:
        """Have the models tell when they are called on other rows (nothing compiled: it would be compiled anew)."""
        if self._tested or self._handles or not self._tries or anything_compiled():
            return
        waiting = Waiting(lambda given: self._tools.guard(NAME, self._see, given, hashes))
        for root in self._tools.scene.roots():
            if not isinstance(root, torch.jit.ScriptModule):
                self._handles.append(root.register_forward_pre_hook(Hook(waiting)))

    def _see(self, given: Tensor, hashes: np.ndarray) -> None:
        if self._source is None or self._kind is None or not _alike(given, self._kind):
            return
        self._tries -= 1
        with torch.no_grad():
            rows = _hashes(given)
        # most of them: data may hold the same row twice
        self._tested = np.isin(rows, np.concatenate([hashes, self._source.rows])).mean() < 0.5
        if self._tested or not self._tries:
            self._leave()

    def _leave(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    # -- whether the loop asks ---------------------------------------------------------------------------------------

    def _begun(self, loader: Any) -> bool:
        generator = loader.generator if loader.generator is not None else torch.default_generator
        before, now = self._generators.get(id(loader)), generator.get_state()
        self._generators[id(loader)] = now
        return before is not None and not torch.equal(before, now)

    def _advanced(self, loader: Any) -> bool:
        if not self._tools.affords(NAME, _SEARCH):
            return False
        with self._tools.spending(NAME):
            # the iterators over a loader hold its sampler
            holders = [_attributes(holder) for holder in gc.get_referrers(loader._index_sampler)]
        given = sum(int(held.get("_num_yielded", 0)) for held in holders)
        before = self._given.get(id(loader))
        self._given[id(loader)] = given
        return before is not None and given > before


def _length(loader: Any) -> int:
    try:
        length = len(loader)
    except (TypeError, NotImplementedError):
        return 0  # an iterable data set without a length
    return length if length > 1 else 0


def _attributes(holder: Any) -> dict[str, Any]:
    """What an object holds: the garbage collector gives either the object or the dictionary of its attributes."""
    return holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _alike(tensor: Tensor, kind: _Kind) -> bool:
    """Whether the rows of a tensor can be compared with those of the batch, and are few enough to be."""
    return (
        tensor.dim() > 0
        and tensor.shape[1:] == kind.shape
        and tensor.dtype == kind.dtype
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and 0 < tensor.numel() <= MAX_ELEMENTS
    )


def _begins_as(tensor: Tensor, given: Tensor | None) -> bool:
    """Its first rows are those of the batch, and it has more: drawn with the same seed, to test on, say."""
    return given is not None and len(tensor) > len(given) and torch.equal(tensor[: len(given)].detach(), given.detach())


def _windows(tensor: Tensor, kind: _Kind) -> Tensor | None:
    """All windows of a series that are as long as a row of the batch, a view; None if there are none, or too many."""
    long = kind.shape[0]
    if not 0 < long < len(tensor) or len(tensor) * long > MAX_ELEMENTS:
        return None
    windows = tensor.detach().unfold(0, long, 1)
    return windows if _alike(windows, kind) else None


def _hashes(tensor: Tensor) -> np.ndarray:
    return np.unique(row_hashes(tensor.detach()).numpy().view(np.uint64))


def _rows_of(dataset: Any, kind: _Kind) -> np.ndarray | None:
    """The hashes of the rows that a data set is known to give, without asking it for any."""
    indices = None
    if isinstance(dataset, Subset):
        indices, dataset = torch.as_tensor(dataset.indices), dataset.dataset
    rows = dataset
    if isinstance(dataset, TensorDataset):
        rows = next((tensor for tensor in dataset.tensors if _alike(tensor, kind)), None)
    if isinstance(rows, (list, tuple)) and 0 < len(rows) <= MAX_ELEMENTS // max(1, kind.shape.numel()):
        firsts = [first_tensor(row) for row in rows]
        if any(row is None or row.shape != kind.shape or row.dtype != kind.dtype for row in firsts):
            return None
        rows = torch.stack(firsts)  # type: ignore[arg-type]
    if not isinstance(rows, Tensor) or not _alike(rows, kind):
        return None
    return _hashes(rows if indices is None else rows[indices])
