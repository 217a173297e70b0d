"""How a sublayer is wired to the residual stream: ``x = connection(x, branch)``, not ``x = x + branch(norm(x))``.

A branch is any callable from (..., dim) to (..., dim): an attention, an MLP. Connections hold their own norms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surefoot.nn.mgt.delta import DeltaResidual, Value
from surefoot.nn.mgt.gates import BetaMode, DirectionErase, LeakyErase, TangentGate

Branch = Callable[[Tensor], Tensor]
Erase = Literal["rank1", "rank1-value", "elementwise"]


class NormConnection(nn.Module):
    """The usual two: ``"pre"``: x + F(norm(x)); ``"post"``: norm(x + F(x)).

    Raises
    ------
    ValueError
        For another place of the norm.
    """

    def __init__(
        self, dim: int, place: Literal["pre", "post"] = "pre", device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        if place not in ("pre", "post"):
            raise ValueError(f"place: got {place!r}; must be 'pre' or 'post'")
        self.place = place
        self.norm = nn.LayerNorm(dim, device=device, dtype=dtype)

    def extra_repr(self) -> str:
        return f"place={self.place!r}"

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return x + branch(self.norm(x)) if self.place == "pre" else self.norm(x + branch(x))


class MGTConnection(nn.Module):
    """Gate what a sublayer writes, then erase what it overwrites.

    Parameters
    ----------
    dim : width of the stream
    gate : put a :class:`TangentGate` on the branch's output
    erase : ``"rank1"``: along the direction of the output, towards a learnt value (:class:`DeltaResidual`);
        ``"rank1-value"``: along that direction, and the output itself is written (:class:`DirectionErase`);
        ``"elementwise"``: MGT's formula as written (:class:`LeakyErase`); None: x + output
    beta_init, alpha, mode : of the erasure; ``"rank1"`` has no α, and β between 0 and 2 only
    value : of :class:`DeltaResidual`

    Raises
    ------
    ValueError
        For an unknown erasure, a β outside its range, a signed β with ``"rank1"``.

    Source: arXiv 2601.01014; the erasures from there and from arXiv 2601.00417.
    """

    def __init__(
        self,
        dim: int,
        gate: bool = True,
        erase: Erase | None = "rank1",
        beta_init: float = 0.2,
        alpha: float = 1.0,
        mode: BetaMode = "ddl",
        value: Value = "linear",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm = nn.LayerNorm(dim, **place)
        self.gate = TangentGate(dim, **place) if gate else None
        self.erase: nn.Module | None = None
        if erase == "rank1":
            if mode != "ddl":
                raise ValueError(f"mode: got {mode!r}; erase='rank1' knows 'ddl' only")
            self.erase = DeltaResidual(dim, beta_init=beta_init, value=value, **place)
        elif erase is not None:
            kinds = {"rank1-value": DirectionErase, "elementwise": LeakyErase}
            if erase not in kinds:
                raise ValueError(f"erase: got {erase!r}; must be 'rank1', 'rank1-value', 'elementwise' or None")
            self.erase = kinds[erase](dim, alpha, beta_init, mode, **place)

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        context = self.norm(x)
        v = branch(context)
        if self.gate is not None:
            v = self.gate(v, x)
        return x + v if self.erase is None else self.erase(x, v, context)
