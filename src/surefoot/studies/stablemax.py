"""Study of "Grokking at the Edge of Numerical Stability": Softmax Collapse, StableMax and ⊥Grad."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surefoot import plots
from surefoot.studies._stablemax_runs import SIZES, Curves, modular_runs, parity_runs, precision_runs
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance

RUNS = {
    "plain": "AdamW",
    "decay": "AdamW, weight decay 4",
    "perp": "⊥AdamW",
    "ce": "cross-entropy",
    "stable": "StableMax",
    "ce_perp": "cross-entropy, ⊥AdamW",
    "stable_perp": "StableMax, ⊥AdamW",
    "fp16": "softmax in float16",
    "fp32": "softmax in float32",
    "fp64": "softmax in float64",
}


def run(scale: Scale, seed: int) -> StudyResult:
    """Measure one seed."""
    size = SIZES[scale]
    # Shares of the time, from measured times of a step.
    parts: tuple[tuple[Callable[..., dict[str, Curves]], float, int], ...] = (
        (modular_runs, 0.12, 3 * (size.steps // 5 + 1)),
        (parity_runs, 0.33, 4 * (size.parity_steps // 10 + 1) + 2 * (size.hard_steps // 30 + 1)),
        (precision_runs, 0.55, 3 * (size.precision_steps // 25 + 1)),
    )
    curves: dict[str, Curves] = {}
    done = 0.0
    for part, share, calls in parts:
        state = {"calls": 0}

        def told(done: float = done, share: float = share, calls: int = calls, state: dict[str, int] = state) -> None:
            state["calls"] += 1
            advance(done + share * state["calls"] / calls)

        curves |= part(size, seed, told)
        done += share
    return StudyResult(_measured(curves))


def _measured(curves: dict[str, Curves]) -> Measured:
    values: dict[str, float | np.ndarray] = {}
    for name in ("plain", "decay", "perp"):
        values[f"steps_to_95_{name}"] = _first(curves[name], curves[name]["test"] >= 0.95)
    values["perp_test_at_100"] = _at(curves["perp"], "test", 100)
    values["perp_test_at_150"] = _at(curves["perp"], "test", 150)
    values["plain_test_at_300"] = _at(curves["plain"], "test", 300)
    values["plain_train_at_300"] = _at(curves["plain"], "train", 300)
    for name in ("ce", "stable", "ce_hard", "stable_hard"):
        values[f"{name}_test"] = curves[name]["test"][-1]
    values["ce_perp_test_at_300"] = _at(curves["ce_perp"], "test", 300)
    values["stable_perp_test_at_300"] = _at(curves["stable_perp"], "test", 300)
    values["ce_test_at_750"] = _at(curves["ce"], "test", 750)
    values["ce_collapse"] = curves["ce"]["collapse"][-1]
    for name in ("fp16", "fp32", "fp64"):
        run = curves[name]
        values[f"collapse_step_{name}"] = _first(run, run["collapse"] >= 0.1)
        values[f"loss_{name}"] = run["loss"][-1]
        values[f"largest_logit_{name}"] = run["largest"].max()
    values["alignment_fp64"] = curves["fp64"]["alignment"][len(curves["fp64"]["step"]) // 4]
    for name, run in curves.items():
        values |= {f"curve_{name}_{key}": value for key, value in run.items()}
    return {key: np.asarray(value, dtype=float) for key, value in values.items()}


def _at(run: Curves, key: str, step: int) -> float:
    """The value at the last measured step up to ``step``."""
    return float(run[key][run["step"] <= step][-1])


def _first(run: Curves, reached: np.ndarray) -> float:
    """The first measured step at which something is so; infinite if it never is."""
    return float(run["step"][reached][0]) if reached.any() else np.inf


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Curves over seeds: a line at the mean, a band from the lowest to the highest seed."""
    accuracy = "test accuracy"
    modular = ("plain", "decay", "perp")
    parity = ("ce", "stable", "ce_perp", "stable_perp")
    precision = ("fp16", "fp32", "fp64")
    return (
        _lines(measured, "modular-test", "Addition mod p: test accuracy", modular, "test", accuracy),
        _lines(measured, "parity-test", "Sparse parity: test accuracy", parity, "test", accuracy),
        _lines(measured, "parity-collapse", "Sparse parity: collapsed rows", parity, "collapse", "share of rows"),
        _lines(measured, "precision-test", "Softmax by precision: test accuracy", precision, "test", accuracy),
        _lines(measured, "precision-collapse", "Softmax by precision: collapsed rows", precision, "collapse", "share"),
        _lines(measured, "precision-loss", "Softmax by precision: loss", precision, "loss", "loss", log_y=True),
        _lines(measured, "alignment", "Naive loss minimisation", precision, "alignment", "cosine of −g and weights"),
        _headroom(measured, precision),
    )


