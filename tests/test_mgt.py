"""Deep delta learning, gates, hyper-connections, blocks: closed forms, gradients by hand, invariants."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from surefoot.analysis.rank import effective_rank, gram, token_cosine
from surefoot.analysis.rank_profile import collapse_report, rank_profile
from surefoot.nn.mgt import (
    WIRINGS,
    BetaGate,
    DeepStack,
    DeltaResidual,
    DirectionErase,
    HyperConnection,
    LeakyErase,
    MGTBlock,
    MGTConnection,
    NormConnection,
    TangentGate,
    birkhoff_from_permutations,
    composite_gain,
    delta_update,
    expand_streams,
    reduce_streams,
    rewire_,
    sinkhorn_knopp,
)

D = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return nn.functional.normalize(draw(*shape, seed=seed), dim=-1)


# ---- delta rule ----


def test_a_delta_update_by_hand():
    x, h = torch.tensor([1.0, 2, 3, 4], dtype=D), torch.tensor([1.0, 0, -1, 2], dtype=D)
    k, v, one = h / h.norm(), torch.tensor([0.5], dtype=D), torch.ones(1, dtype=D)
    moved = delta_update(x[:, None], k, v, one)[:, 0]
    assert moved.tolist() == pytest.approx([0.2041241452, 2, 3.7958758548, 2.4082482905], abs=1e-9)
    assert (k @ moved).item() == pytest.approx(0.5)
    torch.testing.assert_close(delta_update(x[:, None], k, v, 0 * one)[:, 0], x)
    mirrored = delta_update(x[:, None], k, 0 * v, 2 * one)
    assert mirrored.norm().item() == pytest.approx(x.norm().item())
    torch.testing.assert_close(delta_update(mirrored, k, 0 * v, 2 * one)[:, 0], x)  # A² = I


def test_delta_is_the_dense_operator_and_its_error_shrinks():
    X, k, v, beta = draw(3, 6, 4), unit(3, 6, seed=1), draw(3, 4, seed=2), draw(3, 1, seed=3)
    A = torch.eye(6, dtype=D) - beta[..., None] * k[..., None] * k[:, None]
    wanted = A @ X + beta[..., None] * k[..., None] * v[:, None]
    moved = delta_update(X, k, v, beta)
    torch.testing.assert_close(moved, wanted)
    error = [torch.einsum("bd,bdv->bv", k, state) - v for state in (X, moved)]
    torch.testing.assert_close(error[1], (1 - beta) * error[0])
    values = torch.linalg.eigvals(A[0]).real.sort().values
    torch.testing.assert_close(values, torch.cat([1 - beta[0], torch.ones(5, dtype=D)]).sort().values)
    assert torch.linalg.det(A[0]).item() == pytest.approx(1 - beta[0].item())


def test_delta_gradients_are_those_written_and_those_measured():
    parts = [t.requires_grad_() for t in (draw(2, 5, 3), draw(2, 5, seed=1), draw(2, 3, seed=2), draw(2, 1, seed=3))]
    X, k, v, beta = parts
    G = draw(2, 5, 3, seed=4)
    dX, dk, dv, dbeta = torch.autograd.grad(delta_update(*parts), parts, G)
    with torch.no_grad():
        r, gap, b = torch.einsum("bdv,bd->bv", G, k), v - torch.einsum("bdv,bd->bv", X, k), beta[..., None]
        torch.testing.assert_close(dX, G - b * k[..., None] * r[:, None])
        torch.testing.assert_close(dv, beta * r)
        torch.testing.assert_close(dbeta, (r * gap).sum(-1, keepdim=True))
        torch.testing.assert_close(dk, beta * (torch.einsum("bdv,bv->bd", G, gap) - torch.einsum("bdv,bv->bd", X, r)))
    assert gradcheck(delta_update, parts, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(delta_update, parts)


@pytest.mark.parametrize("values", [1, 4])
@pytest.mark.parametrize("value", ["linear", "sigmoid4"])
def test_delta_residual_writes_along_the_branch(values, value):
    torch.manual_seed(0)
    layer = DeltaResidual(6, values, beta_init=1.0, value=value, dtype=D)
    x, h, context = draw(2, 3, 6), draw(2, 3, 6, seed=1), draw(2, 3, 6, seed=2)
    state = layer.expand(x) if values > 1 else x
    if values > 1:
        torch.testing.assert_close(layer.read(state), x)
    moved = layer(state, h, context)
    assert moved.shape == state.shape
    target = context @ layer.value.weight.T
    if value == "sigmoid4":
        target = 4 * (target + layer.value.bias).sigmoid()
    columns = moved if values > 1 else moved[..., None]
    k = nn.functional.normalize(h, dim=-1)
    torch.testing.assert_close(torch.einsum("...d,...dv->...v", k, columns), target, atol=1e-9, rtol=1e-9)
    still = layer(state, 0 * h, context)
    torch.testing.assert_close(still, state)  # an output of zero has no direction
    moved.sum().backward()
    assert all(p.grad is not None for name, p in layer.named_parameters() if name != "weights")


# ---- gates and leaks ----


@pytest.mark.parametrize(("mode", "start"), [("ddl", 0.2), ("ddl", 1.0), ("signed", -0.5), ("signed", 0.0)])
def test_beta_starts_where_it_is_told(mode, start):
    gate = BetaGate(5, start, mode=mode)
    beta = gate(torch.randn(3, 5))
    torch.testing.assert_close(beta, torch.full((3, 1), start), atol=1e-6, rtol=1e-5)
    beta.sum().backward()
    assert gate.bias.grad.abs().item() > 0.1
    assert BetaGate(5, start, mode=mode)(torch.randn(3, 5).bfloat16()).dtype == torch.bfloat16


def test_a_leak_forgets_geometrically_and_is_bounded():
    x = draw(4, 8)
    for rate, kept in ((0.1, 1.4e-6), (0.01, 0.276)):
        leak = LeakyErase(8, alpha=1.0, beta_init=rate, dtype=D)
        y = x
        for _ in range(128):
            y = leak(y, torch.zeros_like(y), y)
        assert (y / x).mean().item() == pytest.approx(kept, rel=0.05)
        torch.testing.assert_close(y, (1 - rate) ** 128 * x, rtol=1e-6, atol=1e-12)
    y, alpha = x, 0.5
    leak = LeakyErase(8, alpha=alpha, beta_init=0.7, dtype=D)
    for i in range(50):
        y = leak(y, draw(4, 8, seed=i).clamp(-1, 1), y)
    assert y.abs().max() <= max(x.abs().max().item(), 1 / alpha) + 1e-12


def test_erasing_along_a_direction():
    x, v = draw(4, 8), draw(4, 8, seed=1)
    k = nn.functional.normalize(v, dim=-1)
    layer = DirectionErase(8, alpha=0.3, beta_init=0.6, dtype=D)
    wanted = x + 0.6 * (v - 0.3 * (k * x).sum(-1, keepdim=True) * k)
    torch.testing.assert_close(layer(x, v, x), wanted, atol=1e-8, rtol=1e-8)


def test_the_gate_is_a_soft_mask():
    torch.manual_seed(0)
    gate = TangentGate(64)
    v, x = torch.randn(200, 64), torch.randn(200, 64)
    share = gate(v, x) / v
    assert ((share > 0) & (share < 1)).all() and share.mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("erase", ["rank1", "rank1-value", "elementwise"])
def test_without_beta_a_block_is_the_identity(erase):
    torch.manual_seed(0)
    block, x = MGTBlock(16, 2, erase=erase, beta_init=0.0), torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("erase", ["rank1-value", "elementwise"])
def test_without_erasure_a_block_is_gated_pre_norm(erase):
    torch.manual_seed(0)
    erasing = MGTConnection(16, erase=erase, beta_init=1.0, alpha=0.0)
    plain = MGTConnection(16, erase=None)
    plain.load_state_dict(erasing.state_dict(), strict=False)
    branch, x = nn.Linear(16, 16), torch.randn(3, 5, 16)
    torch.testing.assert_close(erasing(x, branch), plain(x, branch))
    ungated = MGTConnection(16, gate=False, erase=None)
    torch.testing.assert_close(ungated(x, branch), NormConnection(16)(x, branch))


# ---- doubly stochastic matrices ----


def test_sinkhorn_in_closed_form():
    logits = draw(50, 2, 2)
    p = ((logits[:, 0, 0] + logits[:, 1, 1] - logits[:, 0, 1] - logits[:, 1, 0]) / 2).sigmoid()
    wanted = torch.stack([torch.stack([p, 1 - p], -1), torch.stack([1 - p, p], -1)], -2)
    torch.testing.assert_close(sinkhorn_knopp(logits, 60), wanted, atol=1e-6, rtol=1e-6)
    c, n = 4.0, 4
    diagonal = sinkhorn_knopp(c * torch.eye(n)).diagonal()
    assert diagonal.tolist() == pytest.approx([math.exp(c) / (math.exp(c) + n - 1)] * n)


@settings(max_examples=15)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_sinkhorn_sees_no_constants_of_rows_and_columns(n, seed):
    logits = draw(3, n, n, seed=seed)
    found = sinkhorn_knopp(logits, 200)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, n, dtype=D))
    torch.testing.assert_close(found.sum(-2), torch.ones(3, n, dtype=D), atol=1e-4, rtol=0)
    shifted = logits + draw(3, n, 1, seed=seed + 1) + draw(3, 1, n, seed=seed + 2)
    torch.testing.assert_close(sinkhorn_knopp(shifted, 200), found, atol=1e-4, rtol=0)
    torch.testing.assert_close(sinkhorn_knopp(found.log(), 1), found, atol=1e-4, rtol=0)
    assert torch.linalg.matrix_norm(found, 2).max() <= 1 + 1e-4


def test_sinkhorn_keeps_dtype_and_survives_any_logits():
    assert sinkhorn_knopp(torch.zeros(3, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16
    huge = sinkhorn_knopp(torch.tensor([[1e4, 0.0], [0.0, 1e4]]))
    torch.testing.assert_close(huge, torch.eye(2))
    assert gradcheck(lambda x: sinkhorn_knopp(x, 5), draw(2, 3, 3).requires_grad_())


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_means_of_permutations(n):
    count = math.factorial(n)
    logits = draw(7, count)
    found = birkhoff_from_permutations(logits)
    wanted = sum(
        w[:, None, None] * torch.eye(n, dtype=D)[list(p)]
        for w, p in zip(logits.softmax(-1).T, itertools.permutations(range(n)), strict=True)
    )
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.sum(-1), torch.ones(7, n, dtype=D))
    torch.testing.assert_close(found.sum(-2), torch.ones(7, n, dtype=D))


def test_gains_of_products():
    assert composite_gain(torch.eye(3).expand(5, 3, 3)) == (1.0, 1.0)
    first, second = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [-3.0, 1.0]])
    product = second @ first
    rows, columns = product.abs().sum(-1).max().item(), product.abs().sum(-2).max().item()
    assert composite_gain(torch.stack([first, second])) == (rows, columns)


# ---- hyper-connections ----


@pytest.mark.parametrize("constraint", ["birkhoff", "permutations", "none"])
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_hyper_connection_starts_as_the_plain_residual(constraint, dynamic):
    torch.manual_seed(0)
    layer, branch, x = HyperConnection(8, 4, constraint, dynamic), nn.Linear(8, 8), torch.randn(2, 5, 8)
    streams = layer(expand_streams(x), branch)
    wanted = NormConnection(8)(x, branch)
    torch.testing.assert_close(streams, expand_streams(wanted), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(reduce_streams(streams), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("constraint", "within"), [("birkhoff", 0.02), ("permutations", 1e-5)])
def test_the_sum_of_streams_is_kept(constraint, within):
    torch.manual_seed(0)
    layer, branch = HyperConnection(8, 4, constraint), nn.Linear(8, 8)
    with torch.no_grad():
        layer.mapping.weight.normal_(std=0.2)
        layer.gains.fill_(0.2)
        layer.bias.add_(0.2 * torch.randn_like(layer.bias))
    X = torch.randn(2, 5, 4, 8)
    pre, post, mixing = layer.matrices(X)
    out = branch(layer.norm(torch.einsum("...n,...nd->...d", pre, X)))
    columns = mixing.sum(-2)  # 1; mixing that nearly stays takes Sinkhorn's iterations long
    torch.testing.assert_close(columns, torch.ones_like(columns), atol=within, rtol=0)
    wanted = (columns[..., None] * X).sum(-2) + post.sum(-1, keepdim=True) * out
    torch.testing.assert_close(layer(X, branch).sum(-2), wanted)
    assert torch.linalg.matrix_norm(mixing, 2).max() <= 1 + within
    whole = torch.einsum("...mn,...nd->...md", mixing, X) + post[..., None] * out[..., None, :]  # not transposed
    torch.testing.assert_close(layer(X, branch), whole)


def test_streams_that_are_read_alike_stay_alike():
    """Why a connection starts with one stream that it reads most."""
    for alike in (False, True):
        torch.manual_seed(0)
        layers = [HyperConnection(8, read_stream=i) for i in range(4)]
        for layer in layers if alike else ():
            layer.bias.data[:4] = -math.log(3)  # σ = 1/4 for each
        branches = [nn.Linear(8, 8) for _ in layers]
        x = torch.randn(16, 8)
        optimizer = torch.optim.SGD([p for m in (*layers, *branches) for p in m.parameters()], lr=0.5)
        for _ in range(3):
            streams = expand_streams(x)
            for layer, branch in zip(layers, branches, strict=True):
                streams = layer(streams, branch)
            loss = (reduce_streams(streams) - x.roll(1, 0)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        spread = (streams - streams.mean(-2, keepdim=True)).abs().max().item()
        assert (spread < 1e-6) == alike


def test_gates_and_mappings_stay_wide_under_autocast():
    torch.manual_seed(0)
    layer, X = HyperConnection(8), torch.randn(3, 4, 8)
    nn.init.normal_(layer.mapping.weight)
    gate = BetaGate(8)
    nn.init.normal_(gate.weight)
    wanted = *layer.matrices(X), gate(X)
    with torch.autocast("cpu", torch.bfloat16):
        found = *layer.matrices(X), gate(X)
        assert torch.isfinite(layer(X, nn.Linear(8, 8))).all()
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
    assert sinkhorn_knopp(torch.zeros(0, 4, 4)).shape == (0, 4, 4)


# ---- stacks ----


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_runs_and_reaches_every_weight(wiring):
    torch.manual_seed(0)
    stack, x = DeepStack(2, wiring, dim=16, heads=2), torch.randn(2, 6, 16)
    out = stack(x)
    assert out.shape == x.shape and torch.isfinite(out).all()
    out[:, :3].square().mean().backward()
    missing = [name for name, p in stack.named_parameters() if p.grad is None]
    assert not missing
    later = x.clone()
    later[:, 3:] += 1
    torch.testing.assert_close(stack(later)[:, :3], out[:, :3])  # causal
    clone = DeepStack(2, wiring, dim=16, heads=2)
    clone.load_state_dict(stack.state_dict())
    torch.testing.assert_close(clone(x), out)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_torchs_layers_are_rewired(kind):
    torch.manual_seed(0)
    options = {"batch_first": True, "dropout": 0.0}
    if kind == "encoder":
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, norm_first=True, **options), 2, None, False)
        arguments = (torch.randn(3, 6, 16),)
        options = {"src_key_padding_mask": torch.arange(6) > torch.tensor([[5], [3], [4]])}
    else:
        model = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, norm_first=True, **options), 2)
        arguments, options = (torch.randn(3, 6, 16), torch.randn(3, 4, 16)), {}
    wanted = model(*arguments, **options)
    assert rewire_(model, gate=False, erase=None) == ("layers.0", "layers.1")
    torch.testing.assert_close(model(*arguments, **options), wanted)  # the plain connection changes nothing
    assert rewire_(model) == ()
    assert not [name for name in model.state_dict() if "layer.norm" in name]
    model(*arguments, nn.Transformer.generate_square_subsequent_mask(6))


def test_a_rewired_encoder_takes_no_fast_path():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
    rewire_(model)
    model.eval()
    with torch.no_grad():
        out = model(torch.randn(3, 6, 16), src_key_padding_mask=torch.arange(6) > torch.tensor([[5], [3], [4]]))
    assert torch.isfinite(out).all()


def test_rewiring_keeps_tokens_apart():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0), 24,
                                  enable_nested_tensor=False)  # fmt: skip
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, std=p.shape[1] ** -0.5)
    x = torch.randn(2, 24, 32)
    before = collapse_report(model, x)
    assert before.layer is not None and "pre-norm" in before.advice and before.profile.effective_rank[-1] < 1.5
    rewire_(model)
    after = collapse_report(model, x)
    assert after.layer is None and after.profile.effective_rank[-1] > 10


# ---- instruments ----


def test_a_mask_hides_tokens():
    x = torch.randn(2, 6, 4)
    mask = torch.arange(6) < torch.tensor([[4], [6]])
    masked = gram(x, mask).numpy()
    for of in (effective_rank, token_cosine):
        assert of(masked)[0] == pytest.approx(of(gram(x[0, :4]).numpy()), rel=1e-5)
        assert of(masked)[1] == pytest.approx(of(gram(x[1]).numpy()), rel=1e-5)


def test_a_profile_of_layers():
    torch.manual_seed(0)

    class Collapse(nn.Module):
        def forward(self, x):
            return x.mean(1, keepdim=True).expand_as(x)

    x = torch.eye(8).repeat(2, 1, 1)
    model = nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity())
    profile = rank_profile(model, x)
    assert profile.names == ("0", "1", "2")
    np.testing.assert_allclose(profile.effective_rank, 8, rtol=1e-6)
    np.testing.assert_allclose(profile.token_cosine, 0, atol=1e-6)
    np.testing.assert_allclose(profile.rms, 8**-0.5, rtol=1e-6)
    assert list(profile.frame().columns) == ["effective_rank", "stable_rank", "token_cosine", "rms"]
    assert len(profile.plot().data) == 1
    model = nn.Sequential(nn.Identity(), Collapse(), nn.Dropout())
    report = collapse_report(model, x, layers=["0", "1", "2"])
    assert report.layer == "1" and model.training
    last = rank_profile(model, (x.transpose(0, 1),), layers=["0"], batch_first=False)
    assert last.effective_rank[0] == pytest.approx(8)


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinkhorn_knopp(torch.zeros(2, 3)), "logits: got shape"),
        (lambda: sinkhorn_knopp(torch.full((2, 2), math.nan)), "NaN"),
        (lambda: sinkhorn_knopp(torch.zeros(2, 2), 0), "iters"),
        (lambda: birkhoff_from_permutations(torch.zeros(5)), "n!"),
        (lambda: DeltaResidual(0), "dim"),
        (lambda: DeltaResidual(4, value="cubic"), "value"),
        (lambda: BetaGate(4, 3.0), "beta_init"),
        (lambda: BetaGate(4, -0.5), "beta_init"),
        (lambda: BetaGate(4, mode="free"), "mode"),
        (lambda: BetaGate(4, 0.0, 0.0), "beta_range"),
        (lambda: MGTConnection(4, erase="rank2"), "erase"),
        (lambda: MGTConnection(4, mode="signed"), "mode"),
        (lambda: NormConnection(4, "middle"), "place"),
        (lambda: HyperConnection(4, 1), "n_streams: got 1"),
        (lambda: HyperConnection(4, 6, "permutations"), "n_streams: got 6"),
        (lambda: HyperConnection(4, constraint="orthogonal"), "constraint"),
        (lambda: HyperConnection(4, read_stream=4), "read_stream"),
        (lambda: MGTBlock(10, 3), "heads"),
        (lambda: DeepStack(0, "pre"), "depth"),
        (lambda: DeepStack(1, "sandwich"), "wiring"),
        (lambda: rank_profile(nn.Linear(2, 2), torch.zeros(1, 2, 2)), "layers"),
        (lambda: rank_profile(nn.Sequential(nn.Linear(2, 2)), torch.zeros(2, 2)), "no tensor"),
        (lambda: rank_profile(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2, 2), ["1"]), "layers"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
