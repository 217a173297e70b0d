"""Derivatives of a model's output along a direction in its parameters: forward mode, or a finite difference.

The one implementation of Jacobian-vector products. A probe leaves nothing behind: buffers, modes and random generators
are as before, no graph is kept, automatic mixed precision is off inside.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.autodiff.parameters import call_with, modes_kept

Derivative = Literal["auto", "jvp", "finite-difference"]
Mode = Literal["eval", "train"]


def directional_derivative(
    function: Callable[[dict[str, Tensor]], Tensor],
    parameters: Mapping[str, Tensor],
    tangents: Mapping[str, Tensor],
    *,
    derivative: Derivative = "auto",
    eps: float | None = None,
    share: float | None = None,
    base: Tensor | None = None,
) -> tuple[Tensor, Tensor, str]:
    """Value of ``function`` at ``parameters``, and its derivative along ``tangents``.

    Parameters
    ----------
    function : of a dictionary of tensors, such as :func:`functional` makes of a module; deterministic
    parameters : name to tensor
    tangents : name to tensor of the same shape and dtype; parameters without a tangent do not move
    derivative : ``"jvp"`` is exact and needs forward-mode formulas for everything ``function`` does;
        ``"finite-difference"`` needs one more evaluation; ``"auto"`` takes the first that works, and warns when it is
        the second
    eps : length of the displacement of a finite difference, in the units of the parameters; by default the square root
        of the parameters' machine epsilon times (1 + norm of the parameters)
    share : the displacement of a finite difference as a share of ``tangents`` instead, for tangents that are a step
        themselves; nothing then waits for a device
    base : the value at ``parameters`` where it is known already, which saves a finite difference one evaluation

    Returns
    -------
    value, derivative (both of the function's shape, detached), and the means: ``"jvp"`` or ``"finite-difference"``.

    Raises
    ------
    ValueError
        If a tangent has no parameter, or not the shape of its parameter; if the derivative is not one of the three.
    """
    if derivative not in ("auto", "jvp", "finite-difference"):
        raise ValueError(f"derivative: got {derivative!r}; use 'auto', 'jvp' or 'finite-difference'")
    for name, tangent in tangents.items():
        if name not in parameters:
            raise ValueError(f"tangents: {name!r} is not among the parameters {', '.join(parameters)}")
        if tangent.shape != parameters[name].shape:
            raise ValueError(f"tangents: {name!r} has shape {tuple(tangent.shape)}; its parameter has "
                             f"{tuple(parameters[name].shape)}")  # fmt: skip
    with torch.no_grad():
        if derivative != "finite-difference":
            try:
                return *_forward_mode(function, parameters, tangents), "jvp"
            except (NotImplementedError, RuntimeError) as error:
                if derivative == "jvp" or isinstance(error, torch.OutOfMemoryError):
                    raise
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            result = _finite_difference(function, parameters, tangents, eps, share, base)
            # Said only now: if this failed too, its error is the one to tell.
            warnings.warn(f"no forward-mode derivative here, a finite difference serves ({reason})", stacklevel=2)
            return *result, "finite-difference"
        return *_finite_difference(function, parameters, tangents, eps, share, base), "finite-difference"


def _forward_mode(
    function: Callable[[dict[str, Tensor]], Tensor], parameters: Mapping[str, Tensor], tangents: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    # forward_ad.make_dual scripts derivative formulas at its first call, 0.2 s; few functions need one of those
    unscripted = getattr(torch._VF, "_make_dual", None)
    if unscripted is not None:
        try:
            return _along(function, parameters, tangents, unscripted)
        except NotImplementedError:
            pass
    return _along(function, parameters, tangents, forward_ad.make_dual)


def _along(
    function: Callable[[dict[str, Tensor]], Tensor],
    parameters: Mapping[str, Tensor],
    tangents: Mapping[str, Tensor],
    make_dual: Callable[..., Tensor],
) -> tuple[Tensor, Tensor]:
    with forward_ad.dual_level() as level:
        duals = {name: value.detach() for name, value in parameters.items()}
        for name, tangent in tangents.items():
            duals[name] = make_dual(duals[name], tangent.detach(), level=level)
        value, derivative = forward_ad.unpack_dual(function(duals))
        value = value.clone()
        return value, torch.zeros_like(value) if derivative is None else derivative.clone()


def _finite_difference(
    function: Callable[[dict[str, Tensor]], Tensor],
    parameters: Mapping[str, Tensor],
    tangents: Mapping[str, Tensor],
    eps: float | None,
    share: float | None,
    base: Tensor | None,
) -> tuple[Tensor, Tensor]:
    here = {name: value.detach() for name, value in parameters.items()}
    value = (function(here) if base is None else base).detach().clone()
    step = share
    if step is None:
        length = global_norm(list(tangents.values()))
        if length == 0:
            return value, torch.zeros_like(value)
        if eps is None:
            precision = max(torch.finfo(t.dtype).eps for t in tangents.values())
            eps = math.sqrt(precision) * (1 + global_norm([here[name] for name in tangents]))
        step = eps / length
    moved = here | {name: here[name] + step * tangent.detach() for name, tangent in tangents.items()}
    # Dividing in float64 would not bring back digits that the function's own dtype lost.
    return value, (function(moved).detach() - value) / step


def global_norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm over all entries of all tensors, summed up in float64; inf or NaN where an entry is."""
    if not tensors:
        return 0.0
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.device, []).append(tensor.detach())
    squares = 0.0
    for group in groups.values():
        half = any(t.dtype in (torch.float16, torch.bfloat16) for t in group)
        lengths = list(torch._foreach_norm(group, 2, torch.float32 if half else None))
        if len({n.dtype for n in lengths}) > 1:
            lengths = [n.double() for n in lengths]
        squares += float(torch.stack(lengths).double().square().sum())
    if math.isfinite(squares) and squares > 1e-60:
        return math.sqrt(squares)
    # float32 squares leave their range beyond 1e19 and below 1e-19.
    return math.sqrt(sum(float(torch.linalg.vector_norm(t.detach(), dtype=torch.float64)) ** 2 for t in tensors))


