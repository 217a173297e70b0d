"""One probe of one step: where it stands against the radius of convergence, and which sample binds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.autodiff.jvp import Derivative, Mode, directional_derivative, functional, global_norm
from surefoot.optim.safe_radius import Link, Reduce, convergence_radius, slope_spread

Model = nn.Module | Callable[..., Tensor]


@dataclass(frozen=True)
class StepReport:
    """A step measured against its radius of convergence.

    Parameters
    ----------
    r : normalised step τ/ρ_a as the optimizer proposed it; below 1 the step is inside
    tau : norm τ of the proposed update over all parameters
    radius : ρ_a along that update; inf if it moves no logit difference
    sample : index of the sample that binds, among the flattened leading dimensions of the logits that count
    margin : that sample's largest logit minus its second (its absolute logit under ``link="sigmoid"``)
    slopes : that sample's slopes along the unit direction, one a class
    derivative : ``"jvp"`` or ``"finite-difference"``
    scale : factor that the update was multiplied by; 1 where it was left alone
    """

    r: float
    tau: float
    radius: float
    sample: int
    margin: float
    slopes: Float[Tensor, " classes"] = field(repr=False)
    derivative: str = "jvp"
    scale: float = 1.0


@dataclass(frozen=True)
class Call:
    """Inputs of a model: positional and keyword arguments."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def logit_jvp(
    model_fn: Model,
    params: Mapping[str, Tensor],
    tangents: Mapping[str, Tensor],
    inputs: Any,
    *,
    derivative: Derivative = "auto",
    finite_difference: float | None = None,
    mode: Mode = "eval",
    logits: Callable[[Any], Tensor] | None = None,
    class_dim: int = -1,
    random_state: Mapping[str, Any] | None = None,
    base: Tensor | None = None,
) -> tuple[Float[Tensor, "*batch classes"], Float[Tensor, "*batch classes"], str]:
    """Logits z and their slopes a = J_z·tangents, by one Jacobian-vector product for the whole batch (section 3).

    Parameters
    ----------
    model_fn : a module, or a function ``model_fn(params, *args, **kwargs)`` of a dictionary of parameters
    params, tangents : name to tensor, as of ``named_parameters``; what is missing among the tangents does not move
    inputs : a tensor, a tuple of positional arguments, a mapping of keyword arguments, or a :class:`Call` with both
    derivative, base : see :func:`surefoot.autodiff.jvp.directional_derivative`; ``base`` is the model's output
    finite_difference : length of the displacement; given, a finite difference is taken whatever ``derivative`` says
    mode, random_state : see :func:`surefoot.autodiff.jvp.functional`
    logits : picks the logits from the model's output; by default the tensor itself, ``.logits``, ``["logits"]``, or the
        first of a tuple
    class_dim : dimension of the classes in the logits (1 for images of logits, as ``F.cross_entropy`` has them)

    Returns
    -------
    Logits and slopes, classes moved last, and the means (``"jvp"`` or ``"finite-difference"``).

    Raises
    ------
    ValueError
        If logits or slopes are not finite: no step size can be judged there.
    """
    call_with = as_call(inputs)
    args, kwargs = call_with.args, call_with.kwargs
    pick = logits or find_logits
    if isinstance(model_fn, nn.Module):
        call = functional(model_fn, args, kwargs, mode=mode, random_state=random_state)
    elif callable(model_fn):

        def call(parameters: dict[str, Tensor]) -> Any:
            return model_fn(parameters, *args, **kwargs)
    else:
        raise TypeError(f"model_fn: got {type(model_fn).__name__}; use a module or a function of (params, *inputs)")
    if finite_difference is not None:
        if not finite_difference > 0:
            raise ValueError(f"finite_difference: got {finite_difference}; use a positive length, or None")
        derivative = "finite-difference"
    z, a, means = directional_derivative(
        lambda parameters: pick(call(parameters)),
        params,
        tangents,
        derivative=derivative,
        eps=finite_difference,
        base=None if base is None else pick(base),
    )
    z, a = z.movedim(class_dim, -1), a.movedim(class_dim, -1)
    for name, values in (("logits", z), ("slopes of the logits", a)):
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise ValueError(f"{name}: {bad} of {values.numel()} are NaN or inf; the safe radius is not defined there")
    return z, a, means


def step_report(
    model_fn: Model,
    params: Mapping[str, Tensor],
    update: Mapping[str, Tensor],
    inputs: Any,
    *,
    length: float | None = None,
    mask: Tensor | None = None,
    quantile: float | None = None,
    temperature: float = 1.0,
    link: Link = "softmax",
    **how: Any,
) -> StepReport:
    """Measure a step: its length against the radius along its own direction.

    Parameters
    ----------
    model_fn, params, inputs, how : as for :func:`logit_jvp`; ``params`` are those from before the step
    update : name to what the step adds, weight decay and momentum included
    length : norm of the whole update where part of it lies outside ``update``; by default the norm of ``update``
    mask : True where a sample counts, of the shape of the logits without their classes
    quantile : take this quantile of the samples' radii instead of the smallest; no bound then
    temperature, link : as for :func:`surefoot.optim.safe_radius.convergence_radius`

    Raises
    ------
    ValueError
        If the update is zero or not finite, or logits are not finite.
    """
    tau = global_norm(list(update.values())) if length is None else length
    if not (math.isfinite(tau) and tau > 0):
        raise ValueError(f"update: its norm is {tau}; it must be finite and not zero")
    z, moved, means = logit_jvp(model_fn, params, update, inputs, **how)
    spread = slope_spread(moved, mask, link=link)  # of the whole update: r needs no division by its length
    reduce: Reduce = "min" if quantile is None else quantile
    radius = tau * float(convergence_radius(moved, temperature=temperature, reduce=reduce, mask=mask, link=link))
    sample = int(spread.argmax())
    rows = moved.reshape(-1, moved.shape[-1]), z.reshape(-1, z.shape[-1])
    slopes, row = (values if mask is None else values[mask.reshape(-1)] for values in rows)
    if link == "sigmoid":
        margin = float(row[sample].abs().amin())
    else:
        top = row[sample].topk(2).values
        margin = float(top[0] - top[1])
    return StepReport(tau / radius, tau, radius, sample, margin, slopes[sample] / tau, means)


def as_call(inputs: Any) -> Call:
    """Inputs as positional and keyword arguments."""
    if isinstance(inputs, Call):
        return inputs
    if isinstance(inputs, Mapping):
        return Call((), dict(inputs))
    return Call(tuple(inputs) if isinstance(inputs, tuple) else (inputs,))


def find_logits(output: Any) -> Tensor:
    """The logits in a model's output: itself, its ``logits``, or the first of a tuple.

    Raises
    ------
    TypeError
        If no tensor is found there.
    """
    found = output
    if isinstance(output, Mapping) and "logits" in output:
        found = output["logits"]
    elif not isinstance(output, Tensor) and isinstance(getattr(output, "logits", None), Tensor):
        found = output.logits
    elif isinstance(output, (tuple, list)) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        raise TypeError(f"logits: none found in a {type(output).__name__}; pass logits=lambda output: …")
    return found
