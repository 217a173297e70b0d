"""One forward and one backward of a model, watched, and no step: what ``surefoot inspect FILE.py:FUNCTION`` records."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.curvature import HessianReport
from surefoot.analysis.propagation import Chain, chain_report
from surefoot.analysis.residual_expansion import beyond_first_order, effective_depth
from surefoot.init import critical_point
from surefoot.monitor.inspect import Subject, loss_of
from surefoot.monitor.session import Session
from surefoot.monitor.synthetic import synthetic
from surefoot.observe.compiled import ByHand
from surefoot.observe.signals.activations import first_tensor
from surefoot.observe.start import StartProbe

SECONDS = 6.0  # of forward and backward; a batch that takes longer is cut
_FEW = 2  # rows of the first run, which tells what a row costs
_CHEAP = 2e9  # parameters times numbers of the batch, below which nothing is timed
_ADAM_EPS, _HALF = 1e-8, 2.0**-24
_MOST = 1 << 18  # elements of a gradient that are read


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
        chain = chain_report(probe.layers, probe.activations)
        sizes = [size for size in probe.residual.values() if math.isfinite(size)]
        facts: dict[str, Any] = {
            "inputs": told,
            "rows": cut,
            "cotangent": cotangents[0] is not None,
            "chain": None if chain is None else _plain(chain),
            "layers": [asdict(layer) for layer in probe.layers],
            "alone": _alone(probe),
            "residual": probe.residual,
            "blocks": probe.blocks,
            "path_depth": effective_depth(sizes),
            "longer_paths": beyond_first_order(sizes),
            "peak": probe.peak,
            "peak_at": probe.peak_at,
            "norms": _worst_norm(probe.norms),
            "half": _half(trained),
            "parameters": sum(p.numel() for p in model.parameters()),
            "seconds": time.perf_counter() - begin,
        }
        if cotangents[0] is None:
            facts["gradients"] = _small_gradients(model)
        session.event(0, "start", **facts)
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


def _plain(chain: Chain) -> dict[str, Any]:
    """As it goes to the record."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(chain).items()}


def _alone(probe: StartProbe) -> dict[str, Any] | None:
    """The commonest activation that is a module, and where it is critical with nothing else between layers."""
    if not probe.counts:
        return None
    name = probe.counts.most_common(1)[0][0]
    try:
        return {"activation": name, "point": asdict(critical_point(probe.activations.get(name, name)))}
    except (ValueError, RuntimeError):  # it overflows, or has no derivative
        return None


def _worst_norm(norms: Mapping[str, tuple[float, float]]) -> dict[str, Any] | None:
    """Of those that have something to normalise, where ε is largest against the variance it is added to."""
    known = {name: pair for name, pair in norms.items() if pair[1] > 0}
    if not known:
        return None
    name = max(known, key=lambda name: known[name][0] / known[name][1])
    return {"name": name, "eps": known[name][0], "variance": known[name][1]}


@torch.no_grad()
def _half(trained: Sequence[Tensor]) -> dict[str, Any] | None:
    """Weights of 16 bits: their type, number, and root mean square."""
    matrices = [p for p in trained if p.dtype in (torch.bfloat16, torch.float16) and p.dim() > 1]
    if not matrices:
        return None
    sizes = [float(p.flatten()[:_MOST].float().square().mean().sqrt()) for p in matrices]
    dtype = str(matrices[0].dtype).removeprefix("torch.")
    return {"dtype": dtype, "tensors": len(matrices), "rms": float(np.median(sizes))}


@torch.no_grad()
def _small_gradients(model: torch.nn.Module) -> dict[str, Any]:
    """How many weights' gradients are below Adam's ε, and what share of elements float16 would flush to zero.

    Weights of two dimensions or more: a bias before a normalisation, say, has no gradient but rounding errors.
    """
    below, flushed, count, smallest, smallest_at = [], 0.0, 0, math.inf, ""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or parameter.grad is None or parameter.grad.is_sparse:
            continue
        size = parameter.grad.flatten()[:_MOST].abs().float()
        if not bool((size > 0).any()):
            continue
        rms = float(size.square().mean().sqrt())
        count += 1
        flushed += float(((size > 0) & (size < _HALF)).sum() / (size > 0).sum())
        if rms < _ADAM_EPS:
            below.append(name)
        if rms < smallest:
            smallest, smallest_at = rms, name
    return {
        "tensors": count,
        "below_eps": below,
        "flushed": flushed / count if count else math.nan,
        "smallest": smallest,
        "smallest_at": smallest_at,
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
