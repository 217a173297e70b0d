"""Continuous flows that gradient descent with finite steps follows, the better the higher their order.

Rosca, Wu, Qin, Dherin, "On a continuous time model of gradient descent dynamics and instability in deep learning", TMLR
2023, arXiv 2302.01952; Barrett, Dherin, "Implicit gradient regularization", ICLR 2021. With g = ∇E, H its Hessian with
eigenpairs (λ, u), and steps of length h:

    ngf    −g                                                   follows a step to O(h²)
    igr    −g − (h/2) H g                                       O(h³)
    third  igr − h² [ (1/3) H² g + (1/12) ∇(ḡᵀ H ḡ) ], ḡ held   O(h⁴)
    pf     Σ α(hλ) (g·u) u, α(z) = log(1 − z)/z                 exact on quadratics, oscillation and divergence included
"""

from __future__ import annotations

import cmath
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from surefoot.analysis.steps.edge import alpha_pf

Order = Literal["ngf", "igr", "third", "pf"]
Function = Callable[[Float[Tensor, " n"]], Float[Tensor, ""]]
Field = Callable[[Tensor], Tensor]


def principal_flow(gradient: Float[Tensor, " n"], hessian: Float[Tensor, "n n"], h: float) -> Complex[Tensor, " n"]:
    """The principal flow's velocity, Σ α(hλ) (g·u) u.

    Parameters
    ----------
    gradient, hessian : at the point; the Hessian dense and symmetric
    h : learning rate

    Raises
    ------
    ValueError
        For a rate that is not positive.
    """
    _check_rate(h)
    values, vectors = torch.linalg.eigh(hessian.double())
    rates = torch.tensor([alpha_pf(h * v) for v in values.tolist()], dtype=torch.complex128)
    along = vectors.T @ gradient.double()
    return vectors.to(torch.complex128) @ (rates * along)


def flow_field(function: Function, h: float, order: Order) -> Field:
    """The velocity field of a flow, for a function whose Hessian may be formed.

    Raises
    ------
    ValueError
        For a rate that is not positive, or an unknown order.
    """
    _check_rate(h)
    if order not in ("ngf", "igr", "third", "pf"):
        raise ValueError(f"order: got {order!r}; must be 'ngf', 'igr', 'third' or 'pf'")
    gradient, hessian = torch.func.grad(function), torch.func.hessian(function)

    def real(x: Tensor) -> Tensor:
        g = gradient(x)
        if order == "ngf":
            return -g
        hg = torch.func.jvp(gradient, (x,), (g,))[1]
        if order == "igr":
            return -g - h / 2 * hg
        hhg = torch.func.jvp(gradient, (x,), (hg,))[1]
        held = g.detach()
        turning = torch.func.grad(lambda y: held @ torch.func.jvp(gradient, (y,), (held,))[1])(x)
        return -g - h / 2 * hg - h**2 * (hhg / 3 + turning / 12)

    if order != "pf":
        return real

    def principal(x: Tensor) -> Tensor:
        if x.is_complex():
            # analytic continuation of E is not to be had by autograd: the field is taken at the real part
            x = x.real
        return principal_flow(gradient(x), hessian(x), h)

    return principal


def integrate_flow(field: Field, start: Float[Tensor, " n"], time: float, steps: int = 100) -> Float[Tensor, " n"]:
    """Where a flow is after some time, by ``steps`` Runge-Kutta steps of fourth order; its real part.

    Raises
    ------
    ValueError
        For a negative time or no step.
    """
    if time < 0 or steps < 1:
        raise ValueError(f"time, steps: got {time}, {steps}; must be at least 0 and 1")
    x, dt = start.clone(), time / steps
    for _ in range(steps):
        k1 = field(x)
        k2 = field(x + dt / 2 * k1)
        k3 = field(x + dt / 2 * k2)
        k4 = field(x + dt * k3)
        x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x.real if x.is_complex() else x


def quadratic_flow(
    hessian: Float[Tensor, "n n"], start: Float[Tensor, " n"], h: float, time: float, order: Order = "pf"
) -> Float[Tensor, " n"]:
    """Where a flow is on the quadratic ½ xᵀ H x after some time, in closed form: e^{time · λ · rate(hλ)} a direction.

    At time n · h the principal flow is where n steps of gradient descent are, (1 − hλ)^n a direction.

    Raises
    ------
    ValueError
        For a rate that is not positive or an unknown order.
    """
    _check_rate(h)
    rates: dict[str, Callable[[float], complex]] = {
        "ngf": lambda z: complex(-1),
        "igr": lambda z: complex(-1 - z / 2),
        "third": lambda z: complex(-1 - z / 2 - z**2 / 3),
        "pf": alpha_pf,
    }
    if order not in rates:
        raise ValueError(f"order: got {order!r}; must be one of {', '.join(rates)}")
    values, vectors = torch.linalg.eigh(hessian.double())
    grown = torch.tensor([cmath.exp(time * v * rates[order](h * v)).real for v in values.tolist()], dtype=torch.float64)
    return vectors @ (grown * (vectors.T @ start.double()))


def _check_rate(h: float) -> None:
    if not h > 0:
        raise ValueError(f"h: got {h}; a learning rate must be positive")
