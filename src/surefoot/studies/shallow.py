"""Shallow again: is a residual stack its branches in parallel, and does the parallel network train as well?"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from surefoot.analysis.residual_expansion import path_weights
from surefoot.plots import figure, line
from surefoot.studies._shallow_runs import (
    SLOPES,
    WIRINGS,
    Images,
    both,
    expansion_errors,
    gradient_ratio,
    judge,
    linear_bound,
    recovery,
    seconds,
    stack_size,
    truncated,
)
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance
from surefoot.studies.problems.digits import digits

SUMS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
SMALL_SUMS = 3  # of them are below 0.3, where slopes are read
DEPTHS, DEEPEST = (4, 16, 64), 64  # of gradients
# (branches, channels, kernel)
CONFIGURATIONS = {
    "smoke": ((2, 4, 3),),
    "small": tuple((L, C, 3) for C in (4, 8) for L in (2, 4, 8, 16)) + tuple((L, 4, 5) for L in (4, 16)),
}
CUT = {"smoke": ((2, 4, 3),), "small": ((4, 4, 3), (16, 4, 3))}  # truncated after training; the last is trained on


def _name(configuration: tuple[int, int, int]) -> str:
    return "{}x{}k{}".format(*configuration)


def _trained(m: Measured) -> list[str]:
    return [key.removeprefix("test_sequential_") for key in m if key.startswith("test_sequential_")]


def _ratios(m: Measured) -> np.ndarray:
    return np.array([(m[f"test_parallel_{n}"] / m[f"test_sequential_{n}"]).mean() for n in _trained(m)])


# Fixed before the first full run.
CLAIMS = (
    Claim(
        "To first order a residual stack is its branches in parallel",
        "by expansion; for small branches (no number)",
        "error of order 1 grows as S^2, of order 2 as S^3: slopes within 0.15 for S < 0.3, tanh and GELU, every seed",
        lambda m: all(
            bool((np.abs(m[f"slope_{order}_{act}"] - (order + 1)) <= 0.15).all()) for act in SLOPES for order in (1, 2)
        ),
        ("slope_1_tanh", "slope_2_tanh", "slope_1_gelu", "slope_2_gelu"),
    ),
    Claim(
        "What order 1 leaves out is bounded by the branches' Lipschitz constants",
        "not in the paper",
        "error over bound ≤ 1 for every sample, every S from 0.05 to 3, every seed",
        lambda m: all(bool((m[f"of_bound_{act}"] <= 1 + 1e-9).all()) for act in SLOPES),
        ("of_bound_tanh", "of_bound_gelu"),
    ),
    Claim(
        "Trained from scratch the parallel network generalises as well",
        "CIFAR-10 by Q: 1.32 against 2.03, 1.25 against 1.32, 1.34 against 1.35, 1.68 against 1.65; MNIST: worse at "
        "both ends",
        "test loss of parallel over sequential between 0.9 and 1.1 in every configuration, mean over seeds",
        lambda m: bool((np.abs(_ratios(m) - 1) <= 0.1).all()),
        ("least_ratio", "largest_ratio"),
    ),
    Claim(
        "The sequential network fits its training set slightly better",
        "in 7 of 8 intervals of Q",
        "training loss of sequential ≤ that of parallel in every configuration, mean over seeds",
        lambda m: all(bool(m[f"train_sequential_{n}"].mean() <= m[f"train_parallel_{n}"].mean()) for n in _trained(m)),
        ("train_sequential_all", "train_parallel_all"),
    ),
    Claim(
        "A trained stack is not its branches in parallel",
        "not in the paper",
        "the deepest, truncated to order 1, loses ≥ 0.3 of its accuracy and order 2 less; S ≥ 1; every seed",
        lambda m: bool(
            (m["cut_accuracy"] - m["cut_order_1"] >= 0.3).all()
            and (m["cut_order_2"] > m["cut_order_1"]).all()
            and (m["cut_size"] >= 1).all()
        ),
        ("cut_accuracy", "cut_order_1", "cut_order_2", "cut_size"),
    ),
    Claim(
        "Little training makes it one",
        "not in the paper",
        "three epochs bring back ≥ 95 % of the accuracy, every seed",
        lambda m: bool((m["recovered_3"] >= 0.95 * m["cut_accuracy"]).all()),
        ("recovered_3", "cut_accuracy"),
    ),
    Claim(
        "In parallel, gradients do not depend on depth",
        "no product over layers",
        "first over last branch, 64 branches at the start: within a factor of 3 in parallel, below 1e-3 or above 1e3 "
        "in a plain chain, every seed",
        lambda m: bool(
            (np.abs(np.log(m[f"gradient_parallel_{DEEPEST}"])) <= np.log(3)).all()
            and ((m[f"gradient_plain_{DEEPEST}"] <= 1e-3) | (m[f"gradient_plain_{DEEPEST}"] >= 1e3)).all()
        ),
        tuple(f"gradient_{wiring}_{DEEPEST}" for wiring in WIRINGS),
    ),
    Claim(
        "Fused, it is faster",
        "not in the paper as a number",
        "16 convolutions of 4 channels on 8 × 8: forward and backward fused in at most half of the sequential time, "
        "median over seeds",
        lambda m: float(np.median(m["speedup_fused"])) >= 2,
        ("speedup_loop", "speedup_fused"),
    ),
)


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: errors of expansions, digits by both wirings, truncation, gradients, time."""
    configurations = CONFIGURATIONS.get(scale, CONFIGURATIONS["small"])
    cuts, epochs = CUT.get(scale, CUT["small"]), {"smoke": 1, "small": 12}.get(scale, 60)
    measured: dict[str, Any] = {}
    plots = [_of_errors(measured, seed)]
    split = digits(seed, test_share=497 / 1797)
    data: Images = (
        split.x_train.reshape(-1, 1, 8, 8), split.y_train, split.x_test.reshape(-1, 1, 8, 8), split.y_test,
    )  # fmt: skip
    work, done = sum(L for L, _, _ in configurations), 0
    deep: dict[str, nn.Sequential] = {}
    for configuration in configurations:
        name = _name(configuration)
        deep[name], sequential, parallel, measured[f"Q_{name}"] = both(*configuration, data, seed, epochs)
        for wiring, one in (("sequential", sequential), ("parallel", parallel)):
            measured |= {f"train_{wiring}_{name}": one.train, f"test_{wiring}_{name}": one.test}
            measured[f"accuracy_{wiring}_{name}"] = one.accuracy
        done += configuration[0]
        advance(done / work)
    names = list(deep)
    ratios = [measured[f"test_parallel_{n}"] / measured[f"test_sequential_{n}"] for n in names]
    measured |= {"least_ratio": min(ratios), "largest_ratio": max(ratios)}
    for wiring in ("sequential", "parallel"):
        measured[f"train_{wiring}_all"] = np.mean([measured[f"train_{wiring}_{n}"] for n in names])
    for configuration in cuts:
        name = _name(configuration)
        accuracies = {f"order_{k}": judge(truncated(deep[name], k), data).accuracy for k in (1, 2, 3)}
        accuracies |= {"accuracy": measured[f"accuracy_sequential_{name}"], "size": stack_size(deep[name], data[0])}
        measured |= {f"cut_{key}_{name}": value for key, value in accuracies.items()}
        measured |= {f"cut_{key}": value for key, value in accuracies.items()}  # of the last, the deepest
    for epoch, accuracy in enumerate(recovery(deep[_name(cuts[-1])], data, seed, 4)):
        measured[f"recovered_{epoch}"] = accuracy
    measured |= {f"gradient_{w}_{depth}": gradient_ratio(w, depth, seed) for w in WIRINGS for depth in DEPTHS}
    times = seconds(16, 4, seed)
    measured |= {f"speedup_{name}": times["sequential"] / times[name] for name in ("loop", "fused")}
    plots.append(_of_paths())
    return StudyResult({key: np.array(value) for key, value in measured.items()}, tuple(plots))


