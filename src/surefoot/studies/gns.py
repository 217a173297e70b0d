"""Newton steps damped by the gradient's norm: no tuning, and an approximate Hessian that keeps the exact one's rate."""

from __future__ import annotations

import numpy as np

from surefoot.plots import figure
from surefoot.solvers import GNSResult, progress_condition
from surefoot.studies._gns_runs import fit, flat, log_sum_exp, logistic, perturbed, quartic, valley
from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance

SIZES = {"smoke": 40, "small": 200, "paper": 1000}
NOISE = {"smoke": (0.0, 1.0), "small": (0.0, 0.1, 1.0, 10.0, 100.0), "paper": (0.0, 0.1, 1.0, 10.0, 100.0)}

# Fixed before the first full run.
CLAIMS = (
    Claim(
        "Rosenbrock to the fifth power: the published number of steps, with and without the residuals' curvature",
        "fewer than 100 steps, inexact about as exact (experiments); 56 and 57 by the authors' code",
        "56 ± 1 and 57 ± 1",
        lambda m: bool((np.abs(m["valley_exact"] - 56) <= 1).all() and (np.abs(m["valley_inexact"] - 57) <= 1).all()),
        ("valley_exact", "valley_inexact"),
    ),
    Claim(
        "Log-sum-exp: dropping the rank-one term costs little, and curvature beats the gradient in the same metric",
        "nearly the same curve; the gradient method needs several times more",
        "exact < weighted Gauss-Newton < half of the gradient's steps, for every seed",
        lambda m: bool(((m["lse_exact"] < m["lse_wgn"]) & (m["lse_wgn"] < m["lse_gradient"] / 2)).all()),
        ("lse_exact", "lse_wgn", "lse_gradient"),
    ),
    Claim(
        "Log-sum-exp: without the metric the gradient does not arrive",
        "not in 1,000 steps",
        "gap above 1e-6 after 1,000 steps for every seed",
        lambda m: bool((m["lse_euclidean_gap"] > 1e-6).all()),
        "lse_euclidean_gap",
    ),
    Claim(
        "The search takes about two linear systems a step",
        "at most 2K + log₂(γ₀ / min γ) (appendix C)",
        "solves ≤ 2.2 · steps + 10 in every run with a Hessian",
        lambda m: bool((m["solves_over_bound"] <= 1).all()),
        "solves_over_bound",
    ),
    Claim(
        "Doubling γ only where a step made the progress of 2γ saves most of the second systems (ours)",
        "γ doubles after every step",
        "at most 0.9 of the systems in at most 1.1 of the steps, over all problems, for every seed",
        lambda m: bool((m["earned_solves_ratio"] <= 0.9).all() and (m["earned_steps_ratio"] <= 1.1).all()),
        ("earned_solves_ratio", "earned_steps_ratio"),
    ),
    Claim(
        "Every accepted step makes the progress of Lemma 1",
        "f(x) − f(x⁺) ≥ γ ‖g⁺‖*² / (8 ‖g‖*)",
        "in every step of every run (up to rounding of the values)",
        lambda m: bool((m["progress_broken"] == 0).all()),
        "progress_broken",
    ),
    Claim(
        "Separable logistic regression: global linear rate, where the gradient method crawls",
        "linear for quasi-self-concordant functions (theorem 4)",
        "‖g‖ ≤ 1e-8 within 65 steps; the gradient method above 1e-4 after 200",
        lambda m: bool((m["cancer_steps"] <= 65).all() and (m["cancer_gradient_norm"] > 1e-4).all()),
        ("cancer_steps", "cancer_gradient_norm"),
    ),
    Claim(
        "Its radius is never below what the theory grants",
        "γ(x) ≥ 1/M (section 3)",
        "least accepted γ ≥ 1/(2 max ‖aᵢ‖): the search may halve once more",
        lambda m: bool((m["cancer_gamma_times_m"] >= 0.5).all()),
        "cancer_gamma_times_m",
    ),
    Claim(
        "Squared sample gradients serve where the data are fitted, at first",
        "C1 = f*: linear rate only if separable",
        "digits 0 and 1: loss below 1e-4 after 6 steps, as low as the exact Hessian's; after 30 the exact one is lower",
        lambda m: bool(
            (m["digits_fisher_6"] < 1e-4).all()
            and (m["digits_fisher_6"] < m["digits_exact_6"]).all()
            and (m["digits_exact_30"] < m["digits_fisher_30"]).all()
        ),
        ("digits_fisher_6", "digits_exact_6", "digits_fisher_30", "digits_exact_30"),
    ),
    Claim(
        "The rank-one part alone replaces the Hessian of ‖Ax − b‖⁴, at a fraction of the time",
        "0.9 s against 442 s for 100 steps (repository's log)",
        "at most 1.5 times the steps, in less than half of the time, for every seed",
        lambda m: bool((m["quartic_steps_ratio"] <= 1.5).all() and (m["quartic_time_ratio"] < 0.5).all()),
        ("quartic_steps_ratio", "quartic_time_ratio"),
    ),
)


def _broken(found: GNSResult) -> int:
    """Accepted steps whose progress is less than promised, by more than the values' rounding."""
    count = 0
    for i, gamma in enumerate(found.gamma_history):
        (f0, f1), (g0, g1) = found.values[i : i + 2], found.grad_norms[i : i + 2]
        slack = 1e-13 * max(abs(f0), abs(f1))
        count += not progress_condition(f0 + slack, f1, g0, g1, gamma * (1 - 1e-9))
    return count


