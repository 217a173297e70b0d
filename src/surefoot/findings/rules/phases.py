"""``eval-mode-training`` and ``frozen-parameters``: what should learn and can't, because of a mode or of its optimiser.

Both are no matters of degree but of intent, so each asks for what intent would not look like: a model that trained in
training mode before; parameters that are given a gradient and an optimiser, and never change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot.findings.history import History, Layers
from surefoot.findings.progress import stuck_for
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.held_back import held_back
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _MANY_LOOKS, _STEPS = 3, 8, 64
TRAIN_MODE = Remedy(
    name="model.train()",
    why="dropout drops and batch normalisation uses its batch again; after every evaluation it must be called anew",
    how="# replace: optimizer.step()\noptimizer.step()\nmodel.train()\n",
    apply="train-mode",
)
STEP_ALL = Remedy(
    name="one optimizer for all parameters",
    why="parameters of an optimizer that is never stepped, or steps with rate 0, join the one that is",
    how=(
        "# after: optimizer\n"
        'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
        "rest = [p for p in model.parameters() if p.requires_grad and id(p) not in held]\n"
        "if rest:\n"
        '    optimizer.add_param_group({"params": rest})\n'
        'rate = max(float(group["lr"]) for group in optimizer.param_groups)\n'
        "for group in optimizer.param_groups:\n"
        '    group["lr"] = float(group["lr"]) or rate or 1e-3\n'
    ),
    apply="step-all",
)

STEP_AT_ALL = Remedy(
    name="optimizer.step()",
    why="a gradient alone moves nothing; with a gradient scaler it is scaler.step(optimizer), before scaler.update()",
    how="# replace: loss.backward()\nloss.backward()\noptimizer.step()\noptimizer.zero_grad()\n",
    apply=None,
)
OFF_ZERO = Remedy(
    name="surefoot.init.off_zero_",
    why="two factors that are both zero keep each other there: the gradient of each is the other one times something",
    how=(
        "# after: optimizer\n"
        "from surefoot.init import off_zero_\n"
        'off_zero_([p for group in optimizer.param_groups for p in group["params"]])\n'
    ),
    apply="off-zero",
)
STRAIGHT_THROUGH = Remedy(
    name="a straight-through estimator",
    why="rounding and sign have slope zero wherever it exists: what is behind them learns only if the gradient passes",
    how=(
        "# after: model\n"
        "import torch\n"
        "def rounded(x):  # in the place of torch.round(x); likewise for torch.sign(x)\n"
        "    return x + (torch.round(x) - x).detach()\n"
    ),
    apply="straight-through",
)
KEEP_STEPS = Remedy(
    name="a mask in the place of a copy",
    why="what is to stay zero is multiplied by zero after each step; a copy of old weights undoes the step of all",
    how=(
        "# after: model\n"
        "import torch\n"
        "@torch.no_grad()\n"
        "def held_at_zero(masks):  # after each step, in the place of parameter.copy_(old)\n"
        '    """masks: by parameter name, 1 where it learns and 0 where it is to stay zero."""\n'
        "    for name, parameter in model.named_parameters():\n"
        "        if name in masks:\n"
        "            parameter.mul_(masks[name])\n"
    ),
    apply=None,
)


@rule("eval-mode-training", needs=("mode",))
def eval_mode_training(history: History) -> Sign | None:
    """A model with dropout, batch normalisation or layers of its own that ask for their mode, and that trained in
    training mode, trains in evaluation mode since.

    Warning where the first look saw training mode, and the last three saw the whole model, and all those layers, in
    evaluation mode; or the last two, if half of the run lies between them and three had seen training mode before; or
    where it has been so from the first look on and no normalisation has ever seen a batch, so that it is none, or there
    is dropout that never drops. Else such a start is an info: normalisations may be kept as another run left them.
    """
    for name in history.wheres("eval_mode"):
        steps, modes = history.series("eval_mode", name)
        _, shares = history.series("eval_mode_share", name)
        seen = np.isfinite(modes) & np.isfinite(shares)
        steps, modes, shares = steps[seen], modes[seen], shares[seen]
        off = (modes == 1) & (shares == 1)
        trained = np.flatnonzero(~off)
        first = int(trained[-1]) + 1 if len(trained) else 0
        looks = len(off) - first
        lasts = looks >= _LOOKS or (looks == 2 and first >= _LOOKS and 2 * steps[first] <= steps[-1])
        unfed = history.value("unfed_norm_share", name) == 1
        dry = history.value("eval_dropout_share", name) == 1
        meant = not first and not unfed and not dry
        if not lasts or (meant and looks < _MANY_LOOKS):
            continue
        began = int(steps[first])
        severity: Severity = "info" if meant else "warning"
        if first or meant:
            signal, source = "eval_mode_share", "the run's own first looks, in training mode"
        else:
            signal, source = "unfed_norm_share", "a running mean of 0 and variance of 1 to the last bit"
            if not unfed:
                signal, source = "eval_dropout_share", "a dropout that never drops is put into no model on purpose"
        evidence = Evidence(signal, name, int(steps[-1]), 1.0, 0.0, source)
        if first:
            told = f"since about step {began}, after it had trained in training mode"
        else:
            told = "from the start" + (", with normalisations that never saw a batch" if unfed else "")
            told += ", with dropout that has never dropped anything" if dry and not unfed else ""
        cause = (
            f"the model trains in evaluation mode {told}: dropout, or whatever it does in training only, is off, and "
            "batch normalisation no longer follows the data."
        )
        return Sign(severity, cause, (evidence,), (name,) if name else (), began, (TRAIN_MODE,))
    return None


@rule("frozen-parameters", needs=("frozen", "gradients", "events"))
def frozen_parameters(history: History) -> Sign | None:
    """Parameters that an optimiser holds and that get a gradient, but never change; or whose gradient is always zero.

    Critical where the run is over, and after 64 gradients or more no optimiser was ever stepped.

    Warning (critical where they are most of the model), over 64 steps where none are named: their optimiser never
    stepped (to the end, where it holds parameters of one that does: both at once would step these twice, so that it is
    for another stage); or all of it steps with a learning rate of 0, or a part does and no loss learns anything for 128
    steps, or to the end of the run, or nothing in the script will ever set another rate (a rate that was rounded);
    or a layer that runs has had a gradient of exactly zero at eight looks or more while others have one (or at three
    looks over 32 steps where none has, and the loss is not 0); or parameters that changed before are put back after
    each step since, seen at four looks over 32 steps; or a layer in the middle is told to stay as it was drawn (see
    ``held_back.py``). Info where a learning rate of 0 spares some parameters until
    the script sets another, and where parameters that are held have ``requires_grad=False``: that is how a backbone is
    frozen.
    """
    sign = _never_stepped(history) or _unchanged(history) or _put_back(history)
    return sign or _zero_gradient(history) or held_back(history) or _told_to(history)


def _never_stepped(history: History) -> Sign | None:
    """No optimiser was ever stepped, in the whole run."""
    for event in history.events("unstepped")[-1:]:
        count, names = event.data["backwards"], ", ".join(name for name in event.data["optimizers"] if name)
        source = "backwards that gave the parameters of an optimizer a gradient, and no step in all of the run"
        evidence = Evidence("backwards without a step", names, history.step, float(count), 0.0, source)
        cause = f"{count} gradients were computed and no optimizer was ever stepped: all weights are what they were."
        return Sign("critical", cause, (evidence,), (), None, (STEP_AT_ALL,))
    return None


def _unchanged(history: History) -> Sign | None:
    rows, over = history.recent_layers("unchanged_share", 2), bool(history.events("exit"))
    if len(rows) < 2 or (rows[-1].step != history.step and not over) or history.step < _STEPS:
        return None
    newest = rows[-1]
    bad = [n for n, v in zip(newest.names, newest.values, strict=True) if v > 0 and rows[0][n] > 0]
    events = history.events("unchanged")
    if not bad or not events:
        return None
    reasons = [e.data for e in events if e.step == events[-1].step]
    share = _share(history, bad, [newest[n] for n in bad])
    whole = all(v > 0 for v in newest.values[np.isfinite(newest.values)])
    never = [r for r in reasons if r.get("why") == "never stepped" and (over or not r.get("shared"))]
    at_zero = [r for r in reasons if r.get("why") == "rate 0"]
    severity: Severity = "info"
    stage = max((event.step for event in history.events("optimizers")), default=0)
    scheduled = any(r.get("scheduled") for r in at_zero)
    # a part may be to wait; to the end none is, nor where nothing in the script will ever set another rate
    kept = bool(at_zero) and (over or any(r.get("fixed") for r in at_zero)) and history.step - stage >= _STEPS
    if never or kept or (at_zero and (whole or (not scheduled and stuck_for(history, 2 * _STEPS)))):
        severity = "critical" if share > 0.5 else "warning"
    reason = (never or at_zero or reasons)[0]
    why = {
        "never stepped": "the optimizer that holds them has never stepped",
        "rate 0": "their learning rate is 0" + (" to the end" if kept and over else ""),
    }.get(str(reason.get("why")), "something puts them back, or their step is nothing")
    evidence = tuple(
        Evidence("unchanged_share", n, newest.step, newest[n], 0.0, "bit for bit what it was at the first look")
        for n in bad[:4]
    )
    shown = ", ".join(bad[:3]) + (", …" if len(bad) > 3 else "")
    cause = f"{shown} ({100 * share:.3g} % of the parameters) get a gradient but have never changed: {why}."
    cure = STEP_ALL if never or kept else replace(STEP_ALL, apply=None)
    return Sign(severity, cause, evidence, tuple(bad), rows[0].step, (cure,))


def _put_back(history: History) -> Sign | None:
    """They changed at first, so that it is none of a script's ways to hold them."""
    newest = history.layers("restored_share")
    if newest is None or newest.step != history.step or not bool((newest.values > 0).any()):
        return None
    rows = history.recent_layers("restored_share", 64)
    stage = max((event.step for event in history.events("optimizers")), default=0)
    rows = [row for row in rows if row.step > stage and row.names == newest.names]
    began = {}
    for name in newest.names:
        own = [row for row in rows if np.isfinite(row[name])]
        free = [i for i, row in enumerate(own) if not row[name] > 0]
        since = own[free[-1] + 1 :] if free else []
        if len(since) > _LOOKS and since[-1].step - since[0].step >= _STEPS // 2:
            began[name] = since[0].step
    if not began:
        return None
    share = _share(history, list(began), [newest[n] for n in began])
    evidence = tuple(
        Evidence("restored_share", n, newest.step, newest[n], 0.0, "bit for bit what the look before began with")
        for n in list(began)[:4]
    )
    shown = ", ".join(list(began)[:3]) + (", …" if len(began) > 3 else "")
    first = min(began.values())
    cause = (
        f"{shown} are stepped and put back: since about step {first} each step begins with the same numbers as the one "
        "before, though they had changed until then. Something writes old values over them after the step."
    )
    severity: Severity = "critical" if share > 0.5 and not history.learned else "warning"
    return Sign(severity, cause, evidence, tuple(began), first, (KEEP_STEPS,))


