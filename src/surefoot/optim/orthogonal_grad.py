"""⊥Grad: take out of each gradient its part along the weights, which only rescales the logits.

Once the data are fit, the gradient of a homogeneous network turns along its weights: the loss falls because the logits
grow, and nothing else is learned (naive loss minimisation). The projected gradient g − (⟨θ, g⟩/⟨θ, θ⟩) θ leaves |θ| as
it is to first order.
Source: Prieto, Barsbey, Mediano, Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025, arXiv 2501.04697
(⊥Grad). The text defines the projection alone; the authors' code projects each tensor apart and then restores
the gradient's norm, which is ``restore_norm=True`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from surefoot.optim.wrapper import Wrapper

Scope = Literal["tensor", "global"]
PIECE = 1 << 16  # elements; two such pieces of float32 stay in a core's second-level cache


def radial_products(
    params: Sequence[Tensor], grads: Sequence[Tensor]
) -> tuple[Float[Tensor, " tensors"], Float[Tensor, " tensors"], Float[Tensor, " tensors"]]:
    """⟨θ, g⟩, ⟨θ, θ⟩ and ⟨g, g⟩ of each tensor, on the first one's device, in float32 or better.

    Parameters
    ----------
    params, grads
        Weights and their gradients, pairwise of one shape; at least one pair.
    """
    device = params[0].device
    dots = [_products(w, g) for w, g in zip(params, grads, strict=True)]
    wide = torch.promote_types(torch.float32, max((dot.dtype for dot in dots), key=lambda t: t.itemsize))
    table = torch.stack([dot.to(device, wide) for dot in dots])
    return table[:, 0], table[:, 1], table[:, 2]


@torch.no_grad()
def orthogonalize_gradients(
    params: Iterable[Tensor], restore_norm: bool = False, scope: Scope = "tensor", min_ratio: float = 1e-6
) -> Float[Tensor, ""]:
    """Project the gradients, in place, to what is orthogonal to the weights: g ← g − (⟨θ, g⟩/⟨θ, θ⟩) θ.

    Parameters
    ----------
    params
        Parameters; those without a gradient are left out. A tensor of zeros keeps its gradient.
    restore_norm
        Scale what is left to the gradient's norm before the projection, as the authors' code does.
    scope
        ``"tensor"`` projects each tensor by itself, ``"global"`` the concatenated vector of all.
    min_ratio
        With ``restore_norm``: a gradient of which a smaller share of the norm than this is left was radial up to
        rounding, and becomes zero; scaled up, it would be a step in a random direction.

    Returns
    -------
    Tensor
        0-d: the share of the gradients' squared norm that was removed, in [0, 1].

    Raises
    ------
    ValueError
        If ``scope`` is unknown, ``min_ratio`` negative, or a gradient sparse.

    Source: arXiv 2501.04697, the definition of ⊥Grad.
    """
    _check(scope, min_ratio)
    held = [p for p in params if p.grad is not None]
    grads = [p.grad for p in held if p.grad is not None]
    if not held:
        return torch.zeros(())
    for p, g in zip(held, grads, strict=True):
        if g.is_sparse:
            raise ValueError(
                f"params: the gradient of a parameter of shape {tuple(p.shape)} is sparse; exclude it "
                "(OrthogonalGrad(…, exclude=…)), or use sparse=False"
            )
    products, weights, norms = radial_products(held, grads)
    total = norms.sum()
    if scope == "global":
        products, weights = products.sum().expand_as(products), weights.sum().expand_as(weights)
    coefficients = torch.where(weights > 0, products / weights, 0)
    for p, g, coefficient in zip(held, grads, coefficients.unbind(), strict=True):
        # The coefficient stays where it is: no wait for the device.
        w = p.detach()
        g.addcmul_(w, coefficient.to(g.device, _real(g.dtype)), value=-1)
    if scope == "global":
        removed = coefficients[0] * products[0]
    else:
        removed = (coefficients * products).sum()
    if restore_norm:
        _restore(grads, norms, scope, min_ratio)
    return torch.where(total > 0, removed / total, 0).clamp(0, 1)


class OrthogonalGrad(Wrapper):
    """Wraps an optimizer: each step projects the gradients with :func:`orthogonalize_gradients`, then steps as ever.

    The wrapped optimizer is used as it is, with its hyper-parameters, groups and state; learning-rate schedulers and
    gradient scalers take the wrapper in its place, and ``state_dict`` is that of the wrapped optimizer.

    Weight decay in the wrapped optimizer brings a radial part back: it acts after the projection.

    Parameters
    ----------
    optimizer
        Any instance of :class:`torch.optim.Optimizer`.
    restore_norm, scope, min_ratio
        See :func:`orthogonalize_gradients`.
    exclude
        Says of a parameter whether its gradient stays as it is; by default those of one element, which have no
        direction but the radial one. For norms and biases too: ``lambda p: p.dim() < 2``.

    Attributes
    ----------
    removed : Tensor or None
        The share of the gradients' squared norm that the newest step removed, 0-d; None before the first step.

    Raises
    ------
    TypeError
        If ``optimizer`` is not an optimizer, or ``exclude`` can't be called.
    ValueError
        If ``scope`` is unknown or ``min_ratio`` negative; in a step, if a gradient is sparse.

    Source: arXiv 2501.04697 (⊥AdamW, ⊥SGD).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        restore_norm: bool = False,
        scope: Scope = "tensor",
        min_ratio: float = 1e-6,
        exclude: Callable[[Tensor], bool] | None = None,
    ) -> None:
        super().__init__(optimizer)
        if exclude is not None and not callable(exclude):
            raise TypeError(f"exclude: got {type(exclude).__name__}; pass a function of a parameter")
        _check(scope, min_ratio)
        self.restore_norm = restore_norm
        self.scope: Scope = scope
        self.min_ratio = min_ratio
        self.exclude = exclude
        self.removed: Tensor | None = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Project the gradients and step.

        Parameters
        ----------
        closure
            Evaluates the model again and returns the loss. The gradients that it leaves are projected each time the
            wrapped optimizer calls it.
        """
        if closure is None:
            self._project()
            return self.optimizer.step()

        def projected() -> Any:
            with torch.enable_grad():
                loss = closure()
            self._project()
            return loss

        return self.optimizer.step(projected)

    def _project(self) -> None:
        exclude = self.exclude or _single
        params = [p for group in self.param_groups for p in group["params"] if not exclude(p)]
        self.removed = orthogonalize_gradients(params, self.restore_norm, self.scope, self.min_ratio)

    def __repr__(self) -> str:
        options = f"restore_norm={self.restore_norm}, scope={self.scope!r}, min_ratio={self.min_ratio}"
        return f"OrthogonalGrad({self.optimizer!r}, {options})"


def _single(p: Tensor) -> bool:
    return p.numel() == 1


def _restore(grads: Sequence[Tensor], norms: Tensor, scope: Scope, min_ratio: float) -> None:
    """Scale each gradient (or all as one) to the norm it had, or to zero where nothing but rounding is left."""
    left = torch.stack([torch.linalg.vector_norm(_flat(g)).square().to(norms) for g in grads])
    if scope == "global":
        norms, left = norms.sum().expand_as(norms), left.sum().expand_as(left)
    ratio = (left / norms).sqrt()
    factors = torch.where(ratio > min_ratio, 1 / ratio, torch.where(norms > 0, 0.0, 1.0))
    for g, factor in zip(grads, factors.unbind(), strict=True):
        g.mul_(factor.to(g.device, _real(g.dtype)))


def _products(w: Tensor, g: Tensor) -> Tensor:
    """⟨w, g⟩, ⟨w, w⟩ and ⟨g, g⟩ of one pair."""
    w, g = _flat(w), _flat(g)
    # On a processor, piece by piece: the three products read memory once.
    size = PIECE if w.device.type == "cpu" else max(1, w.numel())
    pieces = [torch.stack([torch.dot(a, b), torch.dot(a, a), torch.dot(b, b)]) for a, b in _pieces(w, g, size)]
    return pieces[0] if len(pieces) == 1 else torch.stack(pieces).sum(dim=0)


def _pieces(w: Tensor, g: Tensor, size: int) -> Iterable[tuple[Tensor, Tensor]]:
    return zip(w.split(size), g.split(size), strict=True)


def _flat(tensor: Tensor) -> Tensor:
    """One dimension; complex numbers as pairs of real ones, half types in float32."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.flatten()


def _real(dtype: torch.dtype) -> torch.dtype:
    return dtype.to_real()


def _check(scope: str, min_ratio: float) -> None:
    if scope not in ("tensor", "global"):
        raise ValueError(f"scope: got {scope!r}; use 'tensor' or 'global'")
    if not min_ratio >= 0:
        raise ValueError(f"min_ratio: got {min_ratio}; use a number ≥ 0, such as 1e-6")
