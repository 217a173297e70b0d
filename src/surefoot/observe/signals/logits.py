"""The input of the loss function: Softmax Collapse, size of the logits, and whether it was squashed already."""

from __future__ import annotations

import torch
from torch import Tensor

from surefoot.analysis.softmax import collapsed, row_sum_error, spread
from surefoot.observe.graph import LossSite, saved

MAX_ROWS = 4096


def class_last(tensor: Tensor) -> Tensor:
    """(batch, classes, …) as (rows, classes), at most MAX_ROWS rows."""
    if tensor.dim() > 2:
        tensor = tensor.movedim(1, -1).flatten(0, -2)
    return tensor[:MAX_ROWS]


def read_logits(loss: LossSite, output: Tensor | None) -> dict[str, Tensor | float]:
    """The signals of a loss function found in the graph.

    ``output`` is the model's output if it is known to be the logits: the graph itself saves log-probabilities only.
    """
    values: dict[str, Tensor | float] = {"activation_before": float(loss.squashed_by)}
    classes: int | None = None
    if loss.name in ("cross_entropy", "nll_loss", "log_softmax"):
        log_probabilities = saved(loss.node, "self", "result")
        if log_probabilities is not None and log_probabilities.dim() >= 2:
            rows = class_last(log_probabilities) if loss.name != "log_softmax" else log_probabilities.flatten(0, -2)
            classes = rows.shape[-1]
            values["softmax_collapse_share"] = collapsed(rows[:MAX_ROWS]).float().mean()
            values["num_classes"] = float(classes)
        if loss.squashed_by == 1 and loss.input_node is not None:
            probabilities = saved(loss.input_node, "result")
            if probabilities is not None and probabilities.dim() >= 2:
                values["row_sum_error"] = row_sum_error(class_last(probabilities))
                values["nonnegative_share"] = 1.0
    elif loss.name == "binary_cross_entropy_with_logits":
        output = saved(loss.node, "self")
    if output is not None and output.numel() and output.is_floating_point():
        rows = output.reshape(-1, output.shape[-1])[:MAX_ROWS] if output.dim() else output.reshape(1, 1)
        values["logit_max"], values["logit_rms"] = spread(rows)
        if classes is not None and rows.shape[-1] == classes and "row_sum_error" not in values:
            values["row_sum_error"] = row_sum_error(rows)
            values["nonnegative_share"] = torch.ge(rows, 0).float().mean()
    return values
