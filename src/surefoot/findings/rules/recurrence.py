"""``bptt-explosion``: the gradient grows geometrically on its way back through time.

∂L/∂h_t = Σ_s J_{t+1}ᵀ … J_sᵀ ∂L_s/∂h_s, and the product of the Jacobians grows like e^{λ(s−t)} where the trajectory's
Lyapunov exponent λ is positive (Mikhaeil, Monfared, Durstewitz 2022, arXiv 2110.07238: for chaotic dynamics no
architecture or initialisation helps). The gradient of the weights is the sum over t of ∂L/∂h_t times what went in.
Where the terms of the first time steps are 2²⁴ times those of the last, these are below a rounding error of float32 in
the sum; from 2¹² on they have lost half of their bits.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.progress import HOLDS
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
_HALF, _ALL = 12.0, 24.0  # bits over the sequence
_LONG = 128  # steps
_SOURCE = (
    "2^24 is one rounding error of float32, 2^12 half of its bits: the terms of the last time steps are lost in the "
    "weights' gradient beside those of the first"
)

ORTHOGONAL_RECURRENT = Remedy(
    name="orthogonal recurrent weights",
    why="an orthogonal matrix neither lengthens nor shortens what goes through it again and again",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "for module in model.modules():\n"
        "    if isinstance(module, (torch.nn.RNNBase, torch.nn.RNNCellBase)):\n"
        "        for name, weight in module.named_parameters(recurse=False):\n"
        '            if name.startswith("weight_hh"):\n'
        "                for gate in weight.detach().split(module.hidden_size):\n"
        "                    torch.nn.init.orthogonal_(gate)\n"
    ),
)


def remember(length: float) -> Remedy:
    """Forget gates that start open for as long as the sequences are; ``length`` in time steps.

    A gate σ(b) keeps its memory for about 1 + eᵇ steps: b = ln(t − 1) for times t up to the length (Tallec, Ollivier
    2018, Can recurrent neural networks warp time?, arXiv 1804.11188, §3).
    """
    most = max(3.0, length) - 1
    return Remedy(
        name="forget gates open at the start",
        why=f"units of an LSTM or GRU then keep their memory, and its gradient, for up to {most + 1:.0f} time steps",
        how=(
            "# after: optimizer\n"
            "import torch\n"
            "gated = (torch.nn.LSTM, torch.nn.LSTMCell, torch.nn.GRU, torch.nn.GRUCell)  # their second gate forgets\n"
            "for module in model.modules():\n"
            "    if isinstance(module, gated):\n"
            f"        times = torch.linspace(1.0, {most:.0f}.0, module.hidden_size)\n"
            "        for name, bias in module.named_parameters(recurse=False):\n"
            '            if name.startswith(("bias_ih", "bias_hh")):\n'
            "                gate = bias.detach()[module.hidden_size : 2 * module.hidden_size]\n"
            '                gate.copy_(times.log() if name.startswith("bias_ih") else torch.zeros_like(gate))\n'
        ),
    )


@rule("bptt-explosion", needs=("recurrence",))
def bptt_explosion(history: History) -> Sign | None:
    """Over the sequence |∂L/∂h_t| grows back in time by 2¹² or more (λT in bits), at three looks in a row, or by 2²⁴
    at the first two: warning.

    Critical from 2²⁴ on where the loss learns nothing or was lost.
    """
    factors = through_time(history)
    worst = max(factors, key=lambda where: min(factors[where]), default=None)
    if worst is None or min(factors[worst]) < (_HALF if len(factors[worst]) == _LOOKS else _ALL):
        return None
    bits = factors[worst][-1]
    lost = any(
        level.nonfinite_step is not None or (level.count >= 16 and level.stuck) for level in history.losses.values()
    )
    severity: Severity = "critical" if min(factors[worst]) >= _ALL and lost else "warning"
    evidence = _evidence(history, worst, bits, _ALL if severity == "critical" else _HALF)
    rate, length = history.value("bptt_rate", worst), history.value("bptt_length", worst)
    cause = (
        f"the gradient grows by a factor {math.exp(min(rate, 700.0)):.3g} with every time step back through {worst}: "
        f"by 2^{min(bits, 9999.0):.0f} over its {length:.0f} time steps, so that only the first of them are heard."
    )
    where = tuple(name for name, several in factors.items() if min(several) >= _HALF)
    steps, rates = history.series("bptt_rate", worst)
    lengths = history.series("bptt_length", worst)[1]
    with np.errstate(invalid="ignore"):
        calm = np.flatnonzero(rates * lengths / math.log(2) < _HALF)
    since = int(steps[calm[-1] + 1]) if len(calm) else int(steps[0])
    return Sign(severity, cause, evidence, where, since, (ORTHOGONAL_RECURRENT, remedies.CLIP))


def lost_in_time(history: History) -> Sign | None:
    """What a loss says at the end of a long sequence does not come back to its beginning: 2⁻²⁴ or less at three looks
    in a row, the newest no older than three quarters of the run, and the loss learns nothing for 128 steps."""
    factors = through_time(history, HOLDS)
    worst = min(factors, key=lambda where: max(factors[where]), default=None)
    if worst is None or max(factors[worst]) > -_ALL or len(factors[worst]) < _LOOKS or not history.losses:
        return None
    if not all(level.stuck and level.steps >= _LONG for level in history.losses.values()):
        return None
    rate, length = history.value("bptt_rate", worst), history.value("bptt_length", worst)
    cause = (
        f"the gradient shrinks by a factor {math.exp(rate):.3g} with every time step back through {worst}: of its "
        f"{length:.0f} time steps only the last {max(1.0, -_HALF * math.log(2) / rate):.0f} are heard, and nothing is "
        "learned."
    )
    began = int(history.series("bptt_rate", worst)[0][0])
    evidence = _evidence(history, worst, factors[worst][-1], -_ALL)
    gated = bool(history.of_type((worst,), ("lstm", "gru")).all())
    cures = (remember(length), ORTHOGONAL_RECURRENT) if gated else (ORTHOGONAL_RECURRENT,)
    return Sign("warning", cause, evidence, (worst,), began, cures)


def through_time(history: History, old: float = 1.0) -> dict[str, list[float]]:
    """log2 of what the gradient is multiplied by over a layer's whole sequence, at its newest two or three looks; none
    where the run is longer than ``old`` times what it was at the newest."""
    rates = history.recent_layers("bptt_rate", _LOOKS)
    lengths = history.recent_layers("bptt_length", _LOOKS)
    if len(rates) < 2 or len(lengths) != len(rates) or history.step > old * rates[-1].step:
        return {}
    found = {}
    for name in rates[-1].names:
        bits = [rate[name] * length[name] / math.log(2) for rate, length in zip(rates, lengths, strict=True)]
        if not any(map(math.isnan, bits)):
            found[name] = bits
    return found


def _evidence(history: History, where: str, bits: float, threshold: float) -> tuple[Evidence, ...]:
    factor, bound = (2.0 ** min(1000.0, max(-1000.0, b)) for b in (bits, threshold))
    return (
        Evidence("bptt_rate · bptt_length, as a factor", where, history.step, factor, bound, _SOURCE),
        Evidence("bptt_rate", where, history.step, history.value("bptt_rate", where), 0.0,
                 "the Lyapunov exponent that neither grows nor shrinks (Mikhaeil et al. 2022)"),
    )  # fmt: skip
