"""Inputs that come in another unit after a while, brought to that of the first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.standardize import RunningStandardize

_FAR = 10.0  # deviations, in the root mean square over a sample: what `unscaled-inputs` takes for another unit
_KNOWN = 64  # rows by which a deviation is known to a tenth, 1/√(2n)


class SameUnit(nn.Module):
    r"""Brings samples ten deviations and more from the first ones to the mean and deviation of those.

    A second file in other units, bytes for shares, kelvins for degrees, an amplifier that was switched: samples like
    those come as :math:`a x + b` of what a network has learned from, with an :math:`a` and :math:`b` for each feature.
    The moments of both kinds, over all rows seen in training so far, tell them: a sample is of the second kind if the
    root mean square of its deviations from the first is ten or more, and becomes
    :math:`m_1 + s_1 (x - m_2) / s_2`. All others stay as they are, bit for bit. It has no parameters; in evaluation
    mode, and where gradients are off, it learns nothing.

    Parameters
    ----------
    num_features : size of dimension ``dim`` of the inputs
    dim : which dimension holds the features: -1 in front of a Linear or recurrent layer, 1 in front of a convolution
    device, dtype : of the moments

    Shape
    -----
    Inputs and outputs are ``(samples, *, num_features, *)``.

    Raises
    ------
    ValueError
        For a count of features below 1, or inputs with another one.

    Examples
    --------
    >>> import torch
    >>> from surefoot.nn import SameUnit
    >>> unit, degrees = SameUnit(1), torch.linspace(-1, 1, 100)[:, None]
    >>> bool((unit(degrees) == degrees).all())
    True
    >>> float((unit(degrees + 273.15) - degrees).abs().max()) < 1e-3
    True
    """

    def __init__(
        self,
        num_features: int,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.first = RunningStandardize(num_features, -1, device, dtype)
        self.second = RunningStandardize(num_features, -1, device, dtype)

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        rows = inputs.movedim(self.dim, -1)
        far = self._far(rows)
        learns = self.training and torch.is_grad_enabled()
        for moments, meant in ((self.first, ~far), (self.second, far)) if learns else ():
            if meant.any():
                moments(rows[meant])
        if not far.any():
            return inputs
        with torch.no_grad():
            scale, mean = self.first.deviation.to(rows.dtype), self.first.mean.to(rows.dtype)
        second = self.second.eval()(rows) * scale + mean
        self.second.train(self.training)
        return torch.where(far.view(-1, *[1] * (rows.dim() - 1)), second, rows).movedim(-1, self.dim)

    def _far(self, rows: Tensor) -> Tensor:
        """Which samples are of the second kind."""
        if float(self.first.count) < _KNOWN:
            return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        with torch.no_grad():
            size = self.first.eval()(rows).reshape(len(rows), -1).square().mean(1).sqrt()
        self.first.train(self.training)
        return size >= _FAR
