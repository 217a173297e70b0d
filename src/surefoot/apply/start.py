"""A start: a cure that changes the weights of each model once, before its first forward."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk
from surefoot.apply.fresh import copies_of, sign_of_training
from surefoot.observe.discover import census, find_models, unwrap
from surefoot.observe.hook import Hook


class Start(Cure):
    """Calls :meth:`start` on each model that the script's optimisers train. Where weights do not look as if they had
    just been drawn, nothing is done; copies (target networks, averages) are kept equal."""

    wants_models = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._hooks: dict[int, Any] = {}
        self._met: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._stepped = False
        self._done: list[str] = []
        if desk.offset:
            self.note("the run is continued, so its weights are trained; they stay")

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Change the weights of ``model``, whose first forward is called with ``args``; returns what was done.

        Raises
        ------
        Exception
            It keeps its weights, for the reason that the message gives.
        """
        raise NotImplementedError

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Wait for the first forward of each model that it trains."""
        if self.desk.offset:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        modules = census().modules if self.models is None else [m for top in self.models for m in top.modules()]
        for root in find_models(modules, parameters).roots:
            model = root.module()
            if model is not None and model not in self._met:
                self._met.add(model)
                # hooks of a compiled model run outside of what is compiled; those of the model below would be traced
                door = next((m for m in modules if m is not model and unwrap(m)[0] is model), model)
                handle = door.register_forward_pre_hook(
                    Hook(partial(self._at_forward, weakref.ref(model))), with_kwargs=True, prepend=True
                )
                self._hooks[id(model)] = handle

    def before_step(self, optimizer: Optimizer) -> None:
        """From here on weights are trained."""
        self._stepped = True

    def at_close(self) -> None:
        """Take the hooks off; say so where no model was met."""
        if self._hooks and self._stepped:
            self.note("a model's forward is compiled, or was not met; it keeps its weights")
        for handle in self._hooks.values():
            handle.remove()
        self._hooks.clear()
        if not self._met and not self.desk.offset:
            self.note("no model was found to be trained; nothing was changed")

    def summary(self) -> str:
        """What was drawn."""
        return "; ".join(self._done) if self._done else "drew no weights"

    def _at_forward(
        self, ref: weakref.ref[nn.Module], door: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """A forward pre-hook."""
        model = ref()
        if torch.compiler.is_compiling() or model is None:
            return
        self._hooks.pop(id(model)).remove()
        try:
            used = "a step was taken already" if self._stepped else sign_of_training(model)
            if used is not None:
                raise ValueError(f"{used}; only a model that was just drawn is drawn anew")
            copies = copies_of(model)
            self._done.append(self.start(model, args, kwargs))
            for other in copies:
                other.load_state_dict(model.state_dict())
            self.act()
        except Exception as error:
            self.note(f"{type(model).__name__} keeps its weights: {' '.join(str(error).split())}")
