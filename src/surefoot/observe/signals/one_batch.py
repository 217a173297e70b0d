"""Where one and the same batch comes at every look: whether there is more data, and whether the loop asks for it.

To train on all data at once, or on one batch to see whether it can be learned, is no mistake. What makes it one is a
loop that asks for a batch at every step and is given the same. Nothing of a data loader's is touched to find out:

* an iterator that is alive counts what it has given: where the count grows and the batch stays, the loop trains on
  another variable than the one that it is given;
* an iterator that is begun draws one seed from the loader's generator: where that stands still, none was begun;
* a batch that the script made once is the same object at every look, one that it was given anew is not.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.samples import row_hashes
from surefoot.observe.instrument import Tools

NAME = "one batch"
_SEARCH = 8.0  # steps of the run's own that a search for iterators takes, before one was measured
MAX_ELEMENTS = 1 << 22  # of a tensor of data that is searched for the batch
_FEWEST = 8  # batches that a tensor must have: what is kept for training may be a small part of the data, not an eighth


class OneBatch:
    """Follows the inputs of the looks, and answers once all were the same.

    Parameters
    ----------
    tools : its scene knows the data loaders and the tensors that were alive when the models were found
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._input: weakref.ref[Tensor] | None = None
        self._made_anew = False
        self._generators: dict[int, Tensor] = {}
        self._given: dict[int, int] = {}
        self._taken: tuple[int, bool] | None = None  # sought once: the batch is always the same

    def meet(self, given: Tensor | None) -> None:
        """The input of a look, the script's own object; None where it was not seen."""
        before = None if self._input is None else self._input()
        self._made_anew = given is not None and self._input is not None and given is not before
        self._input = None if given is None else weakref.ref(given)

    def values(self, rows: int, hashes: np.ndarray) -> dict[str, float]:
        """How many batches of ``rows`` rows there are, and whether the loop has asked for one since the last look."""
        known = [loader for ref in self._tools.scene.loaders if (loader := ref()) is not None]
        loaders = [loader for loader in known if loader.batch_size == rows]
        waiting = max(map(_length, loaders), default=0)
        if waiting:
            begun = [self._begun(loader) for loader in loaders]  # all: each remembers where its generator stands
            asked = any(begun) if self._made_anew or self._input is None else any(map(self._advanced, loaders))
        else:
            if self._taken is None and self._made_anew:
                self._taken = self._taken_of(rows, hashes)
            longest, asked = self._taken if self._taken is not None and self._made_anew else (0, False)
            waiting = longest // rows if longest >= _FEWEST * rows else 0
        return {"stale_loader_batches": float(waiting), "stale_loader_asked": float(asked)}

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

    def _taken_of(self, rows: int, hashes: np.ndarray) -> tuple[int, bool]:
        """Rows of the largest tensor that holds all of the batch, where the script takes them anew at each step, and
        whether it gathers them by indices; 0 if some other tensor is just this batch, for then it was chosen once.

        A slice is a view; it may well be meant as all that there is to train on, and so is no sign of anything.
        """
        batch = None if self._input is None else self._input()
        if batch is None:
            return 0, False
        wanted, longest, gathered = np.unique(hashes), 0, False
        for ref in self._tools.scene.tensors:
            tensor = ref()
            if tensor is None or tensor is batch or tensor.shape[1:] != batch.shape[1:] or len(tensor) < rows:
                continue
            if tensor.dtype != batch.dtype or not tensor.is_cpu or not 0 < tensor.numel() <= MAX_ELEMENTS:
                continue
            with torch.no_grad():
                found = row_hashes(tensor.detach()).numpy().view(np.uint64)
            if np.isin(wanted, found).all():
                if len(tensor) == rows:
                    return 0, False
                if len(tensor) > longest:
                    longest = len(tensor)
                    gathered = tensor.untyped_storage().data_ptr() != batch.untyped_storage().data_ptr()
        return longest, gathered


def _length(loader: Any) -> int:
    try:
        length = len(loader)
    except (TypeError, NotImplementedError):
        return 0  # an iterable data set without a length
    return length if length > 1 else 0


def _attributes(holder: Any) -> dict[str, Any]:
    """What an object holds: the garbage collector gives either the object or the dictionary of its attributes."""
    return holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})
