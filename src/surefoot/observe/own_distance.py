"""A loss that a script writes as a mean or sum of squares or sizes of differences, without a loss function of torch's.

Its graph keeps the differences, and neither what was predicted nor what was asked for. The prediction is what a model
returned, where a hook saw that; the target is it less the difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surefoot.observe.loss_site import LossSite, shape_source
from surefoot.observe.loss_sum import OwnErrors, own_errors
from surefoot.observe.nodes import saved

MAX_ELEMENTS = 1 << 24  # of predictions, as of a batch of large pictures: their targets take as much memory once more
_NAMES = {"squared_error": "mse_loss", "absolute_error": "l1_loss"}
# Ops that keep all numbers in their order: a transpose, or a part, would set other targets beside the predictions.
_IN_ORDER = frozenset([
    "ViewBackward0", "ReshapeAliasBackward0", "UnsafeViewBackward0", "SqueezeBackward0", "SqueezeBackward1",
    "UnsqueezeBackward0", "AliasBackward0", "FlattenBackward0", "ToCopyBackward0",
])  # fmt: skip


def own_distance(root: Tensor, outputs: Sequence[Tensor], loss_scale: Tensor | None = None) -> LossSite | None:
    """The loss function that such a loss is by another name, or that its only term of this kind is; None where it is
    something else.

    Parameters
    ----------
    root : the loss, with its graph
    outputs : what models returned in this step
    loss_scale : what a gradient scaler has multiplied the loss by; None for 1
    """
    found = [site for errors in own_errors(root) if (site := _site(errors, outputs)) is not None]
    if len(found) != 1:
        return None  # of several, of which a whole loss consists, none is the loss
    if loss_scale is not None and found[0].scale is not None:
        found[0].scale = found[0].scale / loss_scale
    return found[0]


def _site(errors: OwnErrors, outputs: Sequence[Tensor]) -> LossSite | None:
    difference, residual = errors.node.next_functions[0][0], saved(errors.node, "self")
    if difference is None or difference.name() != "SubBackward0" or residual is None or not residual.numel():
        return None
    if float(getattr(difference, "_saved_alpha", 1)) != 1:
        return None
    sides = [child for child, _ in difference.next_functions]
    made_by = [shape_source(side, _IN_ORDER) for side in sides if side is not None]
    if len(made_by) != 1 or made_by[0] is None:
        return None  # what is asked for is trained, too: a game's, or a penalty
    output = next((o for o in outputs if shape_source(o.grad_fn, _IN_ORDER) is made_by[0]), None)
    if output is None or output.numel() != residual.numel() or residual.numel() > MAX_ELEMENTS:
        return None
    with torch.no_grad():
        made = output.detach().reshape(residual.shape)
        targets = made - residual if sides[0] is not None else made + residual
        scale = errors.value.float().reshape(()) / errors.numbers.float().mean()
    return LossSite(_NAMES[errors.kind], errors.node, made_by[0], 0, given=(made, targets), scale=scale)
