"""What one batch is, read at its backward: the hashes of its samples, what each of them loses, their labels.

A sample is the hash of its row of the model's input (dimension 0 of the first tensor; where no module can be hooked, of
the first data in the graph). Losses are those of the loss function in the graph, of all rows of the input or of those
that an index takes of them (the labelled nodes of a graph, say); where they are not, samples are counted without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from surefoot.analysis.activations import RECTIFIED, dead_outputs, unanswered_error
from surefoot.analysis.samples import (
    KEPT_SAMPLES,
    ROW_LOSSES,
    column_errors,
    expansion,
    far_rows,
    row_hashes,
    row_losses,
    top_share,
)
from surefoot.observe.data_sites import find_data
from surefoot.observe.graph import GraphView
from surefoot.observe.loss_site import LossSite, chosen_classes, rows_taken, soft_targets
from surefoot.observe.loss_sum import hand_written_expansion, hand_written_rows
from surefoot.observe.nodes import saved
from surefoot.observe.replay import tensors_of
from surefoot.observe.signals.far_targets import DISTANCES, read_far_targets

_ROUNDING = 1e-3  # of probabilities that are to sum to one
_LAST = {"ReluBackward0": "relu", "TanhBackward0": "tanh", "SigmoidBackward0": "sigmoid"}
FEWEST, MOST_OUTPUTS = 16, 64  # rows; numbers a row, where it is no picture
MAX_ELEMENTS = 1 << 18  # outputs whose errors are read


@dataclass(slots=True)
class Batch:
    """What was read, still where it is computed."""

    source: str = ""  # where identity comes from; hashes of different sources are not comparable
    hashes: Tensor | None = None
    whole: Tensor | None = None  # of the batch as a set
    rows: int = 0
    losses: Tensor | None = None  # NaN in rows that the loss is not of
    in_part: bool = False  # there are such rows
    labels: Tensor | None = None  # or real-valued targets
    whole_labels: bool = True
    numbers: dict[str, Tensor] = field(default_factory=dict)
    known: dict[str, float] = field(default_factory=dict)
    inputs: Tensor | None = None  # held only while samples are to be kept


def read_batch(
    view: GraphView, roots: Sequence[Tensor], given: tuple[Tensor, int] | None, checkpointing: bool, keep: bool
) -> Batch:
    """Read it while its input and the loss's targets are there.

    Parameters
    ----------
    view, roots : the graph of the loss, and the tensors that the backward starts from
    given : the input of the model by which samples are known and the version that it had then, where a hook has seen it
    checkpointing : the graph can't be read down to the data
    keep : hold the inputs, too
    """
    batch = Batch()
    inputs = None
    if given is not None and _as_it_was(*given):
        inputs, batch.source = given[0], "input"
    elif not checkpointing:
        sites = find_data(view)
        if sites:
            inputs, batch.source = sites[0].data, "graph"
    with torch.no_grad():
        if inputs is not None:
            _identify(batch, inputs, keep)
        if view.loss is not None and view.loss.name in ROW_LOSSES:
            _read_losses(batch, view.loss)
        elif view.loss is not None:
            _read_log_probabilities(batch, view.loss, soft_targets(view.loss, view.nodes))
        elif len(roots) == 1:
            losses = hand_written_rows(roots[0])
            if losses is not None and len(losses) == batch.rows:
                _keep_losses(batch, losses)
        batch.numbers |= read_far_targets(view.nodes, view.loss)
        if batch.known.get("loss_expansion", 1.0) <= 1 and len(roots) == 1:
            batch.known["loss_expansion"] = hand_written_expansion(roots[0])
        if inputs is not None and batch.losses is not None and not batch.in_part and inputs.is_floating_point():
            far = far_rows(inputs)
            batch.numbers["far_row_share"] = far.float().mean()
            batch.numbers["far_loss_share"] = batch.losses[far].sum() / batch.losses.sum()
        if batch.hashes is not None and batch.rows > KEPT_SAMPLES:
            _thin(batch)
    return batch


def known_by_input(given: Tensor, version: int, keep: bool) -> Batch:
    """Who the samples are, and nothing of their losses: of a step that leaves no graph. ``version`` is the input's own
    at the forward."""
    batch = Batch()
    if _as_it_was(given, version):
        batch.source = "input"
        with torch.no_grad():
            _identify(batch, given, keep)
            if batch.rows > KEPT_SAMPLES:
                _thin(batch)
    return batch


def sample_input(arguments: object) -> Tensor | None:
    """The tensor among a call's arguments by which its samples are known: the first.

    Where that holds one number a row (a category, a time), samples share it that have nothing else in common: then it
    is the widest of as many rows.
    """
    every = list(tensors_of(arguments))
    if not every:
        return None
    first = every[0]
    if not first.dim() or first.numel() != len(first):
        return first
    return max((tensor for tensor in every if tensor.dim() and len(tensor) == len(first)), key=Tensor.numel)


def _as_it_was(given: Tensor, version: int) -> bool:
    return given.layout is torch.strided and given._version == version


def _identify(batch: Batch, inputs: Tensor, keep: bool) -> None:
    hashes = row_hashes(inputs)
    batch.rows, batch.hashes, batch.whole = len(hashes), hashes, hashes.sum().reshape(1)
    batch.known["batch_rows"] = float(batch.rows)
    if keep:
        batch.inputs = inputs


def _read_losses(batch: Batch, loss: LossSite) -> None:
    inputs, targets = loss.sides
    if inputs is None or targets is None or targets.dim() == 0 or inputs.shape[0] != targets.shape[0]:
        return
    expanded = 1.0 if inputs.dim() > targets.dim() else expansion(inputs, targets)
    batch.known["loss_expansion"] = expanded
    if targets.is_floating_point():
        batch.numbers["target_rms"] = targets.float().square().mean().sqrt()
    if targets.dim() == 1 or targets.numel() == targets.shape[0]:
        flat = targets.reshape(-1)
        batch.labels = flat[:KEPT_SAMPLES]
        batch.whole_labels = not flat.is_floating_point()
        if flat.is_floating_point() and len(flat) > 1:
            batch.numbers["target_deviation"], batch.numbers["target_mean"] = torch.std_mean(flat.float())
    elif targets.is_floating_point() and targets.dim() == 2:
        batch.labels = _favoured(targets)
    if expanded > 1:
        return
    _read_unanswered(batch, loss, inputs, targets)
    if (
        loss.name in DISTANCES
        and targets.dim() == 2
        and len(targets) >= FEWEST
        and 2 <= targets.shape[1] <= MOST_OUTPUTS
    ):
        spread, left, most = column_errors(inputs, targets)
        batch.numbers |= {"output_spread": spread, "outputs_left": left, "output_left_most": most}
    options: dict[str, Any] = {"beta": getattr(loss.node, "_saved_beta", getattr(loss.node, "_saved_delta", 1.0))}
    ignore = getattr(loss.node, "_saved_ignore_index", -100)
    # autograd stores the signed index as an unsigned 64-bit number
    options["ignore_index"] = ignore - (1 << 64) if ignore >= 1 << 63 else ignore
    _keep_losses(batch, row_losses(loss.name, inputs, targets, **options), loss)


def _read_unanswered(batch: Batch, loss: LossSite, outputs: Tensor, targets: Tensor) -> None:
    """What the last activation in front of the loss lets no error through of."""
    kind = _LAST.get(loss.input_node.name()) if loss.input_node is not None and loss.name in DISTANCES else None
    if kind is not None and outputs.shape == targets.shape and len(outputs) > 1:
        rows = max(2, MAX_ELEMENTS * len(outputs) // max(1, outputs.numel()))
        outputs, targets = outputs[:rows], targets[:rows]
        batch.numbers["saturated_error_share"] = unanswered_error(outputs, targets, kind)
        if kind in RECTIFIED:
            batch.numbers["dead_output_share"] = dead_outputs(outputs, targets)


def _read_log_probabilities(batch: Batch, loss: LossSite, weights: Tensor | None) -> None:
    """Of a cross-entropy that is written by hand, or has probabilities as targets."""
    classes, made = chosen_classes(loss), saved(loss.node, "result")
    if classes is not None:
        batch.labels = classes[:KEPT_SAMPLES]
        if loss.name == "log_softmax" and made is not None and made.dim() == 2 and len(made) == len(classes):
            _keep_losses(batch, row_losses("nll_loss", made, classes), loss)
    elif weights is not None and weights.dim() == 2 and weights.dtype != torch.bool:
        batch.labels = _favoured(weights.abs())  # the script's own are negative where the sign is theirs


def _keep_losses(batch: Batch, losses: Tensor, loss: LossSite | None = None) -> None:
    if len(losses) > 1:
        batch.numbers["row_loss_median"] = losses.median()
        batch.numbers["row_loss_max"] = losses.max()
        batch.numbers["top_loss_share"] = top_share(losses)
    if batch.rows in (0, len(losses)):
        batch.losses = losses
        return
    taken = None if loss is None else rows_taken(loss, batch.rows)
    if taken is not None and len(taken) == len(losses):
        batch.losses = losses.new_full((batch.rows,), torch.nan)
        batch.losses[taken], batch.in_part = losses, True


def _thin(batch: Batch) -> None:
    """Of a very large batch, the rows with the smallest hashes."""
    assert batch.hashes is not None
    order = (batch.hashes ^ torch.iinfo(torch.int64).min).topk(KEPT_SAMPLES, largest=False).indices
    batch.hashes = batch.hashes[order]
    if batch.losses is not None:
        batch.losses = batch.losses[order]
    if batch.inputs is not None:
        batch.inputs = batch.inputs[order]


def _favoured(targets: Tensor) -> Tensor:
    """The class that each row of probabilities favours; −1 where a row favours none, or not all are probabilities."""
    rows = targets[:KEPT_SAMPLES]
    most, classes = rows.max(dim=1)
    shares = (rows >= 0).all() & ((rows.sum(dim=1) - 1).abs() < _ROUNDING).all()
    return torch.where(shares & (most > 0.5), classes, -1)
