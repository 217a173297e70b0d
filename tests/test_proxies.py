"""Small-scale proxies: sensitivity and extrapolation, qk-layernorm, decay, schedules, muParam, the tiny decoder."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from surefoot.analysis.adaptivity import epsilon_domination
from surefoot.analysis.attention import attention_entropy, attention_logits, logit_max, max_attention_logit
from surefoot.analysis.scaling import LRSweep, extrapolate, lr_sensitivity, lr_sweep, will_diverge
from surefoot.analysis.scaling.extrapolation import student_quantile
from surefoot.losses import cross_entropy_with_z_loss, z_loss
from surefoot.nn import QKNorm
from surefoot.optim import independent_weight_decay, mu_groups, warmup_cosine
from surefoot.studies import _proxies_runs as runs
from surefoot.studies.frame import judge
from surefoot.studies.problems.decoder import TinyDecoder, of_mean_square, rotary
from surefoot.studies.problems.text import bigram_cross_entropy, help_topics
from surefoot.studies.proxies import CLAIMS, STUDY

NAN = math.nan


# ---- sensitivity ----


def test_sensitivity_by_hand():
    assert lr_sensitivity([3, 2.5, 2.2, 2.1, 2.3, NAN, 8], 4.6) == pytest.approx(6.6 / 7, rel=1e-12)
    assert lr_sensitivity([2.0] * 7, 4.6) == 0 == lr_sensitivity([5.0, 6.0, math.inf], 4.6)
    assert lr_sensitivity([2.0, -math.inf], 4.0) == 1.0  # no loss that was reached


@given(st.permutations([3.0, 2.5, 2.2, 2.1, 2.3, NAN, 8.0]))
def test_sensitivity_does_not_mind_the_order(losses):
    assert lr_sensitivity(losses, 4.6) == pytest.approx(6.6 / 7)


def test_sensitivity_in_a_window():
    lrs = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
    losses = [9.0, 3, 2, 1, 2, 9, NAN]
    assert lr_sensitivity(losses, 5.0, lrs=lrs, window=(1e-3, 3e-2)) == pytest.approx(1.0)
    assert lr_sensitivity(losses, 5.0, lrs=lrs) == pytest.approx((5 + 3 + 2 + 1 + 2 + 5 + 5) / 7 - 1)


@pytest.mark.parametrize(
    "losses, start, options, match",
    [
        ([], 1.0, {}, "losses"),
        ([NAN, math.inf], 1.0, {}, "none of them"),
        ([1.0], NAN, {}, "loss_at_init"),
        ([1.0, 2.0], 1.0, {"lrs": [0.1]}, "lrs"),
        ([1.0, 2.0], 1.0, {"window": (0.1, 1.0)}, "window"),
        ([1.0, 2.0], 1.0, {"lrs": [0.1, 1.0], "window": (2.0, 3.0)}, "no rate"),
        ([1.0, 2.0, 3.0], 1.0, {"lrs": [0.1, 1.0, 2.0]}, "evenly"),
        ([1.0, 2.0], 1.0, {"lrs": [-0.1, 1.0]}, "positive"),
    ],
)
def test_sensitivity_refuses(losses, start, options, match):
    with pytest.raises(ValueError, match=match):
        lr_sensitivity(losses, start, **options)


def test_a_sweep_and_its_plot():
    found = lr_sweep(lambda lr, seed: (4.0, abs(math.log10(lr) + 2) + seed), [1e-3, 1e-2, 1e-1], seeds=(0, 1))
    assert isinstance(found, LRSweep) and found.losses.tolist() == [[1, 0, 1], [2, 1, 2]]
    assert found.sensitivity() == pytest.approx([2 / 3, 2 / 3]) and found.losses_at_init.tolist() == [4, 4]
    assert len(found.plot().data) == 2
    with pytest.raises(ValueError, match="seeds"):
        lr_sweep(lambda lr, seed: (1.0, 1.0), [0.1], seeds=())
    with pytest.raises(ValueError, match="evenly"):
        lr_sweep(lambda lr, seed: (1.0, 1.0), [0.1, 0.2, 0.8])


# ---- extrapolation ----


def test_exact_laws_are_recovered():
    n = np.array([1e3, 3e3, 1e4, 3e4, 1e5])
    x = np.log10(n)
    parabola = extrapolate(n, 10 ** (0.5 - 0.3 * x + 0.1 * x**2), degree=2)
    expected = 10 ** (0.5 - 0.3 * 6 + 0.1 * 36)
    found = parabola.predict(1e6)
    assert found.value == pytest.approx(expected, rel=1e-8)
    assert found.low == pytest.approx(expected, rel=1e-4) and found.high == pytest.approx(expected, rel=1e-4)
    assert parabola.exponent == pytest.approx(-0.3 + 0.2 * 5)
    line = extrapolate(n, 2 * n**0.5, degree=1)
    assert line.exponent == pytest.approx(0.5) and line.crossing(2000.0).size == pytest.approx(1e6, rel=5e-3)
    assert will_diverge(line, 1e8) and not will_diverge(line, 1e7)
    falling = extrapolate(n, 1e-3 / n, degree=1)
    assert falling.crossing(1e-9).size == pytest.approx(1e6, rel=5e-3)
    assert falling.crossing(1e-6).size == pytest.approx(1e3, rel=5e-3) and math.isinf(falling.crossing(1e-30).size)


def test_the_interval_is_students():
    # tables of the t distribution, two-sided
    for confidence, free, value in ((0.9, 3, 2.353363), (0.95, 1, 12.7062), (0.95, 10, 2.228139), (0.5, 2, 0.816497)):
        assert student_quantile(confidence, free) == pytest.approx(value, rel=2e-4)
    rng = np.random.default_rng(0)
    n = np.geomspace(1e3, 1e5, 6)
    hit = 0
    for _ in range(400):
        y = 10 ** (0.4 * np.log10(n) + 0.1 * rng.standard_normal(6))
        found = extrapolate(n, y, degree=1).predict(1e6)
        hit += found.low <= 10 ** (0.4 * 6 + 0.1 * rng.standard_normal()) <= found.high
    assert hit / 400 == pytest.approx(0.9, abs=0.04)


def test_without_a_point_to_spare_nothing_is_known():
    fit = extrapolate([1e3, 1e4], [1.0, 2.0], degree=1)
    found = fit.predict(1e5)
    assert found.value == pytest.approx(4.0) and (found.low, found.high) == (0.0, math.inf)
    crossing = fit.crossing(10.0)
    assert crossing.soonest == 1e3 and math.isinf(crossing.latest) and math.isfinite(crossing.size)
    assert len(fit.plot().data) == 2 and len(extrapolate([1, 2, 4], [1, 2, 5], 1).plot(y="logit").data) == 4


@pytest.mark.parametrize(
    "sizes, values, options, match",
    [
        ([1.0, 2.0], [1.0, 2.0], {"degree": 2}, "degree: 2 needs more"),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], {"degree": 1}, "degree: 1 needs more"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], {"degree": 1}, "one length"),
        ([1.0, 2.0], [0.0, 2.0], {"degree": 1}, "values"),
        ([-1.0, 2.0], [1.0, 2.0], {"degree": 1}, "sizes"),
        ([1.0, 2.0], [1.0, 2.0], {"degree": 0}, "degree"),
        ([1.0, 2.0], [1.0, 2.0], {"degree": 1, "confidence": 1.0}, "confidence"),
    ],
)
def test_extrapolation_refuses(sizes, values, options, match):
    with pytest.raises(ValueError, match=match):
        extrapolate(sizes, values, **options)


def test_a_fit_refuses_what_is_no_size():
    fit = extrapolate([1.0, 2.0], [1.0, 2.0], 1)
    with pytest.raises(ValueError, match="size"):
        fit.predict(0.0)
    with pytest.raises(ValueError, match="threshold"):
        fit.crossing(-1.0)


# ---- attention ----


def test_chunked_maximum_is_the_dense_one_and_ignores_masked_pairs():
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 37, 8), torch.randn(2, 3, 37, 8)
    causal = torch.ones(37, 37, dtype=torch.bool).tril()
    k[..., -1, :] = 1e6  # seen by the last query only
    q[..., -1, :] = 0
    dense = logit_max(attention_logits(q, k, mask=causal))
    for chunk in (1, 5, 37, 100):
        assert torch.equal(max_attention_logit(q, k, causal=True, chunk=chunk), dense)
        assert torch.equal(max_attention_logit(q, k, mask=causal, chunk=chunk), dense)
    assert dense < 1e3 < max_attention_logit(q, k, chunk=5) == logit_max(attention_logits(q, k))
    keys = torch.arange(37) < 36  # a mask over keys alone
    assert torch.equal(max_attention_logit(q, k, mask=keys, chunk=5), logit_max(attention_logits(q, k, mask=keys)))
    with pytest.raises(ValueError, match="chunk"):
        max_attention_logit(q, k, chunk=0)
    with pytest.raises(ValueError, match="mask"):
        max_attention_logit(q, k, mask=causal, causal=True)


def test_entropy_of_an_even_choice_and_of_none():
    assert attention_entropy(torch.zeros(4, 7)).item() == pytest.approx(1.0)  # ln 7 / ln 7
    assert attention_entropy(torch.eye(7) * 1e4).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["layernorm", "rms"])
def test_normalised_queries_and_keys_are_bounded_and_forget_their_size(kind):
    torch.manual_seed(0)
    norm = QKNorm(16, kind)
    assert sum(p.numel() for p in norm.parameters()) == 32
    q, k = torch.randn(2, 4, 9, 16), torch.randn(2, 4, 9, 16)
    with torch.no_grad():
        logits = attention_logits(*norm(q, k))
        assert attention_logits(*norm(1000 * q, k)) == pytest.approx(logits.numpy(), abs=2e-5)
        assert logit_max(attention_logits(*norm(1e4 * q, 1e4 * k))) <= math.sqrt(16) * (1 + 1e-6)
    double = QKNorm(4, kind, dtype=torch.float64)
    rows = [torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: double(a, b), rows)
    assert not list(QKNorm(4, kind, elementwise_affine=False).parameters())


def test_qk_norm_refuses():
    with pytest.raises(ValueError, match="kind"):
        QKNorm(8, "batch")
    with pytest.raises(ValueError, match="head_dim"):
        QKNorm(1)


# ---- losses, decay, schedules ----


def test_z_loss_of_even_logits_and_its_gradient():
    assert z_loss(torch.zeros(3, 7), 1e-2).item() == pytest.approx(1e-2 * math.log(7) ** 2)
    y = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    z_loss(y, 0.1).backward()
    log_z = y.detach().logsumexp(-1, keepdim=True)
    assert y.grad.numpy() == pytest.approx((2 * 0.1 * log_z * y.detach().softmax(-1) / 5).numpy(), rel=1e-5)
    targets = torch.arange(5)
    assert torch.autograd.gradcheck(lambda y: cross_entropy_with_z_loss(y, targets, coef=0.1).total, y)
    before, after = (cross_entropy_with_z_loss(y.detach() + s, targets, coef=1.0) for s in (0.0, 3.0))
    assert after.cross_entropy.item() == pytest.approx(before.cross_entropy.item(), abs=1e-9)
    assert after.z_loss.item() == pytest.approx(((log_z + 3) ** 2).mean().item())
    assert after.total.item() == pytest.approx((after.cross_entropy + after.z_loss).item())


@pytest.mark.parametrize("lr", [1e-3, 0.3])
def test_independent_decay_does_not_know_the_rate(lr):
    weight = nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64))
    optimizer = torch.optim.AdamW(independent_weight_decay([weight], 1e-2, lr))
    schedule = [min(1.0, t / 5) for t in range(1, 21)]
    for share in schedule:
        weight.grad = torch.zeros_like(weight)
        optimizer.param_groups[0]["lr"] = lr * share
        optimizer.step()
    assert weight[0].item() == pytest.approx(2.0 * math.prod(1 - s * 1e-2 for s in schedule), rel=1e-12)


def test_independent_decay_of_groups():
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = independent_weight_decay([{"params": [a], "lr": 0.1}, {"params": [b], "weight_decay": 0.0}], 1e-4, 1e-2)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.1, pytest.approx(1e-3)), (1e-2, 0.0)]
    with pytest.raises(ValueError, match="peak_lr"):
        independent_weight_decay([a], 1e-4)
    with pytest.raises(ValueError, match="lam"):
        independent_weight_decay([a], -1e-4, 1e-2)


def test_what_epsilon_leaves_of_adams_step():
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=1.0, eps=1e-8)
    weight.grad = torch.full_like(weight, 1e-9)
    optimizer.step()
    assert abs(weight.item()) == pytest.approx(1 / 11, rel=1e-6)
    below, left, count = epsilon_domination(torch.tensor([1e-9]), 1e-8)
    assert (below.item(), count.item()) == (1, 1) and left.item() == pytest.approx(0.090909, rel=1e-5)


def test_warmup_cosine():
    rates = [warmup_cosine(t, 0.1, warmup=10, total=100) for t in range(101)]
    assert rates[0] == 0 and rates[5] == pytest.approx(0.05) and rates[10] == 0.1 and rates[100] == pytest.approx(1e-5)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert warmup_cosine(500, 0.1, warmup=10, total=100) == pytest.approx(1e-5)
    assert warmup_cosine(0, 0.1, warmup=0, total=10) == 0.1
    for bad in ({"step": -1}, {"warmup": 100}, {"lr": -1.0}):
        with pytest.raises(ValueError):
            warmup_cosine(**{"step": 1, "lr": 0.1, "warmup": 10, "total": 100} | bad)


def test_the_gradient_behind_a_layernorm():
    torch.manual_seed(0)
    gain, g = torch.rand(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    x = torch.randn(6, dtype=torch.float64)
    x = (x - x.mean()).requires_grad_()
    F.layer_norm(x, (6,), gain, eps=1e-6).backward(g)
    value = x.detach()
    m = value.square().mean() + 1e-6
    inner = m**-0.5 * (gain * g - value * (g @ (gain * value)) / (6 * m))
    # the mean's own part, which a chain through centred features leaves out
    assert x.grad.numpy() == pytest.approx((inner - inner.mean()).numpy(), rel=1e-9)
    for c in (10.0, 1000.0):
        y = (c * value).requires_grad_()
        F.layer_norm(y, (6,), gain, eps=1e-6).backward(g)
        assert (c * y.grad).numpy() == pytest.approx(x.grad.numpy(), abs=1e-5)


# ---- muParam ----


def small(width=16, **options):
    return TinyDecoder(11, width, 2, width // 8, **options)


def test_mu_param_at_the_base_width_changes_nothing():
    model, same = small(), small()
    found = mu_groups(model, 16, lr=1e-2)
    assert {group["lr"] for group in found.groups} == {1e-2} and found.attention_power == 0.5
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    held = [p for group in found.groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()} and len(held) == len(set(map(id, held)))


def test_mu_param_variants():
    model = small(32)
    found = mu_groups(model, 16, "full", lr=1e-2, queries=["blocks.0.qkv", "blocks.1.qkv"])
    assert sorted(group["lr"] for group in found.groups) == [5e-3, 1e-2] and found.attention_power == 1.0
    assert model.head.weight.std(correction=0).item() == pytest.approx(math.sqrt(16) / 32, rel=1e-5)
    assert not model.blocks[0].qkv.weight[:32].any() and model.blocks[0].qkv.weight[32:].all()
    assert small(16, attention_power=1.0).blocks[0].scale == 1 / 8
    for options, match in (
        ({"variant": "tiny"}, "variant"),
        ({"variant": "full"}, "queries"),
        ({"head": "norm"}, "no torch.nn.Linear"),
        ({"base_width": 0}, "base_width"),
    ):
        with pytest.raises(ValueError, match=match):
            mu_groups(small(), **{"base_width": 16, "lr": 1e-2} | options)
    with pytest.raises(ValueError, match="model"):
        mu_groups(nn.LayerNorm(3), 16, lr=1e-2)


# ---- the decoder and its text ----


def test_transplanted_queries_have_the_size_they_are_told():
    z = torch.randn(2, 3, 16) * 7
    for kappa in (1.0, 1e4):
        q = of_mean_square(z, kappa)
        assert q.square().mean(-1).sqrt().numpy() == pytest.approx(math.sqrt(kappa), rel=1e-5)
        assert logit_max(attention_logits(q, q)) <= kappa * math.sqrt(16) * (1 + 1e-5)
    norm = QKNorm(16, "rms")
    assert torch.allclose(of_mean_square(z, 1.0), norm(z, z)[0], atol=1e-6)


def test_the_decoder_sees_the_past_only_and_positions_keep_lengths():
    model, tokens = small(qk_norm="layernorm"), torch.arange(10)[None] % 11
    other = tokens.clone()
    other[0, -1] = 3
    assert torch.equal(model(tokens)[:, :-1], model(other)[:, :-1])
    assert model.size == 12 * 2 * 16**2
    x = torch.randn(2, 5, 8)
    assert torch.allclose(rotary(x).norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    state = torch.get_rng_state()
    assert torch.equal(small().head.weight, small().head.weight) and torch.equal(torch.get_rng_state(), state)
    q, k = model.first_attention(tokens)
    assert max_attention_logit(q, k, scale=1.0) <= math.sqrt(8) + 1e-5
    for bad in ({"heads": 3}, {"kappa": 1.0, "qk_norm": "rms"}, {"kappa": -1.0}):
        with pytest.raises(ValueError):
            TinyDecoder(**{"vocab": 5, "d": 16, "layers": 1, "heads": 2} | bad)


def test_the_text():
    text = help_topics()
    tokens, following = text.batch(3, 8, torch.Generator().manual_seed(0))
    assert torch.equal(tokens[:, 1:], following[:, :-1]) and text.vocab > 90
    assert bigram_cross_entropy(text) == pytest.approx(2.316, abs=0.02)


# ---- the study ----


def test_a_sweep_is_reproducible_to_the_bit():
    size = runs.SIZES["smoke"]
    once, again = (runs.sweep(size, help_topics(), 3, lambda: None) for _ in range(2))
    assert all(np.array_equal(once[key], again[key]) for key in once)


SEEDS = 3


def good():
    def each(value):
        return np.tile(value, (SEEDS, 1)) if np.ndim(value) else np.full(SEEDS, value)

    values = {
        "sensitivity-ratio": 2.0, "sensitivity.plain": 0.26, "sensitivity.qk": 0.13, "logit-ratio-at-top": 1e3,
        "entropy-at-top.plain": 0.1, "entropy-at-top.qk": 0.7, "best-loss-difference": 0.06,
        "logit.linear.factor": 1.1, "logit.quadratic.factor": 1.2, "logit.measured": 500.0,
        "logit.linear": 510.0, "gradient-over-rates": 0.1, "gradient-over-sizes": 0.5,
        "transplant.loss": np.array([2.1, 2.2, 2.5, 2.6, 2.7]), "bigram": 2.316,
        "z.log-z-1e-2": 0.2, "z.cost-1e-2": 0.08, "z.cost-1e-4": 0.02,
        "eps.off-theory": 2.3, "eps.gradient": 1e-3, "eps.loss": np.array([2.17, 2.17, 2.19, 2.4, 2.7]),
        "decay.sensitivity.independent": 0.2, "decay.sensitivity.coupled": 0.3,
        "warmup.sensitivity.long": 0.2, "warmup.sensitivity.short": 0.3,
    }  # fmt: skip
    return {key: each(value) for key, value in values.items()}


def test_all_claims_hold_where_they_should():
    assert all(verdict.holds for verdict in judge(STUDY, good()))


@pytest.mark.parametrize(
    "claim, key, value",
    [
        (0, "sensitivity-ratio", 1.4),
        (1, "logit-ratio-at-top", 99.0),
        (2, "entropy-at-top.plain", 0.8),
        (3, "best-loss-difference", -0.11),
        (4, "logit.linear.factor", 1.6),
        (5, "gradient-over-sizes", 1.1),
        (6, "bigram", 2.8),
        (6, "transplant.loss", np.array([2.1, 2.5, 2.4, 2.6, 2.7])),
        (7, "z.log-z-1e-2", 1.1),
        (8, "eps.off-theory", 3.1),
        (9, "decay.sensitivity.coupled", 0.1),
        (10, "warmup.sensitivity.short", 0.1),
    ],
)
def test_a_claim_falls_with_its_value(claim, key, value):
    measured = good()
    measured[key] = np.tile(value, (SEEDS, 1)) if np.ndim(value) else np.full(SEEDS, value)
    assert not CLAIMS[claim].compare(measured)
