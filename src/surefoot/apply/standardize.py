"""``standardize``: inputs that a first layer gets far too large, too small or too uneven come to mean 0 and variance 1.

Which layers data enter, and of what size, a run of the model on the script's own first inputs tells, which leaves
nothing behind. Layers that make of them pre-activations of order one are left alone (all are meant with ``factor=1``).
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.analysis.samples import input_scale, preactivation_scale
from surefoot.apply.cure import Desk, ModelCure
from surefoot.nn.standardize import RunningStandardize
from surefoot.observe.data_sites import DataSite, find_data
from surefoot.observe.graph import read_graph
from surefoot.observe.replay import Forward

_UNEVEN = 100.0  # as the rule `unscaled-inputs` has it


class Standardize(ModelCure):
    """Puts a :class:`surefoot.nn.RunningStandardize` in front of such layers."""

    id = "standardize"

    def __init__(self, desk: Desk, factor: float) -> None:
        super().__init__(desk)
        self.factor = factor
        self._handles: list[Any] = []
        self._waiting: dict[int, Any] = {}  # id of a model → the hook on its first forward
        self._done: list[str] = []

    def met(self, model: nn.Module) -> None:
        """Wait for its first forward."""
        first = partial(self._first, weakref.ref(model))
        handle = model.register_forward_pre_hook(first, with_kwargs=True, prepend=True)
        self._handles.append(handle)
        self._waiting[id(model)] = handle

    def _first(
        self, ref: weakref.ref[nn.Module], door: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        model = ref()
        if torch.compiler.is_compiling() or model is None or torch.is_inference_mode_enabled():
            return
        self._waiting.pop(id(model)).remove()
        try:
            with torch.enable_grad():
                outputs = [t for t in Forward(model, args, kwargs).again() if t.grad_fn is not None]
                sites = find_data(read_graph(outputs))
            for site in sites:
                self._put(model, site)
        except Exception as error:
            self.note(f"the inputs of {type(model).__name__} stay as they are: {' '.join(str(error).split())}")

    def _put(self, model: nn.Module, site: DataSite) -> None:
        if site.normalises or site.weight.dim() < 2 or not site.data.is_floating_point():
            return
        owner = next(((n, m) for n, m in model.named_modules() for p in m.parameters(recurse=False)
                      if p is site.weight), None)  # fmt: skip
        if owner is None:
            return
        scale = input_scale(site.data, site.feature_dim)
        size = float(preactivation_scale(scale.second_moments, site.weight.detach()))
        if size == 0 or (1 / self.factor < size < self.factor and not float(scale.spread) >= _UNEVEN):
            return
        name, layer = owner
        norm = RunningStandardize(site.data.shape[site.feature_dim], site.feature_dim, site.data.device, torch.float32)
        self._handles.append(layer.register_forward_pre_hook(partial(self._before, norm), prepend=True))
        self._done.append(f"{name or type(model).__name__} (pre-activations of size {size:.2g})")
        self.act()

    def _before(self, norm: RunningStandardize, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args or not isinstance(args[0], Tensor) or args[0].shape[norm.dim] != norm.num_features:
            return None  # not what was seen in front of it at first
        norm.train(layer.training)
        return norm(args[0]), *args[1:]

    def at_close(self) -> None:
        """Leave no hook behind; say so where there was nothing to change."""
        for handle in self._handles:
            handle.remove()
        if not self._done and not self.noted:
            self.note("no first layer was met whose inputs are far from size one; nothing was changed")

    def summary(self) -> str:
        """Where."""
        return f"standardised the inputs of {', '.join(self._done)}" if self._done else "standardised no inputs"
