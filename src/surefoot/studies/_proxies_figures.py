"""Plots of the proxies study; lines are means over seeds."""

from __future__ import annotations

import numpy as np

from surefoot.analysis.scaling import extrapolate
from surefoot.plots import figure, line
from surefoot.studies._proxies_runs import EPSILONS, KAPPAS, RATES
from surefoot.studies.frame import Figure, Measured

_BOTH = "lines+markers"
_NAMES = {"plain": "without", "qk": "with qk-layernorm"}


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Loss, logits and gradients over rates; logits over sizes with the forecast; transplant; ε."""
    mean = {key: values.mean(axis=0) for key, values in measured.items()}
    losses = [
        line(f"{label}, S = {mean[f'sensitivity.{name}']:.3f}", RATES, mean[f"loss.{name}"], _BOTH)
        for name, label in _NAMES.items()
    ]
    logits = [line(label, RATES, mean[f"logit.{name}"], _BOTH) for name, label in _NAMES.items()]
    gradients = [line(label, RATES, mean[f"gradient.{name}"], _BOTH) for name, label in _NAMES.items()]
    gradients.append(line("ε of Adam", [RATES[0], RATES[-1]], [1e-8, 1e-8]))
    bigram = float(mean["bigram"])
    transplant = [
        line("loss", KAPPAS, mean["transplant.loss"], _BOTH),
        line("pairs of symbols alone", [KAPPAS[0], KAPPAS[-1]], [bigram, bigram]),
    ]
    epsilon = [
        line("update RMS / rate, over that at ε = 1e-15", EPSILONS, mean["eps.update"] / mean["eps.update"][0], _BOTH),
        line("r/(r + ε)", EPSILONS, mean["eps.share"]),
    ]
    return (
        Figure("rates", "Loss over the learning rate", figure(losses, x="peak learning rate", y="loss", log_x=True)),
        Figure("logits", "Largest attention logit of the first block",
               figure(logits, x="peak learning rate", y="logit", log_x=True, log_y=True)),
        Figure("sizes", "The largest logit at one early step, over sizes", _forecast(mean)),
        Figure("gradients", "Gradient RMS of the first MLP matrix",
               figure(gradients, x="peak learning rate", y="gradient RMS", log_x=True, log_y=True)),
        Figure("transplant", "Queries and keys of mean square κ", figure(transplant, x="κ", y="loss", log_x=True)),
        Figure("epsilon", "What ε leaves of a step", figure(epsilon, x="ε", y="share", log_x=True, log_y=True)),
    )  # fmt: skip


def _forecast(mean: dict[str, np.ndarray]) -> object:
    sizes, logits = mean["ladder.size"], mean["ladder.logit"]
    plot = extrapolate(sizes[:-1], logits[:-1], 1).plot(to=2 * float(sizes[-1]), y="largest logit")
    held = line("held back", sizes[-1:], logits[-1:], "markers")
    plot.add_trace({**held, "marker": {"size": 10, "symbol": "diamond"}})
    return plot