def _lines(
    measured: Measured, name: str, title: str, runs: tuple[str, ...], key: str, y: str, log_y: bool = False
) -> Figure:
    traces = []
    for colour, run in zip(plots.SERIES, runs, strict=False):
        x = measured[f"curve_{run}_step"][0]
        values = measured[f"curve_{run}_{key}"]
        if log_y:
            values = np.maximum(values, 1e-16)
        low, high = values.min(axis=0), values.max(axis=0)
        band = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]])}
        style = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": colour, "opacity": 0.18}
        traces.append({"type": "scatter", **band, **style, "showlegend": False, "hoverinfo": "skip"})
        line = {"x": x, "y": values.mean(axis=0), "mode": "lines", "line": {"color": colour, "width": 1.6}}
        traces.append({"type": "scatter", **line, "name": RUNS[run]})
    return Figure(name, title, plots.figure(traces, x="step", y=y, log_y=log_y))


def _headroom(measured: Measured, runs: tuple[str, ...]) -> Figure:
    """The distribution of the last headroom over rows and seeds, as its percentiles."""
    share = np.arange(101) / 100
    means = [(RUNS[run], measured[f"curve_{run}_headroom"].mean(axis=0)) for run in runs]
    traces = [{"type": "scatter", "mode": "lines", "x": x, "y": share, "name": name} for name, x in means]
    plot = plots.figure(traces, x="headroom of a row at the end (nats); below 0 it has collapsed", y="share of rows")
    plot.add_vline(0, line={"color": plots.LIGHT["critical"], "dash": "dash"})
    return Figure("headroom", "Softmax by precision: headroom of the training rows", plot)


def _mean(measured: Measured, key: str) -> float:
    return float(measured[key].mean())


