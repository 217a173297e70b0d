"""pLSTM: on a grid, forget gates of at most 1 explode; two local rules do not, and reach farther than a transformer."""

from __future__ import annotations

import math

import numpy as np
import torch

from surefoot.plots import figure, line
from surefoot.studies._plstm_graphs import train_areas
from surefoot.studies._plstm_runs import FORMS, compare_forms, constant_gates, gain, train_pointing
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance, data_folder
from surefoot.studies.problems.molecules import fetch

SLUG = "plstm"
SIDES = {"smoke": (8, 12, 16), "small": (8, 12, 16, 24, 32, 48, 64)}
COMPARED = {"smoke": (4, 8, 16), "small": (4, 8, 16, 32)}
STEPS = {"smoke": (20, 20), "small": (1500, 2500)}  # of pLSTM, of the transformer
GRAPH_STEPS = {"smoke": 4, "small": 300}
ARMS = ("PD", "DD", "vit")


def _mean(measured: Measured, key: str) -> float:
    return float(np.mean(measured[key]))


# Fixed before the first full run.
CLAIMS = (
    Claim(
        "Gates of 1 without a rule explode as the number of paths",
        "theory: 4^k/√(πk)",
        "corner to corner on 8 × 8: exactly C(14, 7) = 3432, forwards and in the gradient",
        lambda m: bool((m["gain_free_8"] == 3432).all() and (m["slope_free_8"] == 3432).all()),
        ("gain_free_8", "slope_free_8"),
    ),
    Claim(
        "and overflow float32 within a grid of ordinary size",
        "not in the paper",
        "first infinite on the diagonal at k = 66",
        lambda m: bool((m["overflow"] == 66).all()),
        "overflow",
    ),
    Claim(
        "P-mode decays with a power of the distance",
        "theory: Δ^(-1/2) along its direction",
        "log-log slope of the corner-to-corner gain −0.50 ± 0.02",
        lambda m: bool((np.abs(m["exponent_p"] + 0.5) <= 0.02).all()),
        "exponent_p",
    ),
    Claim(
        "D-mode carries everything to everywhere",
        "theory",
        "gain 1 ± 1e-6 at every size, forwards and in the gradient",
        lambda m: bool((m["error_d"] <= 1e-6).all()),
        "error_d",
    ),
    Claim(
        "A decay of 0.9 a step is exponential",
        "theory",
        "log gain over steps in D-mode: slope log 0.9 within 1 %",
        lambda m: bool((np.abs(m["rate_decay"] / math.log(0.9) - 1) <= 0.01).all()),
        "rate_decay",
    ),
    Claim(
        "The parallel form is the recurrent one",
        "appendix, log-depth construction",
        "largest difference ≤ 1e-12 in float64 at every size",
        lambda m: bool((m["difference"] <= 1e-12).all()),
        "difference",
    ),
    Claim(
        "and takes logarithmically many steps",
        "O(log N) against O(N)",
        "longest chain of operations: equal increments where the side doubles, in the recurrent form equal factors of "
        "about two",
        lambda m: _logarithmic(m),
        ("depth_parallel_8", "depth_parallel_16", "depth_recurrent_8", "depth_recurrent_16"),
    ),
    Claim(
        "pLSTM extrapolates better than a transformer",
        "arrow pointing, 2 × the size: 0.778 against 0.707",
        "symbolic arrow pointing at 1.5 × the size: mean lead ≥ 0.04",
        lambda m: _mean(m, "accuracy_PD_12") - _mean(m, "accuracy_vit_12") >= 0.04,
        ("accuracy_PD_12", "accuracy_vit_12"),
    ),
    Claim(
        "and keeps most of it at twice the size",
        "0.972 to 0.778",
        "mean accuracy of P, D at 2 × the size ≥ 0.78",
        lambda m: _mean(m, "accuracy_PD_16") >= 0.78,
        ("accuracy_PD_8", "accuracy_PD_16", "accuracy_vit_16"),
    ),
    Claim(
        "P- and D-mode in turn beat D-mode alone at twice the size",
        "the opposite: 0.778 against 0.828 (D only)",
        "mean lead ≥ 0.05",
        lambda m: _mean(m, "accuracy_PD_16") - _mean(m, "accuracy_DD_16") >= 0.05,
        ("accuracy_PD_16", "accuracy_DD_16"),
    ),
    Claim(
        "On molecules the graph layer tells more than their atoms",
        "TUDataset and Peptides: on a par with graph networks",
        "polar surface area: mean error of a pLSTM along the bonds ≤ half that of the same network without them "
        "(smoke: computed)",
        lambda m: (
            _mean(m, "area_error_plstm") <= (0.5 if m["area_steps"].max() > 100 else 100) * _mean(m, "area_error_atoms")
        ),
        ("area_error_plstm", "area_error_atoms", "area_error_mean"),
    ),
)


