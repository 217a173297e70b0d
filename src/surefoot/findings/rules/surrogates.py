"""``surrogate-mismatch``: the slope that stands in for sign's gradient no longer serves.

Two ends of one balance (Wu, Zheng, Liu, Zheng, ICCV 2023, arXiv 2308.06689). Too sharp: with slopes φ over N weights,
(E φ)²/E φ² = 1/(1 + u) is the share of weights among which the gradient is in effect distributed (u is the signal
``surrogate_unevenness``); with ReSTE's truncation at 0.1 no sharpness takes it below a ninth. Too far: weights beyond
the estimator's reach have slope zero and move no more.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.progress import fit
from surefoot.findings.remedies import lower_rate
from surefoot.findings.rule import Sign, rule
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
_FEW = 0.01  # of the weights share the gradient
_FROZEN = 0.9  # of the weights are beyond reach
_SOURCE_FEW = (
    "(E φ)²/E φ² is the effective share of weights that take part in a gradient; ReSTE with its truncation keeps ≥ 1/9 "
    "(closed form for uniform weights; arXiv 2308.06689, section 4)"
)
_SOURCE_FROZEN = "where φ = 0 a weight gets no gradient but through the layer's scale (arXiv 2308.06689, section 4)"

SOFTER = Remedy(
    name="surefoot.nn.binary.set_sharpness",
    why="o = 3 at the end of a schedule from 1 is where sign is near enough and gradients are even enough to train",
    how="# after: model\nfrom surefoot.nn.binary import set_sharpness\nset_sharpness(model, 1.5)\n",
)
PULL_BACK = Remedy(
    name="weights back within the estimator's reach",
    why="clamped to the reach of the estimator, latent weights get a gradient again; their signs stay as they are",
    how=(
        "# after: model\n"
        "import torch\n"
        "from surefoot.nn.binary import binary_layers\n"
        "with torch.no_grad():\n"
        "    for layer in binary_layers(model).values():\n"
        "        layer.weight.clamp_(-1.0, 1.0)\n"
    ),
)
WIDER = Remedy(
    name="a wider surrogate",
    why="as wide as what it is taken of scatters, it reaches each unit that could change its mind",
    how=(
        "# after: model\n"
        "def slope(v):  # in the backward, in the place of a slope with a steepness of its own\n"
        "    size = v.abs().median().clamp_min(1e-6)  # a step that rises by one; twice that for a sign\n"
        "    return 1 / (2 * size * (1 + v.abs() / size) ** 2)\n"
    ),
    apply="wide-surrogate",
)
_SOURCE_REACH = "of the weights are larger than each that has a gradient: by chance eight never are among a tenth"


def kept_within(layers: tuple[str, ...]) -> Remedy:
    """Weights that a script binarises by itself, clamped after each of its steps."""
    return Remedy(
        name="latent weights clamped after each step",
        why="what stays within the estimator's reach keeps its gradient; ±1 is that of the straight-through estimator "
        "(Hubara et al. 2016, arXiv 1602.02830)",
        how=(
            "# replace: optimizer.step()\n"
            "import torch\n"
            "optimizer.step()\n"
            "with torch.no_grad():\n"
            "    for name, layer in model.named_modules():\n"
            f"        if name in {set(layers)!r}:\n"
            "            layer.weight.clamp_(-1.0, 1.0)\n"
        ),
    )


@rule("surrogate-mismatch", needs=("surrogates", "weights", "slopes"))
def surrogate_mismatch(history: History) -> Sign | None:
    """In some layer of ``surefoot.nn.binary`` fewer than 1 % of the weights share the gradient, or more than 90 % are
    frozen, at three looks in a row: warning. The same for any layer in which 90 % of the weights are larger than each
    that has a gradient, as behind an estimator that a script wrote itself; info where the loss is
    fit. And where a function of the script's own spreads the gradient over fewer than 1 % of its entries, as the
    surrogate of a spike does once it is too steep.
    """
    return _own_layers(history) or _beyond_reach(history) or _too_steep(history)


def _too_steep(history: History) -> Sign | None:
    found = []
    for name in history.wheres("slope_share"):
        steps, share = history.measured("slope_share", name)
        if len(share) >= _LOOKS and steps[-1] == history.step and (share[-_LOOKS:] < _FEW).all():
            began = int(steps[unbroken_from(share < _FEW)])
            found.append((float(share[-1]), name, began))
    if not found:
        return None
    least, name, _ = min(found)
    evidence = Evidence("slope_share", name, history.step, least, _FEW, _SOURCE_FEW)
    cause = (
        f"what stands for the derivative of a step behind {name} is so narrow that the gradient is that of {least:.2g} "
        "of the entries: the others get none."
    )
    severity: Severity = "info" if fit(history) else "warning"
    where = tuple(place for _, place, _ in found)
    return Sign(severity, cause, (evidence,), where, min(began for *_, began in found), (WIDER,))


def _beyond_reach(history: History) -> Sign | None:
    recent = history.recent_layers("beyond_reach_share", _LOOKS)
    if len(recent) < _LOOKS or recent[-1].step != history.step or any(r.names != recent[-1].names for r in recent):
        return None
    with np.errstate(invalid="ignore"):
        far = np.all([row.values > _FROZEN for row in recent], axis=0)
    if not far.any():
        return None
    where = tuple(name for name, is_far in zip(recent[-1].names, far, strict=True) if is_far)
    share = recent[-1][where[0]]
    evidence = (Evidence("beyond_reach_share", where[0], history.step, share, _FROZEN, _SOURCE_REACH),)
    cause = (
        f"{share:.0%} of the weights of {where[0]} are larger than each that has a gradient: they are beyond the reach "
        "of what stands for the derivative of a step, or of a clamp, and move no more."
    )
    severity: Severity = "info" if fit(history) else "warning"
    cures = (kept_within(where), lower_rate(10.0))
    return Sign(severity, cause, evidence, where, recent[0].step, cures)


def _own_layers(history: History) -> Sign | None:
    uneven = history.recent_layers("surrogate_unevenness", _LOOKS)
    frozen = history.recent_layers("surrogate_frozen", _LOOKS)
    if len(uneven) < _LOOKS or uneven[-1].step != history.step:
        return None
    with np.errstate(invalid="ignore"):
        few = np.all([1 / (1 + layers.values) < _FEW for layers in uneven], axis=0)
        far = np.all([layers.values > _FROZEN for layers in frozen], axis=0)
    if not (few | far).any():
        return None
    names = np.array(uneven[-1].names)
    evidence, causes = [], []
    if far.any():
        at = int(np.nanargmax(np.where(far, frozen[-1].values, np.nan)))
        value = float(frozen[-1].values[at])
        evidence.append(Evidence("surrogate_frozen", names[at], history.step, value, _FROZEN, _SOURCE_FROZEN))
        causes.append(f"{value:.0%} of the weights of {names[at]} are beyond the estimator's reach and get no gradient")
    if (few & ~far).any():
        at = int(np.nanargmax(np.where(few & ~far, uneven[-1].values, np.nan)))
        value = float(uneven[-1].values[at])
        evidence.append(Evidence("surrogate_unevenness", names[at], history.step, value, 1 / _FEW - 1, _SOURCE_FEW))
        causes.append(f"the gradient of {names[at]} is in effect that of {1 / (1 + value):.2g} of its weights")
    cause = f"the surrogate behind sign serves no more: {'; '.join(causes)}."
    where = tuple(str(name) for name in names[few | far])
    remedies = (PULL_BACK, SOFTER) if far.any() else (SOFTER,)
    return Sign("warning", cause, tuple(evidence), where, uneven[0].step, remedies)
