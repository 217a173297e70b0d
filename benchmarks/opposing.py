"""Sharpness along a training run: warm-started Lanczos against power iteration from a cold start.

Both follow the largest Hessian eigenvalue of the same network at the same steps, by products with the same operator, to
the same error: power iteration (as PyHessian does it, restarted from a random vector) stops when its value changes by
less than the tolerance, and finds the eigenvalue of largest magnitude, which may be a negative one. The floor is the
time of the products alone that the quicker of the two needed. The second race finds opposing groups in a window of loss
changes by its Gram matrix and by a full SVD.

    python benchmarks/opposing.py                 # under a minute on one core
    python benchmarks/opposing.py --width 256 --looks 12
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.outliers import opposing_groups, top_hessian_eig
from surefoot.autodiff.curvature import HessianOperator

TOLERANCE = 1e-3


def power_iteration(product, count: int, tolerance: float, most: int = 500) -> tuple[float, int]:
    """Eigenvalue of largest magnitude from a random start, and the products it took."""
    vector = torch.randn(count)
    vector /= vector.norm()
    value = None
    for i in range(most):
        image = product(vector)
        new = float(vector @ image)
        vector = image / image.norm()
        if value is not None and abs(new - value) <= tolerance * abs(new):
            return new, i + 1
        value = new
    return new, most


def run(width: int, rows: int, looks: int, steps_between: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10))
    data = (torch.randn(rows, 64), torch.randint(10, (rows,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    count = sum(p.numel() for p in model.parameters())
    seconds = {"power": 0.0, "cold": 0.0, "warm": 0.0, "floor": 0.0}
    products = dict.fromkeys(seconds, 0)
    errors = {"power": 0.0, "cold": 0.0, "warm": 0.0}
    wrong, last = 0, None
    for _ in range(looks):
        for _ in range(steps_between):
            optimizer.zero_grad()
            F.cross_entropy(model(data[0]), data[1]).backward()
            optimizer.step()
        exact = float(top_hessian_eig(model, F.cross_entropy, data, tol=1e-5, max_products=2000).values[0])

        begin = time.perf_counter()
        value, used = power_iteration(HessianOperator(model, F.cross_entropy, data), count, TOLERANCE)
        seconds["power"] += time.perf_counter() - begin
        products["power"] += used
        wrong += value < 0
        errors["power"] = max(errors["power"], abs(value / exact - 1))
        for name, start in (("cold", None), ("warm", last)):
            begin = time.perf_counter()
            # a residual of √tolerance gives an eigenvalue to about the tolerance: its error is of second order
            found = top_hessian_eig(model, F.cross_entropy, data, start=start, tol=TOLERANCE**0.5)
            seconds[name] += time.perf_counter() - begin
            products[name] += found.products
            errors[name] = max(errors[name], abs(float(found.values[0]) / exact - 1))
        last = found.restart
        product = HessianOperator(model, F.cross_entropy, data)
        begin = time.perf_counter()
        for _ in range(found.products):
            product(last)
        seconds["floor"] += time.perf_counter() - begin
        products["floor"] += found.products
    print(f"sharpness of a network of {count} parameters on {rows} rows, {looks} looks, {steps_between} steps apart")
    words = {
        "power": "power iteration, cold (peer)",
        "cold": "Lanczos, cold",
        "warm": "Lanczos, warm",
        "floor": "its products alone (floor)",
    }
    for name, text in words.items():
        ratio = seconds["power"] / seconds[name]
        error = f", worst error {errors[name]:.1e}" if name in errors else ""
        print(
            f"  {text:30} {seconds[name]:7.2f} s  {products[name]:5} products  {ratio:6.2f}× as fast as the peer{error}"
        )
    print(f"  power iteration ended at a negative eigenvalue in {wrong} of {looks} looks")


def groups(steps: int, samples: int, repeats: int = 5) -> None:
    delta = torch.randn(steps, samples)

    def full() -> Tensor:
        return torch.linalg.svd(delta, full_matrices=False)[2][0].abs()

    def ours() -> Tensor:
        return opposing_groups(delta).score

    def floor() -> Tensor:
        return delta.double() @ delta.double().T

    best = {}
    for name, work in (("full", full), ("ours", ours), ("floor", floor)):
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        best[name] = min(times)
    agree = float((full() - ours()).abs().max())
    print(f"opposing groups among {samples} samples in {steps} steps (scores agree to {agree:.0e})")
    print(f"  full SVD, scores only (peer)   {best['full'] * 1e3:8.1f} ms")
    print(f"  opposing_groups, all it gives  {best['ours'] * 1e3:8.1f} ms  {best['full'] / best['ours']:6.2f}× as fast")
    print(f"  the Gram matrix alone (floor)  {best['floor'] * 1e3:8.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1800)
    parser.add_argument("--looks", type=int, default=10)
    parser.add_argument("--steps-between", type=int, default=10)
    parser.add_argument("--samples", type=int, default=50_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run(options.width, options.rows, options.looks, options.steps_between)
    groups(60, options.samples)


if __name__ == "__main__":
    main()
