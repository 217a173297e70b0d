"""Attention, rank and gradients through time of watched runs: what is recorded is right, and nothing is disturbed."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from surefoot.analysis.attention import attention_entropy, attention_logits, logit_max
from surefoot.analysis.rank import effective_rank, gram, stable_rank, token_cosine
from surefoot.dynamics import growth_rate
from watching import Kept, watching

LENGTH = 24


class Attentive(nn.Module):
    """One block of attention, written as the test wants it."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.embed, self.norm, self.qkv, self.head = (
            nn.Embedding(11, 16),
            nn.LayerNorm(16),
            nn.Linear(16, 48),
            nn.Linear(16, 11),
        )
        self.mha = nn.MultiheadAttention(16, 4, dropout=0.1, batch_first=True) if "mha" in form else None

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.embed(tokens))
        if self.form == "checkpointed":
            return self.head(x + checkpoint(self.mix, x, use_reentrant=False))
        if self.mha is not None:
            return self.head(self.mha(x, x, x, need_weights=self.form == "mha-weights")[0])
        return self.head(x + self.mix(x))

    def mix(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        if self.form == "written":
            hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
            weights = (q @ k.mT / math.sqrt(4)).masked_fill(hidden, -math.inf).softmax(-1)
            mixed = F.dropout(weights, 0.1, self.training) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return mixed.transpose(1, 2).flatten(2)


class Unrolled(nn.Module):
    """A recurrence written out in the forward."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.embed, self.head = kind, nn.Embedding(11, 8), nn.Linear(12, 11)
        if kind == "own":
            self.inward, self.again = nn.Linear(8, 12), nn.Linear(12, 12)
        else:
            self.cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}.get(kind, nn.GRUCell)(8, 12)
        self.step = nn.GRU(8, 12, batch_first=True) if kind == "one by one" else None

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        h = c = x.new_zeros(len(x), 12)
        states = []
        for t in range(x.shape[1]):
            if self.kind == "own":
                h = torch.tanh(self.inward(x[:, t]) + self.again(h))
            elif self.kind == "lstm":
                h, c = self.cell(x[:, t], (h, c))
            elif self.step is not None:
                h = self.step(x[:, t : t + 1], h[None])[1][0]
            else:
                h = self.cell(x[:, t], h)
            states.append(h)
        return self.head(torch.stack(states, 1))


class Bare(nn.Module):
    """A recurrence of weights that no layer owns."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(12, 11)
        self.inward, self.again = nn.Parameter(torch.randn(8, 12) / 3), nn.Parameter(torch.randn(12, 12) / 4)
        self.bias = nn.Parameter(torch.zeros(12))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        h, states = x.new_zeros(len(x), 12), []
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ self.inward + torch.einsum("bi,ij->bj", h, self.again) + self.bias)
            states.append(h)
        return self.head(torch.stack(states, 1))


class Fused(nn.Module):
    def __init__(self, kind: str, **options) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(11, 8), getattr(nn, kind)(8, 12, **options)
        self.head = nn.Linear(24 if options.get("bidirectional") else 12, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if not self.rnn.batch_first:
            return self.head(self.rnn(x.transpose(0, 1))[0]).transpose(0, 1)
        return self.head(self.rnn(x)[0])


MODELS = {
    "fused attention": lambda: Attentive("fused"),
    "written attention": lambda: Attentive("written"),
    "checkpointed attention": lambda: Attentive("checkpointed"),
    "mha": lambda: Attentive("mha"),
    "mha with weights": lambda: Attentive("mha-weights"),
    "own cell": lambda: Unrolled("own"),
    "bare weights": lambda: Bare(),
    "lstm cell": lambda: Unrolled("lstm"),
    "gru cell": lambda: Unrolled("gru"),
    "gru one by one": lambda: Unrolled("one by one"),
    "lstm": lambda: Fused("LSTM", batch_first=True, num_layers=2, dropout=0.2),
    "gru": lambda: Fused("GRU", batch_first=False, bidirectional=True),
    "rnn": lambda: Fused("RNN", batch_first=True),
    "long rnn": lambda: Fused("RNN", batch_first=True),
}
LOOPS = ("own cell", "bare weights")  # whose graph tells


def fit(name: str, steps: int = 6) -> tuple[list[float], list[Tensor], Tensor]:
    torch.manual_seed(0)
    model = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(steps):
        tokens = torch.randint(11, (6, 150 if name == "long rnn" else LENGTH))
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1, 1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.detach().clone() for p in model.parameters()], torch.get_rng_state()


