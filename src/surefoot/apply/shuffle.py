"""``shuffle``: a data loader that gives its samples in their own order gives them in a random one, in training.

So does ``order.split(batch_size)`` of an index: a vector of whole numbers that are all different. And so do slices that
are batches: ``x[i : i + 50], y[i : i + 50]``, from the second of a pass on. And so does a stream (an
``IterableDataset``): its samples pass through a buffer that holds all of them, or as many as fit in 256 MiB. Streams in
workers keep their order.

The order is drawn from a generator of its own, seeded from the script's seed, so that nothing else that is drawn
changes. An evaluation (without gradients, or of a model in evaluation mode) keeps the order.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler, get_worker_info
from torch.utils.data._utils import fetch

from surefoot.apply.cure import Desk, ModelCure, Patch
from surefoot.apply.script_calls import by_the_script, caller, in_a_forward
from surefoot.apply.sliced_rows import SlicedRows
from surefoot.apply.stream_buffer import mixed


class Shuffle(ModelCure):
    """Puts a shuffling sampler in the place of a sequential one."""

    id = "shuffle"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._changed: list[tuple[weakref.ref[BatchSampler], Sampler[int]]] = []
        self._sliced = SlicedRows(self.order)

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """What ``iter(loader)`` calls, ``split``, and slices."""
        yield DataLoader, "__iter__", functools.partial(self._iterating, guard)
        yield fetch._IterableDatasetFetcher, "__init__", functools.partial(self._streaming, guard)
        yield Tensor, "split", functools.partial(self._splitting, guard)
        yield Tensor, "__getitem__", functools.partial(self._slicing, guard)

    def _iterating(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __iter__(loader: Any) -> Any:
            guard(self._take, loader)
            return original(loader)

        return __iter__

    def _streaming(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __init__(fetcher: Any, *args: Any, **kwargs: Any) -> None:
            original(fetcher, *args, **kwargs)
            fetcher.dataset_iter = guard(self._mixed, fetcher.dataset_iter) or fetcher.dataset_iter

        return __init__

    def _mixed(self, stream: Iterator[Any]) -> Iterator[Any] | None:
        if not self.training or get_worker_info() is not None:
            return None  # a worker has a part of the stream, and nobody to tell
        return mixed(stream, self._generator_of_pass())

    def _splitting(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def split(tensor: Any, split_size: Any, dim: int = 0) -> Any:
            if isinstance(split_size, int) and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                given = guard(self._shuffled, tensor, split_size) if by_the_script(caller()) else None
                tensor = tensor if given is None else given
            return original(tensor, split_size, dim)

        return split

    def _slicing(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __getitem__(tensor: Any, key: Any) -> Any:
            rows = None
            batch = type(key) is slice and type(key.start) is int and type(key.stop) is int and key.step is None
            if batch and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                frame = caller()
                rows = guard(self._rows, tensor, key, frame) if by_the_script(frame) else None
            return original(tensor, key if rows is None else rows)

        return __getitem__

    def _rows(self, tensor: Tensor, key: slice, frame: FrameType) -> Tensor | None:
        if not self.trained or not self.training or not tensor.dim() or in_a_forward(frame):
            return None
        rows = self._sliced.rows(tensor, key.start, key.stop)
        return None if rows is None else rows.to(tensor.device)

    def _take(self, loader: Any) -> None:
        """Change its sampler, the first time that it is asked in training."""
        sampler = loader.batch_sampler
        if self.training and type(sampler) is BatchSampler and type(sampler.sampler) is SequentialSampler:
            self._changed.append((weakref.ref(sampler), sampler.sampler))
            sampler.sampler = _Shuffled(self, sampler.sampler)

    def _shuffled(self, tensor: Tensor, size: int) -> Tensor | None:
        """The rows of an index in a random order."""
        index = tensor.dim() == 1 and tensor.dtype in (torch.int64, torch.int32) and 0 < size < len(tensor)
        if not index or not self.training or bool((tensor < 0).any()) or len(tensor.unique()) < len(tensor):
            return None
        return tensor[self.order(len(tensor)).to(tensor.device)]

    def order(self, length: int) -> Tensor:
        """The order of the next pass."""
        return torch.randperm(length, generator=self._generator_of_pass())

    def _generator_of_pass(self) -> torch.Generator:
        generator = torch.Generator().manual_seed((torch.initial_seed() + self.acted) % (1 << 63))
        self.act()
        return generator

    def at_close(self) -> None:
        """Put the samplers back; say so where there was nothing to change."""
        for ref, sampler in self._changed:
            if (changed := ref()) is not None:
                changed.sampler = sampler
        if not self.acted:
            self.note(
                "no data loader or stream, no index that is split, and no slices of rows that follow on each other "
                "gave samples in their own order to training (take them by torch.randperm there); nothing was changed"
            )

    def summary(self) -> str:
        """How often."""
        return f"shuffled {self.acted:,} passes over the training data" if self.acted else "shuffled nothing"


class _Shuffled(Sampler[int]):
    """All indices of a sequential sampler, in a new random order each time in training."""

    def __init__(self, cure: Shuffle, sampler: Sampler[int]) -> None:
        self._cure, self._sampler = cure, sampler

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        if not self._cure.training:
            return iter(self._sampler)
        indices = list(self._sampler)
        return iter([indices[i] for i in self._cure.order(len(indices)).tolist()])
