"""Neural-collapse metrics in one pass over 10⁵ × 512 features of 1,000 classes, against two ways to write them.

* Ours: ``update`` a batch at a time, then ``compute``.
* Plain: a pass for the means, a pass for the within-class scatter, the between-class covariance and its pseudo-inverse.
* Peer: the ``neural-collapse`` package (rhubarbwu), its accumulators and NC1, left out where it isn't installed. The
  package index doesn't have it: ``pip install git+https://github.com/rhubarbwu/neural-collapse``.

All see the same batches; NC1 is compared. Floor: the product XᵀX of all features, which any of them needs.

    python benchmarks/neural_collapse.py [--rows 100000] [--dim 512] [--classes 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from racing import race
from surefoot.analysis.collapse import collapse_state, compute, update

Batches = list[tuple[Tensor, Tensor]]


def ours(batches: Batches, classes: int, dim: int) -> float:
    """NC1 by streaming."""
    state = collapse_state(classes, dim, torch.float32)
    for x, y in batches:
        state = update(state, x, y)
    return compute(state).nc1


def plain(batches: Batches, classes: int, dim: int) -> float:
    """NC1 in two passes, by its definition."""
    counts, sums = torch.zeros(classes), torch.zeros(classes, dim)
    for x, y in batches:
        for k in y.unique():
            sums[k] += x[y == k].sum(dim=0)
            counts[k] += (y == k).sum()
    means = sums / counts[:, None]
    within = torch.zeros(dim, dim)
    for x, y in batches:
        rest = x - means[y]
        within += rest.T @ rest
    centred = means - means.mean(dim=0)
    between = centred.T @ centred / classes
    return float(torch.trace(within / counts.sum() @ torch.linalg.pinv(between))) / classes


def peer(batches: Batches, classes: int, dim: int) -> float:
    """NC1 by the package's accumulators."""
    accumulate, measure = package()
    means = accumulate.MeanAccumulator(classes, dim, "cpu")
    for x, y in batches:
        means.accumulate(x, y)
    class_means, overall = means.compute()
    covariances = accumulate.CovarAccumulator(classes, dim, "cpu", M=class_means)
    for x, y in batches:
        covariances.accumulate(x, y, class_means)
    return float(measure.covariance_ratio(covariances.compute(), class_means, overall))


@cache
def package() -> tuple[ModuleType, ModuleType]:
    """The peer's accumulators and measures. This file has the package's name, and its folder comes first."""
    here = sys.path.pop(0)
    try:
        return import_module("neural_collapse.accumulate"), import_module("neural_collapse.measure")
    finally:
        sys.path.insert(0, here)


def main() -> None:
    """Race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(options.classes, (options.rows,), generator=generator)
    centres = torch.randn(options.classes, options.dim, generator=generator)
    features = centres[labels] + torch.randn(options.rows, options.dim, generator=generator)
    batches = list(zip(features.split(1000), labels.split(1000), strict=True))
    arms: dict[str, Callable[[Batches, int, int], float]] = {"ours": ours, "two passes": plain}
    with contextlib.suppress(ImportError):
        package()
        arms["neural-collapse"] = peer
    begin = time.perf_counter()
    for x, _ in batches:
        x.T @ x
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.rows:,} × {options.dim}, "
          f"{options.classes} classes; floor XᵀX {time.perf_counter() - begin:.2f} s")  # fmt: skip
    for name, call in arms.items():
        print(f"  {name:16} NC1 {call(batches, options.classes, options.dim):.5f}")
    race(
        "metrics", {n: partial(call, batches, options.classes, options.dim) for n, call in arms.items()}, options.rounds
    )
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
