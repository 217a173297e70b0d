"""Inputs within Tukey's outer fences."""

from __future__ import annotations

import torch
from torch import Tensor

from surefoot.nn._training_rows import OfTrainingRows

_FAR_OUT = 3.0  # interquartile ranges beyond a quartile: "far out" (Tukey, Exploratory Data Analysis, 1977)
_ROWS = 4096  # of which the quartiles are taken


class Fences(OfTrainingRows):
    r"""Brings each feature of its inputs to within :math:`[Q_1 - 3\,(Q_3 - Q_1),\; Q_3 + 3\,(Q_3 - Q_1)]`.

    The quartiles :math:`Q_1, Q_3` are those of the first 4096 rows seen in training, so that a few rows, however far
    off, do not move the bounds; of a normal distribution one value in 400,000 is beyond them. A feature of which half
    of the rows have one value has no range to be judged by, and stays as it is. It has no parameters; in evaluation
    mode, and where gradients are off, it learns nothing.

    Parameters
    ----------
    num_features : size of dimension ``dim`` of the inputs
    dim : which dimension holds the features: -1 in front of a Linear or recurrent layer, 1 in front of a convolution
    device, dtype : of the bounds

    Shape
    -----
    Inputs and outputs are ``(*, num_features, *)``.

    Raises
    ------
    ValueError
        For a count of features below 1, or inputs with another one.

    Examples
    --------
    >>> import torch
    >>> from surefoot.nn import Fences
    >>> readings = torch.linspace(0, 1, 101)[:, None]
    >>> readings[50] = 999.0
    >>> float(Fences(1)(readings).max().round(decimals=1))
    2.3
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        num_features: int,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, dim)
        self.register_buffer("low", torch.full((num_features,), -torch.inf, device=device, dtype=dtype))
        self.register_buffer("high", torch.full((num_features,), torch.inf, device=device, dtype=dtype))
        self._rows: list[Tensor] = []

    def _of(self, rows: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(rows, self.low.to(rows.dtype)), self.high.to(rows.dtype))

    def _take(self, rows: Tensor) -> None:
        left = _ROWS - sum(map(len, self._rows))
        if left <= 0:
            return
        rows = rows.to(self.low.dtype)
        self._rows.append(rows[:left].clone())
        quarters = torch.tensor([0.25, 0.75], device=rows.device, dtype=rows.dtype)
        first, third = torch.nanquantile(torch.cat(self._rows), quarters, dim=0)
        spread = third - first
        judged = spread > 0
        self.low.copy_(torch.where(judged, first - _FAR_OUT * spread, -torch.inf))
        self.high.copy_(torch.where(judged, third + _FAR_OUT * spread, torch.inf))
