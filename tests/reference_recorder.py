"""A small dense recorder: what the rows of a run hold, computed by straightforward code at every look.

It is the tests' reference for the signals and nothing else: it needs calls in the training loop and costs what it
costs.

    recorder = Recorder(model, {"": optimizer}, sink)
    for x, y in batches:
        with recorder.looking():
            logits = model(x)
            loss = cross_entropy(logits, y)
        optimizer.zero_grad()
        recorder.backward(loss, LossCall("cross_entropy", logits, y))
        recorder.step()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.runs.schema import Family

Row = tuple[int, Family, np.ndarray]
_RELU_LIKE = (nn.ReLU, nn.ReLU6)
_SQUASHERS = (nn.Tanh, nn.Sigmoid)
_BEFORE = {"SoftmaxBackward0": 1.0, "LogSoftmaxBackward0": 2.0, "SigmoidBackward0": 3.0}


@dataclass
class LossCall:
    """The loss function a script called: its name in torch.nn.functional, its input, its target."""

    name: str
    input: Tensor
    target: Tensor


@dataclass
class Reading:
    """What the forward of one look showed, by module path in execution order."""

    order: list[str] = field(default_factory=list)
    mean: dict[str, float] = field(default_factory=dict)
    rms: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    alive: dict[str, Tensor] = field(default_factory=dict)


def default_looks(step: int) -> bool:
    """Powers of two, then every tenth step: about what a budget allows."""
    return step & (step - 1) == 0 or step % 10 == 0


class Recorder:
    """Feeds ``sink(step, family, values)`` with the rows of the contract; see the module's docstring."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: dict[str, Optimizer],
        sink: Callable[[int, Family, np.ndarray], None],
        event: Callable[[int, str, dict], None] | None = None,
        end_step: Callable[[int], None] | None = None,
        look: Callable[[int], bool] = default_looks,
    ) -> None:
        self.model, self.optimizers, self.sink, self.look, self.end_step = model, optimizers, sink, look, end_step
        self.event = event or (lambda step, kind, data: None)
        self.now = 1
        self.own = {n: list(m.parameters(recurse=False)) for n, m in model.named_modules()}
        self.own = {n: p for n, p in self.own.items() if p}
        self.order: list[str] = []
        self.reading: Reading | None = None
        self.alive: dict[str, list[Tensor]] = {}
        self.losses: dict[str, float] = {}
        self.constant: dict[str, float] = {}
        self.calls: dict[str, LossCall] = {}
        self.stale: dict[str, float] = {}
        self.stepped: dict[str, list[Tensor]] = {}  # gradients as the last step left them
        self.scalars: dict[str, dict[str, float]] = {}
        self.gradients: dict[str, dict[str, float]] = {}
        self.updates: dict[str, float] = {}
        self.weights: dict[str, float] = {}
        self.done: set[str] = set()
        self.families: dict[str, Family] = {}

    # --- forward -----------------------------------------------------------------------------------------------

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Around the forward of a step: reads activations where this step is a look."""
        if not self.look(self.now):
            yield
            return
        reading = self.reading = Reading()
        handles = [m.register_forward_hook(self._hook(n, m)) for n, m in self.model.named_modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        # a squasher after which no layer with parameters comes is the model's output: not counted
        if reading.order:
            reading.saturated.pop(reading.order[-1], None)

    def _hook(self, name: str, module: nn.Module) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            reading = self.reading
            if reading is None:
                return
            out = output[0] if isinstance(output, tuple) else output
            if not isinstance(out, Tensor):
                return
            out = out.detach().float()
            if name in self.own:
                if name not in reading.order:
                    reading.order.append(name)
                reading.mean[name], reading.rms[name] = float(out.mean()), float(out.square().mean().sqrt())
            if not reading.order:
                return
            fed_by = reading.order[-1]
            if isinstance(module, _RELU_LIKE):
                units = out.movedim(1, -1) if out.ndim == 4 else out
                alive = (units.reshape(-1, units.shape[-1]) > 0).any(0)
                before = reading.alive.get(fed_by)
                reading.alive[fed_by] = alive if before is None or before.shape != alive.shape else before | alive
            elif isinstance(module, nn.Tanh):
                reading.saturated[fed_by] = float((1 - out.square() < 0.02).float().mean())
            elif isinstance(module, nn.Sigmoid):
                reading.saturated[fed_by] = float((out * (1 - out) < 0.005).float().mean())

        return hook

    # --- backward ----------------------------------------------------------------------------------------------

    def backward(self, loss: Tensor, call: LossCall | None = None, name: str = "") -> None:
        """In place of ``loss.backward()``; several calls before one step add up."""
        self.losses[name] = self.losses.get(name, 0.0) + float(loss.detach())
        if call is not None:
            self.calls[name] = call
        before = self.stepped.pop(name, None)
        if before is not None and self.look(self.now):
            parameters = self._held(name)
            still = [
                p.grad is not None and g is not None and p.grad.shape == g.shape and bool((p.grad == g).all())
                and bool(g.abs().max() > 0)
                for p, g in zip(parameters, before, strict=True)
            ]  # fmt: skip
            self.stale[name] = sum(still) / max(1, len(still))
        loss.backward()

    def _held(self, name: str) -> list[Tensor]:
        return [p for group in self.optimizers[name].param_groups for p in group["params"]]

    # --- step --------------------------------------------------------------------------------------------------

    def step(self, name: str = "", run: Callable[[], object] | None = None, *, scale: float = 1.0) -> None:
        """In place of ``optimizer.step()``; ``run`` does the step where there is more to it (clipping, a scaler)."""
        optimizer = self.optimizers[name]
        held = self._held(name)
        look = self.look(self.now)
        run = run or optimizer.step
        if look:
            holds = {id(p) for p in held}
            before = {id(p): p.detach().clone() for p in held}
            gradient = {id(p): p.grad.detach().clone() / scale for p in held if p.grad is not None}
            mine = {n: ps for n, ps in self.own.items() if any(id(p) in holds for p in ps)}
            for module, parameters in self.own.items():
                if module in mine or len(self.optimizers) == 1:
                    self.gradients[module] = _gradient_reading(parameters, scale)
        run()
        if look:
            update = {id(p): p.detach() - before[id(p)] for p in held}
            promised = -sum(float((g.double() * update[k].double()).sum()) for k, g in gradient.items())
            self.scalars[name] = {
                "gradient_norm": math.sqrt(sum(float(g.double().square().sum()) for g in gradient.values())),
                "weight_norm": math.sqrt(sum(float(w.double().square().sum()) for w in before.values())),
                "update_norm": math.sqrt(sum(float(u.double().square().sum()) for u in update.values())),
                "predicted_decrease": promised,
            }
            for module, parameters in mine.items():
                self.updates[module] = _rms([update[id(p)] for p in parameters if id(p) in update])
            for module, parameters in self.own.items():
                self.weights[module] = _rms([before.get(id(p), p.detach()) for p in parameters])
        self.stepped[name] = [None if p.grad is None else p.grad.detach().clone() for p in held]
        self.done.add(name)
        if self.done == set(self.optimizers):
            self._emit(look)

    def _emit(self, look: bool) -> None:
        step, names = self.now, tuple(self.optimizers)
        if look and self.reading is not None:
            fresh = [n for n in self.reading.order if n not in self.order]
            if fresh or not self.order:
                self.order += fresh
                self.order += [n for n in self.own if n not in self.order]
                self._announce()
        row: dict[tuple[str, str], float] = {}
        for n in names:
            row["loss", n] = self.losses.get(n, math.nan)
            row["learning_rate", n] = float(self.optimizers[n].param_groups[0]["lr"])
            row["constant_loss", n] = constant_loss(self.calls[n]) if look and n in self.calls else math.nan
        row["step_time", ""] = 1e-3
        rows = {"step": row}
        if look:
            rows |= self._look_rows(names)
        for family in sorted(rows):
            self._put(step, family, rows[family])
        if self.end_step is not None:
            self.end_step(step)
        self.losses, self.calls, self.reading = {}, {}, None
        self.gradients, self.updates, self.weights, self.scalars, self.stale = {}, {}, {}, {}, {}
        self.done = set()
        self.now += 1

    def _look_rows(self, names: tuple[str, ...]) -> dict[str, dict[tuple[str, str], float]]:
        rows: dict[str, dict[tuple[str, str], float]] = {
            "gradients": {},
            "weights": {},
            "activations": {},
            "wiring": {},
        }
        for signal in ("gradient_rms", "gradient_share", "gradient_nonfinite"):
            for m in self.order:
                rows["gradients"][signal, m] = self.gradients.get(m, {}).get(signal, math.nan)
        for m in self.order:
            rows["weights"]["weight_rms", m] = self.weights.get(m, math.nan)
        for m in self.order:
            rows["weights"]["update_rms", m] = self.updates.get(m, math.nan)
        for n in names:
            scalars = self.scalars.get(n, {})
            rows["gradients"]["gradient_norm", n] = scalars.get("gradient_norm", math.nan)
            for signal in ("weight_norm", "update_norm", "predicted_decrease"):
                rows["weights"][signal, n] = scalars.get(signal, math.nan)
            rows["wiring"]["stale_gradient_share", n] = self.stale.get(n, math.nan)
        held = {id(p) for n in names for p in self._held(n)}
        missed = [n for n, p in self.model.named_parameters() if p.grad is not None and id(p) not in held]
        rows["wiring"]["missed_parameters", ""] = float(len(missed))
        if missed:
            self.event(self.now, "missed", {"parameters": missed})
        reading = self.reading or Reading()
        for m, alive in reading.alive.items():
            self.alive[m] = [*self.alive.get(m, [])[-3:], alive]
        for signal, of in (
            ("activation_mean", reading.mean),
            ("activation_rms", reading.rms),
            ("dead_share", {m: float(1 - torch.stack(a).any(0).float().mean()) for m, a in self.alive.items()}),
            ("saturated_share", reading.saturated),
            ("called", {m: 1.0 if m in reading.order else 0.0 for m in self.order} if self.reading else {}),
        ):
            for m in self.order:
                rows["activations"][signal, m] = of.get(m, math.nan)
        for call in self.calls.values():
            if call.name in ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
                rows.setdefault("logits", {}).update(logit_readings(call))
        return rows

    def _announce(self) -> None:
        modules = dict(self.model.named_modules())
        listed = [
            {
                "name": n,
                "type": type(modules[n]).__name__,
                "parameters": sum(p.numel() for p in self.own[n]),
                "depth": i,
                "activation": None,
            }
            for i, n in enumerate(self.order)
        ]
        self.event(self.now, "modules", {"modules": listed, "root": type(self.model).__name__})
        about = [
            {"name": n, "type": type(o).__name__, "parameters": len(self._held(n)),
             "defaults": {k: v for k, v in o.defaults.items() if isinstance(v, int | float | tuple | list)}}
            for n, o in self.optimizers.items()
        ]  # fmt: skip
        self.event(self.now, "optimizers", {"optimizers": about})

    def _put(self, step: int, name: str, row: dict[tuple[str, str], float]) -> None:
        family = self.families.get(name)
        if family is None or family.columns != tuple(row):
            family = self.families[name] = Family(name, tuple(row))
        self.sink(step, family, np.array(list(row.values()), dtype=np.float32))


def _rms(tensors: list[Tensor]) -> float:
    count = sum(t.numel() for t in tensors)
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors) / count) if count else math.nan


def _gradient_reading(parameters: list[Tensor], scale: float) -> dict[str, float]:
    trainable = [p for p in parameters if p.requires_grad]
    got = [p.grad.detach() / scale for p in trainable if p.grad is not None]
    if not trainable:
        return {}
    bad = sum(int((~torch.isfinite(g)).any()) for g in got)
    return {
        "gradient_rms": _rms(got) if got else math.nan,
        "gradient_share": sum(g.numel() for g in got) / sum(p.numel() for p in trainable),
        "gradient_nonfinite": bad / len(trainable),
    }


def constant_loss(call: LossCall) -> float:
    """Loss of the best constant prediction for this batch."""
    target = call.target.detach()
    if call.name in ("cross_entropy", "nll_loss"):
        if target.is_floating_point():
            q = target.reshape(-1, target.shape[-1]).mean(0)
        else:
            q = torch.bincount(target.reshape(-1)).float() / target.numel()
        q = q[q > 0]
        return float(-(q * q.log()).sum())
    if call.name.startswith("binary_cross_entropy"):
        m = target.float().mean().clamp(1e-12, 1 - 1e-7)
        return float(-(m * m.log() + (1 - m) * (1 - m).log()))
    if call.name == "mse_loss":
        return float(target.float().var(0, unbiased=False).mean())
    return math.nan


def logit_readings(call: LossCall) -> dict[tuple[str, str], float]:
    """The signals of the family ``logits`` for one call of a loss function."""
    z = call.input.detach().float()
    if call.name in ("cross_entropy", "nll_loss"):
        z = z.movedim(1, -1) if z.ndim > 2 else z
        z = z.reshape(-1, z.shape[-1])
        total, classes = z.sum(-1), z.shape[-1]
        sums = float((total - 1).abs().max())
        collapsed = float((torch.exp(z - z.max(-1, keepdim=True).values).sum(-1) == 1).float().mean())
    else:
        sums, classes, collapsed = math.nan, 1, math.nan
    node = call.input.grad_fn
    while node is not None and node.name() in (
        "ViewBackward0",
        "SqueezeBackward1",
        "SqueezeBackward0",
        "PermuteBackward0",
    ):
        node = node.next_functions[0][0]
    before = _BEFORE.get(node.name(), 0.0) if node is not None else 0.0
    values = {
        "softmax_collapse_share": collapsed,
        "logit_max": float(z.max()),
        "logit_rms": float(z.square().mean().sqrt()),
        "row_sum_error": sums,
        "nonnegative_share": float((z >= 0).float().mean()),
        "num_classes": float(classes),
        "activation_before": before,
    }
    return {(signal, call.name): value for signal, value in values.items()}