def functional(
    model: nn.Module,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    mode: Mode = "eval",
    random_state: Mapping[str, Any] | None = None,
) -> Callable[[dict[str, Tensor]], Any]:
    """A module's output as a function of its parameters that leaves the module as it is.

    Parameters
    ----------
    model : the module; compiled modules and data-parallel wrappers are unwrapped
    args, kwargs : the inputs
    mode : ``"eval"``: dropout off, batch norm with its running statistics. ``"train"``: each module's own mode, batch
        statistics, and the same dropout mask at every call
    random_state : of :func:`random_state`, which the dropout mask is drawn from; by default the state at the first call

    Returns
    -------
    A function of a dictionary of parameters (those not named keep their values).
    """
    if mode not in ("eval", "train"):
        raise ValueError(f"mode: got {mode!r}; use 'eval' or 'train'")
    root = unwrap(model)
    start = dict(random_state) if random_state is not None else None

    def call(parameters: dict[str, Tensor]) -> Any:
        nonlocal start
        buffers = {name: buffer.detach().clone() for name, buffer in root.named_buffers()}
        devices = sorted({p.device.index or 0 for p in root.parameters() if p.device.type == "cuda"})
        with differentiable_kernels(root), torch.random.fork_rng(devices), modes_kept(root) as modules:
            if mode == "train":
                start = start or _random_state(devices)
                _set_random_state(start)
            else:
                for module in modules:
                    module.training = False
            return call_with(root, {**parameters, **buffers}, args, kwargs)

    return call


def unwrap(model: nn.Module) -> nn.Module:
    """The module below ``torch.compile`` and data-parallel wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def random_state(model: nn.Module) -> dict[str, Any]:
    """State of the generators that a forward of ``model`` draws from: the CPU's, and those of its CUDA devices."""
    return _random_state(sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}))


def _random_state(devices: Sequence[int]) -> dict[str, Any]:
    return {"cpu": torch.get_rng_state(), "cuda": {device: torch.cuda.get_rng_state(device) for device in devices}}


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    for device, value in state["cuda"].items():
        torch.cuda.set_rng_state(value, device)