def off(seen: Kept) -> list[str]:
    """What was said of instruments of this file that failed."""
    own = ("attention", "rank", "recurrence", "initialisation")
    return [note["text"] for note in seen.of("note") if note["text"].startswith(own)]


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_watched_forward_is_the_bare_one(name: str, delayed: bool) -> None:
    losses, weights, state = fit(name)
    with watching(1, delayed=delayed) as seen:
        watched = fit(name)
    assert watched[0] == losses and torch.equal(watched[2], state)
    assert all(torch.equal(a, b) for a, b in zip(watched[1], weights, strict=True))
    assert not off(seen)
    if "attention" in name or "mha" in name:
        where = "mha" if "mha" in name else "qkv"
        # the first step has no known model: that it is checkpointed, and its graph not to be read, is found there
        assert len(seen.signal("attention_logit_max", where)) == (5 if "checkpointed" in name else 6)
        assert all(0 < x < 1 for x in seen.signal("attention_entropy", where).values())
    else:
        where = {
            "own cell": "again",
            "bare weights": "Bare",
            "lstm cell": "cell",
            "gru cell": "cell",
            "gru one by one": "step",
        }.get(name, "rnn")
        rates = seen.signal("bptt_rate", where)
        assert len(rates) == (6 if name in LOOPS else 5)  # the first step has no known model to put hooks on
        assert all(abs(rate) < 1 for rate in rates.values())
        assert set(seen.signal("bptt_length", where).values()) == {150.0 if name == "long rnn" else float(LENGTH)}


@pytest.mark.parametrize("form", ["fused", "written", "checkpointed"])
def test_attention_against_a_dense_reference(form: str) -> None:
    torch.manual_seed(0)
    model = Attentive(form)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens = torch.randint(11, (2, LENGTH))
    with watching(1) as seen:
        for _ in range(3):
            with torch.no_grad():
                q, k, _ = model.qkv(model.norm(model.embed(tokens))).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
                wanted = attention_logits(q, k, mask=torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril())
            optimizer.zero_grad()
            F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()
    expected = {
        "attention_logit_max": logit_max(wanted),
        "attention_entropy": attention_entropy(wanted),
        "query_norm": q.norm(dim=-1).mean(),
        "key_norm": k.norm(dim=-1).mean(),
    }
    for signal, value in expected.items():
        assert seen.signal(signal, "qkv")[3] == pytest.approx(value.item(), rel=1e-4)
    # logits of (batch, tokens, classes) are known as such though the loss gets them flattened
    assert seen.signal("logit_max", "cross_entropy")[3] > 0


def test_ranks_against_a_dense_reference() -> None:
    torch.manual_seed(0)
    model = Attentive("fused")
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    tokens = torch.randint(11, (2, LENGTH))
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()
    grams = gram(model.norm(model.embed(tokens))).numpy()
    for signal, statistic in (
        ("stable_rank", stable_rank),
        ("effective_rank", effective_rank),
        ("token_cosine", token_cosine),
    ):
        assert seen.signal(signal, "norm")[3] == pytest.approx(float(statistic(grams).mean()), rel=1e-3, abs=1e-4)


def test_the_rate_of_bare_weights_is_that_of_the_gradient_at_their_products() -> None:
    torch.manual_seed(0)
    model = Bare()
    tokens = torch.randint(11, (4, LENGTH))
    x, h, products = model.embed(tokens), torch.zeros(4, 12), []
    for t in range(LENGTH):
        products.append(h @ model.again)
        h = torch.tanh(x[:, t] @ model.inward + products[-1] + model.bias)
    loss = F.cross_entropy(model.head(h), tokens[:, 0])
    norms = [g.double().norm().item() for g in torch.autograd.grad(loss, products)]
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watching(1) as seen:
        optimizer.zero_grad()
        F.cross_entropy(model(tokens)[:, -1], tokens[:, 0]).backward()
        optimizer.step()
    assert seen.signal("bptt_rate", "Bare")[1] == pytest.approx(growth_rate(np.array(norms[1:])), rel=1e-4)


