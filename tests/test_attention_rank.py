"""Attention logits and entropy, rank and token cosine: closed forms, invariants, dense references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.attention import (
    attention_entropy,
    attention_logits,
    entropy_of_weights,
    logit_max,
    visible_logits,
)
from surefoot.analysis.rank import effective_rank, gram, stable_rank, token_cosine
from surefoot.observe.attention_sites import find_attentions
from surefoot.observe.graph import read_graph
from surefoot.observe.signals.attention import read_attention

CAUSAL = torch.ones(6, 6, dtype=torch.bool).tril()


def test_entropy_of_even_and_of_certain_choices() -> None:
    q = torch.zeros(1, 6, 4)
    k = torch.randn(1, 6, 4)
    assert attention_entropy(attention_logits(q, k)).item() == pytest.approx(1.0, abs=1e-6)
    assert attention_entropy(attention_logits(q, k, mask=CAUSAL)).item() == pytest.approx(1.0, abs=1e-6)
    sharp = attention_logits(1e4 * torch.eye(6)[None], torch.eye(6)[None])
    assert attention_entropy(sharp).item() == 0.0
    assert entropy_of_weights(torch.full((1, 3, 6), 1 / 6)).item() == pytest.approx(1.0, abs=1e-6)
    assert math.isnan(attention_entropy(torch.zeros(1, 3, 1)).item())  # nothing to choose from


def test_the_largest_logit_is_of_a_visible_key() -> None:
    q, k = torch.ones(1, 2, 4), torch.ones(1, 3, 4)
    k[0, 2] = 1000.0
    mask = torch.tensor([True, True, False])
    assert logit_max(attention_logits(q, k)).item() == pytest.approx(2000.0)
    assert logit_max(attention_logits(q, k, mask=mask)).item() == pytest.approx(2.0)
    added = torch.zeros(3).masked_fill(~mask, -math.inf)
    assert logit_max(attention_logits(q, k, mask=added)).item() == pytest.approx(2.0)
    assert logit_max(attention_logits(-q, k, mask=mask)).item() == pytest.approx(2.0)
    with pytest.raises(ValueError, match="width"):
        attention_logits(q, torch.ones(1, 3, 5))


def test_a_mask_is_read_from_the_weights() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(4, 6, 8), torch.randn(4, 6, 8)
    for size in (1.0, 20.0):
        logits = attention_logits(size * q, k)
        masked = logits.masked_fill(~CAUSAL, -math.inf)
        found = visible_logits(logits, masked.softmax(-1))
        assert logit_max(found).item() == pytest.approx(logit_max(masked).item())
        assert attention_entropy(found).item() == pytest.approx(attention_entropy(masked).item(), abs=0.02)


def forms(q, k, v):
    """The same causal attention in every way a script may write it."""
    scale = 1 / math.sqrt(q.shape[-1])
    neg = torch.zeros(6, 6).masked_fill(~CAUSAL, -math.inf)

    def written(logits):
        return logits.masked_fill(~CAUSAL, -1e9).softmax(-1)

    flat = [t.flatten(0, 1) for t in (q, k, v)]
    return {
        "fused": lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        "boolean mask": lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=CAUSAL),
        "added mask": lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=neg[None, None]),
        "dropout": lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1),
        "divided": lambda: written(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])) @ v,
        "multiplied": lambda: F.dropout(written(scale * (q @ k.transpose(-2, -1))), 0.1) @ v,
        "scaled queries": lambda: written((q * scale) @ k.transpose(-2, -1)) @ v,
        "einsum": lambda: torch.einsum("bhqk,bhkd->bhqd", written(torch.einsum("bhqd,bhkd->bhqk", q, k) * scale), v),
        "baddbmm": lambda: torch.baddbmm(neg.expand(8, 6, 6), flat[0], flat[1].mT, alpha=scale).softmax(-1) @ flat[2],
    }


@pytest.mark.parametrize("form", list(forms(*[torch.zeros(2, 4, 6, 8)] * 3)))
@pytest.mark.parametrize("size", [1.0, 8.0])
def test_every_form_of_attention_is_found_in_the_graph(form: str, size: float) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 6, 8, requires_grad=True) for _ in range(3))
    wanted = attention_logits(size * q, k, mask=CAUSAL)
    out = forms(size * q, k, v)[form]()
    view = read_graph([out.sum()])
    sites = list(find_attentions(view.nodes))
    assert len(sites) == 1
    values = read_attention(sites[0])
    assert values is not None
    assert values[0].item() == pytest.approx(logit_max(wanted).item(), rel=1e-4)
    assert values[1].item() == pytest.approx(attention_entropy(wanted).item(), abs=0.02)


def test_one_query_that_every_key_is_multiplied_by() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(5, n, 8, requires_grad=True) for n in (1, 6, 6))
    wanted = attention_logits(q, k, scale=3.0)
    weights = ((k @ q.mT).squeeze(-1) * 3.0).softmax(-1)
    (site,) = find_attentions(read_graph([(weights.unsqueeze(1) @ v).sum()]).nodes)
    values = read_attention(site)
    assert values is not None
    assert values[0].item() == pytest.approx(logit_max(wanted).item(), rel=1e-5)
    assert values[1].item() == pytest.approx(attention_entropy(wanted).item(), rel=1e-4)
    assert values[3].item() == pytest.approx(k.norm(dim=-1).mean().item(), rel=1e-5)


def test_one_query_written_as_a_product_and_a_sum() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(5, n, 8, requires_grad=True) for n in (1, 6, 6))
    wanted = attention_logits(q, k, scale=3.0)
    for product in (q * k, k * q):
        weights = (product.sum(-1) * 3.0).softmax(-1)
        for read in (weights.unsqueeze(1) @ v, (weights.unsqueeze(-1) * v).sum(1)):
            (site,) = find_attentions(read_graph([read.sum()]).nodes)
            values = read_attention(site)
            assert values is not None
            assert values[0].item() == pytest.approx(logit_max(wanted).item(), rel=1e-5)
            assert values[1].item() == pytest.approx(attention_entropy(wanted).item(), rel=1e-4)
            assert values[2].item() == pytest.approx(q.norm(dim=-1).mean().item(), rel=1e-5)
    own = torch.randn(5, 6, 8, requires_grad=True)  # of each key: features that are weighted, no queries
    for scores in ((own * k).sum(-1), (q * k).sum(1)):
        weights = scores.softmax(-1)
        out = weights.unsqueeze(1) @ torch.randn(5, weights.shape[-1], 2)
        assert list(find_attentions(read_graph([out.sum()]).nodes)) == []


def test_grouped_queries() -> None:
    q = torch.randn(2, 8, 6, 16, requires_grad=True)
    k, v = (torch.randn(2, 2, 6, 16, requires_grad=True) for _ in range(2))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    (site,) = find_attentions(read_graph([out.sum()]).nodes)
    values = read_attention(site)
    assert values is not None
    few = attention_logits(q[:, ::4], k, mask=CAUSAL)
    assert values[0].item() == pytest.approx(logit_max(few).item(), rel=1e-5)


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention_is_named_by_its_projection(weights: bool) -> None:
    module = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.randn(2, 6, 16)
    out = module(x, x, x, need_weights=weights)[0]
    (site,) = find_attentions(read_graph([out.sum()]).nodes)
    assert site.layer is module.in_proj_weight or site.layer is module.in_proj_bias
    assert read_attention(site) is not None


@pytest.mark.parametrize("query", ["vector", "layer"])
def test_an_attention_whose_keys_a_layer_scores_is_known_by_its_weights(query: str) -> None:
    torch.manual_seed(0)
    keys, mask = nn.Linear(6, 8), torch.rand(4, 5) < 0.8
    x, scorer = torch.randn(4, 5, 6), nn.Linear(8, 1)
    scores = keys(x) @ nn.Parameter(torch.randn(8)) if query == "vector" else scorer(keys(x).tanh()).squeeze(-1)
    weights = (3 * scores).masked_fill(~mask, -1e9).softmax(-1)
    (site,) = find_attentions(read_graph([torch.einsum("bk,bkd->bd", weights, keys(x)).sum()]).nodes)
    values = read_attention(site)
    assert values is not None and values[0].isnan()
    assert values[1].item() == pytest.approx(entropy_of_weights(weights).item(), rel=1e-5)


def test_what_is_no_attention() -> None:
    scores = nn.Linear(8, 3)(torch.randn(2, 5, 8)).softmax(-1)  # a router's choice
    experts = torch.randn(2, 3, 4, requires_grad=True)
    assert not list(find_attentions(read_graph([(scores @ experts).sum()]).nodes))
    logits = torch.randn(2, 5, 8, requires_grad=True) @ torch.randn(2, 8, 5)
    assert not list(find_attentions(read_graph([logits.softmax(-1).log().sum()]).nodes))


def test_a_large_attention_is_sampled() -> None:
    q = torch.randn(16, 12, 300, 8, requires_grad=True)
    out = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    (site,) = find_attentions(read_graph([out.sum()]).nodes)
    values = read_attention(site)
    assert values is not None
    dense = attention_logits(q, q, mask=torch.ones(300, 300, dtype=torch.bool).tril())
    assert 0.5 * logit_max(dense) <= values[0] <= logit_max(dense) + 1e-4
    assert values[1].item() == pytest.approx(attention_entropy(dense).item(), abs=0.05)


def test_ranks_in_closed_form() -> None:
    assert stable_rank(np.eye(6)) == pytest.approx(6) and effective_rank(np.eye(6)) == pytest.approx(6)
    ones = np.ones((4, 4))
    assert stable_rank(ones) == pytest.approx(1) and effective_rank(ones) == pytest.approx(1)
    diagonal = gram(torch.diag(torch.tensor([2.0, 1.0, 1.0]))).numpy()
    assert stable_rank(diagonal) == pytest.approx(6 / 4)
    assert effective_rank(diagonal) == pytest.approx(math.exp(1.5 * math.log(2)))  # shares ½, ¼, ¼
    assert token_cosine(np.eye(6)) == pytest.approx(0) and token_cosine(ones) == pytest.approx(1)
    assert token_cosine(gram(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])).numpy()) == pytest.approx(-1)


def test_ranks_do_not_see_scale_and_rotation() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 20, 12)
    rotation = torch.linalg.qr(torch.randn(12, 12))[0]
    for statistic in (stable_rank, effective_rank, token_cosine):
        wanted = statistic(gram(x).numpy())
        for other in (1e20 * x, 1e-20 * x, x @ rotation):
            np.testing.assert_allclose(statistic(gram(other).numpy()), wanted, rtol=1e-3, atol=1e-5)
    singular = torch.linalg.svdvals(x).double().numpy()
    np.testing.assert_allclose(stable_rank(gram(x).numpy()), (singular**2).sum(-1) / singular.max(-1) ** 2, rtol=1e-4)


def test_ranks_of_nothing_and_of_broken_rows() -> None:
    assert stable_rank(np.zeros((3, 3))) == 0 and effective_rank(np.zeros((3, 3))) == 0
    assert math.isnan(token_cosine(np.zeros((3, 3))))
    one_zero = gram(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])).numpy()
    assert token_cosine(one_zero) == pytest.approx(0) and stable_rank(one_zero) == pytest.approx(2)
    broken = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    for statistic in (stable_rank, effective_rank, token_cosine):
        values = statistic(broken)
        assert np.isfinite(values[0]) and np.isnan(values[1])
