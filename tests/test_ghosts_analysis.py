"""The step's divergence and its bounds, radii inside a network, the history of r, and the study's own pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.steps import (
    activation_radius,
    attention_radius,
    compute,
    divergences,
    network_radius,
    remainder_bound,
    slope_spread,
    step_report,
    third_moment_bound,
    update,
)


def draws(count, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return z, torch.randn(count, classes, generator=generator, dtype=torch.float64)


class TestDivergence:
    def test_is_the_remainder_of_the_log_partition(self):
        z, a = draws(500, 6)
        for t in (0.1, 1.0, -2.0):
            forward, _, _ = divergences(z, a, t)
            slope = (torch.softmax(z, -1) * a).sum(-1)
            remainder = torch.logsumexp(z + t * a, -1) - torch.logsumexp(z, -1) - t * slope
            assert torch.allclose(forward, remainder, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("classes", [2, 3, 10])
    def test_both_remainders_are_bounded(self, classes):
        z, a = draws(20_000, classes, seed=classes)
        spread = slope_spread(a)
        for t in (0.01, 0.3, 1.0, 2.0):
            near = spread * t <= 6.3
            forward, backward, quadratic = (d[near] for d in divergences(z, a, t))
            rounding = 1e-14
            bound = remainder_bound(spread[near], t)
            assert bool(((forward - quadratic).abs() <= bound + rounding).all())
            bound = remainder_bound(spread[near], t, "backward")
            assert bool(((backward - quadratic).abs() <= bound + rounding).all())

    def test_the_constants(self):
        one = torch.ones(1, dtype=torch.float64)
        assert float(remainder_bound(one, 1.0)) == pytest.approx(0.016038, rel=1e-4)
        assert float(remainder_bound(one, -1.0, "backward")) == pytest.approx(0.032075, rel=1e-4)

    def test_the_bound_is_sharp_for_two_points(self):
        p = (3 + math.sqrt(3)) / 6
        width = 2.5
        third = p * (0 - (1 - p) * width) ** 3 + (1 - p) * (width - (1 - p) * width) ** 3
        assert abs(third) == pytest.approx(third_moment_bound(width), rel=1e-12)
        z, a = (
            torch.tensor([[math.log(p), math.log(1 - p)]], dtype=torch.float64),
            torch.tensor([[0.0, width]]).double(),
        )
        t = 1e-3
        forward, backward, quadratic = divergences(z, a, t)
        spread = slope_spread(a)
        assert float((forward - quadratic).abs() / remainder_bound(spread, t)) == pytest.approx(1, abs=2e-3)
        assert float((backward - quadratic).abs() / remainder_bound(spread, t, "backward")) == pytest.approx(
            1, abs=2e-3
        )

    def test_random_laws_stay_below_the_lemma(self):
        z, a = draws(5000, 5, seed=9)
        p = torch.softmax(z, -1)
        centred = a - (p * a).sum(-1, keepdim=True)
        third = (p * centred**3).sum(-1).abs()
        assert bool((third <= slope_spread(a) ** 3 / (6 * math.sqrt(3)) + 1e-15).all())

    def test_bad_input(self):
        with pytest.raises(ValueError, match="slopes"):
            divergences(torch.zeros(2, 3), torch.zeros(3, 2), 1.0)
        with pytest.raises(ValueError, match="direction"):
            remainder_bound(torch.ones(1), 1.0, "sideways")
        with pytest.raises(ValueError, match="width"):
            third_moment_bound(-1.0)


class TestActivationRadius:
    def test_closed_forms(self):
        h, v = torch.tensor([0.0, 3.0]), torch.tensor([2.0, 2.0])
        assert activation_radius(h, v, "sigmoid") == pytest.approx(math.pi / 2)
        assert activation_radius(h, v, "tanh") == pytest.approx(math.pi / 4)
        assert activation_radius(h[1:], v[1:], "silu") == pytest.approx(math.hypot(3, math.pi) / 2)
        assert activation_radius(h[1:], v[1:], "relu") == pytest.approx(1.5)
        assert math.isinf(activation_radius(h, v, "gelu"))
        assert math.isinf(activation_radius(h, 0 * v, "tanh"))

    def test_the_singularities_of_the_approximate_gelu_are_singular(self):
        from surefoot.analysis.steps.radii import _singularities

        for s in _singularities("gelu_tanh"):
            assert abs(np.cosh(math.sqrt(2 / math.pi) * (s + 0.044715 * s**3))) < 1e-9
        real = np.linspace(-6, 6, 13)
        radii = [activation_radius(torch.tensor([x]), torch.ones(1).double(), "gelu_tanh") for x in real]
        assert radii == pytest.approx(radii[::-1])
        assert radii[6] == pytest.approx(min(map(abs, _singularities("gelu_tanh"))))

    def test_against_the_taylor_series(self):
        """|c_n|^(-1/n) of tanh around h tends to the radius."""
        h = 0.7
        points = 256
        around = h + 0.5 * np.exp(2j * np.pi * np.arange(points) / points)
        series = np.abs(np.fft.fft(np.tanh(around)) / points) / 0.5 ** np.arange(points)
        estimate = max(series[n] ** (1 / n) for n in range(18, 28))
        radius = activation_radius(torch.tensor([h]).double(), torch.ones(1).double(), "tanh")
        assert 1 / estimate == pytest.approx(radius, rel=0.08)

    def test_a_quantile_over_units(self):
        h = torch.arange(1.0, 101.0)
        assert activation_radius(h, torch.ones(100), "relu", quantile=0.05) == 5.0

    def test_bad_input(self):
        with pytest.raises(ValueError, match="kind"):
            activation_radius(torch.ones(1), torch.ones(1), "mish")
        with pytest.raises(ValueError, match="velocity"):
            activation_radius(torch.ones(1), torch.ones(2), "relu")
        with pytest.raises(ValueError, match="quantile"):
            activation_radius(torch.ones(1), torch.ones(1), "relu", quantile=2.0)
        with pytest.raises(ValueError, match="no unit"):
            activation_radius(torch.ones(0), torch.ones(0), "relu")


class TestNetworkRadius:
    def test_attention_reads_only_allowed_keys(self):
        slopes = torch.tensor([[[1.0, 9.0], [2.0, 5.0]]])
        assert attention_radius(slopes) == pytest.approx(math.pi / 8)
        assert attention_radius(slopes, torch.ones(2, 2, dtype=torch.bool).tril()) == pytest.approx(math.pi / 3)
        assert math.isinf(attention_radius(torch.ones(3, 1)))
        with pytest.raises(TypeError, match="allowed"):
            attention_radius(slopes, torch.ones(2, 2))

    @pytest.mark.parametrize("how", ["module", "function", "softmax", "weights"])
    def test_attention_is_seen_however_it_is_written(self, how):
        class Attend(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = nn.MultiheadAttention(8, 2, batch_first=True)
                self.head = nn.Linear(8, 3)

            def forward(self, x):
                if how in ("module", "weights"):
                    return self.head(self.inner(x, x, x, need_weights=how == "weights")[0])
                q, k, v = F.linear(x, self.inner.in_proj_weight, self.inner.in_proj_bias).chunk(3, -1)
                q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k, v))
                if how == "function":
                    y = F.scaled_dot_product_attention(q, k, v)
                else:
                    y = (q @ k.transpose(-2, -1) / 2).softmax(dim=-1) @ v
                return self.head(self.inner.out_proj(y.transpose(1, 2).flatten(2)))

        torch.manual_seed(0)
        model = Attend().double()
        x = torch.randn(2, 5, 8, dtype=torch.float64)
        params = {n: p.detach() for n, p in model.named_parameters()}
        step = {n: torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).double() for n, p in params.items()}
        found = network_radius(model, params, step, x)

        def scores(p):
            w, b = p["inner.in_proj_weight"], p["inner.in_proj_bias"]
            q, k, _ = F.linear(x, w, b).chunk(3, -1)
            q, k = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k))
            return q @ k.transpose(-2, -1) / 2

        eps = 1e-6
        slopes = (scores({n: p + eps * step[n] for n, p in params.items()}) - scores(params)) / eps
        length = math.sqrt(sum(float(s.square().sum()) for s in step.values()))
        assert found.attention == pytest.approx(length * attention_radius(slopes), rel=1e-4)
        assert found.output == pytest.approx(step_report(model, params, step, x).radius)
        assert math.isinf(found.activation) and found.radius == min(found.output, found.attention)

    def test_activations_as_modules_and_functions(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two, self.three = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
                self.act = nn.GELU(approximate="tanh")

            def forward(self, x):
                return self.three(torch.tanh(self.two(F.silu(self.act(self.one(x)), inplace=True))))

        torch.manual_seed(0)
        model = Net()
        params = {n: p.detach() for n, p in model.named_parameters()}
        x = torch.randn(5, 4)
        step = {"one.weight": torch.randn(6, 4)}
        found = network_radius(model, params, step, x)
        assert set(found.kinds) == {"gelu_tanh", "silu", "tanh"}
        h = F.linear(x, params["one.weight"], params["one.bias"])
        velocity = x @ step["one.weight"].T / float(step["one.weight"].norm())
        assert found.kinds["gelu_tanh"] == pytest.approx(activation_radius(h, velocity, "gelu_tanh"), rel=1e-5)
        assert found.bottleneck in ("output", "activation") and not model._forward_hooks

    def test_a_zero_update_has_no_direction(self):
        model = nn.Linear(2, 3)
        params = {n: p.detach() for n, p in model.named_parameters()}
        with pytest.raises(ValueError, match="update"):
            network_radius(model, params, {"weight": torch.zeros(3, 2)}, torch.ones(1, 2))


class TestHistory:
    def test_a_shrinking_radius_is_foreseen(self):
        state = None
        for step in range(1, 51):
            radius = 10 * 0.97**step
            state = update(state, step, 1.0 / radius, radius)
        summary = compute(state)
        exact = math.log(10 * 0.97**50) / -math.log(0.97)
        assert summary.outside_in == pytest.approx(exact, rel=1e-6)
        assert summary.radius_halves_in == pytest.approx(math.log(2) / -math.log(0.97), rel=1e-6)
        assert summary.outside_share == 0 and state.first_outside is None

    def test_a_spike_is_a_jump_over_the_median(self):
        state = None
        for step in range(1, 30):
            state = update(state, step, 0.5, 2.0)
        state = update(state, 30, 50.0, 2.0)
        summary = compute(state)
        assert summary.jump == 100 and summary.outside_in == 0
        assert (state.first_outside, state.largest, state.largest_step) == (30, 50.0, 30)
        assert summary.outside_share == pytest.approx(1 / 30)

    def test_memory_is_bounded_and_the_past_unchanged(self):
        state = None
        for step in range(1, 1001):
            before, state = state, update(state, step, 0.1, math.inf)
        assert len(state.r) == 64 and state.count == 1000 and before.count == 999
        assert math.isinf(compute(state).outside_in) and math.isinf(compute(state).radius_halves_in)

    def test_bad_input(self):
        state = update(None, 3, 0.1, 1.0)
        for arguments, message in (((2, 0.1, 1.0), "step"), ((4, math.nan, 1.0), "r:"), ((4, 0.1, 0.0), "radius")):
            with pytest.raises(ValueError, match=message):
                update(state, *arguments)
        from surefoot.analysis.steps import StepHistory

        with pytest.raises(ValueError, match="update first"):
            compute(StepHistory())
