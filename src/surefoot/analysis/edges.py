"""How near an argument is to ±1, the edge of the domain of arccos, arcsin and artanh, where their slope is infinite.

Near the edge a number can't come arbitrarily close: of x in [½, 1) the distance 1 − x is a multiple of half the machine
epsilon, so that what comes within a few of these roundings comes to lie on the edge, too, sooner or later.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def roundings_to_one(x: Float[Tensor, ...]) -> Float[Tensor, ""]:
    """The smallest distance of an element inside (−1, 1) to the nearer end, in roundings.

    Parameters
    ----------
    x : floating-point arguments

    Returns
    -------
    Tensor
        Scalar: ``min (1 − |x|) / (eps/2)`` over the elements with ``|x| < 1``, which is 1 for the number next to 1;
        infinite if there is none.

    Raises
    ------
    TypeError
        If ``x`` is not of a real floating-point type.
    """
    if not x.is_floating_point():
        raise TypeError(f"x: got {x.dtype}, and only real floating-point numbers are rounded; pass x.float()")
    left = (1 - x.abs()) * (2 / torch.finfo(x.dtype).eps)
    inside = torch.where(left > 0, left, torch.inf).float().flatten()
    return torch.cat([inside, inside.new_tensor([torch.inf])]).min()
