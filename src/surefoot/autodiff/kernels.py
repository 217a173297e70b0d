"""Kernels that can be differentiated in every way: forward mode, and twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextlib.contextmanager
def differentiable_kernels(model: nn.Module | None = None) -> Iterator[None]:
    """Run with kernels that have forward-mode formulas and a second derivative, whatever is fused otherwise.

    Plain attention, no fused encoder layer, no autocast, and plain recurrent layers if ``model`` (None: any) has some.
    """
    recurrent = model is None or any(isinstance(module, nn.RNNBase) for module in model.modules())
    fused = torch.backends.mha.get_fastpath_enabled()
    devices = {"cpu"} | ({p.device.type for p in model.parameters()} - {"meta"} if model is not None else set())
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for device in filter(torch.amp.is_autocast_available, devices):
            stack.enter_context(torch.autocast(device, enabled=False))
        if recurrent:
            # not by mkldnn.flags(), which warns of torch's own default as it puts it back
            stack.callback(setattr, torch.backends.mkldnn, "enabled", torch.backends.mkldnn.enabled)
            setattr(torch.backends.mkldnn, "enabled", False)  # noqa: B010  (a property of the module, unknown to mypy)
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        yield
