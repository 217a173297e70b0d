"""The input of the loss function: Softmax Collapse, size and margins of the logits, whether it was squashed already."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surefoot.analysis.softmax import (
    collapsed,
    headroom,
    log_partition,
    margins,
    rounded_gradient_share,
    row_sum_error,
    spread,
    target_margins,
)
from surefoot.observe.loss_site import LossSite, chosen_classes, soft_targets
from surefoot.observe.nodes import Node, saved

MAX_ROWS = 4096
MAX_ELEMENTS = 1 << 20  # what passes over whole rows in float32 may read: 4 MiB a copy


def class_last(tensor: Tensor) -> Tensor:
    """(batch, classes, …) as (rows, classes), at most MAX_ROWS rows."""
    if tensor.dim() > 2:
        tensor = tensor.movedim(1, -1).flatten(0, -2)
    return tensor[:MAX_ROWS]


def _stride(rows: Tensor) -> int:
    """Every how-manieth row is read, so that no more than MAX_ELEMENTS numbers are."""
    return max(1, -(-rows.numel() // MAX_ELEMENTS))


def read_logits(loss: LossSite, output: Tensor | None, nodes: Sequence[Node] = ()) -> dict[str, Tensor | float]:
    """The signals of a loss function found in the graph, of which these are the ``nodes``.

    ``output`` is the model's output if it is known to be the logits: the graph itself saves log-probabilities only.
    """
    values: dict[str, Tensor | float] = {"activation_before": float(loss.squashed_by)}
    classes: int | None = None
    spatial = False  # classes are dimension 1 of more than two
    if loss.name in ("cross_entropy", "nll_loss", "log_softmax"):
        log_probabilities = saved(loss.node, "self", "result")
        if log_probabilities is not None and log_probabilities.dim() >= 2:
            spatial = loss.name != "log_softmax" and log_probabilities.dim() > 2
            rows = class_last(log_probabilities) if loss.name != "log_softmax" else log_probabilities.flatten(0, -2)
            classes = rows.shape[-1]
            values["softmax_collapse_share"] = collapsed(rows[:MAX_ROWS]).float().mean()
            values["num_classes"] = float(classes)
            # of other inputs nll_loss does not say what they are
            if classes > 1 and loss.name != "nll_loss":
                values |= _margins(rows[:MAX_ROWS], _targets(loss, nodes))
        if loss.squashed_by == 1 and loss.input_node is not None:
            probabilities = saved(loss.input_node, "result")
            if probabilities is not None and probabilities.dim() >= 2:
                values["row_sum_error"] = row_sum_error(class_last(probabilities))
                values["nonnegative_share"] = 1.0
    elif loss.name == "logsumexp":
        output, log_z = saved(loss.node, "self"), saved(loss.node, "result")
        if output is not None and log_z is not None and output.dim() == 2 and log_z.numel() == len(output):
            classes = output.shape[-1]
            rows = output[:MAX_ROWS] - log_z.reshape(-1, 1)[:MAX_ROWS]
            values["softmax_collapse_share"], values["num_classes"] = collapsed(rows).float().mean(), float(classes)
            if classes > 1:
                values |= _margins(rows, _targets(loss, nodes))
    elif loss.name == "binary_cross_entropy_with_logits":
        output = saved(loss.node, "self")
    if output is not None and output.numel() and output.is_floating_point():
        if spatial and output.dim() > 2 and output.shape[1] == classes:
            rows = class_last(output)
        else:
            rows = output.reshape(-1, output.shape[-1])[:MAX_ROWS] if output.dim() else output.reshape(1, 1)
        values["logit_max"], values["logit_rms"] = spread(rows)
        if classes is not None and rows.shape[-1] == classes:
            if "row_sum_error" not in values:
                values["row_sum_error"] = row_sum_error(rows)
                values["nonnegative_share"] = torch.ge(rows, 0).float().mean()
            if classes > 1:
                values |= _partition(rows[:: _stride(rows)], _eps(loss, rows))
    return values


def _targets(loss: LossSite, nodes: Sequence[Node]) -> Tensor | None:
    """The right classes, one a row, as :func:`class_last` orders the rows; those to ignore are negative, as are those
    of rows whose targets are several probabilities."""
    if loss.chosen is not None:  # a cross-entropy written by hand
        chosen = chosen_classes(loss)
        return None if chosen is None else chosen[:MAX_ROWS]
    weights = soft_targets(loss, nodes)
    if weights is not None and weights.dim() >= 2:
        rows = weights.flatten(0, -2)[:MAX_ROWS] != 0  # negative, where the script's own sign is in them
        return torch.where(rows.sum(-1) == 1, rows.int().argmax(-1), -1)
    targets = saved(loss.node, "target") if loss.name == "cross_entropy" else None
    if targets is None or targets.is_floating_point():
        return None
    ignore = getattr(loss.node, "_saved_ignore_index", -100)
    ignore = ignore - (1 << 64) if ignore >= 1 << 63 else ignore  # autograd stores it as an unsigned number
    targets = targets.reshape(-1)[:MAX_ROWS]
    return targets.masked_fill(targets == ignore, -1)


def _margins(rows: Tensor, targets: Tensor | None) -> dict[str, Tensor | float]:
    number, stride = len(rows), _stride(rows)
    rows = rows[::stride]
    values: dict[str, Tensor | float] = {
        "softmax_headroom": headroom(rows).median(),
        "logit_margin": margins(rows).mean(),
    }
    if targets is not None and len(targets) == number:
        targets = targets[::stride]
        # rows to ignore take part in no sum; to drop them would mean to wait for how many there are
        kept, right = targets >= 0, targets.clamp_min(0)
        lead = target_margins(rows, right)
        values["target_margin"] = torch.where(kept, lead, 0).sum() / kept.sum()
        values["target_margin_min"] = torch.where(kept, lead, torch.inf).amin()
        values["softmax_rounding_share"] = rounded_gradient_share(rows, targets)
    return values


def _eps(loss: LossSite, rows: Tensor) -> float:
    """Of the type that the logits were made in: a cast to a finer one brings no digits back."""
    made = [m.dtype for m in getattr(loss.input_node, "_input_metadata", ()) if m.dtype.is_floating_point]
    return max(torch.finfo(dtype).eps for dtype in (rows.dtype, *made))


def _partition(rows: Tensor, eps: float) -> dict[str, Tensor | float]:
    log_z, shift = log_partition(rows), rows.float().mean()
    return {
        "log_partition_mean": log_z.mean(),
        "log_partition_max": log_z.abs().amax(),
        "logit_shift": shift,
        # what the logits' dtype rounds where they all are: as log Z tells, and their mean (masked ones are in it)
        "logit_rounding": 0.5 * eps * torch.minimum(log_z.abs().mean(), shift.abs()),
    }
