"""One forward and one backward of a model, watched, and no step: what ``surefoot inspect FILE.py:FUNCTION`` records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.curvature import HessianReport
from surefoot.monitor.inspect import Subject, loss_of
from surefoot.monitor.session import Session
from surefoot.monitor.start_facts import start_facts
from surefoot.monitor.synthetic import synthetic
from surefoot.observe.by_hand import ByHand
from surefoot.observe.signals.activations import first_tensor
from surefoot.observe.start import StartProbe

SECONDS = 6.0  # of forward and backward; a batch that takes longer is cut
_FEW = 2  # rows of the first run, which tells what a row costs
_CHEAP = 2e9  # parameters times numbers of the batch, below which nothing is timed


def look(subject: Subject, folder: Path, target: str, options: list[str], seed: int = 0) -> Session:
    """Watch one forward and backward of the subject as step 0; the session is open, for what else is to be recorded.

    Raises
    ------
    ValueError
        If the model can't be run, or its loss can't be differentiated; nothing is recorded then.
    """
    model = subject.model
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("TARGET: no parameter of the model requires a gradient, so there is nothing that could learn")
    generator = torch.Generator().manual_seed(seed)
    if subject.inputs is None:
        inputs, told = synthetic(model, generator)
    else:
        inputs, told = subject.inputs, ""
    torch.manual_seed(seed)  # of dropout
    first, batch, cut = _first_run(subject, inputs, generator)
    inputs, targets = batch
    session = Session(folder, script=target, inspected=options, models=[model])
    try:
        begin = time.perf_counter()
        session.observer.acquaint(first)
        del first
        with StartProbe(model) as probe:
            roots, cotangents = _root_of(subject, inputs, targets, generator)
            torch.autograd.backward(roots, cotangents)
            stand_in = ByHand(trained)
            session.observer.end_untaken(stand_in)
        random = cotangents[0] is not None
        facts = start_facts(probe, model, gradients=not random)
        seconds = time.perf_counter() - begin
        session.event(0, "start", inputs=told, rows=cut, cotangent=random, seconds=seconds, **facts)
    except BaseException:
        session.close(1, None, report=False)
        raise
    return session


def add_curvature(session: Session, report: HessianReport) -> None:
    """Put the Hessian's spectrum into the record."""
    density = report.density
    for key in ("grid", "density", "atoms"):
        session.writer.blob(0, "hessian", key, np.asarray(getattr(density, key)))
    session.event(0, "hessian", **_numbers(report))


def _numbers(report: HessianReport) -> dict[str, Any]:
    """The report's numbers, as they go to the record."""
    ends = {
        name: {"value": float(pairs.values[0]), "residual": float(pairs.residuals[0]), "converged": pairs.converged}
        for name, pairs in (("largest", report.largest), ("smallest", report.smallest))
    }
    names = ("effective_rank", "outliers", "gap", "flat", "negative", "gradient_overlap", "gradient_norm", "parameters")
    plain = {name: getattr(report, name) for name in (*names, "rows", "products", "seed")}
    return ends | plain | {"k": len(report.largest.values), "trace": asdict(report.trace), "norm": asdict(report.norm)}


def _call(model: torch.nn.Module, inputs: Any) -> Any:
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    except Exception as error:
        raise ValueError(f"TARGET: the model can't be run on its inputs: {_first_line(error)}") from error


def _root_of(
    subject: Subject, inputs: Any, targets: Any, generator: torch.Generator
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Run the model; what a backward starts from, and with which gradient: a loss, or outputs and a random one."""
    output = _call(subject.model, inputs)
    if targets is not None:
        loss_fn = loss_of(subject)
        try:
            loss = loss_fn(*_matched(output, targets, subject))
        except Exception as error:
            raise ValueError(f"TARGET: the loss can't be computed: {_first_line(error)}") from error
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise ValueError("TARGET: the loss must be one number that depends on the model's parameters")
        return [loss], [None]
    tensor = first_tensor(output)
    if tensor is None or not tensor.requires_grad:
        raise ValueError(
            f"TARGET: the model gives {type(output).__name__}, in which no tensor comes first that depends on its "
            "parameters; return (model, inputs, targets, loss_fn)"
        )
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    return [tensor], [noise / max(1, tensor.shape[0] if tensor.dim() else 1)]


def _matched(output: Any, targets: Any, subject: Subject) -> tuple[Any, Any]:
    """Output and targets as the known losses take them: one row a token."""
    if subject.loss_fn is None:
        output = first_tensor(output)
        if output is not None and not targets.is_floating_point() and output.dim() == targets.dim() + 1:
            return output.reshape(-1, output.shape[-1]), targets.reshape(-1)
    return output, targets


def _first_run(subject: Subject, inputs: Any, generator: torch.Generator) -> tuple[list[Tensor], tuple[Any, Any], str]:
    """Roots of a first graph, inputs and targets of as many rows as a few seconds allow, and a sentence if not all."""
    targets = subject.targets
    rows = _rows_of(inputs, targets)
    work = sum(p.numel() for p in subject.model.parameters()) * max((t.numel() for t in _tensors(inputs)), default=0)
    if rows is not None and rows > _FEW and work > _CHEAP:
        begin = time.perf_counter()
        with suppress(ValueError):  # rows that can't be taken apart
            roots, _ = _root_of(subject, _cut(inputs, _FEW), _cut(targets, _FEW), generator)
            each = (time.perf_counter() - begin) / _FEW
            most = max(_FEW, int(SECONDS / (3 * each)))  # a forward, and a backward twice as dear
            if most >= rows:
                return roots, (inputs, targets), ""
            told = f"{most} of {rows} rows, for a look of a few seconds"
            return roots, (_cut(inputs, most), _cut(targets, most)), told
    return _root_of(subject, inputs, targets, generator)[0], (inputs, targets), ""


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [t for part in parts for t in _tensors(part)]


def _rows_of(*values: Any) -> int | None:
    """The rows that all tensors share; None if they do not."""
    sizes = {t.shape[0] if t.dim() else 0 for t in _tensors(values)}
    return sizes.pop() if len(sizes) == 1 else None


def _cut(value: Any, rows: int) -> Any:
    if isinstance(value, Tensor):
        return value[:rows]
    if isinstance(value, Mapping):
        return {key: _cut(part, rows) for key, part in value.items()}
    return type(value)(_cut(part, rows) for part in value) if isinstance(value, list | tuple) else value


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
