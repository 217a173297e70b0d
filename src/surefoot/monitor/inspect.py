"""What ``surefoot inspect`` looks at: a model that a file builds, with a batch and a loss if it gives them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isfunction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.curvature import HessianReport, hessian_report

_RETURNS = "(model, inputs, targets[, loss_fn])"


@dataclass(frozen=True)
class Subject:
    """What a ``build`` function returned; the loss is cross-entropy for class indices, squared error for numbers."""

    model: nn.Module
    inputs: Any = None
    targets: Any = None
    loss_fn: Callable[[Any, Any], Tensor] | None = None


def build(target: str, checkpoint: Path | None = None) -> Subject:
    """Call the function of ``file.py:name`` (``build`` if no name is given), and load a checkpoint into its model.

    Parameters
    ----------
    target : the file and the function, which takes no arguments and returns ``model`` or
        ``(model, inputs[, targets[, loss_fn]])``
    checkpoint : a state dict as safetensors, or as ``torch.save`` wrote it; nothing but tensors is unpickled

    Raises
    ------
    ValueError
        If the file, the function or its result is not what it must be, or the checkpoint does not fit the model.
    """
    path, _, name = target.partition(":")
    name = name or "build"
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise ValueError(f"TARGET: there is no Python file {path!r}; give FILE.py:FUNCTION, such as model.py:build")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))
    sys.modules[file.stem] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, v in vars(module).items() if isfunction(v) and v.__module__ == file.stem]
        raise ValueError(f"TARGET: {path} has no function {name!r}; it has {', '.join(there) or 'none'}")
    found = function()
    parts = tuple(found) if isinstance(found, tuple | list) else (found,)
    if not 1 <= len(parts) <= 4 or not isinstance(parts[0], nn.Module):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise ValueError(f"TARGET: {name}() gave ({kinds}); must give a model, or {_RETURNS}")
    subject = Subject(*parts)
    if checkpoint is not None:
        _load(subject.model, checkpoint)
    return subject


def curvature(subject: Subject, **options: Any) -> HessianReport:
    """Measure the Hessian of the subject's loss; ``options`` are those of
    :func:`surefoot.analysis.curvature.hessian_report`.

    Raises
    ------
    ValueError
        If the subject has no targets, or no loss that fits them.
    """
    if subject.inputs is None or subject.targets is None:
        raise ValueError(f"TARGET: the curvature of a loss needs inputs and targets; return {_RETURNS}")
    return hessian_report(subject.model, loss_of(subject), [(subject.inputs, subject.targets)], **options)


def loss_of(subject: Subject) -> Callable[[Any, Any], Tensor]:
    """Its own loss function, or the one that fits its targets."""
    if subject.loss_fn is not None:
        return subject.loss_fn
    targets = subject.targets
    if not isinstance(targets, Tensor):
        raise ValueError(f"TARGET: no loss is known for targets of type {type(targets).__name__}; return {_RETURNS}")
    return F.mse_loss if targets.dtype.is_floating_point else F.cross_entropy


def _load(model: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"--checkpoint: there is no file {str(path)!r}")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise ValueError("--checkpoint: reading safetensors needs the package: pip install safetensors") from error
        state: Any = load_file(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling fails in many ways
            why = str(error).splitlines()[0]
            raise ValueError(f"--checkpoint: {path.name} is not a file of tensors alone ({why})") from error
    for key in ("state_dict", "model"):  # what training scripts wrap it in
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"--checkpoint: {path.name} does not fit {type(model).__name__}: {why}") from error
