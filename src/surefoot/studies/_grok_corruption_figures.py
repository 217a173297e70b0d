"""The plots of the study ``grok_corruption``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from surefoot.analysis.memorisation import PhaseDiagram, PruningSweep, fourier_spectrum, neuron_ipr
from surefoot.plots import figure, line
from surefoot.studies.frame import Figure
from surefoot.studies.problems.corrupted_training import History
from surefoot.studies.problems.quadratic_mlp import QuadraticMLP

LABELS = {
    "decay0": "λ 0",
    "decay5": "λ 5",
    "decay8": "λ 8",
    "decay15": "λ 15",
    "decay20": "λ 20",
    "dropout3": "dropout 0.3",
    "dropout6": "dropout 0.6",
}
ACCURACIES = ("train", "memorised", "recovered", "clean_train", "test")


def figures_of_accuracies(histories: Mapping[str, History], floor: float) -> tuple[Figure, ...]:
    """The five accuracies against the step, a figure a setting."""
    found = []
    for name, history in histories.items():
        lines = [line(key, history, [getattr(r, key) for r in history.values()]) for key in ACCURACIES]
        lines.append(line("1 − ξ + ξ/p", [0, max(history)], [floor, floor]) | {"line": {"dash": "dot", "width": 1}})
        title = f"Accuracies during training, {LABELS[name]}"
        found.append(Figure(f"accuracies-{name}", title, figure(lines, title=title, x="step", y="accuracy")))
    return tuple(found)


def figures_of_neurons(
    plain: QuadraticMLP, iprs: Mapping[str, Tensor], bn_ipr: Tensor, bn_gamma: Tensor
) -> tuple[Figure, ...]:
    """Histograms of IPR, two neurons with their spectra, and IPR against the BatchNorm weight."""
    edges = torch.linspace(0, 1, 41)
    histogram = [
        line(LABELS[name], edges[:-1].tolist(), torch.histc(iprs[name].float(), 40, 0, 1).tolist())
        | {"line": {"shape": "hv"}}
        for name in ("decay0", "decay5", "decay15", "dropout6")
    ]
    plot = figure(histogram, title="Periodicity of the neurons", x="inverse participation ratio", y="neurons")

    order = neuron_ipr(plain).argsort()
    rows = {"most periodic": int(order[-1]), "least periodic": int(order[0])}
    weights = {
        f"{name} (neuron {k})": plain.U.detach()[k] / plain.U.detach()[k].abs().max() for name, k in rows.items()
    }
    spectra = {name: fourier_spectrum(weight) for name, weight in weights.items()}
    residues, frequencies = range(plain.p), range(plain.p // 2 + 1)
    row_plot = figure(
        [line(name, residues, w.tolist(), "lines+markers") for name, w in weights.items()],
        title="Two rows of U without regularisation, scaled to 1",
        x="residue",
        y="weight",
    )
    spectrum_plot = figure(
        [{"type": "bar", "name": name, "x": list(frequencies), "y": s.tolist()} for name, s in spectra.items()],
        title="Their spectra",
        x="frequency",
        y="magnitude, unit norm",
    )
    scatter = figure(
        [line("neurons", bn_ipr.tolist(), torch.abs(bn_gamma).tolist(), "markers") | {"marker": {"size": 5}}],
        title="BatchNorm gives memorising neurons small weights",
        x="inverse participation ratio",
        y="|γ|",
    )
    return (
        Figure("ipr-histogram", "Periodicity of the neurons by regularisation", plot),
        Figure("rows", "One periodic and one memorising row", row_plot),
        Figure("spectra", "Spectra of the two rows", spectrum_plot),
        Figure("ipr-gamma", "IPR against the BatchNorm weight", scatter),
    )


def figures_of_pruning(sweeps: Mapping[str, PruningSweep]) -> tuple[Figure, ...]:
    """Pruning curves, a figure an order."""
    titles = {"low": "least periodic first", "high": "most periodic first", "random": "random order"}
    return tuple(
        Figure(f"pruning-{order}", f"Pruning, {titles[order]}", sweep.plot()) for order, sweep in sweeps.items()
    )


def figures_of_phases(diagram: PhaseDiagram) -> tuple[Figure, ...]:
    """Maps of the phases over data fraction and corruption, a figure a weight decay."""
    return tuple(
        Figure(
            f"phases-decay{decay:g}",
            f"Phases at weight decay {decay:g}",
            diagram.plot("phase", x="data_fraction", y="corruption", weight_decay=decay),
        )
        for decay in diagram.axes["weight_decay"]
    )
