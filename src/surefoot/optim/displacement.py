"""The update that an optimizer made, measured and scaled after the fact, with one copy of the parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surefoot.autodiff.jvp import global_norm


class Displacement:
    """What a step added to parameters, given their values ``before``.

    Parameters
    ----------
    parameters : after the step; read and written in place, by blocks of one tensor
    before : their values before the step

    Attributes
    ----------
    length : norm of the displacement over all parameters
    """

    def __init__(self, parameters: list[Tensor], before: list[Tensor]) -> None:
        self._parameters, self._before = parameters, before
        self._aside: list[tuple[Tensor, Tensor]] | None = None
        pairs = list(zip(parameters, before, strict=True))
        self.length = global_norm([_norm(p.detach() - old) for p, old in pairs])
        if not 1e-15 < self.length < 1e18:  # float32 squares may have left their range
            self.length = math.sqrt(sum(global_norm([p.detach() - old]) ** 2 for p, old in pairs))

    def hold(self) -> None:
        """Have the parameters hold their displacement for a while: as tangents of a probe it costs no second copy.

        ``before + (after − before)`` rounds to something else than ``after`` in some entries; those are kept aside, so
        that a step that is left alone comes back bit for bit.
        """
        self._aside = []
        for parameter, old in zip(self._parameters, self._before, strict=True):
            after = parameter.detach()
            displacement = after - old
            index = torch.add(old, displacement).ne_(after).view(-1).nonzero().squeeze(1)
            self._aside.append((index, after.reshape(-1)[index]))
            after.copy_(displacement)

    def leave(self, scale: float) -> None:
        """Leave the parameters at before + scale · displacement; 0 undoes the step, 1 leaves it as it was."""
        if scale == 0:
            torch._foreach_copy_(self._parameters, self._before)
        elif self._aside is None:
            if scale != 1:
                for parameter, old in zip(self._parameters, self._before, strict=True):
                    parameter.copy_(old + scale * (parameter - old))
        else:
            if scale != 1:
                torch._foreach_mul_(self._parameters, scale)
            torch._foreach_add_(self._parameters, self._before)
            if scale == 1:
                for parameter, (index, after) in zip(self._parameters, self._aside, strict=True):
                    if index.numel():
                        parameter.view(-1)[index] = after
        self._aside = None


def _norm(tensor: Tensor) -> Tensor:
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return torch.linalg.vector_norm(tensor, dtype=torch.float32 if half else None)
