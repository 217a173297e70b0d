"""Whether what a reading needs fits into the memory that is free: a look takes a tenth of it, or is skipped."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

SHARE = 0.1


def fits(tensors: Sequence[Tensor], copies: float) -> bool:
    """Whether so many copies of the tensors, on the devices where they are, take at most a tenth of what is free."""
    needed: dict[torch.device, int] = {}
    for tensor in tensors:
        needed[tensor.device] = needed.get(tensor.device, 0) + tensor.numel() * tensor.element_size()
    return all(copies * size <= SHARE * free_memory(device) for device, size in needed.items())


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device; infinite where that cannot be told."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what the caching allocator holds and does not use is free to us as well
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "cpu":
        try:
            with open("/proc/meminfo") as lines:
                for line in lines:
                    if line.startswith("MemAvailable:"):
                        return 1024.0 * int(line.split()[1])
        except (OSError, ValueError, IndexError):
            pass
    return float("inf")


def roomy(device: torch.device) -> bool:
    """Whether twice what the run holds on a device would fit as well: enough for the graph of a second derivative."""
    if device.type == "cuda":
        return 2 * torch.cuda.memory_allocated(device) <= free_memory(device)
    if device.type == "cpu":
        try:
            with open("/proc/self/statm") as line:
                return 2 * int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") <= free_memory(device)
        except (OSError, ValueError, IndexError):
            pass
    return True
