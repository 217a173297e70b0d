"""``bfloat16``: half precision with the range of float32, and weights that keep every update.

float16 ends at 65504 and is 0 below 2⁻²⁵; bfloat16 reaches as far as float32, so that it needs no loss scaling. Its 8
bits are enough for activations and too few for weights, which would swallow updates below 2⁻⁹ of their size: those are
kept in float32, as in mixed precision (Micikevicius et al. 2018, arXiv 1710.03740, §3.1). Data that the script itself
would cast to float16 are given in float32, for a model that was widened takes them so.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import autocast
from torch.utils._pytree import tree_map_only

from surefoot.apply.cure import Desk, ModelCure, Patch
from surefoot.apply.script_calls import by_the_script, caller
from surefoot.observe.discover import census

HALF = (torch.float16, torch.bfloat16)


class BFloat16(ModelCure):
    """Turns ``autocast`` from float16 to bfloat16; gives models with weights in half precision float32 weights, a
    forward under bfloat16 autocast, and outputs in float32."""

    id = "bfloat16"
    narrow: ClassVar[tuple[torch.dtype, ...]] = (torch.float16,)
    """What the script may not cast data to."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._widened: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._hooks: list[Any] = []
        self._forwards: list[tuple[nn.Module, autocast]] = []  # under way
        self._foreign: bool | None = None
        self.turned = self.models_widened = self.casts = 0

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """The beginning of an ``autocast`` region, and the script's own casts of data."""
        yield autocast, "__enter__", functools.partial(self._enter, guard)
        yield Tensor, "to", functools.partial(self._casting, guard)
        yield Tensor, "type", functools.partial(self._casting, guard)
        for dtype, name in ((torch.float16, "half"), (torch.bfloat16, "bfloat16")):
            if dtype in self.narrow:
                yield Tensor, name, functools.partial(self._casting, guard)

    def _casting(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        named = original.__name__ in ("half", "bfloat16")

        @functools.wraps(original)
        def cast(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            asked = named or any(isinstance(x, torch.dtype) and x in self.narrow for x in (*args, *kwargs.values()))
            if asked and not torch.compiler.is_compiling() and guard(self._widens, tensor, caller()):
                wide = {name: self._wider(value) for name, value in kwargs.items()}
                return tensor.float() if named else original(tensor, *map(self._wider, args), **wide)
            return original(tensor, *args, **kwargs)

        return cast

    def _widens(self, tensor: Tensor, frame: FrameType) -> bool:
        """Whether a cast of the script's is to give float32: what is beyond half precision is so before any model."""
        if not by_the_script(frame) or not tensor.is_floating_point() or self._others_are_half():
            return False
        self.casts += 1
        self.act()
        return True

    def _others_are_half(self) -> bool:
        """Whether data may be for a model that is not trained here, and stays in half precision (a frozen teacher); so
        they may as long as nobody trains."""
        if self._foreign is None and self.trained:
            own = {id(m) for model in self.trained for m in model.modules()}
            others = (m for m in census().modules if id(m) not in own)
            self._foreign = any(p.dtype in HALF for m in others for p in m.parameters(recurse=False))
        return self._foreign is not False

    def _wider(self, value: Any) -> Any:
        return torch.float32 if isinstance(value, torch.dtype) and value in self.narrow else value

    def _enter(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __enter__(region: autocast) -> Any:
            guard(self.turn, region)
            return original(region)

        return __enter__

    def turn(self, region: autocast) -> None:
        """From float16 to bfloat16."""
        if region.fast_dtype == torch.float16:
            region.fast_dtype = torch.bfloat16
            self.turned += 1
            self.act()

    def also_trained(self, modules: Iterable[nn.Module]) -> list[Tensor]:
        """Those in half precision: the optimiser may hold copies of them in float32."""
        return [p for m in modules for p in m.parameters(recurse=False) if p.dtype in HALF and p.requires_grad]

    def met(self, model: nn.Module) -> None:
        """Wait for its next forward."""
        self._hooks += [
            model.register_forward_pre_hook(self._before, prepend=True, with_kwargs=True),
            model.register_forward_hook(self._after, always_call=True),
        ]

    def _before(self, model: nn.Module, args: Any, kwargs: Any) -> Any:
        device = next((p.device.type for p in model.parameters() if p.dtype in HALF), None)
        if device is not None:
            model.float()  # the very parameters that the optimiser holds get other numbers
            self.models_widened += model not in self._widened
            self._widened.add(model)
            self.act()
        if model not in self._widened:
            return None
        region = self.region(device or next(model.parameters()).device.type)
        region.__enter__()
        self._forwards.append((model, region))
        return _wide((args, kwargs))

    def region(self, device: str) -> Any:
        """What the forward of a model with widened weights runs in."""
        return autocast(device, torch.bfloat16)

    def _after(self, model: nn.Module, args: Any, output: Any) -> Any:
        if not self._forwards or self._forwards[-1][0] is not model:
            return None
        self._forwards.pop()[1].__exit__(None, None, None)
        return _wide(output)

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for hook in self._hooks:
            hook.remove()
        if not self.acted:
            self.note("neither autocast in float16 nor weights in half precision were met; nothing was changed")

    @property
    def of_casts(self) -> str:
        """To be added to what was done, where data were cast."""
        return f"; {self.casts:,} casts of data gave float32" if self.casts else ""

    def summary(self) -> str:
        """Where."""
        return (
            f"turned {self.turned:,} autocast regions from float16 to bfloat16, and gave {self.models_widened:,} "
            f"models float32 weights{self.of_casts}"
        )


def _wide(tree: Any) -> Any:
    """All tensors in half precision as float32."""
    return tree_map_only(torch.Tensor, lambda t: t.float() if t.dtype in HALF else t, tree)
