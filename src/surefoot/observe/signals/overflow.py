"""float16 overflow between modules: operations that give infinity though nothing that went in was infinite.

What modules give is read by their hooks. What a forward computes between them (a norm written as squares and a sum, a
product of scores) leaves no trace where an infinity is divided by next, so that it is zero, or where no gradient is
asked for. So the operations of a forward that computes in float16 are followed one by one, at a look only. Whether it
does is told by what it is given and made of, or by the graph of an earlier look: a model of float32 may well compute
some of its states in half.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains
from surefoot.observe.nodes import CAST, saved
from surefoot.observe.signals.activations import MAX_ELEMENTS
from surefoot.observe.signals.precision import SAVED

# Sums and products, which are finite for finite numbers where there is room. Not 1/0 or log 0, which are infinite in
# any format; not exp, of which a sigmoid or a softplus written by hand is right at infinity, too.
GROWING = frozenset(
    ["add", "addmm", "baddbmm", "bmm", "convolution", "cumsum", "dot", "linalg_vector_norm", "mean", "mm", "mul", "mv",
     "norm", "pow", "prod", "sub", "sum", "var"]
)  # fmt: skip
_MOST = 512  # operations of one look


class _Followed(TorchDispatchMode):
    """Hands every operation's name, arguments and result to ``read``."""

    def __init__(self, read: Callable[[str, Any, Any], None]) -> None:
        super().__init__()
        self._read = read

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._read(func.overloadpacket.__name__, args, out)
        return out


class Overflow(Instrument):
    """Reads ``overflowed_share`` of the operations of a model's forward that overflow."""

    name: ClassVar[str] = "overflow"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._mode: _Followed | None = None
        self._within = 0
        self._inside = False  # float16 was seen in a graph
        self._shares: list[tuple[str, Tensor]] = []

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Follow the next forward of each model, if it is one of training in float16."""
        self.withdraw()
        home = threading.get_ident()

        def begins(module: nn.Module, args: Any) -> None:
            if trains(home):
                self._within += 1
                if self._within == 1 and len(self._shares) < _MOST and (self._inside or _in_half(module, args)):
                    self._mode = _Followed(lambda *seen: self.tools.guard(self.name, self._take, *seen))
                    self._mode.__enter__()

        def ends(module: nn.Module, args: Any, output: Any) -> None:
            if trains(home) and self._within:
                self._within -= 1
                if not self._within:
                    self._leave()

        for root in roots:
            if not isinstance(root, torch.jit.ScriptModule):
                self._handles.append(root.register_forward_pre_hook(Hook(begins)))
                self._handles.append(root.register_forward_hook(Hook(ends), always_call=True))

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """See whether anything was computed in float16."""
        if self._inside or self.tools.scene.checkpointing:
            return
        casts = any(node.name() == CAST for node in view.nodes)
        self._inside = casts and any(
            (tensor := saved(node, *SAVED)) is not None and tensor.dtype == torch.float16 for node in view.nodes
        )

    def withdraw(self) -> None:
        """Follow nothing any more."""
        self._leave()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._within = 0

    def _leave(self) -> None:
        mode, self._mode = self._mode, None
        if mode is not None:
            mode.__exit__(None, None, None)

    def _take(self, name: str, args: Any, out: Any) -> None:
        half = type(out) is Tensor and out.dtype == torch.float16 and out.numel()
        if not half or name not in GROWING or len(self._shares) >= _MOST:
            return
        whole = out.numel() > MAX_ELEMENTS
        rows = out[: max(1, MAX_ELEMENTS * out.shape[0] // out.numel())] if whole and out.dim() else out
        share = (rows == torch.inf).float().mean()
        for given in args:
            for tensor in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                    share = share * torch.isfinite(torch.stack(torch.aminmax(tensor.detach()))).all()
                elif isinstance(tensor, float) and not np.isfinite(tensor):
                    return
        self._shares.append((name, share))

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write the operations that overflowed, by their name, and in what share of their result."""
        shares, self._shares = self._shares, []
        step = self.tools.scene.clock.steps

        def write(found: list[np.ndarray]) -> None:
            worst: dict[str, float] = {}
            for (name, _), share in zip(shares, map(float, found), strict=True):
                if share > 0:
                    worst[name] = max(share, worst.get(name, 0.0))
            for name, share in worst.items():
                self.tools.rows.put(step, self.name, name, overflowed_share=share)

        if shares:
            self.tools.ask(step, [share for _, share in shares], write)


def _in_half(module: nn.Module, args: Any) -> bool:
    """Whether a forward computes in float16: under autocast, of what it is given, or by its weights."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    device = tensors[0].device.type if tensors else "cpu"
    if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16:
        return True
    weight = next(module.parameters(), None)
    return any(t.dtype == torch.float16 for t in (*tensors, *([] if weight is None else [weight])))
