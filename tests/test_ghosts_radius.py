"""Radii of convergence: closed forms, the exact zero against the bound, invariances, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.optim.exact_radius import exact_radius, nearest_zero, taylor_coefficients
from surefoot.optim.safe_radius import binary_radius, convergence_radius, normalized_step, slope_spread, top2_radius


def draws(count, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return z, torch.randn(count, classes, generator=generator, dtype=torch.float64)


class TestClosedForms:
    def test_two_classes(self):
        gap, one = torch.tensor([2.0, -2.0, 0.0], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        known = torch.tensor([3.724191778237173, 3.724191778237173, math.pi], dtype=torch.float64)
        assert torch.allclose(binary_radius(gap, one), known, rtol=1e-15, atol=0)
        exact = exact_radius(torch.stack((gap, 0 * gap), dim=1), torch.stack((0 * gap, one), dim=1))
        assert torch.allclose(exact, known, rtol=1e-14, atol=0)

    def test_three_equal_weights(self):
        slopes = torch.tensor([0.0, 1.0, 2.0])
        assert float(exact_radius(torch.zeros(3), slopes)) == pytest.approx(2 * math.pi / 3, rel=1e-12)
        assert float(convergence_radius(slopes[None])) == pytest.approx(math.pi / 2)

    @pytest.mark.parametrize("n", range(2, 13))
    def test_equal_weights_on_a_grid_are_roots_of_unity(self, n):
        slopes = torch.arange(n, dtype=torch.float64)
        assert float(exact_radius(torch.zeros(n), slopes)) == pytest.approx(2 * math.pi / n, rel=1e-10)
        assert float(convergence_radius(slopes[None])) == pytest.approx(math.pi / (n - 1))

    def test_the_nearest_zero_is_a_zero(self):
        for z, a in zip(*draws(20, 6, seed=1), strict=True):
            t = nearest_zero(z.numpy(), a.numpy())
            terms = torch.exp(z + t * a)
            assert abs(terms.sum()) < 1e-9 * terms.abs().max()

    @pytest.mark.parametrize("gap", [3.0, 40.0, 700.0])
    def test_a_class_without_weight_does_not_count(self, gap):
        logits, slopes = torch.tensor([0.0, -gap, -9 * gap]).double(), torch.tensor([0.0, 1.0, 0.5]).double()
        if gap == 3.0:
            logits[2] = -500
        assert float(exact_radius(logits, slopes)) == pytest.approx(math.hypot(gap, math.pi), rel=1e-9)

    def test_taylor_coefficients(self):
        c = taylor_coefficients(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0]), 20)
        assert float(c[0]) == pytest.approx(math.log(math.e**2 + 1))
        for n, known in ((1, 0.1192029220), (2, 0.0524967927), (10, 3.18476e-7)):
            assert float(c[n]) == pytest.approx(known, rel=3e-6)
        assert float(c[20]) == pytest.approx(-1.27551395e-13, rel=1e-8)

        t0 = nearest_zero(torch.tensor([2.0, 0.0]).numpy(), torch.tensor([0.0, 1.0]).numpy())
        darboux = [-(2 / n) * (t0**-n).real for n in (10, 20)]
        assert darboux[0] == pytest.approx(3.18490e-7, rel=1e-5)
        assert darboux[1] == pytest.approx(float(c[20]), rel=1e-7)

    def test_the_ratio_of_coefficients_meets_the_radius(self):
        # No outside reference needed: |c_n|^(-1/n) tends to the radius of convergence.
        z, a = draws(1, 5, seed=3)
        c = taylor_coefficients(z[0], a[0], 60)
        root = max(float(c[n].abs()) ** (1 / n) for n in range(50, 61))
        assert 1 / root == pytest.approx(float(exact_radius(z, a)[0]), rel=0.12)

    def test_temperature_multiplies(self):
        _, a = draws(7, 4)
        assert torch.allclose(convergence_radius(a, temperature=2.5), 2.5 * convergence_radius(a))

    def test_hessian_contrast(self):
        """At margin 10 the curvature's 2/H is 4,203 times too permissive (card, item 9)."""
        s = 1 / (1 + math.exp(-10))
        by_curvature = 2 / (s * (1 - s))
        radius = float(binary_radius(torch.tensor(10.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)))
        assert radius == pytest.approx(math.sqrt(100 + math.pi**2))
        assert by_curvature / radius == pytest.approx(4203, rel=1e-3)


