"""Eigenpairs of both ends, spectral density, trace, norm and diagonal against matrices whose spectrum is known."""

import numpy as np
import pytest
import torch

from surefoot.autodiff import (
    CallableOperator,
    diagonal,
    extreme_eigenpairs,
    frobenius_norm,
    spectral_density,
    trace,
)
from surefoot.autodiff.lanczos import krylov, ritz


def matrix_with(values, seed=0):
    """A symmetric matrix of given eigenvalues in a random basis."""
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)).Q
    return basis @ torch.diag(values) @ basis.T


def operator_of(matrix):
    return CallableOperator(lambda v: matrix @ v, len(matrix), matrix.dtype)


OUTLIERS = (10.0, 6.0, 3.0)
BULK = matrix_with([*OUTLIERS, *np.linspace(-0.05, 0.2, 997)])


def test_few_products_find_the_outliers_and_many_find_no_ghosts():
    start = torch.randn(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for steps in (12, 100):
        space = krylov(lambda v: BULK @ v, start, steps)
        values, _ = ritz(space.diagonal.numpy(), space.offdiagonal.numpy())
        np.testing.assert_allclose(values[-1:-4:-1], OUTLIERS, atol=1e-8)
        assert values[0] == pytest.approx(-0.05, abs=0.006)
        assert int((values > 1).sum()) == 3


@pytest.mark.parametrize(("which", "expected"), [("LA", [10, 6, 3]), ("BE", [10, -4, 6, -1.5])])
def test_extreme_eigenpairs(which, expected):
    matrix = matrix_with([10, 6, 3, *np.linspace(-0.3, 0.3, 90), -1.5, -4])
    found = extreme_eigenpairs(operator_of(matrix), len(expected), which, tol=1e-8)
    assert found.converged
    np.testing.assert_allclose(found.values.numpy(), expected, atol=1e-6)
    for value, vector, residual in zip(found.values, found.vectors, found.residuals, strict=True):
        assert (matrix @ vector - value * vector).norm() < 1e-6
        assert residual < 1e-6


def test_a_warm_start_costs_less():
    cold = extreme_eigenpairs(operator_of(BULK), 3, tol=1e-6)
    warm = extreme_eigenpairs(operator_of(BULK + 1e-4 * torch.eye(1000).double()), 3, tol=1e-3, start=cold.restart)
    assert warm.products <= cold.products
    with pytest.raises(ValueError, match=r"^start:"):
        extreme_eigenpairs(operator_of(BULK), start=torch.ones(3, dtype=torch.float64))


def test_quadrature_is_exact_for_the_probes_moments():
    matrix = matrix_with(np.linspace(-1, 2, 40))
    probe = torch.randn(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    probe /= probe.norm()
    space = krylov(lambda v: matrix @ v, probe, 6)
    values, first = ritz(space.diagonal.numpy(), space.offdiagonal.numpy())
    power = probe
    for q in range(12):
        assert float(first**2 @ values**q) == pytest.approx(float(probe @ power), abs=1e-12)
        power = matrix @ power


def test_all_steps_of_one_probe_give_the_whole_measure():
    matrix = matrix_with(np.linspace(-1, 2, 12))
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    density = spectral_density(operator_of(matrix), probes=1, steps=12)
    signs = torch.randint(2, (12,), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    np.testing.assert_allclose(density.nodes[0], eigenvalues.numpy(), atol=1e-10)
    np.testing.assert_allclose(density.weights[0], (vectors.T @ signs.double()).square().numpy() / 12, atol=1e-10)


def test_the_density_is_one_and_its_cdf_that_of_the_matrix():
    eigenvalues = np.sort(np.concatenate([OUTLIERS, np.linspace(-0.05, 0.2, 997)]))
    for log in (False, True):
        density = spectral_density(operator_of(BULK), deflate=3, log=log)
        assert np.trapezoid(density.density, density.grid) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(np.sort(density.atoms), sorted(OUTLIERS), atol=1e-5)
        at = np.linspace(-0.1, 11, 200)
        exact = np.searchsorted(eigenvalues, at, side="right") / 1000
        assert np.abs([density.cdf(t) for t in at] - exact).max() < 0.03
        assert density.count(1, 20) == pytest.approx(3, abs=1e-6)
        assert density.moment(1) == pytest.approx(eigenvalues.mean(), rel=0.05)
        assert density.moment(0) == pytest.approx(1)
        assert density.products >= 4 * 60
    assert density.plot().data[1].name == "3 outliers"


def test_trace_norm_and_diagonal_within_their_errors():
    operator = operator_of(BULK)
    exact = float(torch.trace(BULK))
    assert trace(operator_of(BULK[:50, :50]), "exact").value == pytest.approx(float(torch.trace(BULK[:50, :50])))
    for method in ("hutchinson", "hutch++"):
        found = trace(operator, method, n=60)
        assert abs(found.value - exact) < 4 * found.stderr
        assert found.products == 60
    low = operator_of(matrix_with([*OUTLIERS, *[0.0] * 97]))  # of a rank that the sketch holds
    assert trace(low, "hutch++", 12).value == pytest.approx(sum(OUTLIERS), abs=1e-9)
    assert trace(low, "hutchinson", 12).stderr > 0.1
    norm = frobenius_norm(operator, 100)
    assert abs(norm.value - float(BULK.norm())) < 4 * norm.stderr
    values, errors = diagonal(operator, 200)
    off = (values - BULK.diagonal()).abs() / errors
    assert float((off < 3).double().mean()) > 0.97


def test_hutchinsons_variance_is_the_one_of_theory():
    matrix = matrix_with(np.linspace(-1, 2, 30))
    found = trace(operator_of(matrix), n=2000)
    variance = 2 * (matrix.square().sum() - matrix.diagonal().square().sum())
    assert found.stderr * 2000**0.5 == pytest.approx(float(variance) ** 0.5, rel=0.1)
    plain = torch.diag(torch.arange(5.0, dtype=torch.float64))
    assert trace(operator_of(plain), n=5).stderr == 0
    assert trace(operator_of(plain), n=5).value == pytest.approx(10)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda a: spectral_density(a, probes=0), "probes"),
        (lambda a: spectral_density(a, steps=1), "steps"),
        (lambda a: spectral_density(a, grid=1), "grid"),
        (lambda a: spectral_density(a, deflate=4), "deflate"),
        (lambda a: spectral_density(a, sigma=0.0), "sigma"),
        (lambda a: spectral_density(a).count(2, 1), "a, b"),
        (lambda a: spectral_density(a).moment(-1), "q"),
        (lambda a: trace(a, "guess"), "method"),
        (lambda a: trace(a, n=1), "n"),
        (lambda a: trace(a, "hutch++", n=5), "n"),
        (lambda a: frobenius_norm(a, 1), "n"),
        (lambda a: diagonal(a, 1), "n"),
        (lambda a: extreme_eigenpairs(a, 5), "k"),
        (lambda a: extreme_eigenpairs(a, which="XX"), "which"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name}:"):
        call(operator_of(torch.eye(4, dtype=torch.float64)))
