"""Terms of a loss weighted so that each moves the weights as much as the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class TermBalance:
    r"""Weights of a loss's terms by the norms of their gradients.

    :math:`\hat\lambda_i = \max_j \lVert g_j \rVert / \lVert g_i \rVert`, and
    :math:`\lambda_i \leftarrow \alpha \lambda_i + (1 - \alpha) \hat\lambda_i`: all terms then have gradients as long as
    the largest, which keeps its weight of 1, and so the learning rate its meaning. Norms are taken over the parameters
    that all terms share.

    Parameters
    ----------
    decay : :math:`\alpha` in [0, 1), how slowly the weights follow

    Raises
    ------
    ValueError
        If ``decay`` is not in [0, 1), or the number of terms changes.

    References
    ----------
    Wang, Teng, Perdikaris 2021, SIAM J. Sci. Comput. 43, A3055, Algorithm 1 (with norms in the place of the largest and
    the mean entry, and the largest term in the place of the residual).

    Examples
    --------
    >>> import torch
    >>> from surefoot.losses import TermBalance
    >>> weight = torch.ones(2, requires_grad=True)
    >>> loss = TermBalance()([1000 * weight.sum(), weight.prod()], [weight])
    >>> [round(g, 6) for g in torch.autograd.grad(loss, weight)[0].tolist()]
    [2000.0, 2000.0]
    """

    def __init__(self, decay: float = 0.9) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be in [0, 1)")
        self.decay = decay
        self.weights: Tensor | None = None

    @torch.no_grad()
    def update(self, norms: Float[Tensor, " terms"]) -> Float[Tensor, " terms"]:
        """The weights, after the gradients' norms of one more step."""
        if self.weights is not None and self.weights.shape != norms.shape:
            raise ValueError(f"norms: got {len(norms)} terms; there were {len(self.weights)} before")
        largest = norms.max()
        floor = (largest * torch.finfo(norms.dtype).eps).clamp_min(torch.finfo(norms.dtype).tiny)
        new = largest / norms.clamp_min(floor)
        new = torch.where(torch.isfinite(new), new, torch.ones_like(new))
        self.weights = new if self.weights is None else self.decay * self.weights + (1 - self.decay) * new
        return self.weights

    def __call__(self, terms: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
        """The weighted sum of the terms, which takes a backward for each of them more.

        Parameters
        ----------
        terms : scalars with a graph
        parameters : by which their gradients are measured
        """
        gradients = [torch.autograd.grad(t, list(parameters), retain_graph=True, allow_unused=True) for t in terms]
        weights = self.update(shared_norms(gradients, terms[0]))
        return torch.stack([w * t for w, t in zip(weights, terms, strict=True)]).sum()


def shared_norms(gradients: Sequence[Sequence[Tensor | None]], like: Tensor) -> Float[Tensor, " terms"]:
    """Each term's gradient norm over the parameters that all terms reach (all parameters, where there are none).

    A head that only one term reaches has no part in the dispute, and its gradient may be much the larger one.

    Parameters
    ----------
    gradients : for each term one a parameter, None where the term does not reach it
    like : a tensor on the device where the norms are wanted
    """
    shared = [all(g is not None for g in column) for column in zip(*gradients, strict=True)]
    if not any(shared):
        shared = [True] * len(shared)
    norms = []
    for term in gradients:
        found = [g for g, both in zip(term, shared, strict=True) if both and g is not None]
        parts = [torch.linalg.vector_norm(g.float()).to(like.device) for g in found]
        norms.append(torch.linalg.vector_norm(torch.stack(parts)) if parts else like.new_zeros((), dtype=torch.float32))
    return torch.stack(norms)
