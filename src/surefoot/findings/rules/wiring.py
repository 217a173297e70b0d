"""``missing-zero-grad``, ``detached-parameters``, ``optimizer-misses-parameters``: the loop is not wired as meant.

These are no matters of degree: a gradient of the step before either is in this step's gradient or it is not. What has
to be told apart is intent, so each asks for the same picture at three looks, and for what intent would look like not
to be there.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History, Layers
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.cut_later import cut_later
from surefoot.runs.schema import Evidence, Severity

_LOOKS = 3
_TURNS = 8  # looks where several optimisers take turns
_OWN_LOOKS = 6  # looks at steps of one optimiser


@rule("missing-zero-grad", needs=("wiring",))
def missing_zero_grad(history: History) -> Sign | None:
    """Gradients of earlier steps are still there and are added to, at each of the last three looks.

    θ then moves along Σ g_i over all steps so far, which is SGD with a momentum of one: it never forgets, and its
    steps grow with √t (noise) to t (signal). Gradients added up between two steps of the optimiser are none of this.

    With several optimisers a backward of one may leave gradients in the parameters of another that are cleared before
    they are used (the usual GAN loop): where not all of them are stale, their gradient must have grown fourfold as
    well, or their loss be that of another which is not. Nor are weights that the script overwrites between its
    backwards (``.data = …``) a step.
    """
    wheres = history.wheres("stale_gradient_share")
    if len(wheres) == 1 and _moved_by_others(history):
        return None
    stale: list[str] = []
    evidence: list[Evidence] = []
    began = history.step
    for name in wheres:
        steps, values = history.measured("stale_gradient_share", name)
        if len(values) < _LOOKS or not (values[-_LOOKS:] > 0).all():
            continue
        stale.append(name)
        clean = np.flatnonzero(values <= 0)
        began = min(began, int(steps[clean[-1] + 1] if len(clean) else steps[0]))
        evidence.append(Evidence("stale_gradient_share", name, int(steps[-1]), float(values[-1]), 0.0,
                                 "a cleared gradient cannot be added to; three looks in a row"))  # fmt: skip
    since = min((int(history.measured("stale_gradient_share", name)[0][0]) for name in stale), default=0)
    # one that was last looked at before that was of another stage, and takes no turns with these
    clear = [name for name in wheres if name not in stale and _last_look(history, name) >= since]
    if not stale or (clear and not all(_grown(history, name) or _of_one_loss(history, name, clear) for name in stale)):
        return None
    severity: Severity = "warning" if history.learned else "critical"
    of = "" if stale == [""] else " of " + ", ".join(stale)
    share = max(float(history.measured("stale_gradient_share", name)[1][-1]) for name in stale)
    of += "" if share >= 1 else f" ({100 * share:.2g} % of the parameters)"
    cause = f"gradients{of} are never cleared: each step adds its gradient to those of all steps before."
    where = tuple(n for n in stale if n)
    return Sign(severity, cause, tuple(evidence), where, max(1, began - 1), (remedies.ZERO_GRAD,))


def _last_look(history: History, name: str) -> int:
    steps, _ = history.measured("stale_gradient_share", name)
    return int(steps[-1]) if len(steps) else history.step


def _of_one_loss(history: History, name: str, others: list[str]) -> bool:
    """Whether the same backward serves another optimiser: no further one has left its gradients here."""
    _, losses = history.measured("loss", name)
    return len(losses) > 0 and any(losses[-1] in history.measured("loss", other)[1] for other in others)


def _moved_by_others(history: History) -> bool:
    """Some steps, and not all, left weights that have a gradient bit for bit where they were, while others changed: it
    was the script that overwrote those. Its optimiser has not stepped, and may well be owed more gradients."""
    gradients = {row.step: row for row in history.recent_layers("gradient_rms", 32)}
    rows = history.recent_layers("update_rms", 32)
    rows = [row for row in rows if row.step in gradients and bool((row.values > 0).any())]
    if len(rows) < _LOOKS or any(row.names != rows[-1].names for row in rows):
        return False
    owed = [(row.values == 0) & np.array([gradients[row.step][n] > 0 for n in row.names]) for row in rows]
    moved = np.any([row.values > 0 for row in rows], axis=0)
    return sum(bool((found & moved).any()) for found in owed) >= len(rows) / 2


def _grown(history: History, name: str) -> bool:
    _, norms = history.series("gradient_norm", name)
    norms = norms[np.isfinite(norms)]
    return len(norms) >= 8 and float(np.median(norms[-4:])) > 4 * float(np.median(norms[:4]))


@rule("detached-parameters", needs=("gradients", "events"))
def detached_parameters(history: History) -> Sign | None:
    """Modules that run, are trainable and held by an optimiser, and have never got a gradient while others do: see
    :func:`_never_reached`; or of the one optimiser that there is, get none any more since six looks over 32 steps,
    all of them under the optimiser that holds them now."""
    return _never_reached(history) or cut_later(history)


def _never_reached(history: History) -> Sign | None:
    """Modules that run, are trainable and held by an optimiser, and have never got a gradient while others do; or all
    of them, though a loss is there to go down.

    Three looks (eight with several optimisers, which take turns). Not meant: frozen modules (nothing trainable, NaN),
    modules no optimiser holds (no update measured) or whose weights change otherwise or began as those of a module
    that learns (target networks), modules that did not run: these are an info if nothing says that they run, or they
    are parameters of no module, which can't, and most of what is trainable. An optimiser that has stepped at six looks
    without any gradient says so, for nobody steps one for nothing. Layers that stand behind all others may be a head
    whose loss joins later, and are an info until the run is over. Critical where they hold most of the trainable
    parameters.
    """
    first, newest = history.first_layers("gradient_share"), history.layers("gradient_share")
    needed = _LOOKS if len(history.losses) < 2 else _TURNS
    looks = history.looks("gradient_share")
    if newest is None or not bool((newest.values == 0).any()):
        return None
    everything, idle = not bool((newest.values > 0).any()), _without_gradient(history)
    if looks < (_OWN_LOOKS if idle else needed) or (everything and not _backwards(history)):
        return None
    names = [n for n, v in zip(newest.names, newest.values, strict=True) if v == 0]
    recent = history.recent_layers("gradient_share", max(needed, 32))
    names = [n for n in names if all(not r[n] > 0 for r in (*first, *recent))]
    update = history.layers("update_rms")
    weights = history.recent_layers("weight_rms", 32)
    held = [n for n in names if update is not None and update[n] == 0 and _unmoved(n, [w[n] for w in weights])]
    held = [n for n in held if not _copy(history, n, newest)]
    called = history.recent_layers("called", needed)
    # of several optimisers that take turns, each has models that run for the others too
    runs_at = all if needed == _LOOKS else any
    running = [n for n in held if everything or idle or (called and runs_at(c[n] == 1 for c in called))]
    if not held or (not running and looks < _TURNS):
        return None
    sizes = {n: float(history.module(n).get("parameters", math.nan)) for n in newest.names}
    trainable = [n for n, v in zip(newest.names, newest.values, strict=True) if not math.isnan(v)]
    total = sum(sizes[n] for n in trainable)
    missed = history.measured("missed_parameters")[1][-1:]
    if not running and total and not (missed > 0).any():
        # of no module, they can't run: but nobody holds most of what is to learn and leaves it out (where others are
        # seen to be in their place, these are what is missed)
        free = [n for n in held if history.module(n).get("type") == "Parameter"]
        free = [n for n in free if sum(math.isfinite(r[n]) for r in recent) >= _TURNS]
        running = free if sum(sizes[n] for n in free) > 0.5 * total else []
    bad = running or held
    share = sum(sizes[n] for n in bad) / total if total else math.nan
    waits = not history.events("exit") and not everything and not idle and _behind_all(bad, newest)
    severity: Severity = "info" if not running or waits else "critical" if share > 0.5 else "warning"
    others = "nor does any other" if everything else "while others get one"
    source = f"never a gradient since the first look, {others}"
    evidence = tuple(Evidence("gradient_share", n, newest.step, 0.0, 0.0, source) for n in bad[:4])
    of_all = "" if math.isnan(share) else f" ({100 * share:.3g} % of the trainable parameters)"
    shown = ", ".join(bad[:3]) + (", …" if len(bad) > 3 else "")
    ran = any(history.module(n).get("type") != "Parameter" for n in running)
    runs = "run in the forward but" if ran else "are held by the optimiser but"
    cause = f"{shown}{of_all} {runs} never get a gradient: the graph is cut between them and the loss."
    seen = [row.step for row in (*first, *recent) if any(math.isfinite(row[n]) for n in bad)]
    return Sign(severity, cause, evidence, tuple(bad), min(seen, default=newest.step), (remedies.KEEP_GRAPH,))


def _behind_all(names: list[str], newest: Layers) -> bool:
    """Whether nothing that gets a gradient comes after them."""
    last = max(i for i, value in enumerate(newest.values) if value > 0)
    return min(newest.names.index(name) for name in names) > last


def _without_gradient(history: History) -> list[str]:
    """Optimisers that have stepped at the last six looks at least, and found no gradient at any, while others did."""
    norms = {name: history.series("gradient_norm", name)[1] for name in history.wheres("gradient_norm")}
    norms = {name: values[np.isfinite(values)] for name, values in norms.items()}
    idle = [name for name, values in norms.items() if len(values) >= _OWN_LOOKS and not values.any()]
    return idle if any(values.any() for values in norms.values()) else []


def _backwards(history: History) -> bool:
    """The script has gone backward from some loss, and not by chance once."""
    return any(level.count >= _LOOKS for level in history.losses.values())


def _copy(history: History, name: str, newest: Layers) -> bool:
    """Its weights were, at the first look, those of a layer that learns: it is that layer's target."""
    weights = history.first_layers("weight_rms")
    if not weights or not weights[0][name] > 0:
        return False
    learns = [n for n, v in zip(newest.names, newest.values, strict=True) if v > 0]
    same = [n for n in learns if abs(weights[0][n] - weights[0][name]) <= 1e-6 * weights[0][name]]
    return any(history.module(n).get("parameters") == history.module(name).get("parameters") for n in same)


