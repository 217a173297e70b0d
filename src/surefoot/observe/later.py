"""Numbers that a look asks for: read at once on the CPU; on an accelerator, once the device has come to them.

A look on an accelerator never waits: small results are copied to pinned memory behind the work that is queued already,
and what is to be done with them is done at a later step, in the order in which it was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Then = Callable[[list[np.ndarray]], None]


class Later:
    """A queue of questions to devices, answered in order.

    Parameters
    ----------
    delayed : answer nothing before :meth:`poll`, on the CPU too (how tests see the path that accelerators take)
    """

    def __init__(self, delayed: bool = False) -> None:
        self._delayed = delayed
        self._waiting: deque[tuple[list[Tensor], list[tuple[int, ...]], list[Any], Then]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def immediate(self) -> bool:
        """Whether numbers on the CPU are read at once."""
        return not self._delayed

    def ask(self, tensors: Sequence[Tensor], then: Then) -> None:
        """Call ``then`` with the tensors' values, as float64 arrays in the same order and of the same shapes.

        At once if all are on the CPU and nothing waits, else from a later :meth:`poll`.
        """
        shapes = [tuple(t.shape) for t in tensors]
        if not self._waiting and not self._delayed and all(t.is_cpu for t in tensors):
            then(_unpack([_pack(tensors)], shapes) if tensors else [])
            return
        hosts: list[Tensor] = []
        events: list[Any] = []
        for device in dict.fromkeys(t.device for t in tensors):
            # tensors of one question are on one device, but for models spread over several: then one copy each
            packed = _pack([t if t.device == device else t.new_zeros(t.shape, device=device) for t in tensors])
            hosts.append(packed.to("cpu", non_blocking=True))
            if device.type != "cpu":
                event = torch.Event(device)
                event.record()
                events.append(event)
        self._waiting.append((hosts, shapes, events, then))

    def poll(self) -> None:
        """Answer what the devices have finished."""
        while self._waiting and all(event.query() for event in self._waiting[0][2]):
            hosts, shapes, _, then = self._waiting.popleft()
            then(_unpack(hosts, shapes))

    def drain(self) -> None:
        """Wait for the devices and answer everything: the run is over."""
        for _, _, events, _ in self._waiting:
            for event in events:
                event.synchronize()
        self.poll()


def _pack(tensors: Sequence[Tensor]) -> Tensor:
    flat = [t.detach().reshape(-1) for t in tensors]
    kind = torch.float64 if all(t.is_cpu for t in tensors) else torch.float32  # some devices have no float64
    return torch.cat([t.to(kind) for t in flat])


def _unpack(hosts: list[Tensor], shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    # where a tensor lives on another device its copy here is zeros, so the sum over devices is the value
    values = sum((host.double().numpy() for host in hosts[1:]), hosts[0].double().numpy()) if hosts else np.zeros(0)
    sizes = [int(np.prod(shape)) for shape in shapes]
    parts = np.split(values, np.cumsum(sizes)[:-1]) if shapes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
