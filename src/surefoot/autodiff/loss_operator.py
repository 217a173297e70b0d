"""What every operator of a loss over a data set shares: parameters, batches, and graphs that are kept while they fit.

Each product takes all the data; a batch at a time, where asked, and weighted so that the sum is exactly that of the
full data. The graphs are kept where they fit, so that a product is nothing but backward passes.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.autodiff.jvp import Mode, functional, random_state
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.autodiff.operator import SymmetricOperator
from surefoot.autodiff.parameters import LossFunction, checked, flatten, one_number, trainable, unflatten

Data = tuple[Tensor, Tensor] | Iterable[tuple[Any, Any]]
Reduction = Literal["mean", "sum"]
GRAPHS = 1 << 30  # bytes of graphs that are kept


@dataclass(frozen=True)
class Batch:
    """Some rows of the data: the first one's index, how many, and the weight of their loss in the whole data's."""

    inputs: Any
    targets: Any
    first: int
    rows: int
    weight: float


class LossOperator(SymmetricOperator):
    """What all operators of a loss share: parameters, batches, and graphs that are kept while they fit.

    Parameters
    ----------
    model : a module, or any function of the inputs whose outputs depend on ``params``
    loss_fn : ``loss_fn(outputs, targets)``: one number
    data : inputs and targets, rows first; or an iterable of such pairs that can be gone through again and again in the
        same order (a DataLoader without shuffling)
    params : the parameters, in the order of the vectors' entries; by default all that require a gradient. A tied
        parameter counts once
    reduction : whether ``loss_fn`` is the mean or the sum over rows
    batch_size : rows in memory at a time; None for the batches as they come
    mode : ``"eval"`` (dropout off, batch norm with its running statistics) or ``"train"`` (each module as it is; the
        same dropout mask at every product). In train mode batch norm mixes the rows of a batch: batches then are no
        longer the full data
    cache_graph : keep the graphs between products: ``"auto"`` if they take at most 1 GiB

    Raises
    ------
    ValueError
        If there is no data or no parameter, for a parameter that is not floating, a loss that is not one number.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Any], Any],
        loss_fn: LossFunction,
        data: Data,
        params: Sequence[Tensor] | None = None,
        *,
        reduction: Reduction = "mean",
        batch_size: int | None = None,
        mode: Mode = "eval",
        cache_graph: bool | Literal["auto"] = "auto",
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction: got {reduction!r}; must be 'mean' or 'sum', as loss_fn is over its rows")
        if cache_graph not in (True, False, "auto"):
            raise ValueError(f"cache_graph: got {cache_graph!r}; must be True, False or 'auto'")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}; must be at least 1, or None for all rows at once")
        self.parameters = _parameters(model, params)
        dtypes = {p.dtype for p in self.parameters}
        widest = max(dtypes, key=lambda dtype: torch.finfo(dtype).bits)
        size = sum(p.numel() for p in self.parameters)
        super().__init__(size, torch.promote_types(widest, torch.float32), self.parameters[0].device)
        self._model, self._loss_fn, self._mode = model, loss_fn, mode
        self._reduction, self._data, self._batch_size = reduction, data, batch_size
        self._cache = cache_graph
        self._kept: list[tuple[Batch, Any]] | None = None
        self._unused: set[int] = set()
        self._random = random_state(model) if isinstance(model, nn.Module) else None
        _warn_of_batch_norm(model, mode)
        self.rows = sum(rows for _, _, rows in self._pieces())
        if self.rows == 0:
            raise ValueError("data: holds no rows")

    def _graph(self, batch: Batch) -> Any:
        """What a product with this batch needs, and can be kept."""
        raise NotImplementedError

    def _through(self, graph: Any, batch: Batch, pieces: list[Tensor], keep: bool) -> Sequence[Tensor | None]:
        """The product of one batch's matrix with a vector that comes in the parameters' shapes."""
        raise NotImplementedError

    def _product(self, vector: Tensor) -> Tensor:
        pieces = unflatten(vector, self.parameters)
        # graphs that are kept have their kernels already; autocast alone would still change what goes through them
        with self._kernels() if self._kept is None else torch.autocast(self.device.type, enabled=False):
            kept = self._graphs()
            if kept is not None and len(kept) == 1 and kept[0][0].weight == 1:  # nothing to add up
                found = self._through(kept[0][1], kept[0][0], pieces, True)
                return flatten(found, self.parameters).to(self.dtype)
            total = [torch.zeros_like(p, dtype=self.dtype) for p in self.parameters]
            for batch, graph in kept if kept is not None else ((b, self._graph(b)) for b in self._batches()):
                _add(total, self._through(graph, batch, pieces, kept is not None), batch.weight)
        return flatten(total, self.parameters)

    def gradient(self) -> Float[Tensor, " n"]:
        """The gradient of the loss over the data; ``.grad`` is not touched."""
        total = [torch.zeros_like(p, dtype=self.dtype) for p in self.parameters]
        with self._kernels():
            for batch in self._batches():
                slopes = torch.autograd.grad(self._loss(batch), self.parameters, allow_unused=True)
                _add(total, slopes, batch.weight)
        return flatten(total, self.parameters)

    @contextlib.contextmanager
    def _kernels(self) -> Iterator[None]:
        with differentiable_kernels(self._model if isinstance(self._model, nn.Module) else None), torch.enable_grad():
            yield

    # -- data and graphs ---------------------------------------------------------------------------------------------

    def _pieces(self) -> Iterable[tuple[Any, Any, int]]:
        one = isinstance(self._data, Tensor) or _is_pair(self._data)
        whole: Any = [checked(self._data)] if one else self._data  # type: ignore[arg-type]
        for inputs, targets in whole:
            if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
                checked((inputs, targets))
            rows = len(targets)
            step = self._batch_size or rows
            if step < rows and not isinstance(inputs, Tensor):
                raise ValueError("batch_size: inputs that are not one tensor can't be split; give smaller batches")
            for start in range(0, rows, step):
                piece = slice(start, min(rows, start + step))
                whole_batch = step >= rows
                yield (inputs if whole_batch else inputs[piece]), targets[piece], piece.stop - start

    def _batches(self) -> Iterable[Batch]:
        first = 0
        for inputs, targets, rows in self._pieces():
            yield Batch(inputs, targets, first, rows, rows / self.rows if self._reduction == "mean" else 1.0)
            first += rows

    def _graphs(self) -> list[tuple[Batch, Any]] | None:
        """The kept graphs, built at the first product; None if they don't fit."""
        if self._cache is False:
            return None
        if self._kept is None:
            kept, held = [], _Bytes()
            for batch in self._batches():
                with held.counting():
                    kept.append((batch, self._graph(batch)))
                batches = self.rows / max(1, batch.rows)  # about
                if self._cache == "auto" and len(kept) == 1 and batches > 1 and held.total * batches > GRAPHS:
                    self._cache = False
                    return None
            self._kept = self._joined(kept)
        return self._kept

    def _joined(self, kept: list[tuple[Batch, Any]]) -> list[tuple[Batch, Any]]:
        """The kept graphs as one, where they can be."""
        return kept

    # -- the model ---------------------------------------------------------------------------------------------------

    def _outputs(self, batch: Batch) -> Any:
        if not isinstance(self._model, nn.Module):
            return self._model(batch.inputs)
        return functional(self._model, (batch.inputs,), mode=self._mode, random_state=self._random)({})

    def _loss(self, batch: Batch) -> Tensor:
        return one_number(self._loss_fn(self._outputs(batch), batch.targets))

    def _used(self, slopes: Sequence[Tensor | None]) -> list[Tensor]:
        """Zeros for what the loss doesn't depend on; told once."""
        missing = {i for i, slope in enumerate(slopes) if slope is None} - self._unused
        if missing and not self._unused:
            shapes = ", ".join(str(tuple(self.parameters[i].shape)) for i in sorted(missing)[:3])
            warnings.warn(
                f"params: the loss does not depend on {len(missing)} of them (shapes {shapes}); their rows are zero",
                stacklevel=2,
            )
        self._unused |= missing
        return [torch.zeros_like(p) if s is None else s for s, p in zip(slopes, self.parameters, strict=True)]


