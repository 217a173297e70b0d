"""``SafeStep``: wraps any optimizer and keeps its steps inside the radius of convergence of the cross-entropy.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), section 4 (the controller) and section 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from surefoot.autodiff.jvp import Derivative, Mode, unwrap
from surefoot.optim.displacement import Displacement
from surefoot.optim.forwards import Forward, Forwards
from surefoot.optim.safe_radius import Link
from surefoot.optim.step_report import StepReport, as_call, step_report
from surefoot.optim.wrapper import Wrapper


class SafeStep(Wrapper):
    """Scale an optimizer's steps so that their length stays within ``r_max`` radii of convergence.

    The inner optimizer takes its step as always, with its state; then the update p that it made is measured by one
    Jacobian-vector product at the old parameters, and where τ = |p| exceeds r_max·ρ_a it is shortened to that. A step
    inside is left alone, bit for bit. There is no threshold to tune: ρ_a = π / (largest spread of the logits' slopes).

    It is used like the optimizer it wraps: the same ``param_groups``, ``state`` and ``state_dict`` (checkpoints are
    interchangeable), schedulers and ``GradScaler`` take it. Inputs are those of the model's forward passes since the
    last step, unless ``step`` or ``sample`` gives others.

    Parameters
    ----------
    optimizer : any optimizer; weight decay and momentum are part of the update that is measured
    model : the module whose output are logits of a cross-entropy
    r_max : longest step in radii; 1 is the bound, 0.5 cautious
    rule : ``"clip"`` shortens steps beyond r_max; ``"set"`` makes every step exactly r_max radii long, so that the
        inner learning rate drops out
    sample : function without arguments that returns inputs to probe with, such as a fixed subset of the training set;
        by default the batch itself
    quantile : take this quantile of the samples' radii instead of the smallest; steps outliers, and loses the bound
    every : probe every so many steps; the steps between use the last radius, without a bound
    derivative : ``"auto"`` is exact where the model has forward mode, else a finite difference (with a warning)
    mode : ``"eval"`` probes with dropout off and running statistics; ``"train"`` with batch statistics and the dropout
        masks of the forward pass itself
    temperature : T where the loss is taken on logits / T
    link : ``"sigmoid"`` for binary cross-entropy with logits
    class_dim, logits : where the classes are, and how the logits are picked from the model's output

    Attributes
    ----------
    last : report of the newest probe, or None

    Raises
    ------
    ValueError, TypeError
        For arguments out of range, and where none of the optimizer's parameters is the model's. ``step`` raises
        ValueError if update or logits are not finite (parameters are then those from before the step), and
        RuntimeError if it has no inputs.

    Notes
    -----
    The bound holds for the linearised logits of the samples probed, for one step. Costs a forward pass with tangents
    a probe, and memory for one copy of the parameters while it lasts. Under ``DistributedDataParallel`` the
    ranks agree on the largest r. Sharded parameters (FSDP, DTensor) are not supported.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        *,
        r_max: float = 1.0,
        rule: Literal["clip", "set"] = "clip",
        sample: Callable[[], Any] | None = None,
        quantile: float | None = None,
        every: int = 1,
        derivative: Derivative = "auto",
        mode: Mode = "eval",
        temperature: float = 1.0,
        link: Link = "softmax",
        class_dim: int = -1,
        logits: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__(optimizer)
        _check(model, r_max, rule, quantile, every)
        _check_how(derivative, mode, temperature, link)
        self.model = model
        self.r_max, self.rule, self.sample, self.every = r_max, rule, sample, every
        self.last: StepReport | None = None
        self._how: dict[str, Any] = {
            "quantile": quantile, "derivative": derivative, "mode": mode, "temperature": temperature, "link": link,
            "class_dim": class_dim, "logits": logits,
        }  # fmt: skip
        self._steps = 0
        self._radius: float | None = None
        self._names()
        self._forwards = (
            None
            if sample is not None
            else Forwards(
                model,
                with_random_state=mode == "train",
                # With the same masks, a finite difference starts from the output that the script computed anyway.
                with_output=mode == "train" and derivative == "finite-difference",
            )
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_forwards": None}  # a copy has seen no forward pass, and hears of none

    def __repr__(self) -> str:
        return f"SafeStep(r_max={self.r_max:g}, rule={self.rule!r}, every={self.every}, {self.optimizer!r})"

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        inputs: Any = None,
        mask: Bool[Tensor, "*batch"] | None = None,
    ) -> Any:
        """Take a step of the inner optimizer, and shorten it if it leaves the radius.

        Parameters
        ----------
        closure : as for the inner optimizer
        inputs : to probe with (a tensor, a tuple of arguments, or a mapping of keyword arguments); by default those of
            the forward passes since the last step
        mask : True where a sample counts, of the shape of the logits without their classes; needs ``inputs`` or one
            forward pass

        Returns
        -------
        What the inner optimizer returns.
        """
        named = self._names()
        parameters = [
            p for group in self.param_groups for p in group["params"] if p.requires_grad or p.grad is not None
        ]
        before = [p.detach().clone() for p in parameters]
        loss = self.optimizer.step() if closure is None else self.optimizer.step(closure)
        forwards = [] if self._forwards is None else self._forwards.take()
        with torch.no_grad():
            moved = Displacement(parameters, before)
            scale = 0.0  # if anything fails, the step was not taken
            try:
                tau = moved.length
                if not math.isfinite(tau):
                    raise ValueError(f"update: the norm of the optimizer's update is {tau}; the step was not taken")
                if tau > 0 and (self._radius is None or self._steps % self.every == 0):
                    calls = self._calls(forwards, inputs, mask)
                    moved.hold()
                    self._probe(parameters, before, named, tau, calls, mask)
                scale = self._scale(tau)
            finally:
                moved.leave(scale)
        self._steps += 1
        return loss

    def _scale(self, tau: float) -> float:
        """Factor for the update, by the newest radius."""
        radius = self._radius
        if not tau > 0 or radius is None or math.isinf(radius):
            return 1.0
        factor = self.r_max * radius / tau
        scale = factor if self.rule == "set" else min(1.0, factor)
        if self.last is not None and self._steps % self.every == 0:
            self.last = replace(self.last, scale=scale)
        return scale

    def _calls(self, forwards: list[Forward], inputs: Any, mask: Tensor | None) -> list[Forward]:
        """What to probe with."""
        if inputs is not None:
            return [Forward(as_call(inputs))]
        if self.sample is not None:
            return [Forward(as_call(self.sample()))]
        if not forwards:
            raise RuntimeError(
                "SafeStep: the model made no forward pass with gradients since the last step, so there is nothing to "
                "probe with; pass step(inputs=…) or sample=…"
            )
        if mask is not None and len(forwards) > 1:
            raise ValueError(
                f"mask: the model made {len(forwards)} forward passes since the last step; pass inputs too"
            )
        return forwards

    def _probe(
        self,
        parameters: list[Tensor],
        before: list[Tensor],
        named: Mapping[int, str],
        tau: float,
        calls: list[Forward],
        mask: Tensor | None,
    ) -> None:
        """Measure the update, which ``parameters`` hold just now."""
        params = {named[id(p)]: b for p, b in zip(parameters, before, strict=True) if id(p) in named}
        update = {named[id(p)]: p.detach() for p in parameters if id(p) in named}
        if self._forwards is not None:
            self._forwards.paused = True
        try:
            reports = [
                step_report(
                    self.model, params, update, forward.call, length=tau, mask=mask, base=forward.output,
                    random_state=forward.random_state, **self._how,
                )
                for forward in calls
            ]  # fmt: skip
        finally:
            if self._forwards is not None:
                self._forwards.paused = False
        self.last = max(reports, key=lambda report: report.r)
        if self.last.derivative == "finite-difference":
            self._how["derivative"] = "finite-difference"  # no second try, no second warning
        r = self._agree(self.last.r)
        self._radius = tau / r if r > 0 else math.inf

    def _agree(self, r: float) -> float:
        """The largest r over the ranks of a data-parallel model: all must take the same step."""
        if not isinstance(self.model, nn.parallel.DistributedDataParallel):
            return r
        largest = torch.tensor([r], dtype=torch.float64, device=next(self.model.parameters()).device)
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, group=self.model.process_group)
        return float(largest)

    def _names(self) -> dict[int, str]:
        """id of each of the optimizer's parameters that is the model's → its name there."""
        mine = {id(p) for group in self.param_groups for p in group["params"]}
        named = {id(p): name for name, p in unwrap(self.model).named_parameters() if id(p) in mine}
        if not named:
            raise ValueError(
                "model: none of the optimizer's parameters is among its parameters; pass the model that it trains"
            )
        return named


