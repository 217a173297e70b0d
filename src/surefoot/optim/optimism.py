"""Gradients that look ahead: by how they have changed since the step before."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class OptimisticGradient:
    r"""Makes each gradient :math:`g_t + s\,(g_t - g_{t-1})`, in place, just before a step.

    In a game the gradient turns as the players move, and a step along it leads round the equilibrium. What it will be
    :math:`s` steps on, as it has changed so far, leads inwards. Where the players go round by ω radians a step, the
    distance falls by the factor :math:`1 - s\omega^2 / (1 + s^2 \omega^2)` a step; s of half a radian, 1/(2ω) (a
    period over 4π), is near the best, and keeps clear of s = 1/ω, where the difference itself begins to swing. Noise in
    the gradient is multiplied by about 1 + 2s.

    Parameters
    ----------
    parameters : whose gradients are changed
    strength : s, above 0; 1 is the optimistic gradient of the paper

    Raises
    ------
    ValueError
        If ``strength`` is not above 0.

    References
    ----------
    Daskalakis, Ilyas, Syrgkanis, Zeng 2018, Training GANs with Optimism, arXiv 1711.00141 (s = 1); the general s is
    derived here.

    Examples
    --------
    >>> import torch
    >>> from surefoot.optim import OptimisticGradient
    >>> x, y = (torch.ones(1, requires_grad=True) for _ in range(2))
    >>> ahead = OptimisticGradient([x, y], strength=5.0)
    >>> for _ in range(300):
    ...     x.grad, y.grad = y.detach().clone(), -x.detach().clone()  # min over x, max over y of x·y
    ...     ahead.step()
    ...     with torch.no_grad():
    ...         x -= 0.1 * x.grad
    ...         y -= 0.1 * y.grad
    >>> float(x.abs() + y.abs()) < 1e-3
    True
    """

    def __init__(self, parameters: Iterable[Tensor], strength: float = 1.0) -> None:
        if not strength > 0:
            raise ValueError(f"strength is {strength}; it must be above 0")
        self.strength = strength
        self._parameters = list(parameters)
        self._before: dict[int, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Change the gradients; the first ones stay as they are, and sparse ones are left alone."""
        for p in self._parameters:
            if p.grad is None or p.grad.is_sparse:
                continue
            now = p.grad.clone()
            before = self._before.get(id(p))
            if before is not None:
                p.grad.add_(now - before, alpha=self.strength)
            self._before[id(p)] = now
