"""Which rows of a batch have targets far from all others, and what they make of the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surefoot.analysis.samples import KEPT_SAMPLES, far_targets, row_losses
from surefoot.observe.loss_site import LOSSES, LossSite
from surefoot.observe.nodes import Node, saved

DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_NEAR, _FEWEST, _COLUMNS = 100, 16, 8  # ops before the end; rows whose quartiles say something; numbers, no picture


def read_far_targets(nodes: Sequence[Node], loss: LossSite | None = None) -> dict[str, Tensor]:
    """Of the losses by a distance in a graph, the one of which such rows lose most; empty where none can be read.

    ``loss`` is the loss function of that graph, which may be the script's own.
    """
    if loss is not None and loss.given is not None:
        read = _of_one(loss.node, loss.name, *loss.given)
        return {} if read is None else read[0]
    found: dict[str, Tensor] = {}
    lost = torch.zeros(())
    for node in nodes[-_NEAR:]:
        name = LOSSES.get(node.name())
        if name not in DISTANCES:
            continue
        read = _of_one(node, name, saved(node, "self"), saved(node, "target"))
        if read is None:
            continue
        numbers, own = read
        more = own > lost if found else torch.ones_like(own, dtype=torch.bool)
        found = {signal: torch.where(more, number, found.get(signal, number)) for signal, number in numbers.items()}
        lost = torch.where(more, own, lost.to(own.device))
    return found


def _of_one(
    node: Node, name: str, outputs: Tensor | None, targets: Tensor | None
) -> tuple[dict[str, Tensor], Tensor] | None:
    if outputs is None or targets is None or outputs.shape != targets.shape or not targets.dim():
        return None
    count = len(targets)
    if not _FEWEST <= count <= KEPT_SAMPLES or targets.numel() > _COLUMNS * count:
        return None
    outputs, targets = outputs.reshape(count, -1), targets.reshape(count, -1)
    beta = getattr(node, "_saved_beta", getattr(node, "_saved_delta", 1.0))
    own = row_losses(name, outputs, targets, beta=beta)
    constant = row_losses(name, targets.median(dim=0).values.expand_as(targets), targets, beta=beta)
    beyond = far_targets(targets)
    far = beyond != 0
    theirs = (own * far).sum()
    return {
        "far_target_share": far.float().mean(),
        "far_target_loss_share": theirs / own.sum(),
        "far_target_above": (beyond > 0).sum() / far.sum(),
        "far_target_unlearned": theirs / (constant * far).sum(),
    }, theirs
