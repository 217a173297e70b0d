"""Where a cross-entropy's logits come from: a forward of the script's, and how they move with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surefoot.autodiff.jvp import Derivative, directional_derivative
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.observe.loss_site import LossSite, shape_source
from surefoot.observe.nodes import Node, saved
from surefoot.observe.replay import Forward
from surefoot.optim.safe_radius import Link

# Of the update: where there is no forward mode, the displacement of the finite difference. A step of r = 1 moves
# logits by about π, so that float32 leaves three digits.
SHARE = 0.01
# A replay runs other kernels than the script's forward did (and none of autocast's), so it agrees up to rounding.
_AGREES, _AGREES_AUTOCAST = 1e-2, 0.1


@dataclass
class LogitSite:
    """Where the logits are: which forward, which of its outputs, which dimension, and which rows count.

    Attributes
    ----------
    forward, output : the logits are this of its outputs, up to their shape
    class_dim : where the classes are in it
    link : ``"sigmoid"`` for independent yes/no outputs
    mask : True for the rows that count, flattened; None where all do
    """

    forward: Forward
    output: int
    class_dim: int
    link: Link
    mask: Tensor | None

    @property
    def logits(self) -> Tensor:
        """As the script's forward gave them, classes last."""
        assert self.forward.outputs is not None
        return self.forward.outputs[self.output].movedim(self.class_dim, -1)

    @property
    def agreement(self) -> float:
        """By how much of the largest logit a second run may differ: it takes other kernels, and none of autocast's."""
        return _AGREES_AUTOCAST if self.forward.autocast[2] else _AGREES

    def derivative(
        self, old: Mapping[str, Tensor], update: Mapping[str, Tensor], means: Derivative
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at the weights ``old``, their derivative along ``update``, and by how much of the largest logit they
        differ from the script's own, 0-d; classes last."""

        def output(parameters: dict[str, Tensor]) -> Tensor:
            return self.forward.again(parameters)[self.output]

        with differentiable_kernels(self.forward.root):
            value, moved, _ = directional_derivative(output, old, update, derivative=means, share=SHARE)
        logits, moved = value.movedim(self.class_dim, -1), moved.movedim(self.class_dim, -1)
        theirs = self.logits
        scale = theirs.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
        return logits, moved, (logits - theirs).abs().amax() / scale


def find_logits(loss: LossSite, forwards: Sequence[Forward]) -> LogitSite | None:
    """The forward and output that are the loss function's input, up to its shape; None where the loss is no
    cross-entropy of an output."""
    link: Link
    if loss.name in ("cross_entropy", "log_softmax"):
        link = "softmax"
    elif loss.name == "binary_cross_entropy_with_logits":
        link = "sigmoid"
    else:
        return None
    for forward in forwards:
        for place, output in enumerate(forward.outputs or ()):
            source: Node | None = shape_source(output.grad_fn)
            if source is None or source is not loss.input_node or not output.is_floating_point():
                continue
            class_dim = _class_dim(loss, output)
            if class_dim is None:
                return None
            rows = output.movedim(class_dim, -1).shape[:-1]
            known, mask = _mask(loss, rows.numel())
            return LogitSite(forward, place, class_dim, link, mask) if known else None
    return None


def _class_dim(loss: LossSite, output: Tensor) -> int | None:
    if loss.name == "binary_cross_entropy_with_logits":
        return -1 if output.dim() else None
    log_probabilities = saved(loss.node, "self", "result")
    if log_probabilities is None or not log_probabilities.dim():
        return None
    class_dim = 1 if loss.name == "cross_entropy" and log_probabilities.dim() > 1 else log_probabilities.dim() - 1
    classes = log_probabilities.shape[class_dim]
    if classes < 2:
        return None
    if output.shape == log_probabilities.shape:
        return class_dim
    fitting = [dim for dim, size in enumerate(output.shape) if size == classes]
    return fitting[0] if len(fitting) == 1 else None


def _mask(loss: LossSite, rows: int) -> tuple[bool, Tensor | None]:
    """Whether it is known which rows count, and which do where not all do."""
    targets = saved(loss.node, "target") if loss.name == "cross_entropy" else None
    if targets is None or targets.is_floating_point():
        return True, None
    ignore = getattr(loss.node, "_saved_ignore_index", -100)
    ignore = ignore - (1 << 64) if ignore >= 1 << 63 else ignore  # autograd stores it as an unsigned number
    # rows of output and targets belong together only if there are as many; else none must be marked as ignored, which
    # only padding uses: to look would mean to wait for the device
    if targets.numel() == rows:
        return True, (targets != ignore).reshape(-1)
    return (bool((targets != ignore).all()), None) if targets.is_cpu else (False, None)