def _logarithmic(m: Measured) -> bool:
    sides = [side for side in COMPARED["small"] if f"depth_parallel_{side}" in m]
    depths = {
        form: np.array([_mean(m, f"depth_{form}_{side}") for side in sides]) for form in ("parallel", "recurrent")
    }
    steps = np.diff(depths["parallel"])
    factors = depths["recurrent"][1:] / depths["recurrent"][:-1]
    return bool((steps == steps[0]).all() and (factors[1:] > 1.7).all())


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: gains of constant gates, both forms, and the trainings."""
    sides = SIDES.get(scale, SIDES["small"])
    measured, tables = _stability(sides)
    for side in COMPARED.get(scale, COMPARED["small"]):
        measured |= {f"{key}_{side}": value for key, value in compare_forms(side, seed).items()}
    measured["difference"] = max(value for key, value in measured.items() if key.startswith("difference_"))
    folder = None if scale == "smoke" else data_folder(SLUG)
    graph_steps = GRAPH_STEPS.get(scale, GRAPH_STEPS["small"])
    tests = 64 if scale == "smoke" else 1024
    for kind, blocks in (("plstm", 1), ("atoms", 0)):
        error, mean_error, synthetic = train_areas(blocks, graph_steps, seed, folder, tests // 2)
        measured |= {f"area_error_{kind}": error, "area_error_mean": mean_error}
    measured["area_steps"] = graph_steps
    advance(0.1)
    steps, vit_steps = STEPS.get(scale, STEPS["small"])
    for done, arm in enumerate(ARMS):
        found = train_pointing(arm, *((vit_steps, 1e-3) if arm == "vit" else (steps, 3e-3)), seed, tests=tests)
        measured |= {f"accuracy_{arm}_{size}": accuracy for size, accuracy in found.items()}
        advance(0.1 + 0.9 * (done + 1) / len(ARMS))
    notes = ("The molecules are synthetic stand-ins: those of the NCI were not fetched.",) if synthetic else ()
    return StudyResult({key: np.array(value) for key, value in measured.items()}, _pictures(tables), notes)


def _stability(sides: tuple[int, ...]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    measured: dict[str, float] = {}
    tables: dict[str, np.ndarray] = {}
    steps, at_p, decayed, error_d = [], [], [], 0.0
    for side in sides:
        for kind in ("free", "P", "D"):
            table, slope = gain(constant_gates(kind), side)
            measured[f"gain_{kind.lower()}_{side}"] = float(table[-1, -1])
            measured[f"slope_{kind.lower()}_{side}"] = slope
            if kind == "D":
                error_d = max(error_d, float((table - 1).abs().max()), abs(slope - 1))
            if side == sides[1]:
                tables[kind] = table.numpy()
        steps.append(2 * (side - 1))
        at_p.append(measured[f"gain_p_{side}"])
        decayed.append(float(gain(constant_gates("D", 0.9), side)[0][-1, -1]))
    measured["exponent_p"] = float(np.polyfit(np.log(steps), np.log(at_p), 1)[0])
    measured["error_d"] = error_d
    measured["rate_decay"] = float(np.polyfit(steps, np.log(decayed), 1)[0])
    single, _ = gain(constant_gates("free", dtype=torch.float32), 70, torch.float32)
    measured["overflow"] = float(torch.isinf(single.diagonal()).double().argmax())
    return measured, tables


def _pictures(tables: dict[str, np.ndarray]) -> tuple[Figure, ...]:
    found = []
    for kind, table in tables.items():
        trace = {"type": "heatmap", "z": np.log10(np.maximum(table.T, 1e-6)).tolist(), "colorbar": {"title": "log₁₀ G"}}
        name = {"free": "gates of 1 without a rule", "P": "P-mode", "D": "D-mode"}[kind]
        plot = figure([trace], title=f"What the first corner weighs elsewhere: {name}", x="x", y="y")
        found.append(Figure(f"field-{kind.lower()}", f"Receptive field of one source, {name}", plot))
    return tuple(found)


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Gain against distance, accuracy against size, time against size."""
    sides = [side for side in SIDES["small"] if f"gain_p_{side}" in measured]
    gains = [
        line(
            name,
            [2 * (side - 1) for side in sides],
            [_mean(measured, f"gain_{kind}_{side}") for side in sides],
            "lines+markers",
        )
        for kind, name in (("free", "gates of 1"), ("p", "P-mode"), ("d", "D-mode"))
    ]
    sizes = (8, 12, 16)
    accuracy = [
        line(name, sizes, [_mean(measured, f"accuracy_{arm}_{size}") for size in sizes], "lines+markers")
        for arm, name in (("PD", "pLSTM P, D"), ("DD", "pLSTM D, D"), ("vit", "transformer"))
    ]
    compared = [side for side in COMPARED["small"] if f"ms_parallel_{side}" in measured]
    times, depths = (
        [
            line(form, compared, [_mean(measured, f"{kind}_{form}_{side}") for side in compared], "lines+markers")
            for form in FORMS
        ]
        for kind in ("ms", "depth")
    )
    names = ["pLSTM along bonds", "atoms alone", "mean of the training molecules"]
    errors = [_mean(measured, f"area_error_{kind}") for kind in ("plstm", "atoms", "mean")]
    areas = {"type": "bar", "x": names, "y": errors}
    return (
        Figure(
            "gain",
            "Corner-to-corner gain against distance",
            figure(gains, title="Gain over distance", x="steps", y="G", log_x=True, log_y=True),
        ),
        Figure(
            "accuracy",
            "Trained at 8 × 8, tested on larger grids",
            figure(accuracy, title="Symbolic arrow pointing", x="side of the grid", y="accuracy"),
        ),
        Figure(
            "depth",
            "Operations that wait for each other",
            figure(depths, title="Depth of a forward", x="side of the grid", y="operations", log_x=True),
        ),
        Figure(
            "molecules",
            "Polar surface area of molecules that were held out",
            figure([areas], title="Molecules", y="mean error, Å²"),
        ),
        Figure(
            "time",
            "Forward of each form, one core",
            figure(times, title="Time of a forward", x="side of the grid", y="ms", log_x=True, log_y=True),
        ),
    )


STUDY = Study(
    slug=SLUG,
    title="pLSTM: parallelisable linear source transition mark networks on grids and graphs",
    paper="Pöppel, Freinschlag, Schmied, Lin, Hochreiter: pLSTM: parallelizable Linear Source Transition Mark "
    "networks. NeurIPS 2025, arXiv 2506.11997",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 6, "paper": 6},
    setup=fetch,
    notes=(
        "Arrow pointing with symbols on a small grid in place of images of 192 pixels; fresh samples at every step.",
        "The lead over D-mode alone is expected from an earlier small run; the paper's own order is the opposite.",
        "The transformer has a class token and positions that start at a standard deviation of 0.4: with mean pooling "
        "or 0.02 it does not start to learn at this size.",
        "Times are of one core and of whatever else runs on it.",
        "In place of TUDataset and Peptides, which need a download: molecules of the NCI and their polar surface "
        "areas, both from the rdkit package.",
    ),
)