def _unmoved(name: str, sizes: list[float]) -> bool:
    seen = [s for s in sizes if math.isfinite(s)]
    return not seen or max(seen) - min(seen) <= 1e-6 * max(seen)


@rule("optimizer-misses-parameters", needs=("wiring",))
def optimizer_misses_parameters(history: History) -> Sign | None:
    """The loss depends on trainable parameters that no optimiser holds and nobody updates, at each of three looks.

    Their gradient is computed and thrown away. Critical where they hold most of the model's parameters and the loss
    learns nothing, else a warning; an info where an optimiser of the same run held all of them before, for a stage in
    which only a new head learns does that on purpose, and where they are a copy of what learns, a target network. It is
    none where they were frozen in that stage, and are no more: the script has asked for their gradient since the
    optimiser that does not hold them was there alone.
    """
    steps, counts = history.measured("missed_parameters")
    if len(counts) < _LOOKS or not (counts[-_LOOKS:] > 0).all():
        return None
    events = history.events("missed")
    names = tuple(str(n) for n in (events[-1].data.get("parameters", ()) if events else ()))
    modules = tuple(dict.fromkeys(n.rpartition(".")[0] for n in names))
    clean = np.flatnonzero(counts <= 0)
    began = int(steps[clean[-1] + 1] if len(clean) else steps[0])
    share = _share(history, modules)
    stage = max((event.step for event in history.events("optimizers")), default=0)
    stage = max(stage, int(events[-1].data.get("rests_since", 0)) if events else 0)
    thawed = int((steps[clean] > stage).sum()) >= _LOOKS
    left = bool(events and events[-1].data.get("left")) and not thawed
    copies = bool(events and events[-1].data.get("copies"))
    severity: Severity = "info" if left or copies else "critical" if share > 0.5 and not history.learned else "warning"
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else f"{counts[-1]:g} parameters"
    cause = f"{shown}: trainable, and the loss depends on them, but no optimiser holds them: they never change."
    if left:
        cause = f"{shown}: trainable, and the loss depends on them, but the optimiser that held them is gone or rests."
    elif copies:
        cause = (
            f"{shown}: the loss depends on them, and they follow others that learn: torch.no_grad() would spare them."
        )
    evidence = Evidence("missed_parameters", "", int(steps[-1]), float(counts[-1]), 0.0,
                        "a trainable leaf of the loss's graph that no optimiser holds; at three looks")  # fmt: skip
    where = tuple(m for m in modules if m)
    return Sign(severity, cause, (evidence,), where, began, (remedies.ALL_PARAMETERS, remedies.FREEZE_EXPLICITLY))


def _share(history: History, modules: tuple[str, ...]) -> float:
    events = history.events("modules")
    every = events[-1].data.get("modules", ()) if events else ()
    total = sum(float(m.get("parameters", 0)) for m in every)
    return sum(float(m.get("parameters", 0)) for m in every if m.get("name") in modules) / total if total else 0.0
