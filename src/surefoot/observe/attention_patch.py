"""Stand before ``scaled_dot_product_attention`` for the length of one step, where the graph does not tell.

A checkpointed model keeps no queries and keys: its graph would run the forward again to give them. For such models
only, and only in a step that is looked at, its calls are told. They go on with what the script gave, so that the kernel
is the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F


class AttentionPatch:
    """Tells of each call of ``torch.nn.functional.scaled_dot_product_attention`` before it happens.

    Parameters
    ----------
    told : ``told(args, kwargs)``; must not raise
    """

    def __init__(self, told: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> None:
        self._told = told
        self._plain: Any = None
        self._put: Any = None

    def put_on(self) -> None:
        """Stand in the way, if not there already."""
        if self._put is not None:
            return
        plain, told, compiling = F.scaled_dot_product_attention, self._told, torch.compiler.is_compiling

        @functools.wraps(plain)
        def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Any:
            if not compiling():
                told(args, kwargs)
            return plain(*args, **kwargs)

        self._plain, self._put = plain, scaled_dot_product_attention
        F.scaled_dot_product_attention = scaled_dot_product_attention

    def take_off(self) -> None:
        """Restore the function, unless somebody patched it again on top."""
        if self._put is not None and F.scaled_dot_product_attention is self._put:
            F.scaled_dot_product_attention = self._plain
        self._plain = self._put = None