def _parameters(model: Any, params: Sequence[Tensor] | None) -> list[Tensor]:
    if params is None:
        if not isinstance(model, nn.Module):
            raise ValueError("params: must be given where model is a function and not a module")
        return list(trainable(model).values())
    unique = list({id(p): p for p in params}.values())
    if not unique:
        raise ValueError("params: is empty; give the parameters to differentiate in, or None for all that train")
    for p in unique:
        if not isinstance(p, Tensor) or not p.dtype.is_floating_point or not p.requires_grad:
            what = f"{p.dtype}, requires_grad={p.requires_grad}" if isinstance(p, Tensor) else type(p).__name__
            raise ValueError(f"params: holds {what}; must be floating tensors that require a gradient")
    return unique


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data)


def _warn_of_batch_norm(model: Any, mode: str) -> None:
    norm = nn.modules.batchnorm._BatchNorm
    if (
        mode == "eval"
        and isinstance(model, nn.Module)
        and any(isinstance(m, norm) and m.training for m in model.modules())
    ):
        warnings.warn(
            "model: has batch norm; with mode='eval' its running statistics make another function, with another "
            "Hessian, than the one that is trained (mode='train')",
            stacklevel=4,
        )


def _add(total: list[Tensor], parts: Sequence[Tensor | None], weight: float) -> None:
    pairs = [(t, p) for t, p in zip(total, parts, strict=True) if p is not None]
    if pairs:
        torch._foreach_add_([s for s, _ in pairs], [t.detach().to(s) for s, t in pairs], alpha=weight)


class _Bytes:
    """Adds up what autograd saves for backward, each storage once."""

    def __init__(self) -> None:
        self.total = 0
        self._seen: set[int] = set()

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor

    def counting(self) -> Any:
        return torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
