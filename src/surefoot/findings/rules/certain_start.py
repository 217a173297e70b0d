"""A softmax that is certain before anything was learned: a part of ``softmax-collapse``.

A temperature that is too low makes it so, or a factor in front of it. The first thing to be learned is then to be less
certain, and what does it most quickly is to make all rows alike.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.start import CRITICAL, activation_of
from surefoot.runs.schema import Evidence, Remedy

_CERTAIN = 16.6  # nats: ln(2/eps) of float32
_SEEN, _FAR, _ABSURD = 64, 0.5, 3.0  # steps; of a constant's loss, now and at first
_LARGE = 4.0  # of the weights' critical variance, as for off-critical-initialisation; and of growth through all layers
_SOURCE = (
    "ln(2/eps) of float32: in the middle of the first batch the right class has a probability that is rounded to 0, "
    "before anything could tell which it is"
)
TEMPER = Remedy(
    name="a higher temperature",
    why="logits that differ by about 2 at first leave every class a chance; contrastive losses begin at temperatures "
    "of 0.05 to 0.2",
    how=(
        "# after: loss\n"
        "import torch\n"
        "plain_loss = loss_fn\n"
        "def loss_fn(logits, targets):  # better: a larger temperature where logits are divided by it\n"
        "    size = (logits - logits.mean(1, keepdim=True)).square().mean().sqrt().item()\n"
        '    loss_fn.factor = getattr(loss_fn, "factor", min(1.0, 2 / max(size, 1e-12)))\n'
        "    return plain_loss(logits * loss_fn.factor, targets)\n"
    ),
    apply="temper",
)


def certain_from_the_start(history: History) -> Sign | None:
    """Right classes were behind by 16.6 nats at the first look, in the mean of the rows, with a first loss of three
    times a constant's or more; and after 64 steps the loss is above half of a constant's. Or by half as many nats, and
    it is above a constant's. Weights that are large themselves are told of by ``off-critical-initialisation``."""
    level = next(iter(history.losses.values())) if len(history.losses) == 1 else None
    if level is None or level.steps < _SEEN or level.negative or not level.constant > 0:
        return None
    if not level.first >= _ABSURD * level.constant or not level.recent > _FAR * level.constant or _drawn_large(history):
        return None
    for name in history.wheres("target_margin"):
        firsts = history.first_layers("target_margin")
        lead = firsts[0][name] if firsts else math.nan
        # half of the bits are enough where the run is still worse off than by knowing nothing
        least = _CERTAIN / 2 if level.recent > level.constant else _CERTAIN
        if not firsts or firsts[0].step > 2 or not lead <= -least:
            continue
        step = firsts[0].step
        evidence = (
            Evidence("target_margin", name, step, lead, -_CERTAIN, _SOURCE),
            Evidence("loss", "", history.step, level.recent, _FAR * level.constant, "half of a constant prediction's"),
        )
        cause = (
            f"the softmax was certain before anything was learned: right classes were behind by {-lead:.3g} nats at "
            f"step {step}; since then the loss has come from {level.first:.3g} to {level.recent:.3g}, where a constant "
            f"prediction has {level.constant:.3g}."
        )
        return Sign("warning", cause, evidence, (name,), step, (TEMPER,))
    return None


def _drawn_large(history: History) -> bool:
    told = history.events("initialisation")
    sizes = [v for v in told[0].data.get("weight_variance", {}).values() if v and v > 0] if told else []
    shares = np.array(sizes) / CRITICAL.get(activation_of(history), 1.0)
    # by each layer the signal grows by the root of it
    return bool(sizes) and (float(np.median(shares)) >= _LARGE or float(np.sqrt(shares).prod()) >= _LARGE)