class TestBound:
    def test_no_zero_is_nearer(self):
        for classes, seed in ((2, 0), (3, 1), (5, 2), (10, 3)):
            z, a = draws(250, classes, seed)
            ratio = exact_radius(z, a) / convergence_radius(a, reduce="none")
            assert float(ratio.min()) >= 1 - 1e-12

    def test_the_exact_zero_against_a_dense_search(self):
        z, a = draws(5, 4, seed=5)
        for logits, slopes, radius in zip(z, a, exact_radius(z, a), strict=True):
            inside = torch.linspace(0.02, 0.999, 200, dtype=torch.float64) * radius
            angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
            t = torch.polar(inside[:, None].expand(-1, 400).contiguous(), angles.expand(200, -1).contiguous())
            values = torch.exp(logits + t[..., None] * slopes)
            assert float((values.sum(-1).abs() / values.abs().amax(-1)).min()) > 1e-5

    @given(shift=st.floats(-50, 50), factor=st.floats(0.01, 100), seed=st.integers(0, 1000))
    @settings(max_examples=50, deadline=None)
    def test_invariances(self, shift, factor, seed):
        z, a = draws(3, 4, seed)
        radius = convergence_radius(a)
        assert torch.allclose(convergence_radius(a + shift), radius, rtol=1e-9)
        assert torch.equal(convergence_radius(-a), radius)
        assert torch.allclose(convergence_radius(-factor * a), radius / factor, rtol=1e-12)
        assert torch.allclose(exact_radius(z + shift, a + 0.1 * shift), exact_radius(z, a), rtol=1e-7)

    def test_top2_is_exact_for_two_classes_only(self):
        z, a = draws(50, 2)
        assert torch.allclose(top2_radius(z, a), exact_radius(z, a))
        z, a = draws(200, 10)
        assert float((top2_radius(z, a) / exact_radius(z, a)).min()) > 0  # a heuristic: on either side


class TestSamples:
    def test_the_spread_is_over_classes(self):
        slopes = torch.tensor([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]])  # more classes than samples
        assert slope_spread(slopes).tolist() == [5.0, 0.0]
        assert convergence_radius(slopes, reduce="none").tolist() == [pytest.approx(math.pi / 5), math.inf]
        assert math.isinf(convergence_radius(slopes[1:]))

    def test_sequences_count_only_what_the_mask_lets_through(self):
        slopes = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
        mask = torch.tensor([[True, True, False], [True, False, False]])
        rows = torch.stack((slopes[0, 0], slopes[0, 1], slopes[1, 0]))
        assert torch.equal(slope_spread(slopes, mask), rows.amax(-1) - rows.amin(-1))
        assert slope_spread(slopes).shape == (6,)

    def test_a_quantile_of_radii_leaves_outliers_out(self):
        slopes = torch.zeros(100, 2)
        slopes[:, 1] = torch.arange(1, 101)
        assert float(convergence_radius(slopes, reduce=0.01)) == pytest.approx(math.pi / 100)
        assert float(convergence_radius(slopes, reduce=0.05)) == pytest.approx(math.pi / 96)

    def test_sigmoid_outputs_are_binary_problems(self):
        slopes = torch.tensor([[3.0], [-4.0]])
        assert slope_spread(slopes, link="sigmoid").tolist() == [3.0, 4.0]

    def test_half_precision_is_measured_in_float32(self):
        assert convergence_radius(torch.tensor([[0.0, 2.0]], dtype=torch.bfloat16)).dtype == torch.float32

    def test_normalized_step(self):
        assert normalized_step(2.0, 4.0) == 0.5
        assert normalized_step(2.0, math.inf) == 0


class TestBadInput:
    @pytest.mark.parametrize(
        "call, message",
        [
            (lambda: slope_spread(torch.zeros(3, 1)), "link='sigmoid'"),
            (lambda: slope_spread(torch.tensor(1.0)), "classes are the last dimension"),
            (lambda: slope_spread(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool)), "mask"),
            (lambda: slope_spread(torch.zeros(2, 3), link="probit"), "link"),
            (lambda: convergence_radius(torch.zeros(2, 3), temperature=0), "temperature"),
            (lambda: convergence_radius(torch.zeros(2, 3), reduce="mean"), "reduce"),
            (lambda: convergence_radius(torch.zeros(2, 3), reduce=1.5), "reduce"),
            (lambda: convergence_radius(torch.zeros(0, 3)), "no sample"),
            (lambda: binary_radius(torch.ones(1), -torch.ones(1)), "spread"),
            (lambda: top2_radius(torch.zeros(2, 3), torch.zeros(3, 2)), "slopes"),
            (lambda: top2_radius(torch.zeros(2, 1), torch.zeros(2, 1)), "two classes"),
            (lambda: exact_radius(torch.zeros(2, 3), torch.zeros(3)), "slopes"),
            (lambda: exact_radius(torch.zeros(2, 1), torch.zeros(2, 1)), "two classes"),
            (lambda: exact_radius(torch.tensor([0.0, math.nan]), torch.zeros(2)), "finite"),
            (lambda: taylor_coefficients(torch.zeros(2), torch.ones(2), -1), "order"),
            (lambda: normalized_step(1.0, 0.0), "radius"),
            (lambda: normalized_step(-1.0, 1.0), "length"),
        ],
    )
    def test_is_named(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()

    def test_integers_are_refused(self):
        with pytest.raises(TypeError, match="floating-point"):
            slope_spread(torch.zeros(2, 3, dtype=torch.int64))