def _of_errors(measured: dict[str, Any], seed: int) -> Figure:
    """Measures errors of expansions against S, and draws them."""
    traces = []
    for activation in SLOPES:
        first, second, bound, share = expansion_errors(activation, SUMS, seed)
        for order, errors in ((1, first), (2, second)):
            small, least = np.log(SUMS[:SMALL_SUMS]), np.log(errors[:SMALL_SUMS])
            measured[f"slope_{order}_{activation}"] = np.polyfit(small, least, 1)[0]
            traces.append(line(f"order {order}, {activation}", SUMS, errors.tolist(), "lines+markers"))
        measured[f"of_bound_{activation}"] = share.max()
        traces.append(line(f"bound of order 1, {activation}", SUMS, bound.tolist()) | {"line": {"dash": "dash"}})
    traces.append(line("bound for linear branches", SUMS, linear_bound(SUMS)) | {"line": {"dash": "dot"}})
    title = "What expansions of eight branches leave out"
    plot = figure(traces, title=title, x="S = Σ Lipschitz", y="error / ‖x‖", log_x=True, log_y=True)
    return Figure("errors", "Errors of order 1 and 2 against the sum of the branches' Lipschitz constants", plot)


def _of_paths() -> Figure:
    traces = []
    for total in (0.3, 1.0, 4.0):
        weights = path_weights([total / 16] * 16)
        traces.append(line(f"S = {total:g}", range(17), (weights / weights.sum()).tolist(), "lines+markers"))
    title = "Paths through 16 equal branches"
    return Figure("paths", title, figure(traces, title=title, x="branches on a path", y="share of the weight"))


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Test losses of both wirings against each other and by Q, accuracy by order, gradients."""
    names = _trained(measured)
    pairs = [measured[f"test_{wiring}_{n}"].mean() for wiring in ("sequential", "parallel") for n in names]
    sequential, parallel = pairs[: len(names)], pairs[len(names) :]
    ends = [min(pairs), max(pairs)]
    by_q = sorted(names, key=lambda n: measured[f"Q_{n}"].mean())
    ratio = {
        kind: [measured[f"{kind}_parallel_{n}"].mean() / measured[f"{kind}_sequential_{n}"].mean() for n in by_q]
        for kind in ("train", "test")
    }
    Q = [measured[f"Q_{n}"].mean() for n in by_q]
    orders = {
        name: [measured[f"cut_order_{k}_{name}"].mean() for k in (1, 2, 3)] + [measured[f"cut_accuracy_{name}"].mean()]
        for name in (key.removeprefix("cut_size_") for key in measured if key.startswith("cut_size_"))
    }
    scatter = line("configurations", sequential, parallel, "markers") | {"text": names}
    gradients = [line(w, DEPTHS, [measured[f"gradient_{w}_{d}"].mean() for d in DEPTHS], "lines+markers")
                 for w in WIRINGS]  # fmt: skip
    return (
        Figure(
            "losses",
            "Test loss in parallel against in sequence, every configuration a point",
            figure([scatter, line("equal", ends, ends)], title="Test loss", x="sequential", y="parallel"),
        ),
        Figure(
            "determination",
            "Loss in parallel over loss in sequence, by determination ratio Q",
            figure([line(k, Q, r, "lines+markers") for k, r in ratio.items()], title="By Q", x="Q", y="ratio of losses",
                   log_x=True),
        ),
        Figure(
            "orders",
            "Test accuracy of trained networks truncated to an order; the last is the whole",
            figure([line(n, ("1", "2", "3", "all"), a, "lines+markers") for n, a in orders.items()],
                   title="Truncated without retraining", x="order", y="accuracy"),
        ),
        Figure(
            "gradients",
            "Gradient of the first branch over that of the last, at the start",
            figure(gradients, title="Gradients over depth", x="branches", y="first / last", log_x=True, log_y=True),
        ),
    )  # fmt: skip


STUDY = Study(
    slug="shallow",
    title="Make Deep Networks Shallow Again",
    paper="Bermeitinger, Hrycej, Handschuh: Make Deep Networks Shallow Again. KDIR 2023, arXiv 2309.08414",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.05, "small": 2, "paper": 12},
    notes=(
        "Of the paper the abstract, the table and the conclusion were at hand; expansion of nonlinear branches, "
        "bounds, fusion and the recipe of the comparison are derived.",
        "Handwritten digits of 8 × 8 pixels, 1,300 to train on and 497 to test, in place of MNIST and CIFAR-10; ten "
        "configurations in place of 6,912. Adam at 1e-3, 64 a step, 12 epochs. No validation set is used to choose.",
        "Both wirings start from the same weights and see the same batches; the parallel one is trained fused, which "
        "is the same function.",
        "S in the expansion is of certified Lipschitz constants; of trained networks it is Σ ‖F(x₀)‖/‖x₀‖.",
        "Not done: second-order optimisers, networks with normalisation.",
    ),
)