def _zero_gradient(history: History) -> Sign | None:
    newest = history.layers("gradient_rms")
    if newest is None or newest.step < _STEPS or not bool((newest.values == 0).any()):
        return None
    found = history.events("modules")
    since = found[-1].step if found else 0  # other layers may have had these names before
    rows = [*history.first_layers("gradient_rms"), *history.recent_layers("gradient_rms", 32)]
    rows = [r for r in rows if r.step >= since]
    called = history.recent_layers("called", _LOOKS)
    bad = []
    for n, v in zip(newest.names, newest.values, strict=True):
        if v == 0 and called and all(c[n] == 1 for c in called):
            own = [r for r in rows if np.isfinite(r[n])]
            steps = {r.step for r in own}
            silent = _all_silent(history, own)
            others = silent or all(bool((r.values > 0).any()) for r in own)
            # where no layer moves, nothing but other data can bring a gradient back: few looks tell
            enough = len(steps) >= _MANY_LOOKS or (silent and len(steps) >= _LOOKS and max(steps) - min(steps) >= 32)
            if enough and others and all(r[n] == 0 for r in own) and not _flat(history, n):
                bad.append(n)
    if not bad:
        return None
    share = _share(history, bad, [1.0] * len(bad))
    severity: Severity = "critical" if share > 0.5 else "warning"
    evidence = tuple(
        Evidence("gradient_rms", n, newest.step, 0.0, 0.0, "exactly zero at every look since the first")
        for n in bad[:4]
    )
    shown = ", ".join(bad[:3]) + (", …" if len(bad) > 3 else "")
    cause = f"{shown}: the gradient has been exactly zero at every look: these layers run, and learn nothing."
    return Sign(severity, cause, evidence, tuple(bad), rows[0].step, best_of((OFF_ZERO, STRAIGHT_THROUGH)))


