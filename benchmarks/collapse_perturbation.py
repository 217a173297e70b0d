"""The response of the near-collapse model to a perturbation: matrix-free against second derivatives by autograd.

* Ours: ``PerturbationOperator.matvec``. Peer: the dense Schur complement from ``torch.autograd.functional.hessian``, on
  sizes it can do; both answers are compared.
* Ours again on 64 features × 1,000 samples (64,000 variables), where the dense way would need a 33 GB matrix.

    python benchmarks/collapse_perturbation.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from racing import race
from surefoot.analysis.collapse import PerturbationOperator, ufm_loss, ufm_minimizer

LW, LH, BETA = 0.8, 0.2, 4.0


def dense(weight: Tensor, features: Tensor, labels: Tensor, change: Tensor) -> Tensor:
    """β/N (f_HH − f_HW f_WW⁻¹ f_WH)⁻¹ dH₀ with all second derivatives formed."""
    k, d, total = *weight.shape, features.shape[1]

    def f(vector: Tensor) -> Tensor:
        w, h = vector[: k * d].reshape(k, d), vector[k * d :].reshape(total, d).T
        return ufm_loss(w, h, labels, LW, LH) + BETA / (2 * total) * (h - features).square().sum()

    here = torch.cat([weight.reshape(-1), features.T.reshape(-1)])
    hessian = torch.autograd.functional.hessian(f, here, vectorize=True)
    ww, wh, hh = hessian[: k * d, : k * d], hessian[: k * d, k * d :], hessian[k * d :, k * d :]
    schur = hh - wh.T @ torch.linalg.solve(ww, wh)
    return (BETA / total * torch.linalg.solve(schur, change.T.reshape(-1))).reshape(total, d).T


def main() -> None:
    """Race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for classes, samples, dim in ((4, 10, 16), (5, 20, 16)):
        pair = ufm_minimizer(classes, samples, dim, LW, LH)
        change = torch.randn(pair.features.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        operator = PerturbationOperator(pair.weight, pair.features, pair.labels, LW, LH, BETA)
        apart = operator.matvec(change) - dense(pair.weight, pair.features, pair.labels, change)
        print(f"{pair.features.numel()} variables: largest difference {float(apart.abs().max()):.1e}")
        race(
            "response",
            {
                "ours": lambda o=operator, c=change: o.matvec(c),
                "dense": lambda p=pair, c=change: dense(p.weight, p.features, p.labels, c),
            },
            rounds,
        )
    pair = ufm_minimizer(10, 100, 64, LW, LH)
    operator = PerturbationOperator(pair.weight, pair.features, pair.labels, LW, LH, BETA)
    change = torch.randn(pair.features.shape, dtype=torch.float64)
    begin = time.perf_counter()
    operator.matvec(change)
    print(f"{pair.features.numel():,} variables, ours alone: {1e3 * (time.perf_counter() - begin):.1f} ms")


if __name__ == "__main__":
    main()