def _check(model: Any, r_max: float, rule: str, quantile: float | None, every: int) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; use the torch.nn.Module that returns the logits")
    if any(type(p).__name__ == "DTensor" for p in model.parameters()):
        raise TypeError("model: its parameters are sharded (DTensor); SafeStep needs each whole, as under DDP")
    if not (math.isfinite(r_max) and r_max > 0):
        raise ValueError(f"r_max: got {r_max}; use a positive number, 1 for the bound")
    if rule not in ("clip", "set"):
        raise ValueError(f"rule: got {rule!r}; use 'clip' or 'set'")
    if quantile is not None and not 0 < quantile < 1:
        raise ValueError(f"quantile: got {quantile}; use a number between 0 and 1 such as 0.01, or None")
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every: got {every!r}; use 1 or a larger whole number")


def _check_how(derivative: str, mode: str, temperature: float, link: str) -> None:
    if derivative not in ("auto", "jvp", "finite-difference"):
        raise ValueError(f"derivative: got {derivative!r}; use 'auto', 'jvp' or 'finite-difference'")
    if mode not in ("eval", "train"):
        raise ValueError(f"mode: got {mode!r}; use 'eval' or 'train'")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: got {temperature}; use a positive number")
    if link not in ("softmax", "sigmoid"):
        raise ValueError(f"link: got {link!r}; use 'softmax' or 'sigmoid'")