STUDY = Study(
    slug="stablemax",
    title="Softmax Collapse: why training stops at zero error, and two ways on",
    paper="Prieto, Barsbey, Mediano, Birdal: Grokking at the Edge of Numerical Stability, ICLR 2025, arXiv 2501.04697",
    claims=(
        Claim(
            name="⊥AdamW generalises on addition mod p with almost no delay",
            paper="Fig. 6: within some 150–300 epochs at p = 113",
            expected="test accuracy ≥ 0.93 at step 100 and ≥ 0.99 at step 150",
            compare=lambda m: _mean(m, "perp_test_at_100") >= 0.93 and _mean(m, "perp_test_at_150") >= 0.99,
            measured=("perp_test_at_100", "perp_test_at_150"),
        ),
        Claim(
            name="AdamW without decay fits the data and stays at chance",
            paper="Fig. 6: plain AdamW stays at chance",
            expected="at step 300 train accuracy 1 and test accuracy ≤ 0.01",
            compare=lambda m: _mean(m, "plain_test_at_300") <= 0.01 and _mean(m, "plain_train_at_300") >= 0.999,
            measured=("plain_test_at_300", "plain_train_at_300"),
        ),
        Claim(
            name="⊥AdamW is there in less than half the steps of AdamW with tuned weight decay",
            paper="Fig. 6: faster than weight decay 1.5 (transformer)",
            expected="steps to 95 % test: ⊥AdamW < decay / 2 in every seed; AdamW without decay never",
            compare=lambda m: (
                bool((m["steps_to_95_perp"] < m["steps_to_95_decay"] / 2).all())
                and bool(np.isinf(m["steps_to_95_plain"]).all())
            ),
            measured=("steps_to_95_perp", "steps_to_95_decay", "steps_to_95_plain"),
        ),
        Claim(
            name="StableMax learns sparse parity further than cross-entropy, with no regularisation",
            paper="Fig. 4: StableMax groks, cross-entropy does not",
            expected="test accuracy at least 0.12 higher",
            compare=lambda m: _mean(m, "stable_test") >= _mean(m, "ce_test") + 0.12,
            measured=("stable_test", "ce_test"),
        ),
        Claim(
            name="So it does with more noise bits, where cross-entropy stays at chance",
            paper="Fig. 4 (40 noise bits)",
            expected="cross-entropy ≤ 0.60, StableMax at least 0.12 higher",
            compare=lambda m: (
                _mean(m, "ce_hard_test") <= 0.60 and _mean(m, "stable_hard_test") >= _mean(m, "ce_hard_test") + 0.12
            ),
            measured=("stable_hard_test", "ce_hard_test"),
        ),
        Claim(
            name="⊥AdamW learns sparse parity with plain cross-entropy",
            paper="Fig. 6: projected gradients suffice",
            expected="test accuracy ≥ 0.99 at step 300",
            compare=lambda m: _mean(m, "ce_perp_test_at_300") >= 0.99,
            measured="ce_perp_test_at_300",
        ),
        Claim(
            name="Cross-entropy stops improving while rows collapse",
            paper="Fig. 2 (reconstructed on sparse parity)",
            expected="test accuracy within 0.02 from step 750 to the end; ≥ 10 % of rows collapsed at the end",
            compare=lambda m: (
                abs(_mean(m, "ce_test") - _mean(m, "ce_test_at_750")) <= 0.02 and _mean(m, "ce_collapse") >= 0.1
            ),
            measured=("ce_test_at_750", "ce_test", "ce_collapse"),
        ),
        Claim(
            name="The coarser the softmax's precision, the sooner it collapses",
            paper="Fig. 2: more bits delay Softmax Collapse",
            expected="first step with 10 % of rows collapsed: float16 < float32, float64 never, in every seed",
            compare=lambda m: (
                bool((m["collapse_step_fp16"] < m["collapse_step_fp32"]).all())
                and bool(np.isfinite(m["collapse_step_fp32"]).all())
                and bool(np.isinf(m["collapse_step_fp64"]).all())
            ),
            measured=("collapse_step_fp16", "collapse_step_fp32", "collapse_step_fp64"),
        ),
        Claim(
            name="In float32 the logits leap after the collapse; in float64 the loss falls on",
            paper="Fig. 2 (reconstructed)",
            expected="largest |logit| in float32 ≥ 4 × that in float64, whose loss ends ≤ 1e-10",
            compare=lambda m: (
                _mean(m, "largest_logit_fp32") >= 4 * _mean(m, "largest_logit_fp64") and _mean(m, "loss_fp64") <= 1e-10
            ),
            measured=("largest_logit_fp32", "largest_logit_fp64", "loss_fp64"),
        ),
        Claim(
            name="Once the data are fit, the gradient runs along the weights",
            paper="naive loss minimisation follows overfitting (reconstructed: a cosine of 0.7 to 0.8)",
            expected="cosine ≥ 0.6 after a quarter of the steps, softmax in float64",
            compare=lambda m: _mean(m, "alignment_fp64") >= 0.6,
            measured="alignment_fp64",
        ),
    ),
    run=run,
    figures=figures,
    minutes={"smoke": 0.05, "small": 1.5, "paper": 80.0},
    notes=(
        "Synthetic data, as in the paper: addition mod p and sparse parity.",
        "Sizes at small scale are ours: p = 59 and 47, sparse parity of 3 bits with 30 (40) noise bits.",
        "Projection as in the paper's text, tensor by tensor, without the rescaling of the authors' code.",
        "StableMax on addition mod p takes tens of thousands of steps and is not run here.",
    ),
)
