"""Gradient-normalised Newton against the solvers one would take instead, on two logistic regressions to ‖g‖ ≤ 1e-8.

Breast cancer (569 × 31) and digits 0 and 1 (360 × 65), float64, from zero, with an L2 term of 1e-4. Peers: scipy's
``trust-exact`` and ``Newton-CG``, scikit-learn's ``newton-cholesky`` and ``lbfgs``, pytorch-minimize's
``newton-exact``. Each gets the same function, gradient and Hessian (scikit-learn its own) and its own tolerance set so
that it stops at that norm; what it reaches is printed. Solves are linear systems with the Hessian, those of Newton-CG
Hessians. Floor: one Cholesky factorisation a step.

    pip install scipy scikit-learn pytorch-minimize      # those not installed are left out
    python benchmarks/gns.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

from racing import race
from surefoot.solvers import LogisticRegression, minimize
from surefoot.studies._gns_runs import standardised

L2, TOL = 1e-4, 1e-8
Arm = Callable[[], tuple[np.ndarray, int]]


@contextlib.contextmanager
def factorisations() -> Iterator[dict[str, int]]:
    """Counts the systems that ``trust-exact`` factorises: several a step, where it reports Hessians evaluated."""
    from scipy.optimize._trustregion_exact import IterativeSubproblem

    count: dict[str, int] = {}
    solve = IterativeSubproblem.solve

    def counted(self: IterativeSubproblem, radius: float) -> object:
        found = solve(self, radius)
        count["solves"] = count.get("solves", 0) + self.niter
        return found

    IterativeSubproblem.solve = counted
    try:
        yield count
    finally:
        IterativeSubproblem.solve = solve


def arms(rows: torch.Tensor, y: torch.Tensor) -> dict[str, Arm]:
    """Each solver as a function that gives its solution and the linear systems it solved (−1: not told)."""
    problem, start = LogisticRegression(rows, y, L2), torch.zeros(rows.shape[1], dtype=torch.float64)

    def ours() -> tuple[np.ndarray, int]:
        found = minimize(problem.f, start, problem.grad, problem.hess, grad_tol=TOL)
        return found.x.numpy(), found.n_solves

    result: dict[str, Arm] = {"ours": ours}
    with contextlib.suppress(ImportError):
        from scipy.optimize import minimize as scipy_minimize

        def numpy_of(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
            return lambda x: function(torch.from_numpy(x)).numpy()

        def by_scipy(method: str, **options: float) -> Arm:
            def run() -> tuple[np.ndarray, int]:
                with factorisations() as count:
                    found = scipy_minimize(
                        numpy_of(problem.f), start.numpy(), method=method, jac=numpy_of(problem.grad),
                        hess=numpy_of(problem.hess), options=options,
                    )  # fmt: skip
                return found.x, count.get("solves", int(found.nhev))

            return run

        result["scipy trust-exact"] = by_scipy("trust-exact", gtol=TOL)
        result["scipy Newton-CG"] = by_scipy("Newton-CG", xtol=1e-12)
    with contextlib.suppress(ImportError):
        from sklearn.linear_model import LogisticRegression as Sklearn

        x, labels = rows.numpy(), y.numpy()

        def by_sklearn(solver: str) -> Arm:
            def run() -> tuple[np.ndarray, int]:
                model = Sklearn(
                    C=1 / (L2 * len(x)), solver=solver, tol=TOL / 10, max_iter=100_000, fit_intercept=False
                ).fit(x, labels)
                return model.coef_[0], int(model.n_iter_[0]) if solver.startswith("newton") else -1

            return run

        result["sklearn newton-cholesky"] = by_sklearn("newton-cholesky")
        result["sklearn lbfgs"] = by_sklearn("lbfgs")
    with contextlib.suppress(ImportError):
        from torchmin import minimize as torch_minimize

        def by_torchmin() -> tuple[np.ndarray, int]:
            found = torch_minimize(problem.f, start, method="newton-exact", tol=1e-12, max_iter=200)
            return found.x.detach().numpy(), int(found.nit)

        result["pytorch-minimize newton-exact"] = by_torchmin
    return result


def main() -> None:
    """Race on both data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in ("breast cancer", "digits"):
        rows, y = standardised(name)
        problem = LogisticRegression(rows, y, L2)
        racing = arms(rows, y)
        matrix = problem.hess(torch.zeros(rows.shape[1], dtype=torch.float64))
        begin = time.perf_counter()
        for _ in range(100):
            torch.linalg.cholesky_ex(matrix)
        floor = (time.perf_counter() - begin) / 100
        print(f"\n{name}, {rows.shape[0]} × {rows.shape[1]}; a factorisation {1e6 * floor:.0f} µs")
        for arm, call in racing.items():
            x, solves = call()
            norm = float(problem.grad(torch.from_numpy(np.asarray(x, dtype=float))).norm())
            print(f"  {arm:30} ‖g‖ {norm:.1e}" + (f"  {solves} solves" if solves >= 0 else ""))
        race(name, dict(racing), rounds)


if __name__ == "__main__":
    main()
