"""``rank-collapse``: over depth the tokens of a sequence, or the nodes of a graph, become one vector.

Attention averages: without skip connections the part of the tokens that differs from their mean decays doubly
exponentially with depth (Dong, Cordonnier, Loukas 2021, arXiv 2103.03404), and where the residual stream is normalised
after each sum it decays geometrically. So it does in a graph network, whose layers are averages over neighbours (Li,
Han, Wu 2018, arXiv 1801.07606). What is left of it, relative to the whole, is ρ = √(1 − cosine): below 2⁻⁸ it is less
than a rounding error of bfloat16, and whatever comes after sees one token.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.depth import theil_sen
from surefoot.findings.history import History, Layers
from surefoot.findings.levels import ROUNDING
from surefoot.findings.progress import HOLDS, stuck_for
from surefoot.findings.rule import Sign, rule
from surefoot.findings.start import WITHOUT_CRITICAL_POINT, activation_of
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
_STEPS = 24
_ALIKE, _ONE = 2.0**-10, 2.0**-16  # of 1 − cosine, the square of ρ
_DECAY = -8.0  # bits of 1 − cosine over depth
_SOURCE = (
    "1 − cosine is the square of what tokens differ by: 2⁻¹⁰ leaves 3 % of a token, 2⁻¹⁶ a rounding error of bfloat16"
)

PRE_NORM = Remedy(
    name="norm_first=True",
    why="with the norm inside the branch the skip connection passes every token on unchanged",
    how=(
        "# after: model\n"
        "import torch\n"
        "for module in model.modules():\n"
        "    if isinstance(module, (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer)):\n"
        "        module.norm_first = True\n"
    ),
    apply="attention-skip",
)
SMALL_BRANCHES = Remedy(
    name="smaller residual branches",
    why="branches that start at 1/√(2 · depth) of their size leave most of each token to the skip connection",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        'ends = ("out_proj", "proj", "o_proj", "c_proj", "fc2", "linear2")\n'
        'last = [m for path, m in model.named_modules() if path.rpartition(".")[2] in ends and hasattr(m, "weight")]\n'
        "for module in last:\n"
        "    module.weight.data /= max(1, len(last)) ** 0.5\n"
    ),
)
ATTENTION_SKIP = Remedy(
    name="skip connections around attention",
    why="x + attention(x) passes every token on; attention alone averages them, layer after layer",
    how=(
        "# after: model\n"
        "def add_input(module, args, output):  # better: x + attention(x) where the layer calls it\n"
        "    return output + args[0]\n"
        "for path, module in model.named_modules():\n"
        '    if path.rpartition(".")[2] in ("attention", "attn", "self_attn"):  # those without a skip\n'
        "        module.register_forward_hook(add_input)\n"
    ),
    apply="attention-skip",
)
FIRST_AGAIN = Remedy(
    name="what the first layer gave, again in each",
    why="added to what each layer gives, it keeps apart what averages over neighbours make alike, at any depth (GCNII: "
    "Chen et al. 2020, arXiv 2007.02133)",
    how=(
        "# after: model\n"
        "import torch\n"
        "first = []\n"
        "def keep(module, args, output):\n"
        "    first[:] = [output]\n"
        "def again(module, args, output):\n"
        "    return output + first[0] if first and output.shape == first[0].shape else output\n"
        "layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]\n"
        "layers[0].register_forward_hook(keep)\n"
        "for layer in layers[1:]:\n"
        "    layer.register_forward_hook(again)\n"
    ),
)
REWIRED = Remedy(
    name="surefoot.nn.mgt.rewire_",
    why="sublayers that are gated, and erase what they overwrite, keep tokens apart where pre-norm alone lets them "
    "drift together, beyond some 50 layers",
    how="# after: model\nfrom surefoot.nn.mgt import rewire_\nrewire_(model)\n",
)


@rule("rank-collapse", needs=("rank", "step"))
def rank_collapse(history: History) -> Sign | None:
    """Over the norms of a network (its linear layers, where it has none) 1 − cosine between tokens falls by 2⁻⁸,
    geometrically, to 2⁻¹⁰ or less, at three looks in a row (two, where there were no more), the newest of them a
    quarter as old as the run at least, while the loss learns nothing for 24 steps (or before any step): warning;
    critical from 2⁻¹⁶ on. Not where there are no norms and the activation is one without a critical point: that makes
    any two vectors one, tokens or not, and is ``vanishing-gradient``.

    The same where the loss has learned something, but the answers for all tokens of a sequence have been one from the
    first look on, to 2⁻¹⁶: whatever was learned is what can be said without telling them apart.
    """
    recent = history.recent_layers("token_cosine", _LOOKS)
    if len(recent) < 2 or np.all(np.isnan(recent[-1].values)):
        return None
    fresh = recent[-1].step == history.step
    if history.step > HOLDS * recent[-1].step or (fresh and len(recent) == 2):
        return None  # looks are dear, and what a network starts with is seen at the first of them
    stuck = stuck_for(history, _STEPS)
    if not (fresh or stuck):
        return None
    found = [_distances(history, layers) for layers in recent]
    if any(one is None or not _collapsed(one[1]) for one in found):
        return None
    seen = all(level.steps >= _STEPS for level in history.losses.values())
    same = fresh and not stuck and seen and _one_answer(history, recent)
    if not (stuck or same or history.inspected):
        return None
    assert found[-1] is not None
    names, distances = found[-1]
    deepest = int(np.argmin(distances))
    where, left = names[deepest], float(distances[deepest])
    severity: Severity = "critical" if left <= _ONE else "warning"
    threshold = _ONE if severity == "critical" else _ALIKE
    alike = tuple(n for n, d in zip(names, distances, strict=True) if d <= _ALIKE)
    slope = theil_sen(np.log2(distances))
    evidence = (
        Evidence("token_cosine", where, recent[-1].step, 1 - left, 1 - threshold, _SOURCE),
        Evidence("1 − token_cosine, factor a layer", where, recent[-1].step, float(2.0**slope), 1.0,
                 "1 keeps the tokens apart; Dong, Cordonnier, Loukas 2021 for what a factor below 1 comes to"),
    )  # fmt: skip
    attends = bool(history.wheres("attention_entropy"))  # else it is something else that averages
    harm = "" if history.inspected else ", and so do the answers" if same else ", and nothing is learned"
    cause = (
        f"the {'tokens of a sequence' if attends else 'rows'} become one vector over depth: in {where} they differ by "
        f"{left**0.5:.2g} of their length, in {names[0]} by {float(distances[0]) ** 0.5:.2g}{harm}."
    )
    firsts = [_distances(history, layers) for layers in history.first_layers("token_cosine")]
    at_start = bool(firsts) and firsts[0] is not None and _collapsed(firsts[0][1])
    began = history.first_layers("token_cosine")[0].step if at_start else recent[0].step
    # what rewire_ knows: layers of torch's own make
    parents = {name.rpartition(".")[0] for name in names}
    parts = ("self_attn.out_proj", "linear1", "linear2")
    rewirable = any(all(history.module(f"{parent}.{part}") for part in parts) for parent in parents)
    cures = (PRE_NORM, REWIRED, SMALL_BRANCHES) if rewirable else (ATTENTION_SKIP, SMALL_BRANCHES)
    if not attends:
        cures = (FIRST_AGAIN, *cures)
    return Sign(severity, cause, evidence, alike, began, cures)


def _distances(history: History, layers: Layers) -> tuple[tuple[str, ...], np.ndarray] | None:
    """1 − cosine by depth, in the norms: they are where the residual stream can be seen whole. An attention's own
    output is an average of all tokens, as it should be. Of a network with less than four norms, in its linear layers.
    """
    attention = history.of_type(layers.names, ("nondynamicallyquantizablelinear",))  # of torch's own make
    seen = ~np.isnan(layers.values) & ~attention
    # without norms, what is never negative, such as a sigmoid, turns all vectors the same way
    squashed = activation_of(history) in WITHOUT_CRITICAL_POINT
    for kind in ("norm",) if squashed else ("norm", "linear"):
        kept = np.flatnonzero(history.of_type(layers.names, (kind,)) & seen)
        if len(kept) >= 4:
            return tuple(layers.names[at] for at in kept), np.maximum(1 - layers.values[kept], ROUNDING)
    return None


def _one_answer(history: History, recent: list[Layers]) -> bool:
    """What comes last is the same for all tokens (NaN where it is not one for each), at the first looks and now, and
    no more was learned than a constant: answers at random, as large as the targets, cost twice as much as that."""
    several = [*history.first_layers("token_cosine"), *recent]
    far = any(level.recent < 0.5 * level.first for level in history.losses.values())
    norm = history.of_type(recent[-1].names[-1:], ("norm",)).any()
    return len(recent) == _LOOKS and not far and not norm and all(1 - row.values[-1] <= _ONE for row in several)


def _collapsed(distances: np.ndarray) -> bool:
    log2 = np.log2(distances)
    deep = float(np.min(log2[-max(1, len(log2) // 3) :]))
    floor = np.flatnonzero(distances <= ROUNDING)
    falling = log2[: max(2, floor[0] + 1)] if len(floor) else log2  # there nothing is left that could fall on
    decay = theil_sen(falling) * (len(falling) - 1)
    return deep <= np.log2(_ALIKE) and deep - float(np.max(log2[: max(1, len(log2) // 3)])) <= _DECAY and decay <= -4
