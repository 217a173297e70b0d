"""The Hessian of over-parametrised nets: a few outliers that the data make, a bulk at zero that the parameters make."""

from __future__ import annotations

import numpy as np

from surefoot.plots import figure
from surefoot.studies._hessian_runs import (
    CLASSES,
    basins,
    dense_spectrum,
    flat_share,
    outliers_of,
    quadrature_error,
    rest_of_hessian,
    trace_error,
)
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance

WIDTHS = {"smoke": (24,), "small": (24, 48, 96), "paper": (24, 48, 96, 192)}
KINDS = {"smoke": (3, 5), "small": (2, 3, 5, 8, 10), "paper": (2, 3, 5, 8, 10)}


# Fixed before the first full run.
CLAIMS = (
    Claim(
        "More parameters leave the number of outliers as it is",
        "growing the layers at fixed data only widens the pile at zero (abstract)",
        "k − 1 outliers at every width and seed, at the largest k of the scale",
        lambda m: bool((m["outliers_by_width"] == m["largest_k"][:, None] - 1).all()),
        ("outliers_by_width", "largest_k"),
    ),
    Claim(
        "The number of outliers follows the number of classes",
        "outliers depend on the data (abstract)",
        "at width 24 k − 1 outliers for every k ≥ 3, in at least two of three seeds each",
        lambda m: bool(((m["outliers_by_k"] == m["k"] - 1)[:, m["k"][0] >= 3].mean(axis=0) > 0.6).all()),
        ("outliers_by_k", "k"),
    ),
    Claim(
        "More parameters make more flat directions",
        "most eigenvalues are about zero (abstract)",
        "share of |λ| below a twentieth of the largest grows from the narrow to the wide net for every seed",
        lambda m: bool((m["flat_wide"] > m["flat_narrow"]).all()),
        ("flat_narrow", "flat_wide"),
    ),
    Claim(
        "At the end of training the Gauss-Newton part is all there is",
        "the second term vanishes with the residuals (section 2)",
        "‖H − G‖ / ‖H‖ < 0.02 at a loss below 0.005 for every seed",
        lambda m: bool((m["rest"] < 0.02).all() and (m["rest_loss"] < 0.005).all()),
        ("rest", "rest_loss"),
    ),
    Claim(
        "A few small negative eigenvalues remain",
        "abstract",
        "the smallest is negative and below a tenth of the largest in magnitude, for every seed",
        lambda m: bool(((m["smallest"] < 0) & (-m["smallest"] < 0.1 * m["largest"])).all()),
        ("smallest", "largest"),
    ),
    Claim(
        "Quadrature tells the spectrum",
        "not in the paper: the instrument against dense eigenvalues",
        "largest error of the distribution function ≤ 0.03 from 4 × 60 products with 12 outliers taken out, trace "
        "within 3 standard errors",
        lambda m: bool((m["cdf_error"] <= 0.03).all() and (m["trace_error"] <= 3).all()),
        ("cdf_error", "trace_error"),
    ),
    Claim(
        "More products a probe tell it finely enough",
        "not in the paper; added after the first run, in which 4 × 60 products missed",
        "largest error of the distribution function ≤ 0.03 from 4 × 200 products with 12 outliers taken out",
        lambda m: bool((m["cdf_error_200"] <= 0.03).all()),
        "cdf_error_200",
    ),
    Claim(
        "Small batches go on downhill from where a large batch stalls, in the same basin",
        "no barrier on the straight line (abstract)",
        "barrier < 0.01 to the continuation and to small batches from the same start, for every seed",
        lambda m: bool((m["barrier_continued"] < 0.01).all() and (m["barrier_same"] < 0.01).all()),
        ("barrier_continued", "barrier_same"),
    ),
    Claim(
        "The line tells basins apart",
        "control, not in the paper",
        "barrier > 0.2 between two starts for every seed",
        lambda m: bool((m["barrier_other"] > 0.2).all()),
        "barrier_other",
    ),
)


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed: outliers by width and number of classes, dense spectra, the rest of the Hessian, basins."""
    smoke = scale == "smoke"
    kinds, widths = KINDS[scale], WIDTHS[scale]
    by_k = [outliers_of(k, 24, seed) for k in kinds]
    by_width = [by_k[-1], *(outliers_of(kinds[-1], width, seed) for width in widths[1:])]
    advance(0.2)
    narrow, _ = dense_spectrum(8 if smoke else 12, seed)
    wide, operator = dense_spectrum(12 if smoke else 24, seed)
    cdf_error, density = quadrature_error(wide, operator, seed)
    advance(0.4)
    rest, rest_loss = rest_of_hessian(seed)
    measured: dict[str, object] = {
        "k": kinds,
        "largest_k": kinds[-1],
        "outliers_by_k": [o.count for o in by_k],
        "outliers_by_width": [o.count for o in by_width],
        "gap_by_width": [o.gap for o in by_width],
        "parameters_by_width": [o.parameters for o in by_width],
        "flat_narrow": flat_share(narrow),
        "flat_wide": flat_share(wide),
        "smallest": wide.min(),
        "largest": wide.max(),
        "cdf_error": cdf_error,
        "cdf_error_200": quadrature_error(wide, operator, seed, 200)[0],
        "trace_error": trace_error(wide, operator, seed),
        "rest": rest,
        "rest_loss": rest_loss,
    }
    advance(0.5)
    found = basins(seed, 150, 800) if smoke else basins(seed)
    measured |= {
        "barrier_continued": found.continued.barrier,
        "barrier_same": found.same_start.barrier,
        "barrier_other": found.other_start.barrier,
        "loss_large_batch": found.large_batch_loss,
        "loss_continued": found.continued_loss,
        "test_large_batch": found.test[0],
        "test_continued": found.test[1],
    }
    marks = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(range(1, len(o.values) + 1)),
            "y": o.values.tolist(),
            "name": name,
        }
        for name, o in (
            *((f"{k} classes, width 24", o) for k, o in zip(kinds, by_k, strict=True)),
            *((f"{kinds[-1]} classes, width {w}", o) for w, o in zip(widths[1:], by_width[1:], strict=True)),
        )
        if (o.values > 0).all()
    ]
    paths = [
        {"type": "scatter", "x": p.t.tolist(), "y": p.loss.tolist(), "name": name}
        for name, p in (
            ("large batch to its continuation", found.continued),
            ("large batch to small from the same start", found.same_start),
            ("between two starts", found.other_start),
        )
    ]
    return StudyResult(
        {key: np.asarray(value, dtype=float) for key, value in measured.items()},
        (
            Figure(
                "eigenvalues",
                "The largest eigenvalues: as many stand apart as there are classes, less one, at any width",
                figure(marks, title="Largest eigenvalues", x="rank", y="eigenvalue", log_y=True),
            ),
            Figure("density", "Spectral density of the wide net", density.plot()),
            Figure("paths", "Loss along straight lines", figure(paths, title="Straight lines", x="t", y="loss")),
        ),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Outliers against parameters."""
    traces = [
        {"type": "scatter", "mode": "lines+markers", "x": p.tolist(), "y": c.tolist(), "name": f"seed {i}"}
        for i, (p, c) in enumerate(zip(measured["parameters_by_width"], measured["outliers_by_width"], strict=True))
    ]
    plot = figure(traces, title="Outliers by number of parameters", x="parameters", y="outliers", log_x=True)
    return (Figure("outliers", f"Outliers of {CLASSES} or fewer classes as the net grows", plot),)


STUDY = Study(
    slug="hessian",
    title="The Hessian of over-parametrised networks",
    paper="Sagun, Evci, Guney, Dauphin, Bottou: Empirical Analysis of the Hessian of Over-Parametrized Neural "
    "Networks. ICLR 2018 workshop, arXiv 1706.04454",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.15, "small": 2, "paper": 4},
    notes=(
        "Sizes of networks and the large-batch protocol are reconstructed; the abstract gives the claims.",
        "Gaussian clusters and handwritten digits in place of MNIST and CIFAR.",
        "Quadrature misses 0.03 at 4 × 60 products: a third of the spectrum lies within a thousandth of the largest "
        "eigenvalue from zero, where sixty products place one node; up to half of such a node's share is the error. "
        "More probes put their node in the same place (16 × 60: no better); 4 × 200 products resolve it. Counts beyond "
        "the bulk are exact.",
        "Outliers are counted 40 steps in, at a moderate loss: later few samples dominate and the gap blurs.",
    ),
)
