"""How sharp an estimator is at each epoch: soft at first, so that gradients are even; near sign at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class ReSTESchedule:
    """o(e) from 1 towards ``o_end``.

    Parameters
    ----------
    o_end : the sharpness approached, ≥ 1; 3 serves most networks, from 10 on training suffers
    total : number of epochs E (or of steps, where ``value`` is given steps)
    kind : ``"cosine"`` is 1 + (1 − cos(π/2 · e/E)) (o_end − 1), as the authors' code has it; ``"linear"`` is what
        summaries of the paper say; ``"constant"`` is o_end throughout

    Raises
    ------
    ValueError
        For o_end < 1, total < 1, or an unknown kind.

    Examples
    --------
    >>> schedule = ReSTESchedule(o_end=3.0, total=100)
    >>> round(schedule.value(50), 4)
    1.5858
    """

    o_end: float = 3.0
    total: int = 1
    kind: Kind = "cosine"

    def __post_init__(self) -> None:
        if not 1 <= self.o_end < math.inf:
            raise ValueError(f"o_end: got {self.o_end}; use a finite number ≥ 1, such as 3")
        _check_total(self.total)
        if self.kind not in ("cosine", "linear", "constant"):
            raise ValueError(f"kind: got {self.kind!r}; use 'cosine', 'linear' or 'constant'")

    def value(self, epoch: float) -> float:
        """The sharpness of ``epoch``, counted from 0; held at that of ``total`` beyond it."""
        at = min(max(epoch / self.total, 0.0), 1.0)
        if self.kind == "constant":
            return self.o_end
        share = at if self.kind == "linear" else 1 - math.cos(math.pi / 2 * at)
        return 1 + share * (self.o_end - 1)


@dataclass(frozen=True)
class EDESchedule:
    """t(e) = 10^(−1 + 2 e/E) of IR-Net's estimator."""

    total: int

    def __post_init__(self) -> None:
        _check_total(self.total)

    def value(self, epoch: float) -> float:
        """The sharpness of ``epoch``, counted from 0; held at that of ``total`` beyond it."""
        return 10.0 ** (-1 + 2 * min(max(epoch / self.total, 0.0), 1.0))


def _check_total(total: int) -> None:
    if not total >= 1:
        raise ValueError(f"total: got {total}; use the number of epochs, at least 1")
