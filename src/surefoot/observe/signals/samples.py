"""The batches of steps that are looked at: whether samples and batches come again, in what order labels come.

What a batch is, and what is read of it: ``batch.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.samples import Tracked, label_order, see, target_order, track
from surefoot.observe.asked import unwrapped
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.signals.batch import Batch, known_by_input, read_batch, sample_input
from surefoot.observe.signals.loss import constant_loss
from surefoot.observe.signals.one_batch import OneBatch
from surefoot.observe.signals.swings import Swings

STALE_LOOKS = 4  # after so many looks at one and the same batch, it is asked where others might be
KEPT_BATCHES = 4096
KEPT_CLASSES = 4096
NAMED_ROWS = 8  # of a batch whose loss is odd, the rows with the highest losses are named


@dataclass(slots=True)
class _Past:
    """What is remembered of one optimiser's batches."""

    source: str = ""
    tracked: Tracked = field(default_factory=track)
    batches: set[int] = field(default_factory=set)
    newest: int = 0
    same: int = 0  # looks in a row that saw one and the same batch
    classes: dict[int, int] = field(default_factory=dict)
    swings: Swings = field(default_factory=Swings)


class Samples(Instrument):
    """Reads batches; remembers 4,096 samples by hash order, 4,096 batches and 4,096 classes an optimiser."""

    name: ClassVar[str] = "samples"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._input: tuple[Tensor, int, Tensor] | None = None  # numbers, their version, and the script's own object
        self._batch: Batch | None = None
        self._backward = False  # the script goes backward; else ``torch.func`` gives it gradients
        self._past: dict[str, _Past] = {}
        self._one_batch = OneBatch(tools)

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """See the input of the step's first forward by which its samples are known."""
        self.withdraw()
        home = threading.get_ident()

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            if self._input is None and torch.is_grad_enabled() and threading.get_ident() == home:
                tensor = sample_input((args, kwargs))
                if tensor is not None and tensor.dim() and tensor.numel():
                    # what ``torch.func`` has wrapped is gone after it, and whatever is made of it here is wrapped, too
                    plain = unwrapped(tensor)
                    self._input = (tensor.detach() if plain is tensor else plain, plain._version, plain)

        for root in roots:
            if not isinstance(root, torch.jit.ScriptModule):
                self._handles.append(root.register_forward_pre_hook(Hook(before), with_kwargs=True))

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._input = [], None

    def at_close(self) -> None:
        """Wait for nothing more."""
        self._one_batch.forget()

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Read the batch while its input and the loss's targets are there."""
        self._backward = True
        given, self._input = self._input, None
        self._one_batch.meet(None if given is None else given[2])
        self._batch = self._read(view, roots, None if given is None else given[:2])

    def at_odd_loss(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """A step that is not looked at has an odd loss: read its batch all the same, and name its highest rows."""
        states = self.tools.scene.clock.states
        if len(states) != 1:
            return  # whose batch it is is not known before the step
        batch = self._read(view, roots, None)
        if view.loss is not None:
            constant = constant_loss(view.loss)
            if constant is not None:
                name = states[0].name
                step = self.tools.step
                self.tools.ask(
                    step,
                    [constant],
                    lambda found: self.tools.rows.put(step, "step", name, constant_loss=float(found[0])),
                )
        self._write(self.tools.step, states[0].name, batch, odd=True)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Now it is known whose batch it was."""
        batch, self._batch = self._batch, None
        if batch is None and not self._backward:
            batch = self._asked_for()
        if batch is not None:
            self._write(self.tools.scene.clock.steps, state.name, batch, odd=False)

    def _asked_for(self) -> Batch | None:
        """The batch of a step without a backward, whose gradient was asked for by ``torch.func``: no graph is left to
        be read, but who its samples are is known by the input; not where another transform has wrapped it, too."""
        given, self._input = self._input, None
        if given is None or torch._C._functorch.is_functorch_wrapped_tensor(given[2]):
            return None
        self._one_batch.meet(given[2])
        return known_by_input(given[2].detach(), given[1], keep=self.tools.keep is not None)

    def _read(self, view: GraphView, roots: Sequence[Tensor], given: tuple[Tensor, int] | None) -> Batch:
        return read_batch(view, roots, given, self.tools.scene.checkpointing, keep=self.tools.keep is not None)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _write(self, step: int, name: str, batch: Batch, odd: bool) -> None:
        asked: dict[str, Tensor] = dict(batch.numbers)
        if batch.hashes is not None and batch.whole is not None:
            # 64 bits in three parts, each exact in float32
            for part, (shift, mask) in enumerate(_PARTS):
                asked[f"hashes{part}"] = (batch.hashes >> shift) & mask
                asked[f"whole{part}"] = (batch.whole >> shift) & mask
        if batch.losses is not None:
            asked["losses"] = batch.losses
        if batch.labels is not None and len(batch.labels) > 1:
            asked["labels"] = batch.labels

        def write(found: list[np.ndarray]) -> None:
            self._take(step, name, batch, dict(zip(asked, found, strict=True)), odd)

        self.tools.ask(step, list(asked.values()), write)

    def _take(self, step: int, name: str, batch: Batch, found: dict[str, np.ndarray], odd: bool) -> None:
        past = self._past.setdefault(name, _Past())
        values = batch.known | {signal: float(found[signal]) for signal in batch.numbers}
        losses = found.get("losses")
        hashes = _joined([found[f"hashes{part}"] for part in range(3)]) if "hashes0" in found else None
        if hashes is not None and not (odd and past.source not in ("", batch.source)):
            whole = int(_joined([found[f"whole{part}"] for part in range(3)])[0])
            values |= self._identity(past, batch, step, hashes, whole, losses)
        if "labels" in found:
            values |= _order(past, found["labels"], batch.whole_labels)
        self.tools.rows.put(step, "samples", name, **values)
        if odd and losses is not None:
            unknown = -np.inf if batch.in_part else np.inf
            rows = np.argsort(-np.nan_to_num(losses, nan=unknown), kind="stable")[:NAMED_ROWS]
            self._name(step, "odd_batch", batch, rows, hashes, losses)

    def _identity(
        self, past: _Past, batch: Batch, step: int, hashes: np.ndarray, whole: int, losses: np.ndarray | None
    ) -> dict[str, float]:
        if past.source != batch.source:
            past.source, past.tracked, past.batches, past.swings = batch.source, track(), set(), Swings()
            past.same = 0
        returned = whole in past.batches
        if len(past.batches) < KEPT_BATCHES:
            past.batches.add(whole)
        past.tracked, seen = see(past.tracked, hashes, losses if losses is None else losses.astype(np.float32))
        values = {
            "distinct_batches": float(len(past.batches)),
            "batch_returned": float(returned),
            "distinct_samples": past.tracked.distinct,
            "repeated_share": seen.repeated,
            "sample_loss_change": seen.change,
            "sample_loss_risen": seen.risen,
        }
        again, past.newest = whole == past.newest, whole
        past.same = past.same + 1 if again else 1
        if not again:
            self._one_batch.forget()
        elif past.same >= STALE_LOOKS:
            values |= self._one_batch.values(batch.rows, hashes)
        if past.same in (2, STALE_LOOKS) and len(past.batches) > 1:
            # batches that come round may have done so at these steps by chance: not at others too
            self.tools.budget.burst()
        if losses is None:
            return values
        known = np.flatnonzero(~np.isnan(losses)) if batch.in_part else np.arange(len(losses))
        verdict = past.swings.add(step, hashes[known], losses[known], again)
        if past.swings.calls(step, again, seen.risen):
            self.tools.budget.burst(Swings.LOOKS)
        if verdict is not None:
            values |= {f"opposing_{c.name}": c.value for c in verdict.criteria}
            if verdict.opposing:
                order = known[np.argsort(hashes[known], kind="stable")]
                groups = (verdict.groups.up.numpy()[:NAMED_ROWS], verdict.groups.down.numpy()[:NAMED_ROWS])
                self._name(step, "opposing_samples", batch, order[np.concatenate(groups)], hashes, losses)
        return values

    def _name(
        self, step: int, kind: str, batch: Batch, rows: np.ndarray, hashes: np.ndarray | None, losses: np.ndarray
    ) -> None:
        """Tell which rows a finding may speak of; keep their inputs where that was asked for."""
        self.tools.tell(
            kind,
            at=step,
            rows=[int(row) for row in rows],
            losses=[float(losses[row]) for row in rows],
            hashes=[] if hashes is None else [f"{int(hashes[row]):016x}" for row in rows],
        )
        if self.tools.keep is not None and batch.inputs is not None and batch.inputs.is_cpu:
            for row in rows:
                self.tools.keep(step, kind, str(int(row)), batch.inputs[int(row)].float().numpy().copy())


_PARTS = ((0, (1 << 22) - 1), (22, (1 << 21) - 1), (43, (1 << 21) - 1))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The 64-bit hashes again."""
    whole = np.zeros(parts[0].shape, dtype=np.uint64)
    for (shift, _), part in zip(_PARTS, parts, strict=True):
        whole |= part.astype(np.uint64) << np.uint64(shift)
    return whole


def _order(past: _Past, labels: np.ndarray, whole: bool) -> dict[str, float]:
    """The order of one batch's labels, and what shuffled labels would show, from all that were seen."""
    integral = whole or bool(np.isin(labels, (0.0, 1.0)).all())
    if not integral:
        runs, rising = target_order(labels)
        return {"label_runs": runs, "label_runs_expected": 0.0, "label_rising": float(rising)}
    labels = labels[labels >= 0].astype(np.int64)  # negative labels are ignored ones
    if len(labels) < 2:
        return {}
    order = label_order(labels)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if int(label) in past.classes or len(past.classes) < KEPT_CLASSES:
            past.classes[int(label)] = past.classes.get(int(label), 0) + int(count)
    counts = np.array(list(past.classes.values()), dtype=np.float64)
    return {
        "label_runs": order.repeats,
        "label_runs_expected": float(np.square(counts / counts.sum()).sum()),
        "label_rising": float(order.rising and order.contiguous),
        "label_purity": order.purity,
        "label_majority": float(order.majority),
        "label_classes": float(order.classes),
        "label_classes_seen": float(len(counts)),
    }
