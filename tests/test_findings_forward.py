"""Rules on the forward pass: attention logits, rank over depth, gradients through time, the initialisation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from histories import LAYERS, LOOKS, Stream, falling, flat, layered, train
from surefoot.findings.rules.attention import QK_CLIP, QK_NORM
from surefoot.findings.rules.rank_collapse import PRE_NORM, REWIRED, SMALL_BRANCHES
from surefoot.findings.rules.recurrence import orthogonal, remember

LN10 = math.log(10)
FEW = [1, 2, 4, 8, 16, 32, 64, 128]


# --- attention ---------------------------------------------------------------------------------------------------


def attended(logit, entropy, losses=None) -> Stream:
    stream = train(losses or falling(200, last=0.5), constant=LN10)
    for step in [s for s in LOOKS if s <= 200]:
        values = {("attention_logit_max", "blocks.0.qkv"): logit(step), ("attention_logit_max", "blocks.1.qkv"): 3.0}
        stream.row(step, "attention", values | {("attention_entropy", "blocks.0.qkv"): entropy(step)})
    return stream


def test_attention_logits_beyond_what_models_survive() -> None:
    stream = attended(lambda s: 2.0 * 1.05**s, lambda s: 0.9**s)
    found = stream.findings()["attention-logit-growth"]
    assert found.severity == "critical" and found.where == ("blocks.0.qkv",)
    # 2 · 1.05^66 = 50 makes an info at the look at step 70; 2 · 1.05^128 = 1034 a warning at 130, seen again at 140
    assert found.first_step == 70 and found.detected_step == 140
    assert stream.findings(until=139)["attention-logit-growth"].severity == "info"
    assert found.evidence[0].signal == "attention_logit_max" and "2 times" not in found.cause
    assert [cure.name for cure in found.remedies[:2]] == [QK_CLIP.name, QK_NORM.name]
    assert str(found.remedies[0].apply).startswith("best-of:of=qk-clip/")


def test_large_logits_at_once_are_a_matter_of_the_start() -> None:
    found = attended(lambda s: 2e3, lambda s: 0.01).findings()["attention-logit-growth"]
    assert found.severity == "warning" and "from the start" in found.cause and found.first_step == 1
    assert found.remedies[0].how == QK_CLIP.how and found.remedies[1] == QK_NORM


def test_attention_on_one_key_with_a_loss_that_rises() -> None:
    bad = [*falling(100, last=1.0), *flat(100, 2.0, 0.02)]
    grows = lambda s: 2.0 + 2 * s  # noqa: E731
    assert attended(grows, lambda s: 0.02, bad).findings()["attention-logit-growth"].severity == "warning"
    assert attended(grows, lambda s: 0.02).findings()["attention-logit-growth"].severity == "info"  # it learns
    assert attended(grows, lambda s: 0.5, bad).findings()["attention-logit-growth"].severity == "info"


def test_attention_that_starts_on_one_key() -> None:
    slow = [*flat(40, 2.3, 0.02), *falling(160, 2.0, 0.5)]
    entropy = lambda s: 0.14 if s < 30 else 0.08  # noqa: E731
    born = attended(lambda s: 55.0 + s / 2, entropy, slow).findings()["attention-logit-growth"]
    assert born.severity == "warning" and born.detected_step == 40 and "from the start" in born.cause
    for other in (
        attended(lambda s: 20.0 + 2 * s, entropy, slow),  # it came to that
        attended(lambda s: 55.0 + s / 2, lambda s: 0.14, slow),  # on several keys
        attended(lambda s: 55.0 + s / 2, entropy, falling(200, 1.0, 0.1)),  # and all was learned meanwhile
    ):
        assert other.loud() == []


@pytest.mark.parametrize("last", [1.0, 10.0, 30.0])
def test_attention_that_learns_is_left_alone(last: float) -> None:
    stream = attended(lambda s: 1.0 + last * s / 200, lambda s: 0.05)
    assert "attention-logit-growth" not in stream.findings()


def test_attention_whose_logits_are_not_known() -> None:
    """Only its weights tell: they say something where they were on one key from the first look on."""
    slow = [*flat(40, 2.3, 0.02), *falling(160, 2.0, 0.5)]
    unknown = lambda s: math.nan  # noqa: E731
    assert attended(unknown, lambda s: 0.0, slow).findings()["attention-logit-growth"].severity == "warning"
    assert "attention-logit-growth" not in attended(unknown, lambda s: float(s < 3), slow).findings()
    assert "attention-logit-growth" not in attended(unknown, lambda s: 0.0, falling(200, 1.0, 0.1)).findings()


# --- rank --------------------------------------------------------------------------------------------------------


def similar(distance, losses=None, kind: str = "LayerNorm", constant: float = LN10, others=()) -> Stream:
    stream = train(losses or flat(200), constant=constant)
    stream.event(1, "modules", modules=[{"name": n, "type": kind} for n in (*LAYERS, *others)])
    looks = [s for s in LOOKS if s <= 200]
    return layered(stream, "rank", "token_cosine", lambda s: [1 - distance(i) for i in range(8)], looks)


def test_tokens_that_become_one_over_depth() -> None:
    found = similar(lambda i: 0.9 * 2.0 ** (-3 * i)).findings()["rank-collapse"]
    assert found.severity == "critical" and found.first_step == 1 and found.where[-1] == LAYERS[-1]
    assert found.detected_step >= 24
    found = similar(lambda i: 0.9 * 2.0 ** (-1.8 * i), kind="Linear").findings()["rank-collapse"]  # it has no norms
    assert found.severity == "warning"
    assert found.evidence[1].value == pytest.approx(2**-1.8, rel=1e-2)


@pytest.mark.parametrize(("kind", "activation", "told"), [
    ("Linear", "sigmoid", False),  # it makes any two vectors one, tokens or not
    ("Linear", "gelu", True),
    ("LayerNorm", "sigmoid", True),  # a norm undoes what a sigmoid does
])  # fmt: skip
def test_vectors_that_a_sigmoid_makes_one_are_no_matter_of_tokens(kind: str, activation: str, told: bool) -> None:
    stream = similar(lambda i: 0.9 * 2.0 ** (-3 * i), kind=kind)
    stream.event(1, "initialisation", activation=activation)
    assert ("rank-collapse" in stream.findings()) is told


def test_layers_of_torchs_own_make_can_be_rewired() -> None:
    plain = similar(lambda i: 0.9 * 2.0 ** (-3 * i))
    parent = LAYERS[0].rpartition(".")[0]
    attention = f"{parent}.self_attn.out_proj"
    alike = similar(lambda i: 0.9 * 2.0 ** (-3 * i), others=(attention,))
    torchs = similar(lambda i: 0.9 * 2.0 ** (-3 * i), others=(attention, f"{parent}.linear1", f"{parent}.linear2"))
    for stream, offered in ((plain, False), (alike, False), (torchs, True)):
        assert (REWIRED in stream.findings()["rank-collapse"].remedies) == offered


@pytest.mark.parametrize(
    ("distance", "losses", "kind"),
    [
        (lambda i: 0.9 * 0.7**i, None, "LayerNorm"),  # a deep network of its kind
        (lambda i: 1e-6, None, "LayerNorm"),  # the same token everywhere: nothing was lost on the way
        (lambda i: 0.9 if i < 7 else 1e-6, None, "LayerNorm"),  # one odd layer
        (lambda i: 0.9 * 2.0 ** (-3 * i), None, "NonDynamicallyQuantizableLinear"),  # attention's own
        (lambda i: 0.9 * 2.0 ** (-3 * i), falling(200), "LayerNorm"),  # it learns
    ],
)
def test_rank_that_is_no_matter(distance, losses, kind: str) -> None:
    assert "rank-collapse" not in similar(distance, losses, kind).findings()


# --- through time ------------------------------------------------------------------------------------------------


def unrolled(bits, losses=None, length: float = 100.0, looks=None) -> Stream:
    stream = train(losses or flat(200), constant=LN10)
    for step in looks or [s for s in LOOKS if s <= 200]:
        rate = bits(step) * math.log(2) / length
        stream.row(step, "recurrence", {("bptt_rate", "rnn"): rate, ("bptt_length", "rnn"): length})
    return stream


def test_gradients_that_explode_through_time() -> None:
    found = unrolled(lambda s: 30.0).findings()["bptt-explosion"]
    assert found.severity == "critical" and found.where == ("rnn",) and found.first_step == 1
    assert found.detected_step == 2  # beyond 2^24 two looks are enough
    assert found.evidence[0].value == pytest.approx(2.0**30, rel=1e-3)
    assert unrolled(lambda s: 30.0, falling(200)).findings()["bptt-explosion"].severity == "warning"
    found = unrolled(lambda s: 0.0 if s < 50 else 15.0).findings()["bptt-explosion"]
    assert (found.severity, found.first_step, found.detected_step) == ("warning", 50, 70)
    assert unrolled(lambda s: 1e6).findings()["bptt-explosion"].severity == "critical"


@pytest.mark.parametrize("bits", [-60.0, -5.0, 0.0, 4.0, 11.0])
def test_gradients_through_time_that_are_no_explosion(bits: float) -> None:
    """Beyond what a loss at each of 100 steps adds up to, 6.6 bits, it is none where the loss falls all the same."""
    losses = falling(200) if bits > math.log2(100) else None
    assert "bptt-explosion" not in unrolled(lambda s: bits, losses).findings()
    assert "bptt-explosion" not in unrolled(lambda s: 20.0 if s == 50 else bits, losses).findings()  # one odd batch


def test_gradients_that_die_out_through_time() -> None:
    stream = unrolled(lambda s: -40.0)
    found = stream.findings()["vanishing-gradient"]
    assert found.severity == "warning" and found.where == ("rnn",) and found.first_step == 1
    assert found.detected_step >= 128 and "only the last 30" in found.cause
    assert "vanishing-gradient" not in unrolled(lambda s: -40.0, falling(200)).findings()
    assert "vanishing-gradient" not in unrolled(lambda s: -20.0).findings()
    later = unrolled(lambda s: -40.0 if s > 60 else -8.0).findings()["vanishing-gradient"]
    assert 60 < later.first_step < 80
    # readings are dear: what does not learn is what it was
    assert "vanishing-gradient" in unrolled(lambda s: -40.0, looks=[4, 8, 16]).findings()


# --- initialisation ----------------------------------------------------------------------------------------------


def begun(forward: float, backward: float, losses=None, activation: str = "relu", size: float | None = None) -> Stream:
    """Signal and gradient that change by so many bits a layer toward the output, as weights of that size do."""
    stream = train(losses or flat(200), constant=LN10)
    sizes = dict.fromkeys(LAYERS, 2.0 * 4.0 ** (forward - backward) if size is None else size)
    stream.event(1, "initialisation", activation=activation, weight_variance=sizes)
    looks = [s for s in LOOKS if s <= 200]
    layered(
        stream, "gradients", "gradient_rms", lambda s: [1e-3 * 2.0 ** (backward * (i - 7)) for i in range(8)], looks
    )
    return layered(stream, "activations", "activation_rms", lambda s: [2.0 ** (forward * i) for i in range(8)], looks)


def test_an_initialisation_off_criticality_is_the_root_of_what_follows() -> None:
    found = begun(0.0, 4.0).findings()
    start, effect = found["off-critical-initialisation"], found["vanishing-gradient"]
    assert start.severity == effect.severity and start.rank == 1 and start.first_step == 1
    assert effect.because_of == "off-critical-initialisation"
    assert any(e.value == pytest.approx(2 * 4.0**-4) and e.threshold == 2.0 for e in start.evidence)
    grown = begun(2.0, 0.0, [1e4, *flat(199, 1e4, 10.0)]).findings()
    assert grown["exploding-gradient"].because_of == "off-critical-initialisation"


def test_an_initialisation_that_learns_all_the_same_is_an_info() -> None:
    found = begun(0.0, 1.5, falling(200)).findings()
    assert found["off-critical-initialisation"].severity == "info"


def test_a_start_that_let_a_network_learn_is_not_why_it_forgot() -> None:
    found = begun(0.0, 1.5, [*falling(80), *flat(120)]).findings()
    assert found["off-critical-initialisation"].severity == "info"
    assert found["vanishing-gradient"].severity == "warning" and found["vanishing-gradient"].first_step >= 70
    assert begun(0.0, 1.5).findings()["vanishing-gradient"].first_step == 1  # nothing was learned


@pytest.mark.parametrize(("backward", "activation"), [(0.3, "relu"), (4.0, "sigmoid"), (4.0, "softplus")])
def test_what_other_weights_would_not_cure(backward: float, activation: str) -> None:
    assert "off-critical-initialisation" not in begun(0.0, backward, activation=activation).findings()


def test_what_the_size_of_the_weights_does_not_explain() -> None:
    for size in (2.0, 4.0):  # critical; too large for a gradient that falls
        found = begun(0.0, 4.0, size=size).findings()
        assert "off-critical-initialisation" not in found and found["vanishing-gradient"].because_of is None


def test_weights_of_unknown_size_are_not_said_to_be_the_cause() -> None:
    found = begun(0.0, 4.0, size=math.nan).findings()  # gates of an LSTM, say
    assert found["off-critical-initialisation"].severity == "info" and found["vanishing-gradient"].rank == 1


# --- cures -------------------------------------------------------------------------------------------------------


def cured(model: nn.Module, how: str) -> Any:
    exec(how, {"model": model})
    return model


def test_recurrent_weights_become_orthogonal_gate_by_gate() -> None:
    model = cured(nn.Sequential(nn.LSTM(3, 6, num_layers=2), nn.GRUCell(3, 6)), orthogonal(()).how)
    for name, weight in model.named_parameters():
        if "weight_hh" in name:
            for gate in weight.split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)
    for layer in (nn.LSTM(3, 6), nn.GRU(3, 6)):
        input_gate = layer.bias_ih_l0[:6].detach().clone()
        gated = cured(layer, remember(102.0).how)
        steps = 1 + (gated.bias_ih_l0 + gated.bias_hh_l0)[6:12].detach().exp()  # that a gate keeps its memory for
        torch.testing.assert_close(steps, 1 + torch.linspace(1, 101, 6))
        assert torch.equal(gated.bias_ih_l0[:6], input_gate)


def test_layers_of_a_loop_by_hand_keep_lengths_or_do_not_lengthen() -> None:
    model = nn.ModuleDict({"state": nn.Linear(6, 6), "both": nn.Linear(9, 6), "head": nn.Linear(6, 6)})
    head = model["head"].weight.detach().clone()
    cured(model, orthogonal(("state", "both")).how)
    state = model["state"].weight
    torch.testing.assert_close(state @ state.T, torch.eye(6), atol=1e-5, rtol=0)
    assert float(torch.linalg.matrix_norm(model["both"].weight.detach(), 2)) == pytest.approx(1, rel=1e-5)
    assert torch.equal(model["head"].weight, head)


def test_norms_move_into_the_branch_and_branches_shrink() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 4, enable_nested_tensor=False)
    before = model.layers[0].linear2.weight.detach().clone()
    assert all(layer.norm_first for layer in cured(model, PRE_NORM.how).layers)
    shrunk = cured(model, SMALL_BRANCHES.how).layers[0].linear2.weight
    torch.testing.assert_close(shrunk, before / math.sqrt(8))
    rewired = cured(model, REWIRED.how)
    assert not any(isinstance(layer, nn.TransformerEncoderLayer) for layer in rewired.layers)
    assert rewired(torch.randn(5, 2, 8)).isfinite().all()


def test_normalised_queries_and_keys_bound_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", plain)  # put back after the test
    cured(nn.Identity(), QK_NORM.how)
    q, k, v = (torch.randn(2, 3, 5, 8) for _ in range(3))
    out = F.scaled_dot_product_attention(1e6 * q, k, v, is_causal=True)
    wanted = plain(F.layer_norm(q, (8,)), F.layer_norm(k, (8,)), v, is_causal=True)
    torch.testing.assert_close(out, wanted, rtol=1e-3, atol=1e-3)
