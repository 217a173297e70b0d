"""``attention-logit-growth``: attention logits so large that the softmax over them is a maximum.

The logits are quadratic in the weights of queries and keys, every other feature is linear, so that they outgrow all
else where the rate is high (Wortsman et al. 2024, arXiv 2309.14322, §3.1): models with logits beyond 10⁴ all diverged,
and training suffers from about 10³. Where one logit is ahead by 104, float32 has 0 for all the other weights,
e⁻¹⁰⁴ being below its smallest number, and no gradient comes back to queries and keys.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import resting, stuck_for
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

_LARGE, _LOST = 1e3, 1e4
_FLAT = 104.0  # −ln of the smallest number of float32, 2⁻¹⁴⁹, to the next half
_GROWN = 8.0
_WAIT, _REST = 32, 128  # steps: in which a start may heal by itself; of which the newer half shows that a loss rests
_ONE_KEY = 0.1  # of the entropy of an even choice
_FEW_KEYS = 0.3  # of it, in weights as they were drawn: scores that scatter by 1.5 leave 0.7
_NOTED = 50.0
_CHOICE = "1 for an even choice among the visible keys; on one key softmax passes no gradient"
_PAPER = "Wortsman et al. 2024, §3.1: models suffer from logits of about 1e3; all diverged beyond 1e4"

QK_NORM = Remedy(
    name="surefoot.nn.QKNorm",
    why=(
        "the length of queries and keys can grow no more, so that a logit is at most √(head width); as a layer of the "
        "model it learns gains, too"
    ),
    how=(
        "# after: model\n"
        "import torch.nn.functional as F\n"
        "from surefoot.nn import QKNorm\n"
        "plain_attention = F.scaled_dot_product_attention\n"
        "def attention_of_normalised(query, key, value, *args, **kwargs):\n"
        "    query, key = QKNorm(query.shape[-1], elementwise_affine=False)(query, key)\n"
        "    return plain_attention(query, key, value, *args, **kwargs)\n"
        "F.scaled_dot_product_attention = attention_of_normalised\n"
    ),
)


QK_CLIP = Remedy(
    name="surefoot.optim.qk_clip_",
    why="after a step whose largest logit was beyond 20, queries and keys are shortened so that it is 20 again",
    how=(
        "# replace: optimizer.step()\n"
        "from surefoot.optim import qk_clip_\n"
        "optimizer.step()\n"
        "for layer in model.modules():  # whose forward keeps layer.max_logit = scores.detach().abs().max()\n"
        '    if getattr(layer, "max_logit", None) is not None:\n'
        "        qk_clip_(layer.query.parameters(), layer.key.parameters(), float(layer.max_logit), tau=20.0)\n"
    ),
    apply="qk-clip",
)


SOFTER = Remedy(
    name="smaller scores",
    why="scores that differ by about 1 at first let every key be heard, and the gradient tells which should be",
    how=(
        "# after: model\n"
        "def softer(scores):  # in the place of scores.softmax(-1)\n"
        "    return (scores / scores.detach().std().clamp_min(1.0)).softmax(-1)\n"
    ),
)


@rule("attention-logit-growth", needs=("attention",))
def attention_logit_growth(history: History) -> Sign | None:
    """The largest logit of a layer is ≥ 10³ at two looks in a row: warning. The same from 104 on where the attention
    is on one key (entropy ≤ 0.1 of an even choice) and eight times its first size, or from 50 on where it has been so
    large at every look since the first, 32 steps at least, before anything could choose the key, and the loss has
    risen from its best or is still above half of a constant prediction's: no gradient tells such an attention where it
    should look instead. Of the latter a loss that rests above a fifth of where it began is enough.
    Where only the weights of the keys are known: see :func:`_unscored`.

    Critical from 10⁴ on, and where the loss has been lost meanwhile. Info: ≥ 50 and eight times its first size.
    """
    recent = history.recent_layers("attention_logit_max", 2)
    if len(recent) < 2 or recent[-1].step != history.step:
        return None
    newest, before = recent[-1], recent[-2]
    with np.errstate(invalid="ignore"):
        if not np.nanmax(newest.values, initial=0.0) >= _NOTED:
            return _unscored(history)
    worst = int(np.nanargmax(newest.values))
    where, value = newest.names[worst], float(newest.values[worst])
    held = min(value, before[where])
    entropy = history.value("attention_entropy", where)
    first = next((x for layers in history.first_layers("attention_logit_max") if (x := layers[where]) == x), value)
    grown = value / first if first > 0 else math.inf
    harmed = any(_worse(level) for level in history.losses.values())
    if held >= _LARGE:
        severity: Severity = "critical" if held >= _LOST or harmed else "warning"
        threshold = _LOST if held >= _LOST else _LARGE
        where_all = tuple(n for n, v in zip(newest.names, newest.values, strict=True) if v >= _LARGE)
    elif held >= _NOTED and entropy <= _ONE_KEY and _born_flat(history, where) and (harmed or _little(history)):
        severity, threshold, where_all = "warning", _NOTED, (where,)
    elif held >= _FLAT and entropy <= _ONE_KEY and grown >= _GROWN and (harmed or _early(history)):
        severity, threshold, where_all = "warning", _FLAT, (where,)
    elif held >= _NOTED and grown >= _GROWN:
        severity, threshold, where_all = "info", _NOTED, (where,)
    else:
        return None
    source = _PAPER if threshold != _FLAT else "float32 has 0 for exp(−104): no gradient passes such a softmax"
    if threshold == _NOTED:
        source = "the run's own start; a weight of exp(−50) is no weight"
    evidence = [Evidence("attention_logit_max", where, history.step, value, threshold, source)]
    if entropy == entropy:
        evidence.append(
            Evidence(
                "attention_entropy",
                where,
                history.step,
                entropy,
                _ONE_KEY,
                _CHOICE,
            )
        )
    steps, values = history.series("attention_logit_max", where)
    with np.errstate(invalid="ignore"):
        below = np.flatnonzero(values < threshold)
    since = int(steps[below[-1] + 1]) if len(below) and below[-1] + 1 < len(steps) else int(steps[0])
    from_start = grown < 2
    cause = (
        f"the attention fed by {where} has logits up to {value:.3g}, "
        + ("from the start" if from_start else f"{grown:.3g} times as large as at the start")
        + (f", and {entropy:.2g} of the entropy of an even choice" if entropy == entropy else "")
        + ": its softmax is a maximum and passes next to no gradient."
    )
    slower = (remedies.lower_rate(10.0), remedies.WARM_UP)
    # a softer look at keys, too; and a bound that holds whatever it is that grows
    cures = remedies.best_of((QK_CLIP, QK_NORM, *slower), "qk-clip:tau=5", "attention-cap")
    return Sign(severity, cause, tuple(evidence), where_all, since, cures)


def _born_flat(history: History, where: str) -> bool:
    """The attention has given most keys no weight since the first step, and 32 steps have not changed that."""
    steps, logits = history.series("attention_logit_max", where)
    return bool(steps[0] <= 2 and steps[-1] >= _WAIT and (logits >= _NOTED).all())


def _unscored(history: History) -> Sign | None:
    """An attention whose scores a layer makes, so that no logits are known: on one key by its weights since the first
    look, or on few of them then, before anything could tell which, and on one since, while nothing is learned."""
    rows = history.layers("attention_entropy")
    for where in rows.names if rows is not None else ():
        steps, entropy = history.measured("attention_entropy", where)
        known = np.isfinite(history.series("attention_logit_max", where)[1]).any()
        if known or not len(steps) or steps[0] > 2 or steps[-1] < _WAIT:
            continue
        narrowed = entropy[:2].max() <= _FEW_KEYS and float(np.median(entropy[-4:])) <= _ONE_KEY
        harmed = _little(history) or any(_worse(level) for level in history.losses.values())
        if not (entropy.max() <= _ONE_KEY and harmed) and not (narrowed and stuck_for(history, _REST)):
            continue
        value = float(np.median(entropy[-4:]))
        evidence = (Evidence("attention_entropy", where, int(steps[-1]), value, _ONE_KEY, _CHOICE),)
        cause = (
            f"the attention that {where} scores has {100 * value:.2g} % of the entropy of an even choice, and had "
            f"{100 * entropy[0]:.2g} % at the start: its softmax is a maximum and passes next to no gradient."
        )
        return Sign("warning", cause, evidence, (where,), int(steps[0]), (SOFTER,))
    return None


def _early(history: History) -> bool:
    """The choice of keys was made before half of what there is to learn was learned."""
    return any(level.known and level.count >= 8 and level.recent > 0.5 * level.constant
               for level in history.losses.values())  # fmt: skip


def _little(history: History) -> bool:
    """Or half of it was, and no more is, with a fifth left at least."""
    return _early(history) or any(level.steps >= _REST and resting(level) for level in history.losses.values())


def _worse(level: LossLevel) -> bool:
    """The loss has left its best by a tenth of it, a tenth of all that was gained and three times its noise; or it is
    no number any more."""
    if level.nonfinite_step is not None:
        return True
    if level.count < 8:
        return False
    lost = max(0.1 * abs(level.best), 0.1 * (level.first - level.best), 3 * level.best_noise)
    return level.recent > level.best + lost