@pytest.mark.parametrize("again", [True, False])
def test_calls_one_after_the_other_are_a_loop_only_if_one_leads_to_the_next(again: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            x, loss = torch.randn(4, 3), torch.zeros(())
            for t in range(10):
                x = model(x if again else torch.randn(4, 3))
                loss = loss + x.square().mean() / 2**t
            loss.backward()
            optimizer.step()
    assert any(signal == "bptt_rate" for _, family, _ in seen.rows for signal, _ in family.columns) == again


@pytest.mark.parametrize("fused", [True, False])
def test_the_rate_through_time_is_that_of_the_loss_gradient(fused: bool) -> None:
    torch.manual_seed(0)
    reference = Unrolled("gru")
    model = Fused("GRU", batch_first=True) if fused else copy.deepcopy(reference)
    if fused:
        model.embed, model.head = copy.deepcopy(reference.embed), copy.deepcopy(reference.head)
        for name, parameter in reference.cell.named_parameters():
            getattr(model.rnn, f"{name}_l0").data = parameter.detach().clone()
    tokens = torch.randint(11, (4, LENGTH))
    x, h, states = reference.embed(tokens), torch.zeros(4, 12), []
    for t in range(LENGTH):
        h = reference.cell(x[:, t], h)
        states.append(h)
    loss = F.cross_entropy(reference.head(states[-1]), tokens[:, 0])
    norms = [g.double().norm().item() for g in torch.autograd.grad(loss, states)]
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(tokens)[:, -1], tokens[:, 0]).backward()
            optimizer.step()
    expected = growth_rate(np.array(norms if fused else norms[1:]))
    assert seen.signal("bptt_rate", "rnn" if fused else "cell")[2] == pytest.approx(expected, rel=1e-4)


def test_nothing_stands_in_the_way_of_attention() -> None:
    """The kernel, derivatives of derivatives, per-sample gradients: the function is torch's own also while watched."""
    plain = F.scaled_dot_product_attention
    model = Attentive("fused")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens = torch.randint(11, (3, LENGTH))
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            with sdpa_kernel(SDPBackend.MATH):  # which has second derivatives
                loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
                slopes = torch.autograd.grad(loss, model.qkv.weight, create_graph=True)[0]
                (loss + slopes.square().sum()).backward()
            optimizer.step()
            weights = {k: v.detach() for k, v in model.named_parameters()}

            def one(parameters, sequence):
                out = functional_call(model, parameters, (sequence[None],))
                return F.cross_entropy(out[0], sequence)

            samples = vmap(grad(one), (None, 0))(weights, tokens)
            assert samples["qkv.weight"].shape == (3, 48, 16)
            assert F.scaled_dot_product_attention is plain
    assert not off(seen)
    assert seen.signal("attention_logit_max", "qkv")


def test_the_calls_of_a_checkpointed_model_are_seen_for_one_step_only() -> None:
    plain = F.scaled_dot_product_attention
    model = Attentive("checkpointed")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens = torch.randint(11, (3, LENGTH))
    kinds = set()
    model.norm.register_forward_hook(lambda *_: kinds.add(F.scaled_dot_product_attention is plain))
    with watching(2) as seen:
        for step in range(1, 7):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
            with pytest.raises(RuntimeError) as error:  # what is wrong with a call is torch's to say
                F.scaled_dot_product_attention(torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(2, 3, 4))
            assert "attention_patch" not in str(error.value)
            loss.backward()
            optimizer.step()
            # the look at step 2 finds that it is checkpointed; those at 4 and 6 are made ready as the step before ends
            assert (F.scaled_dot_product_attention is plain) == (step not in (3, 5))
    assert kinds == {True, False} and F.scaled_dot_product_attention is plain and not off(seen)
    assert sorted(seen.signal("attention_logit_max", "qkv")) == [4, 6]


def test_every_hook_is_taken_off() -> None:
    model = Fused("LSTM", batch_first=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens = torch.randint(11, (3, LENGTH))
    with watching(1):
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()
    assert not any(m._forward_hooks or m._forward_hooks_with_kwargs for m in model.modules())


def test_weights_at_the_start_are_told_once() -> None:
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    nn.init.normal_(list(model.parameters())[2], std=0.25)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(16, 8)).sum().backward()
            optimizer.step()
    (told,) = seen.of("initialisation")
    assert told["activation"] == "tanh"
    assert told["weight_variance"]["2"] == pytest.approx(64 * 0.25**2, rel=0.1)
    assert told["weight_variance"]["0"] == pytest.approx(1 / 3, rel=0.25)
