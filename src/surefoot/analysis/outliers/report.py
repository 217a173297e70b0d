"""One look at a run with suspected opposing signals: is it at the edge of stability, which samples, what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.outliers.curvature import eigen_alignment, group_gradient_cosine, top_hessian_eig
from surefoot.analysis.outliers.judge import OpposingVerdict, judge, samples_to_inspect
from surefoot.autodiff.parameters import LossFunction, trainable
from surefoot.optim.stability import preconditioner, stability_limit

EDGE = 0.9
"""At the edge: sharpness above this share of the optimiser's limit. At the edge it hovers just about the limit."""


@dataclass(frozen=True)
class OutlierReport:
    """What was found; ``lr_factor`` is what to multiply the learning rate by (1 away from the edge)."""

    verdict: OpposingVerdict | None
    sharpness: float
    limit: float
    preconditioned: bool
    converged: bool
    gradient_cosine: float
    alignment: tuple[float, ...]
    inspect: tuple[list[int], list[int]]
    classes: tuple[dict[int, int], dict[int, int]]
    lr_factor: float

    @property
    def at_edge(self) -> bool:
        """Whether the sharpness has reached the optimiser's limit, up to a tenth."""
        return self.sharpness >= EDGE * self.limit

    def __str__(self) -> str:
        kind = "preconditioned sharpness" if self.preconditioned else "sharpness"
        edge = "at the edge of stability" if self.at_edge else "below the edge of stability"
        lines = [f"{edge}: {kind} {self.sharpness:.3g}, limit {self.limit:.3g}"]
        if self.verdict is None:
            lines.append("loss changes: too few steps, or nothing moves")
        else:
            lines.append("opposing groups: " + ("yes" if self.verdict.opposing else "no"))
            lines += [
                f"  {c.name} {c.value:.2f} ({'beyond' if c.met else 'not beyond'} {c.threshold:.2f})"
                for c in self.verdict.criteria
            ]
            lines.append(f"cosine of the groups' gradients {self.gradient_cosine:.2f}")
            for name, ids, classes in zip(("rose", "fell"), self.inspect, self.classes, strict=True):
                lines.append(f"loss {name}: classes {classes}; inspect samples {ids}")
        if self.lr_factor < 1:
            lines.append(f"multiply the learning rate by {self.lr_factor:.2g} to leave the edge")
        return "\n".join(lines)


def outlier_report(
    model: nn.Module,
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    optimizer: Optimizer,
    delta: Float[Tensor, "steps n"],
    ids: Int[Tensor, " n"] | None = None,
    batch_size: int | None = None,
    start: Float[Tensor, " parameters"] | None = None,
) -> OutlierReport:
    """Judge the changes, measure the curvature, and name the samples to look at.

    Removing the groups would lower the sharpness but also remove real samples: look at them, or lower the rate.

    Parameters
    ----------
    model, loss_fn, data : as the run has them; row i of ``data`` is column i of ``delta``
    optimizer : gives the limit, and the preconditioner of an adaptive one
    delta : per-sample loss changes of the last steps (from :func:`compute`)
    ids : the samples' numbers, for the list to inspect
    batch_size, start : see :func:`top_hessian_eig`

    Raises
    ------
    ValueError
        If ``data`` and ``delta`` have different numbers of samples, or the optimiser holds other parameters.
    TypeError
        For an optimiser whose limit is not known.
    """
    if delta.dim() != 2 or delta.shape[1] != len(data[0]):
        raise ValueError(
            f"delta: got shape {tuple(delta.shape)}; must be (steps, {len(data[0])}), a column a row of data"
        )
    limit = stability_limit(optimizer)
    diagonal = _in_model_order(model, optimizer) if limit.preconditioned else None
    top = top_hessian_eig(model, loss_fn, data, start=start, batch_size=batch_size, preconditioner=diagonal)
    verdict = judge(delta)
    cosine = float("nan")
    alignment: tuple[float, ...] = ()
    inspect: tuple[list[int], list[int]] = ([], [])
    classes: tuple[dict[int, int], dict[int, int]] = ({}, {})
    if verdict is not None:
        up, down = verdict.groups.up, verdict.groups.down
        inspect = samples_to_inspect(verdict, ids)
        classes = (_classes(data[1], up), _classes(data[1], down))
        if len(up) and len(down):
            vector = top.vectors[0] if diagonal is None else top.vectors[0] * diagonal.rsqrt().to(top.vectors)
            cosine = group_gradient_cosine(model, loss_fn, data, up, down)
            alignment = eigen_alignment(model, loss_fn, data, (up, down), vector)
    sharpness = float(top.values[0])
    factor = min(1.0, EDGE * limit.value / sharpness) if sharpness >= EDGE * limit.value else 1.0
    return OutlierReport(
        verdict,
        sharpness,
        limit.value,
        limit.preconditioned,
        top.converged,
        cosine,
        alignment,
        inspect,
        classes,
        factor,
    )


def _classes(targets: Tensor, members: Tensor) -> dict[int, int]:
    """How often each label occurs in a group, most frequent first; empty for targets that are not labels."""
    if targets.dim() != 1 or targets.is_floating_point():
        return {}
    return dict(Counter(targets[members.to(targets.device)].tolist()).most_common())


def _in_model_order(model: nn.Module, optimizer: Optimizer) -> Tensor:
    """The optimiser's diagonal in the order of the model's parameters."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    pieces = dict(zip(map(id, held), preconditioner(optimizer).split([p.numel() for p in held]), strict=True))
    missing = [name for name, p in trainable(model).items() if id(p) not in pieces]
    if missing:
        raise ValueError(f"optimizer: does not hold {', '.join(missing[:3])}; must hold all trainable parameters")
    return torch.cat([pieces[id(p)] for p in trainable(model).values()])