def _flat(history: History, name: str) -> bool:
    """All outputs of this layer are in the flat part of its activation, which is why nothing comes back through it;
    see ``saturated-units``."""
    shares = history.layers("saturated_share")
    return shares is not None and shares[name] >= 1


def _all_silent(history: History, own: list[Layers]) -> bool:
    """No layer at all has had a gradient since these have been there, though there is a loss to lower."""
    silent = all(not bool((r.values > 0).any()) for r in own)
    return silent and any(level.count and level.recent != 0 for level in history.losses.values())


def _told_to(history: History) -> Sign | None:
    newest = history.layers("frozen_share")
    if newest is None or newest.step != history.step or not bool((newest.values > 0).any()):
        return None
    off = [n for n, v in zip(newest.names, newest.values, strict=True) if v > 0]
    evidence = tuple(
        Evidence("frozen_share", n, newest.step, newest[n], 0.0, "requires_grad is False, which the script said")
        for n in off[:4]
    )
    cause = (
        f"{len(off)} layers that the optimizer holds have requires_grad=False in part or whole: they stay as they are."
    )
    return Sign("info", cause, evidence, tuple(off), None, ())


def _share(history: History, names: list[str], parts: list[float]) -> float:
    events = history.events("modules")
    every = events[-1].data.get("modules", ()) if events else ()
    sizes = {str(m["name"]): float(m.get("parameters", 0)) for m in every}
    total = sum(sizes.values())
    return sum(sizes.get(n, 0.0) * part for n, part in zip(names, parts, strict=True)) / total if total else 0.0
