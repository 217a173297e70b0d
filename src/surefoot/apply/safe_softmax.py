"""``safe-softmax``: rows of a softmax that are masked throughout give zeros, not NaN."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.nn.safe_softmax import safe_softmax


class SafeSoftmax(Cure):
    """Puts :func:`surefoot.nn.safe_softmax` in the place of ``torch.softmax`` and of the method; layers and
    ``torch.nn.functional.softmax`` go through these."""

    id = "safe-softmax"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._inside = False  # the part calls torch's function, too

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Function and method."""
        for home in (torch, Tensor):
            yield home, "softmax", functools.partial(self._softmax, guard)

    def _softmax(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def softmax(input: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
            more = (*(() if dim is None else (dim,)), *args)
            if torch.compiler.is_compiling() or self._inside or len(more) != 1 or kwargs.keys() - {"dtype"}:
                return original(input, *more, **kwargs)
            weights = guard(self._safe, input, dim, kwargs.get("dtype"))
            return original(input, dim, **kwargs) if weights is None else weights

        return softmax

    def _safe(self, scores: Any, dim: Any, dtype: torch.dtype | None) -> Tensor | None:
        if not (isinstance(scores, Tensor) and isinstance(dim, int) and scores.is_floating_point()):
            return None
        self._inside = True
        try:
            weights = safe_softmax(scores if dtype is None else scores.to(dtype), dim)
        finally:
            self._inside = False
        self.act()
        return weights

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("the script took no softmax; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} softmaxes with zeros for rows that are masked throughout"
