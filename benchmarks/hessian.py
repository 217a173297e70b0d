"""Hessian-vector products, the largest eigenvalue and the spectral density: ours against three packages.

On a classifier of 26 thousand and one of a million parameters, float32, 1,024 rows, once as one batch and once as a
loader of eight. Peers: curvlinops (``HessianLinearOperator`` with scipy's ``eigsh`` and its own quadrature), PyHessian
(its products, power iteration), hessian-eigenthings (its operator, Lanczos and quadrature). All do the same work in one
process, products are checked against each other, and arms alternate. Two floors: two gradients (Pearlmutter 1994), and
the matrix products alone that any Hessian-vector product of this network consists of: two for the first layer, six for
each other one. What lies between is all that an implementation can save.

    pip install curvlinops-for-pytorch pyhessian hessian-eigenthings scipy    # those not installed are left out
    python benchmarks/hessian.py
    python benchmarks/hessian.py --widths 128 --rounds 3
    python benchmarks/hessian.py --widths 960 --only products
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import io
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from racing import race
from surefoot.autodiff import HessianOperator, extreme_eigenpairs, spectral_density
from surefoot.autodiff.parameters import flatten, unflatten

ROWS, BATCHES = 1024, 8
Product = Callable[[Tensor], Tensor]


def problem(width: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A classifier a few steps into training, and its data."""
    torch.manual_seed(0)
    x, y = torch.randn(ROWS, 64), torch.randint(10, (ROWS,))
    x[torch.arange(ROWS), y] += 3
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model, x, y


def peers(model: nn.Module, data: list[tuple[Tensor, Tensor]]) -> dict[str, tuple[Product, object]]:
    """Products with the Hessian by each package that is installed, and what the package calls its operator."""
    found: dict[str, tuple[Product, object]] = {}
    parameters = list(model.parameters())
    with contextlib.suppress(ImportError):
        from curvlinops import HessianLinearOperator

        theirs = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)
        found["curvlinops"] = (lambda v: theirs @ v, theirs)
    with contextlib.suppress(ImportError):
        from hessian_eigenthings import HessianOperator as Eigenthings
        from hessian_eigenthings import supervised_loss

        other = Eigenthings(model, data, supervised_loss(nn.CrossEntropyLoss()))
        found["eigenthings"] = (other.matvec, other)
    with contextlib.suppress(ImportError):
        from pyhessian import hessian
        from pyhessian.utils import hessian_vector_product

        if len(data) == 1:
            old = hessian(model, nn.CrossEntropyLoss(), data=data[0], cuda=False)
            model.zero_grad(set_to_none=True)

            def product(v: Tensor) -> Tensor:
                return flatten(hessian_vector_product(old.gradsH, old.params, unflatten(v, old.params)), parameters)
        else:
            old = hessian(model, nn.CrossEntropyLoss(), dataloader=data, cuda=False)

            def product(v: Tensor) -> Tensor:
                return flatten(old.dataloader_hv_product(unflatten(v, old.params))[1], parameters)

        found["PyHessian"] = (product, old)
    return found


