"""Inverse participation ratio and spectra of weight rows, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.analysis.memorisation import (
    discrete_log_order,
    fourier_frequency,
    fourier_spectrum,
    inverse_participation_ratio,
)

P = 59


def wave(frequency: int, p: int = P, phase: float = 0.3, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(p, dtype=dtype) / p + phase)


def test_one_wave_is_one_and_the_two_sided_transform_would_give_half():
    row = wave(7)
    assert inverse_participation_ratio(row).item() == pytest.approx(1, abs=1e-12)
    two_sided = torch.fft.fft(row).abs()
    assert (two_sided / two_sided.norm()).pow(4).sum().item() == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (2.0, 1.0), (3.0, 0.5)])
def test_two_waves(a, b):
    row = a * wave(5) + b * wave(11, phase=1.0)
    expected = (a**4 + b**4) / (a**2 + b**2) ** 2
    assert inverse_participation_ratio(row).item() == pytest.approx(expected, abs=1e-12)
    cubed = (a**6 + b**6) / (a**2 + b**2) ** 3
    assert inverse_participation_ratio(row, r=3).item() == pytest.approx(cubed, abs=1e-12)


@pytest.mark.parametrize("p", [5, 58, 59])
def test_a_delta_is_the_lower_bound_and_a_constant_is_one(p):
    delta = torch.zeros(p, dtype=torch.float64)
    delta[3] = -2.0
    assert inverse_participation_ratio(delta).item() == pytest.approx(1 / (p // 2 + 1), abs=1e-12)
    constant = torch.full((p,), 0.7, dtype=torch.float64)
    assert inverse_participation_ratio(constant).item() == pytest.approx(1, abs=1e-12)
    assert inverse_participation_ratio(constant, drop_dc=True).item() == 0


@pytest.mark.parametrize(("p", "mean"), [(31, 0.120), (59, 0.065), (97, 0.040)])
def test_gaussian_rows(p, mean):
    rows = torch.randn(4000, p, generator=torch.Generator().manual_seed(0))
    assert inverse_participation_ratio(rows).mean().item() == pytest.approx(mean, abs=0.002)


def test_dead_rows_are_zero_whatever_is_beside_them():
    rows = torch.stack([torch.zeros(P), wave(3, dtype=torch.float32), torch.full((P,), torch.nan)])
    ipr = inverse_participation_ratio(rows)
    assert ipr[0] == 0 and ipr[1] == pytest.approx(1, abs=1e-5) and ipr[2].isnan()
    assert fourier_spectrum(torch.zeros(2, P)).eq(0).all()


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e25, 1e38])
def test_no_underflow_or_overflow_in_float32(scale):
    row = wave(4, dtype=torch.float32)
    assert inverse_participation_ratio(row * scale).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    ipr = inverse_participation_ratio(wave(4).to(dtype))
    assert ipr.dtype == dtype and ipr.item() == pytest.approx(1, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    p=st.integers(3, 40),
    seed=st.integers(0, 2**20),
    shift=st.integers(0, 40),
    scale=st.floats(1e-6, 1e6),
    drop_dc=st.booleans(),
)
def test_bounds_and_invariance(p, seed, shift, scale, drop_dc):
    row = torch.randn(p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ipr = inverse_participation_ratio(row, drop_dc=drop_dc).item()
    assert 1 / (p // 2 + 1) - 1e-12 <= ipr <= 1 + 1e-12
    assert inverse_participation_ratio(-scale * row, drop_dc=drop_dc).item() == pytest.approx(ipr, abs=1e-10)
    assert inverse_participation_ratio(row.roll(shift), drop_dc=drop_dc).item() == pytest.approx(ipr, abs=1e-10)


def test_any_dimension_and_batch():
    rows = torch.randn(4, P, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ipr = inverse_participation_ratio(rows, dim=1)
    assert ipr.shape == (4, 3)
    one = inverse_participation_ratio(rows[2, :, 1])
    assert torch.allclose(ipr[2, 1], one)


def test_strongest_frequency():
    rows = torch.stack([wave(7) + 5, wave(12), torch.zeros(P, dtype=torch.float64)])
    assert fourier_frequency(rows).tolist() == [7, 12, 0]
    assert fourier_frequency(rows, drop_dc=False).tolist() == [0, 12, 0]


def test_multiplication_is_periodic_in_the_order_of_discrete_logarithms():
    p = 13
    order = discrete_log_order(p)
    assert sorted(order.tolist()) == list(range(1, p))
    products = order[:, None] * order[None, :] % p
    where = torch.empty(p, dtype=torch.long)
    where[order] = torch.arange(p - 1)
    exponents = torch.arange(p - 1)
    assert torch.equal(where[products], (exponents[:, None] + exponents[None, :]) % (p - 1))
    row = torch.zeros(p, dtype=torch.float64)
    row[order] = wave(2, p - 1)
    assert inverse_participation_ratio(row[order]).item() == pytest.approx(1, abs=1e-12)
    assert inverse_participation_ratio(row).item() < 0.9
    assert discrete_log_order(3).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: inverse_participation_ratio(torch.arange(5)), TypeError, "floating-point"),
        (lambda: inverse_participation_ratio(torch.ones(5, dtype=torch.complex64)), TypeError, "complex64"),
        (lambda: inverse_participation_ratio(torch.ones(4, 2)), ValueError, "at least 3 entries"),
        (lambda: inverse_participation_ratio(torch.ones(5), r=1), ValueError, "r must be at least 2"),
        (lambda: discrete_log_order(15), ValueError, "prime"),
        (lambda: discrete_log_order(2), ValueError, "prime"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
