"""Cures of what enters a network: of each layer that data goes into, as a run of the model on its first inputs shows.

That run leaves nothing behind. What a cure puts in front of a layer acts in evaluations too, and is taken off again
when the run is over.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure
from surefoot.observe.data_sites import DataSite, find_data
from surefoot.observe.graph import read_graph
from surefoot.observe.replay import Forward


class FirstLayers(ModelCure):
    """Puts the module that :meth:`door` makes in front of each first layer."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._handles: list[Any] = []
        self._waiting: dict[int, Any] = {}  # id of a model → the hook on its first forward
        self._done: list[str] = []

    def door(self, site: DataSite) -> tuple[nn.Module, str] | None:
        """What is to stand in front of a layer, and what is told of it; None leaves the layer as it is."""
        raise NotImplementedError

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
        made = self.door(site) if owner is not None else None
        if owner is None or made is None:
            return
        (name, layer), (part, told) = owner, made
        features = site.data.shape[site.feature_dim]
        before = partial(_before, part, features, site.feature_dim)
        self._handles.append(layer.register_forward_pre_hook(before, prepend=True))
        self._done.append(f"{name or type(model).__name__} ({told})")
        self.act()

    def at_close(self) -> None:
        """Leave no hook behind."""
        for handle in self._handles:
            handle.remove()


def _before(
    part: nn.Module, features: int, dim: int, layer: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    if not args or not isinstance(args[0], Tensor) or args[0].shape[dim] != features:
        return None  # not what was seen in front of it at first
    part.train(layer.training)
    return part(args[0]), *args[1:]
