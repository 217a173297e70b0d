"""Naive loss minimisation: a gradient that only turns the logits up.

Source: Prieto, Barsbey, Mediano, Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025, arXiv 2501.04697:
for a network that is positively homogeneous in its weights, a step along the weights scales the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot import plots
from surefoot.optim.orthogonal_grad import radial_products

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class NaiveLossAlignment:
    """Cosine between the direction of descent −g and the weights θ.

    Attributes
    ----------
    total : of all parameters as one vector, in [−1, 1]; 0.7 to 0.8 is usual once a network overfits without decay
    per_tensor : of each tensor, by name; NaN where weights or gradient are 0
    """

    total: float
    per_tensor: Mapping[str, float]

    def plot(self) -> go.Figure:
        """One bar a tensor."""
        trace = {"type": "bar", "x": list(self.per_tensor.values()), "y": list(self.per_tensor), "orientation": "h"}
        return plots.figure([trace], title="Naive loss minimisation", x="cosine of −gradient and weights")


@torch.no_grad()
def nlm_alignment(
    params: Mapping[str, Tensor] | Sequence[Tensor], grads: Mapping[str, Tensor] | Sequence[Tensor] | None = None
) -> NaiveLossAlignment:
    """How far the gradient only rescales the weights: ⟨−g, θ⟩ / (|g| |θ|).

    Parameters
    ----------
    params
        Weights, by name (``dict(model.named_parameters())``) or in order.
    grads
        Their gradients, in the same form; by default the parameters' ``.grad``, leaving out those without.

    Returns
    -------
    NaiveLossAlignment
        The cosine of the whole and of each tensor.

    Raises
    ------
    ValueError
        If there is no gradient, names or numbers of both differ, or a gradient's shape is not its weight's.

    Source: arXiv 2501.04697.
    """
    named = dict(params) if isinstance(params, Mapping) else {str(i): p for i, p in enumerate(params)}
    if grads is None:
        found = {name: p.grad for name, p in named.items() if p.grad is not None}
        named = {name: named[name] for name in found}
    else:
        found = dict(grads) if isinstance(grads, Mapping) else {str(i): g for i, g in enumerate(grads)}
    if not found:
        raise ValueError("grads: there is no gradient; call backward() first, or pass them")
    if found.keys() != named.keys():
        raise ValueError(f"grads: got those of {sorted(found)}; the parameters are {sorted(named)}")
    for name, p in named.items():
        if found[name].shape != p.shape:
            raise ValueError(f"grads: {name!r} has shape {tuple(found[name].shape)}; its weight {tuple(p.shape)}")
    products, weights, norms = radial_products(list(named.values()), [found[name] for name in named])
    each = -products / (weights * norms).sqrt()
    total = -products.sum() / (weights.sum() * norms.sum()).sqrt()
    return NaiveLossAlignment(float(total), dict(zip(named, each.tolist(), strict=True)))


@torch.no_grad()
def logit_growth(logits: Float[Tensor, "batch classes"], targets: Tensor) -> float:
    """mean_i Σ_k (p_ik − y_ik) z_ik: what ⟨θ_l, ∂L/∂θ_l⟩ is for every layer l of a homogeneous network.

    By Euler's identity, for softmax cross-entropy and layers without biases, with a positively homogeneous activation
    such as ReLU. Negative: the loss falls when the logits grow.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if logits.dim() != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(
            f"logits, targets: got shapes {tuple(logits.shape)} and {tuple(targets.shape)}; "
            "pass (batch, classes) and (batch,)"
        )
    z = logits.detach()
    right = z.gather(1, targets[:, None])[:, 0]
    return float(((z.softmax(dim=1) * z).sum(dim=1) - right).mean())
