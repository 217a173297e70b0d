"""Inputs at mean 0 and variance 1, by all the rows that were seen in training."""

from __future__ import annotations

import torch
from torch import Tensor

from surefoot.nn._training_rows import OfTrainingRows


class RunningStandardize(OfTrainingRows):
    r"""Takes off each feature's mean and divides by its standard deviation, over all rows seen in training so far.

    A batch normalisation in front of a network standardises by the batch, so that a sample's input depends on its
    neighbours, and adds :math:`\epsilon = 10^{-5}` to variances that may be far smaller. Here the moments are those of
    all rows so far (Chan, Golub, LeVeque 1979), and features of any unit are brought to size one; a feature that does
    not vary is only shifted. It has no parameters; in evaluation mode, and where gradients are off, it learns nothing.

    Parameters
    ----------
    num_features : size of dimension ``dim`` of the inputs
    dim : which dimension holds the features: -1 in front of a Linear or recurrent layer, 1 in front of a convolution
    device, dtype : of the moments

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
    >>> from surefoot.nn import RunningStandardize
    >>> out = RunningStandardize(3)(torch.rand(256, 3) * torch.tensor([1e-4, 1.0, 1e4]) + 1e-3)
    >>> bool((out.mean(0).abs() < 1e-2).all()), bool(((out.std(0) - 1).abs() < 1e-2).all())
    (True, True)
    """

    mean: Tensor
    square: Tensor
    count: Tensor

    def __init__(
        self,
        num_features: int,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, dim)
        self.register_buffer("mean", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("square", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("count", torch.zeros((), device=device, dtype=dtype))

    @property
    def deviation(self) -> Tensor:
        """Of each feature over the rows so far."""
        return (self.square / self.count.clamp_min(1)).sqrt()

    def _of(self, rows: Tensor) -> Tensor:
        scale = self.deviation
        # what does not vary beyond rounding has no scale
        flat = scale <= 8 * torch.finfo(scale.dtype).eps * self.mean.abs()
        return (rows - self.mean.to(rows.dtype)) / scale.masked_fill(flat, 1.0).to(rows.dtype)

    def _take(self, rows: Tensor) -> None:
        """Join the moments of more rows."""
        rows = rows.to(self.mean.dtype)
        new, mean = float(len(rows)), rows.mean(0)
        total = self.count + new
        apart = mean - self.mean
        self.square += (rows - mean).square().sum(0) + apart.square() * (self.count * new / total)
        self.mean += apart * (new / total)
        self.count.copy_(total)
