"""What the study ``grok_corruption`` trains and measures for one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.memorisation import (
    PHASES,
    PhaseDiagram,
    PruningSweep,
    classify_phase,
    neuron_ipr,
    norm_weight_correlation,
    phase_diagram,
    pruning_sweep,
)
from surefoot.studies._grok_corruption_figures import (
    figures_of_accuracies,
    figures_of_neurons,
    figures_of_phases,
    figures_of_pruning,
)
from surefoot.studies.frame import Scale, StudyResult, advance
from surefoot.studies.problems.corrupted_training import History, fit_corrupted
from surefoot.studies.problems.modular import modular_dataset
from surefoot.studies.problems.quadratic_mlp import QuadraticMLP


@dataclass(frozen=True)
class Sizes:
    """What a scale stands for; ``steps`` by setting, ``grid`` the axes of the phase diagram."""

    p: int
    width: int
    fraction: float
    corruption: float
    steps: Mapping[str, int]
    bn_fraction: float
    bn_steps: int
    grid_p: int
    grid_width: int
    grid_steps: int
    grid: Mapping[str, Sequence[float]]


SETTINGS: dict[str, dict[str, float]] = {
    "decay0": {"weight_decay": 0},
    "decay5": {"weight_decay": 5},
    "decay8": {"weight_decay": 8},
    "decay15": {"weight_decay": 15},
    "decay20": {"weight_decay": 20},
    "dropout3": {"dropout": 0.3},
    "dropout6": {"dropout": 0.6},
}


def _steps(decay0: int, decay: int, forget: int, dropout: int) -> dict[str, int]:
    return dict(zip(SETTINGS, (decay0, decay, decay, decay, forget, dropout, dropout), strict=True))


def _grid(fractions: Sequence[float], corruptions: Sequence[float], decays: Sequence[float]) -> dict[str, list[float]]:
    return {
        "data_fraction": list(fractions),
        "corruption": list(corruptions),
        "weight_decay": list(decays),
    }


_FINE = [round(0.1 + 0.05 * i, 2) for i in range(17)]
SIZES: dict[Scale, Sizes] = {
    "smoke": Sizes(31, 160, 0.75, 0.2, _steps(150, 120, 120, 60), 0.75, 200, 31, 96, 60, _grid([0.75], [0.3], [0, 15])),
    "small": Sizes(
        *(59, 300, 0.6, 0.3, _steps(600, 300, 1500, 400), 0.65, 1500),
        *(59, 300, 300, _grid([0.3, 0.45, 0.6, 0.75], [0.1, 0.3, 0.5, 0.7], [0, 15])),
    ),
    "paper": Sizes(
        *(97, 500, 0.5, 0.35, _steps(1000, 500, 5000, 2000), 0.65, 2000),
        *(97, 500, 2000, _grid(_FINE, _FINE, [0, 5, 15, 20])),
    ),
}
FRACTIONS = np.linspace(0, 1, 51).tolist()


def run(scale: Scale, seed: int) -> StudyResult:
    """Measure one seed on one thread: products this small gain nothing from more, and sums come out alike anywhere."""
    threads, flushed = torch.get_num_threads(), float(torch.tensor(1e-40) * 1.0) == 0
    torch.set_num_threads(1)
    # what decay 20 has forgotten shrinks into subnormal numbers, on which a step takes four to ten times as long
    torch.set_flush_denormal(True)
    try:
        return _run(scale, seed)
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def _run(scale: Scale, seed: int) -> StudyResult:
    """Measure one seed: settings of regularisation, pruning of the unregularised network, BatchNorm, phase diagram."""
    sizes = SIZES[scale]
    data = modular_dataset(sizes.p, "add", sizes.fraction, sizes.corruption, seed)
    floor = 1 - sizes.corruption + sizes.corruption / sizes.p
    measured: dict[str, float | np.ndarray] = {"train_floor": floor}
    histories: dict[str, History] = {}
    iprs: dict[str, Tensor] = {}
    plain: QuadraticMLP | None = None
    for name, setting in SETTINGS.items():
        model = _model(sizes.p, sizes.width, seed, dropout=setting.get("dropout", 0.0))
        decay = setting.get("weight_decay", 0.0)
        history = fit_corrupted(model, data, sizes.steps[name], weight_decay=decay, report_every=10, seed=seed)
        histories[name], iprs[name] = history, neuron_ipr(model)
        plain = plain or model
        last = history[max(history)]
        measured |= {f"{key}_{name}": value for key, value in last.as_dict().items() if not key.endswith("loss")}
        measured[f"ipr_{name}"] = float(iprs[name].mean())
        phase = classify_phase(list(history.values()), sizes.corruption, sizes.p)
        measured[f"phase_{name}"] = float(PHASES.index(phase))
        advance(0.5 * len(histories) / len(SETTINGS))
    assert plain is not None
    measured |= _stages(histories["decay15"], floor)

    sweeps = {order: pruning_sweep(plain, data, order, FRACTIONS, seed=seed) for order in ("low", "high", "random")}
    measured |= _pruning(sweeps)
    bn_measured, bn_ipr, bn_gamma = _batch_norm(sizes, seed)
    measured |= bn_measured
    diagram = _diagram(sizes, seed)
    measured |= _phases(diagram)

    figures = (
        *figures_of_accuracies({name: histories[name] for name in ("decay0", "decay15")}, floor),
        *figures_of_neurons(plain, iprs, bn_ipr, bn_gamma),
        *figures_of_pruning(sweeps),
        *figures_of_phases(diagram),
    )
    return StudyResult({key: np.asarray(value, dtype=float) for key, value in measured.items()}, figures)


def _model(p: int, width: int, seed: int, dropout: float = 0.0, norm: str | None = None) -> QuadraticMLP:
    generator = torch.Generator().manual_seed(seed)
    return QuadraticMLP(p, width, dropout, "bn" if norm else None, generator=generator)


def _stages(history: History, floor: float) -> dict[str, float]:
    """Steps at which the rule is learnt and the wrong labels are unlearnt; the number of steps + 1 where never."""
    never = max(history) + 1
    return {
        "step_grokked": min((s for s, r in history.items() if r.test >= 0.95), default=never),
        "step_unlearnt": min(
            (s for s, r in history.items() if r.test >= 0.5 and r.train <= floor + 0.02), default=never
        ),
        "peak_train_decay15": max(r.train for r in history.values()),
    }


def _pruning(sweeps: Mapping[str, PruningSweep]) -> dict[str, float]:
    low, high, random = (sweeps[order] for order in ("low", "high", "random"))
    whole = low.at(0)
    return {
        "low70_test_gain": low.at(0.7)["test"] - whole["test"],
        "low70_memorised": low.at(0.7)["memorised"],
        "low70_recovered": low.at(0.7)["recovered"],
        "low20_test": low.at(0.2)["test"],
        "random20_test": random.at(0.2)["test"],
        "high20_test": high.at(0.2)["test"],
        "high20_test_cost": whole["test"] - high.at(0.2)["test"],
        "high20_memorised": high.at(0.2)["memorised"],
    }


def _batch_norm(sizes: Sizes, seed: int) -> tuple[dict[str, float], Tensor, Tensor]:
    data = modular_dataset(sizes.p, "add", sizes.bn_fraction, 0.2, seed)
    model = _model(sizes.p, sizes.width, seed, norm="bn")
    history = fit_corrupted(model, data, sizes.bn_steps, lr=1e-2 * (64 / 256) ** 0.5, batch_size=64, seed=seed)
    last, ipr = history[max(history)], neuron_ipr(model)
    assert isinstance(model.norm, torch.nn.BatchNorm1d)
    gamma = model.norm.weight.detach().abs()
    low, high = gamma[ipr < 0.4], gamma[ipr > 0.6]
    return (
        {
            "bn_train": last.train,
            "bn_test": last.test,
            "bn_correlation": norm_weight_correlation(ipr, gamma),
            "bn_gamma_low_ipr": float(low.mean()),
            "bn_gamma_high_ipr": float(high.mean()),
        },
        ipr,
        gamma,
    )


def _diagram(sizes: Sizes, seed: int) -> PhaseDiagram:
    def cell(data_fraction: float, corruption: float, weight_decay: float) -> dict[str, float | str]:
        data = modular_dataset(sizes.grid_p, "add", data_fraction, corruption, seed)
        model = _model(sizes.grid_p, sizes.grid_width, seed)
        every = max(1, sizes.grid_steps // 10)
        history = fit_corrupted(model, data, sizes.grid_steps, weight_decay=weight_decay, report_every=every, seed=seed)
        last = history[max(history)]
        phase = classify_phase(list(history.values()), corruption, sizes.grid_p)
        return {"phase": phase, "train": last.train, "test": last.test, "memorised": last.memorised}

    return phase_diagram(cell, sizes.grid, progress=lambda done, total: advance(0.5 + 0.5 * done / total))


def _phases(diagram: PhaseDiagram) -> dict[str, float | np.ndarray]:
    decays = diagram.axes["weight_decay"]
    phase = diagram.values["phase"]
    learnt = diagram.values["test"] >= 0.85
    plain, decayed = (phase[..., decays.index(decay)] for decay in (0.0, 15.0))
    inverted = np.isin(phase, ["partial inversion", "full inversion"])
    return {
        "grid_phases": np.vectorize(PHASES.index)(phase).astype(float),
        "grid_generalising_decay0": float(learnt[..., decays.index(0.0)].sum()),
        "grid_generalising_decay15": float(learnt[..., decays.index(15.0)].sum()),
        "grid_inverted_decay15": float(inverted[..., decays.index(15.0)].sum()),
        "grid_full_inversion_decay0": float((plain == "full inversion").sum()),
        "grid_coexistence_decay15": float((decayed == "coexistence").sum()),
    }