def run(scale: Scale, seed: int) -> StudyResult:
    """One seed; Rosenbrock and the regressions have no random part."""
    smoke = scale == "smoke"
    five = valley(5)
    lse = log_sum_exp(SIZES[scale], seed)
    advance(0.4)
    cancer, columns, longest = logistic("breast cancer")
    fitted = fit(cancer, columns, cancer.hess, 200)
    crawling = fit(cancer, columns, flat, 200)
    digits, width, _ = logistic("digits")
    exact, fisher = (fit(digits, width, hess, 30, 1e-15) for hess in (digits.hess, digits.fisher))
    advance(0.6)
    side = 30 if smoke else 100
    four = quartic(side, 2 * side, seed)
    advance(0.8)
    noise = NOISE[scale]
    steps = [perturbed(level, seed) for level in noise]
    curved = [*five.values(), *lse.newton.values(), fitted, exact]
    # the same, with γ doubled where a step earned it
    earned = [
        *valley(5, "earned").values(),
        *log_sum_exp(SIZES[scale], seed, "earned").newton.values(),
        fit(cancer, columns, cancer.hess, 200, doubling="earned"),
        fit(digits, width, digits.hess, 30, 1e-15, doubling="earned"),
    ]
    measured = {
        "valley_exact": five["exact Hessian"].nit,
        "valley_inexact": five["without the residuals' curvature"].nit,
        "lse_exact": lse.newton["exact Hessian"].nit,
        "lse_wgn": lse.newton["weighted Gauss-Newton"].nit,
        "lse_gradient": len(lse.gradient["gradient, same metric"]) - 1,
        "lse_euclidean_gap": lse.gradient["gradient"][-1] - lse.least,
        "solves_over_bound": max(r.n_solves / (2.2 * r.nit + 10) for r in curved),
        "earned_solves_ratio": sum(r.n_solves for r in earned) / sum(r.n_solves for r in curved),
        "earned_steps_ratio": sum(r.nit for r in earned) / sum(r.nit for r in curved),
        "progress_broken": sum(map(_broken, [*curved, *earned, fisher, four.exact, four.fisher])),
        "cancer_steps": fitted.nit,
        "cancer_gradient_norm": crawling.grad_norm,
        "cancer_gamma_times_m": min(fitted.gamma_history) * longest,
        "digits_exact_6": exact.values[6],
        "digits_fisher_6": fisher.values[6],
        "digits_exact_30": exact.values[-1],
        "digits_fisher_30": fisher.values[-1],
        "quartic_steps_ratio": four.fisher.nit / four.exact.nit,
        "quartic_time_ratio": four.fisher_seconds / four.exact_seconds,
        "noise": noise,
        "noise_steps": steps,
    }
    descents = {name: list(r.values) for name, r in lse.newton.items()} | lse.gradient
    gaps = [
        {"type": "scatter", "x": list(range(len(values))), "y": [v - lse.least for v in values], "name": name}
        for name, values in descents.items()
    ]
    radii = [
        {"type": "scatter", "x": list(range(1, fitted.nit + 1)), "y": list(fitted.gamma_history), "name": "γ"},
        {"type": "scatter", "x": [1, fitted.nit], "y": [1 / longest] * 2, "name": "1/M", "line": {"dash": "dot"}},
    ]
    return StudyResult(
        {key: np.asarray(value, dtype=float) for key, value in measured.items()},
        (
            Figure("log-sum-exp", "Log-sum-exp", figure(gaps, title="Log-sum-exp", x="step", y="f − f*", log_y=True)),
            Figure("radius", "Breast cancer: γ", figure(radii, title="Radius of trust", x="step", y="γ", log_y=True)),
        ),
    )


def figures(measured: Measured) -> tuple[Figure, ...]:
    """Steps against the error of the Hessian, as a multiple of the gradient's norm."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [max(v, 1e-2) for v in x],
            "y": y.tolist(),
            "name": f"seed {i}",
        }
        for i, (x, y) in enumerate(zip(measured["noise"], measured["noise_steps"], strict=True))
    ]
    plot = figure(traces, title="Inexact Hessian", x="C₂ (0 drawn at 0.01)", y="steps", log_x=True)
    return (Figure("inexact", "Steps with an error of C₂ ‖∇f‖ in the Hessian", plot),)


STUDY = Study(
    slug="gns",
    title="Gradient-normalised smoothness: Newton's method without tuning",
    paper="Semenov, Jaggi, Doikov: Gradient-Normalized Smoothness for Optimization with Approximate Hessians. ICLR "
    "2026, arXiv 2506.13710",
    claims=CLAIMS,
    run=run,
    figures=figures,
    minutes={"smoke": 0.1, "small": 0.7, "paper": 20},
    notes=(
        "Data of log-sum-exp as the authors draw it (seed 3124 plus ours), n = m = 200 at small scale, not 1,000.",
        "γ doubles after every step, as published, but in the claim that is marked as ours, added after the others.",
        "The gradient methods on log-sum-exp double and halve a Lipschitz constant, as the authors' do (74 steps with "
        "the first seed, as theirs); on breast cancer the gradient method is the same search with H = 0.",
        "Not done: the Chebyshev chain of a thousand variables, whose start the text leaves open; a test has three.",
    ),
)
