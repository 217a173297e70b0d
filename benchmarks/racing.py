"""What races share: arms that alternate in one process, and what a graph keeps for its backward."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor


def race(name: str, arms: dict[str, Callable[[], object]], rounds: int) -> None:
    """Alternate the arms (the first is ours); print medians, and of the others the ratio to ours in each round."""
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for call in arms.values():
        call()
    for turn in range(rounds):
        for arm in list(arms) if turn % 2 == 0 else reversed(arms):
            begin = time.perf_counter()
            arms[arm]()
            times[arm].append(time.perf_counter() - begin)
    first, *others = times
    shown = [f"{first} {1e3 * statistics.median(times[first]):8.2f} ms"]
    for arm in others:
        ratios = [t / o for t, o in zip(times[arm], times[first], strict=True)]
        shown.append(
            f"{arm} {1e3 * statistics.median(times[arm]):8.2f} ms ({statistics.median(ratios):.2f} × {first}, "
            f"{min(ratios):.2f} … {max(ratios):.2f})"
        )
    print(f"{name:24} " + "   ".join(shown), flush=True)


def kept_bytes(call: Callable[[], object]) -> int:
    """Bytes of distinct storages that the graph keeps for the backward."""
    seen: dict[int, int] = {}
    held = []  # so that no address comes twice

    def pack(x: Tensor) -> Tensor:
        seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        held.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        call()
    return sum(seen.values())
