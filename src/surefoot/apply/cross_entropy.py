"""Where cures change what a cross-entropy gives: of logits, or of log-probabilities that a log-softmax made of them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from surefoot.apply.cure import Cure, Desk, Patch, trains

_CROSS_ENTROPY = ("weight", "size_average", "ignore_index", "reduce", "reduction", "label_smoothing")
_NLL_LOSS = _CROSS_ENTROPY[:-1]


class CrossEntropyCure(Cure):
    """Puts :meth:`cross_entropy` in the place of ``F.cross_entropy``, and of ``F.nll_loss`` of what ``log_softmax``
    gave, where gradients are asked for: a validation loss stays what it was, to be compared with other runs. Layers go
    through these functions too."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._threads = threading.local()
        self._logits: Any = WeakIdKeyDictionary()  # of log-probabilities that are alive

    def cross_entropy(self, logits: Tensor, targets: Tensor, loss: Callable[[], Tensor], how: dict[str, Any]) -> Tensor:
        """What the function is to give; ``loss()`` is torch's own, ``how`` its other arguments by name."""
        raise NotImplementedError

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """The losses, and what makes log-probabilities."""
        yield F, "cross_entropy", functools.partial(self._of_logits, guard)
        yield F, "nll_loss", functools.partial(self._of_log_probabilities, guard)
        for home in (torch, Tensor):
            yield home, "log_softmax", functools.partial(self._log_softmax, guard)

    def _of_logits(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def cross_entropy(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            named = dict(zip(_CROSS_ENTROPY[: len(args)], args, strict=False)) | kwargs
            plain = functools.partial(original, input, target, *args, **kwargs)
            if not trains(input) or _legacy(named) or self._inside or self.stopped:
                return plain()
            how = _modern(named)
            if torch.compiler.is_compiling():
                # What is compiled calls torch's function by its name: that is this one.
                return self.cross_entropy(input, target, functools.partial(_by_its_op, input, target, **how), how)
            return self._instead(guard, input, target, plain, how)

        return cross_entropy

    def _of_log_probabilities(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def nll_loss(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            named = dict(zip(_NLL_LOSS[: len(args)], args, strict=False)) | kwargs
            plain = functools.partial(original, input, target, *args, **kwargs)
            if torch.compiler.is_compiling() or not trains(input) or _legacy(named) or self._inside:
                return plain()
            logits = self._logits.get(input)
            return plain() if logits is None else self._instead(guard, logits, target, plain, _modern(named))

        return nll_loss

    def _log_softmax(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def log_softmax(input: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(input, *args, **kwargs)
            if not torch.compiler.is_compiling() and not self._inside and trains(result):
                guard(self._remember, result, input, args[0] if args else kwargs.get("dim"))
            return result

        return log_softmax

    def _remember(self, log_probabilities: Tensor, logits: Tensor, dim: Any) -> None:
        dims = logits.dim()
        if isinstance(dim, int) and dims and dim % dims == min(1, dims - 1):  # where nll_loss has its classes
            self._logits[log_probabilities] = logits

    @property
    def _inside(self) -> bool:
        """A part of ours may call these functions, too."""
        return getattr(self._threads, "inside", False)

    def _instead(
        self, guard: Callable[..., Any], logits: Tensor, target: Any, plain: Callable[[], Any], how: dict[str, Any]
    ) -> Any:
        self._threads.inside = True
        try:
            value = guard(self.cross_entropy, logits, target, plain, how)
        finally:
            self._threads.inside = False
        return plain() if value is None else value  # and if it was the script's mistake, that tells it


def _legacy(named: dict[str, Any]) -> bool:
    return named.get("size_average") is not None or named.get("reduce") is not None


def _modern(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name not in ("size_average", "reduce")}


def _by_its_op(
    logits: Any, targets: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """Torch's own cross-entropy, without its function of that name."""
    number = {"none": 0, "mean": 1, "sum": 2}[reduction]
    return torch.ops.aten.cross_entropy_loss(logits, targets, weight, number, ignore_index, label_smoothing)
