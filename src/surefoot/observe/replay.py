"""One forward of the script's own, remembered so that it can be run again as if it had never run twice.

Modules, buffers, attributes and random generators are set to what they were when the forward began, and afterwards to
what the run has now, the very same objects.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from surefoot.autodiff.parameters import call_with
from surefoot.observe.compiled import compiled_in_place
from surefoot.observe.hook import Hook

_HOOKS = tuple(name for name in nn.Module().__dict__ if name.endswith("_hooks"))
_CALLED = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Forward:
    """What a forward of ``root`` began from and, once it is over, what it gave.

    Attributes
    ----------
    root : the module
    outputs : the tensors that it returned, with their graph; None while it runs. See :meth:`let_go`
    autocast : device type, dtype and whether it was enabled
    """

    def __init__(self, root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        device = next((t.device.type for t in tensors_of((args, kwargs))), "cpu")
        self.root = root
        self.args, self.kwargs = args, kwargs
        self.outputs: list[Tensor] | None = None
        self.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        self._inputs = [(t, t._version) for t in tensors_of((args, kwargs))]
        self._output_versions: list[int] = []
        self._random = _random_state()
        self._generators = [(g, _generator_state(g)) for g in _generators(root, args, kwargs)]
        self._attributes = [(module, _attributes(module)) for module in root.modules()]

    def ended(self, output: Any) -> None:
        """It returned ``output``."""
        self.outputs = list(tensors_of(output))
        self._output_versions = [t._version for t in self.outputs]

    def let_go(self) -> None:
        """Keep the outputs' numbers, but not the graph behind them."""
        if self.outputs is not None:
            self.outputs = [t.detach() for t in self.outputs]

    @property
    def untouched(self) -> bool:
        """Whether inputs and outputs still hold the numbers that they had: the script may change them in place."""
        return (
            self.outputs is not None
            and all(t._version == version for t, version in self._inputs)
            and all(t._version == version for t, version in zip(self.outputs, self._output_versions, strict=True))
        )

    def refusal(self) -> str | None:
        """Why it must not run again, or None."""
        if foreign_hooks(self.root):
            return "the script has hooks on its modules, which a second run would call twice"
        return None

    @contextlib.contextmanager
    def as_it_began(self) -> Iterator[None]:
        """Set everything to what the forward began with, hooks of ours off; put back what the run has now.

        The run's own buffers are swapped out, not overwritten: a write would raise their version, and the run's
        backward would refuse them. What is printed inside is lost.
        """
        now = _random_state()
        generators = [(g, _generator_state(g)) for g, _ in self._generators]
        attributes = [(module, dict(module.__dict__)) for module, _ in self._attributes]
        try:
            for module, kept in self._attributes:
                module.__dict__.clear()
                # copies of copies: what runs inside may be run again
                module.__dict__.update(_copied(kept) | {name: OrderedDict() for name in _HOOKS})
            _set_random_state(self._random)
            for generator, state in self._generators:
                _set_generator_state(generator, state)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
        finally:
            for module, kept in attributes:
                module.__dict__.clear()
                module.__dict__.update(kept)
            _set_random_state(now)
            for generator, state in generators:
                _set_generator_state(generator, state)

    def again(self, parameters: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """The tensors that it gives with other parameters (those not named keep their values); nothing stays changed.

        Where parameters are given its own random state, modes and buffers are used, so that twice gives the same.
        """
        with self.as_it_began():
            if parameters is None:
                return list(tensors_of(self.root(*self.args, **self.kwargs)))
            return list(tensors_of(call_with(self.root, parameters, self.args, self.kwargs)))


class ForwardRecorder:
    """Remembers the next forwards that train, of the modules it is put on.

    Parameters
    ----------
    guard : ``guard(name, function, *args)`` runs a function of ours inside one of the script's
    name : under which it is turned off when it fails
    most : forwards a time; the first ones are kept
    """

    def __init__(self, guard: Callable[..., Any], name: str, most: int = 1) -> None:
        self._guard = guard
        self._name, self._most = name, most
        self._handles: list[Any] = []
        self.forwards: list[Forward] = []

    def put_on(self, roots: Sequence[nn.Module]) -> None:
        """Remember what the script's next forwards start from."""
        self.take_off()
        for root in roots:
            if compiled_in_place(root):
                self._handles.append(_Around(root, self._before, self._after))
            elif not isinstance(root, torch.jit.ScriptModule):
                self._handles += [
                    root.register_forward_pre_hook(Hook(self._before), with_kwargs=True),
                    root.register_forward_hook(Hook(self._after)),
                ]

    def take_off(self) -> None:
        """Leave no trace on the models; what was remembered stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def forget(self) -> None:
        """Let go of what was remembered."""
        self.forwards = []

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():  # what is traced is the same as without us
            return
        if len(self.forwards) < self._most and torch.is_grad_enabled():
            self._guard(self._name, self._begin, module, args, kwargs)

    def _begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.forwards.append(Forward(module, args, kwargs))

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        for forward in reversed(self.forwards):
            if forward.root is module and forward.outputs is None:
                self._guard(self._name, forward.ended, output)
                return


class _Around:
    """In the place of hooks on a model that was compiled in place: those would be inside of what is compiled."""

    def __init__(self, module: nn.Module, before: Callable[..., None], after: Callable[..., None]) -> None:
        self._module, self._on = module, True
        original: Callable[..., Any] = module.__dict__["_compiled_call_impl"]
        self._original = original

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._on:  # in a replay
                return original(*args, **kwargs)
            before(module, args, kwargs)
            output = original(*args, **kwargs)
            after(module, args, output)
            return output

        self._call = call
        module.__dict__["_compiled_call_impl"] = call

    def remove(self) -> None:
        """Take it off."""
        self._on = False
        if self._module.__dict__.get("_compiled_call_impl") is self._call:
            self._module.__dict__["_compiled_call_impl"] = self._original


def foreign_hooks(root: nn.Module) -> bool:
    """Whether hooks that are not ours would run, or be missed, in a second run of ``root``."""
    every = [getattr(module, name, None) for module in root.modules() for name in _CALLED]
    every += [getattr(torch_module, f"_global{name}", None) for name in _CALLED]
    return any(
        not str(getattr(hook, "__module__", "")).startswith("surefoot.") for hooks in every if hooks
        for hook in hooks.values()
    )  # fmt: skip


def tensors_of(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_of(item)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """A module's attributes as they are now, but for parameters and children."""
    return _copied(module.__dict__)


def _copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Buffers and other tensors cloned, containers copied one level deep."""
    kept: dict[str, Any] = {}
    for name, value in attributes.items():
        if name == "_buffers":
            kept[name] = {k: None if b is None else b.detach().clone() for k, b in value.items()}
        elif name in ("_parameters", "_modules") or name in _HOOKS:
            kept[name] = value
        elif isinstance(value, Tensor) and not value.requires_grad:
            kept[name] = value.detach().clone()
        elif isinstance(value, (list, dict, set)):
            kept[name] = value.copy()
        else:
            kept[name] = value
    return kept


_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def _generators(root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """Random generators that the forward may draw from, besides the global ones: those that a module, the inputs, or
    the source file of a module's class hold.
    """
    files = {type(module).__module__ for module in root.modules()}
    homes = [vars(sys.modules[name]) for name in files if name in sys.modules and not name.startswith("torch.")]
    held = [value for module in root.modules() for value in module.__dict__.values()]
    held += [*args, *kwargs.values(), *(value for home in homes for value in list(home.values()))]
    return list({id(g): g for g in held if isinstance(g, _GENERATORS)}.values())


def _generator_state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _set_generator_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _random_state() -> dict[str, Any]:
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
