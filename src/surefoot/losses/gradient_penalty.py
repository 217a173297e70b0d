"""A penalty on the slope of a critic, which lets two players come to rest."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gradient_penalty(
    outputs: Float[Tensor, "*outputs"], inputs: Float[Tensor, "*inputs"], gamma: float = 10.0
) -> Float[Tensor, ""]:
    r""":math:`\frac{\gamma}{2}\, \mathrm{E}\, \lVert \partial D(x) / \partial x \rVert^2` at these inputs.

    Where the generator makes the data, the critic's slope is what keeps both players moving: the penalty takes it away,
    and makes the equilibrium of the game locally attractive, which it is not without. At data alone it is R1, at both
    data and samples the sum of R1 and R2.

    Parameters
    ----------
    outputs : what the critic gives for ``inputs``, with its graph
    inputs : tensors that require a gradient
    gamma : 10 in the paper

    Raises
    ------
    ValueError
        If ``inputs`` take no gradient.

    References
    ----------
    Mescheder, Geiger, Nowozin 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406, eq. 9.

    Examples
    --------
    >>> import torch
    >>> from surefoot.losses import gradient_penalty
    >>> x = torch.randn(8, 2, requires_grad=True)
    >>> round(float(gradient_penalty(x @ torch.tensor([3.0, 4.0]), x, gamma=2.0)), 4)
    25.0
    """
    if not inputs.requires_grad:
        raise ValueError("inputs take no gradient; call inputs.requires_grad_() before the critic sees them")
    (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return gamma / 2 * slope.square().flatten(1).sum(1).mean()