def matrix_products(model: nn.Sequential) -> Callable[[], None]:
    """The matrix products of one Hessian-vector product at once: outputs, slopes of inputs and weights, twice each."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    shapes = [(torch.randn(ROWS, m.in_features), torch.randn(ROWS, m.out_features), m.weight.detach()) for m in layers]

    def call() -> None:
        for i, (x, slope, weight) in enumerate(shapes):
            for _ in range(2 if i else 1):
                x @ weight.T
                slope.T @ x
                if i:  # nobody asks for the slope of the data
                    slope @ weight

    return call


def products(width: int, batches: int, rounds: int) -> None:
    """One product with the Hessian, beside two gradients."""
    model, x, y = problem(width)
    data = list(zip(x.chunk(batches), y.chunk(batches), strict=True))
    precise = HessianOperator(copy.deepcopy(model).double(), F.cross_entropy, (x.double(), y))
    v = torch.randn(precise.size, generator=torch.Generator().manual_seed(1))
    exact = precise(v.double())
    ours = HessianOperator(model, F.cross_entropy, data)
    others = peers(model, data)
    print(f"\nH v, {ours.size:,} parameters, {batches} batches")
    for name, call in {"ours": ours, **{n: p for n, (p, _) in others.items()}}.items():
        print(f"  {name:14} error {float((call(v).detach().double() - exact).norm() / exact.norm()):.1e}")

    def two_gradients() -> None:
        for _ in range(2):
            for inputs, targets in data:
                torch.autograd.grad(F.cross_entropy(model(inputs), targets), list(model.parameters()))

    arms: dict[str, Callable[[], object]] = {"ours": lambda: ours(v)}
    arms |= {name: (lambda p=p: p(v)) for name, (p, _) in others.items()}
    arms |= {"2 gradients": two_gradients, "matrix products": matrix_products(model)}
    race("H v", arms, rounds)


def eigenvalue(width: int, rounds: int) -> None:
    """The largest eigenvalue to a relative error of 1e-3; what each arm came to is told."""
    model, x, y = problem(width)
    data = [(x, y)]
    others = {name: operator for name, (_, operator) in peers(model, data).items()}
    exact = float(extreme_eigenpairs(HessianOperator(model, F.cross_entropy, data), 1, "LA", tol=1e-6).values[0])
    arms: dict[str, Callable[[], float]] = {
        # a residual of √1e-3 leaves an error of second order in the value
        "ours": lambda: float(
            extreme_eigenpairs(HessianOperator(model, F.cross_entropy, data), 1, "LA", 0.03).values[0]
        )
    }
    if "curvlinops" in others:
        from scipy.sparse.linalg import eigsh

        theirs = others["curvlinops"]
        arms["curvlinops"] = lambda: float(
            eigsh(theirs.to_scipy(), 1, which="LA", tol=0.03, return_eigenvectors=False)[0]
        )
    if "eigenthings" in others:
        from hessian_eigenthings import lanczos as their_lanczos

        def at(products: int) -> float:
            found = their_lanczos(
                others["eigenthings"], k=1, max_iter=products, which="LA", reorthogonalize=True, seed=0
            )
            return float(max(found.eigenvalues))

        # it takes as many products as it is told: the fewest, in steps of five, that do
        enough = next(m for m in range(5, 301, 5) if abs(at(m) / exact - 1) <= 1e-3)
        arms["eigenthings"] = lambda: at(enough)
    if "PyHessian" in others:
        from pyhessian import hessian

        def power() -> float:
            old = hessian(model, nn.CrossEntropyLoss(), data=data[0], cuda=False)
            with contextlib.redirect_stdout(io.StringIO()):  # it prints
                return float(old.eigenvalues(maxIter=300, tol=1e-4)[0][0])

        arms["PyHessian"] = power
    values: dict[str, float] = {}

    def kept(name: str) -> Callable[[], object]:
        return lambda: values.update({name: arms[name]()})

    print()
    race(f"largest eigenvalue, {sum(p.numel() for p in model.parameters()):,}", {n: kept(n) for n in arms}, rounds)
    print("  errors: " + "   ".join(f"{name} {abs(value / exact - 1):.1e}" for name, value in values.items()))


def density(width: int, rounds: int, steps: int) -> None:
    """The spectral density from four probes."""
    model, x, y = problem(width)
    data = [(x, y)]
    others = {name: operator for name, (_, operator) in peers(model, data).items()}
    arms: dict[str, Callable[[], object]] = {
        "ours": lambda: spectral_density(HessianOperator(model, F.cross_entropy, data), 4, steps)
    }
    if "curvlinops" in others:
        from curvlinops import lanczos_approximate_spectrum

        arms["curvlinops"] = lambda: lanczos_approximate_spectrum(others["curvlinops"], steps, num_repeats=4)
    if "eigenthings" in others:
        from hessian_eigenthings import spectral_density as their_density

        arms["eigenthings"] = lambda: their_density(others["eigenthings"], num_runs=4, lanczos_steps=steps)
    print()
    race(f"density, 4 × {steps}, {sum(p.numel() for p in model.parameters()):,}", arms, rounds)


def memory(width: int) -> None:
    """Tensors alive after 200 products, less those before."""
    model, x, y = problem(width)
    ours = HessianOperator(model, F.cross_entropy, (x, y))
    v = torch.randn(ours.size)
    ours(v)
    gc.collect()
    gc.disable()
    before = sum(isinstance(o, Tensor) for o in gc.get_objects())
    for _ in range(200):
        ours(v)
    print(f"\ntensors alive after 200 products: {sum(isinstance(o, Tensor) for o in gc.get_objects()) - before:+d}")
    gc.enable()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 960], help="128: 26 k parameters, 960: 1 M")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=60, help="products a probe of the density")
    parts = ("products", "eigenvalue", "density", "memory")
    parser.add_argument("--only", choices=parts, nargs="+", default=parts)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {ROWS} rows")
    few = max(1, options.rounds // 3)
    for width in options.widths:
        if "products" in options.only:
            for batches in (1, BATCHES):
                products(width, batches, options.rounds)
        if "eigenvalue" in options.only:
            eigenvalue(width, few)
        if "density" in options.only:
            density(width, few, options.steps)
    if "memory" in options.only:
        memory(options.widths[0])


if __name__ == "__main__":
    main()
