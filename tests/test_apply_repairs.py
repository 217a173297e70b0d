"""Cures that repair one cause each: attention, masks, half precision, schedules, clipping, decay, skip connections."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from curing import curing
from surefoot.analysis.attention import max_attention_logit
from surefoot.nn import safe_softmax
from surefoot.optim import qk_clip_

WIDTH, HEADS, LENGTH = 16, 2, 5


def tokens(seed: int = 0) -> Tensor:
    return torch.randn(6, LENGTH, WIDTH, generator=torch.Generator().manual_seed(seed))


class Attention(nn.Module):
    """One fused projection and heads, with a kernel or by hand; queries as large as ``gain`` makes them."""

    def __init__(self, gain: float = 1.0, by_hand: bool = True) -> None:
        super().__init__()
        self.qkv, self.out, self.by_hand = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), by_hand
        with torch.no_grad():
            self.qkv.weight[: 2 * WIDTH] *= gain

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind()

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        q, k, v = self.heads(x)
        if not self.by_hand:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = q @ k.mT / math.sqrt(q.shape[-1])
            scores = scores if hidden is None else scores.masked_fill(hidden, -torch.inf)
            y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, *args: Tensor) -> float:
    loss = model(*args).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


# -- attention logits --------------------------------------------------------------------------------------------------


def test_queries_and_keys_are_shortened_to_the_bound() -> None:
    query, key = nn.Linear(8, 8), nn.Linear(8, 8)
    x = 10 * torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0))
    largest = float(max_attention_logit(query(x), key(x)))
    assert largest > 5
    assert qk_clip_(query.parameters(), key.parameters(), largest, tau=5.0) == pytest.approx((5 / largest) ** 0.5)
    assert float(max_attention_logit(query(x), key(x))) == pytest.approx(5, rel=1e-5)
    before = query.weight.clone()
    assert qk_clip_(query.parameters(), key.parameters(), 5.0, tau=5.0) == 1.0 and torch.equal(query.weight, before)
    with pytest.raises(ValueError, match="tau: got 0"):
        qk_clip_([], [], 1.0, tau=0.0)


@pytest.mark.parametrize("by_hand", [True, False])
def test_qk_clip_finds_the_rows_of_a_fused_projection(by_hand: bool) -> None:
    torch.manual_seed(0)
    model = Attention(gain=20.0, by_hand=by_hand)
    before = [p.detach().clone() for p in model.parameters()]
    with curing("qk-clip:tau=4") as told:
        step(model, SGD(model.parameters(), lr=0.0), tokens())
    q, k, _ = model.heads(tokens())
    assert float(max_attention_logit(q, k)) == pytest.approx(4, rel=1e-3)
    weight, bias, *rest = model.parameters()
    assert torch.equal(weight[2 * WIDTH :], before[0][2 * WIDTH :])  # of the values
    assert torch.equal(bias[2 * WIDTH :], before[1][2 * WIDTH :]) and not torch.equal(bias, before[1])
    assert all(torch.equal(a, b) for a, b in zip(rest, before[2:], strict=True))
    assert told.summaries["qk-clip"].startswith("made queries and keys of 1 attentions shorter after 1 steps")


def test_qk_clip_of_torchs_layer_and_of_one_projection_for_both() -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight[: 2 * WIDTH] *= 20
    shared = nn.Linear(WIDTH, WIDTH, bias=False)
    with torch.no_grad():
        shared.weight *= 10
    optimizer = SGD([*layer.parameters(), *shared.parameters()], lr=0.0)
    x = tokens()
    with curing("qk-clip:tau=4"):
        for _ in range(2):
            tied = shared(x) @ shared(x).mT
            loss = layer(x, x, x)[0].square().mean() + (tied.softmax(-1) @ x).square().mean()
            loss.backward()
            optimizer.step()
    assert float((shared(x) @ shared(x).mT).detach().abs().max()) == pytest.approx(4, rel=1e-3)
    q, k = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)[:2]
    q, k = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, k))
    assert float(max_attention_logit(q, k)) == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("by_hand", [True, False])
def test_logits_of_any_size_come_in_at_the_bound(by_hand: bool) -> None:
    model, x, tau = Attention(30.0, by_hand), tokens(), 5.0
    q, k, v = model.heads(x)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    largest = float(scores.detach().max())
    expected = model.out(((scores * (tau / largest)).softmax(-1) @ v).transpose(1, 2).flatten(2))
    optimizer = SGD(model.parameters(), 0.0)
    with curing(f"attention-cap:tau={tau}") as told:
        assert largest > 10 * tau and torch.allclose(model(x), expected, atol=1e-5)
        assert told.summaries["attention-cap"].endswith("5 in 1 calls")
        step(model, optimizer, x)
        assert float(model.qkv.weight.grad[: 2 * WIDTH].norm()) > 0  # type: ignore[index]
        assert torch.equal(torch.softmax(scores, -1), scores.detach().softmax(-1))  # outside of a module: as it is
    with curing(f"attention-cap:tau={2 * largest}") as told:
        assert torch.equal(model(x), Attention.forward(model, x))
    assert told.notes


def test_a_cap_leaves_hidden_keys_hidden_and_evaluates_as_it_trains() -> None:
    hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    model, x = Attention(30.0), tokens()
    with curing("attention-cap") as told:
        first = model(x, hidden)[:, 0]  # which sees itself alone
    values = model.heads(x)[2].transpose(1, 2).flatten(2)
    assert torch.allclose(first, model.out(values[:, 0]), atol=1e-6) and not told.notes
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 8, dropout=0.0, batch_first=True)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.mul_(30.0)
    fast = torch.backends.mha.get_fastpath_enabled()
    with curing("attention-cap"):
        SGD(layer.parameters(), 0.0)
        trained = layer(x)
        with torch.no_grad():
            assert torch.allclose(layer.eval()(x), trained, atol=1e-4)
    assert torch.backends.mha.get_fastpath_enabled() == fast


# -- masks -------------------------------------------------------------------------------------------------------------


def test_rows_that_are_masked_throughout() -> None:
    scores = torch.randn(3, 4, requires_grad=True)
    hidden = torch.tensor([[False] * 4, [True] * 4, [True, True, False, True]])
    weights = safe_softmax(scores.masked_fill(hidden, -torch.inf))
    assert weights[1].tolist() == [0.0] * 4 and weights[2].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert torch.equal(weights[0], scores[0].softmax(-1))
    (weights * torch.arange(4.0)).sum().backward()
    assert torch.isfinite(scores.grad).all() and not scores.grad[1].any() and scores.grad[0].any()


def test_safe_softmax_lets_padded_sequences_train() -> None:
    hidden = torch.arange(LENGTH) < torch.tensor([0, 1, 2, 3, 4, LENGTH])[:, None]
    hidden = (hidden[:, None, :] | torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1))[:, None]

    def run() -> list[float]:
        torch.manual_seed(0)
        model = Attention()
        optimizer = Adam(model.parameters(), lr=1e-2)
        return [step(model, optimizer, tokens(), hidden) for _ in range(20)]

    assert math.isnan(run()[0])
    with curing("safe-softmax") as told:
        losses = run()
        row = torch.full((2, 3), -torch.inf)
        every_way = (
            torch.softmax(row, -1),
            row.softmax(dim=-1),
            F.softmax(row, -1, dtype=torch.float64),
            nn.Softmax(1)(row),
        )
        assert not any(one.any() for one in every_way) and every_way[2].dtype == torch.float64
    assert losses[-1] < 0.5 * losses[0] and "took 24 softmaxes" in told.summaries["safe-softmax"]


# -- half precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["cross_entropy", "log_softmax"])
def test_logits_in_float32_keep_the_gradient_of_a_confident_row(write: str) -> None:
    def gradient(half: bool) -> Tensor:
        logits = torch.tensor([[9.0, 0.0, 0.0]], dtype=torch.bfloat16).requires_grad_()
        used = logits if half else logits.float()
        right = torch.tensor([0])
        loss = F.cross_entropy(used, right) if write == "cross_entropy" else -used.log_softmax(-1)[0, 0]
        loss.backward()
        return logits.grad

    assert gradient(half=True)[0, 0] == 0
    with curing("float32-logits") as told:
        cured = gradient(half=True)
    assert torch.equal(cured, gradient(half=False)) and cured[0, 0] < 0
    assert told.summaries["float32-logits"] == "took 1 losses of logits in float32"


def test_bfloat16_has_room_for_what_float16_has_not() -> None:
    def run() -> Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1))
        optimizer = SGD(model.parameters(), lr=1e-12)
        with torch.autocast("cpu", torch.float16):
            y = model(1e5 * torch.ones(4, 8))
        y.float().square().mean().backward()
        optimizer.step()
        return y

    assert not torch.isfinite(run()).all()
    with curing("bfloat16") as told:
        assert torch.isfinite(run()).all()
    assert "turned 1 autocast regions" in told.summaries["bfloat16"]


def test_half_precision_weights_with_copies_in_float32_that_are_optimised() -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 1).half()
    copies = [p.detach().float().requires_grad_() for p in model.parameters()]
    optimizer = SGD(copies, lr=0.1)
    with curing("bfloat16") as told:
        assert torch.isfinite(model(6e4 * torch.ones(2, 8).half())).all() and model.weight.dtype == torch.float32
        optimizer.step()
    assert "gave 1 models float32 weights" in told.summaries["bfloat16"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_learn_by_small_steps(dtype: torch.dtype) -> None:
    def run() -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).to(dtype)
        optimizer = SGD(model.parameters(), lr=1e-3)
        x = torch.randn(64, 6).to(dtype)
        y = x.sum(1, keepdim=True)
        losses = []
        for _ in range(100):
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    swallowed = run()
    with curing("bfloat16") as told:
        losses = run()
    assert losses[-1] < 0.9 * losses[0] and losses[-1] < swallowed[-1]
    assert "1 models float32 weights" in told.summaries["bfloat16"]


@pytest.mark.parametrize(
    "length", [lambda d: d.sum(-1).sqrt(), lambda d: torch.sqrt(d.sum(-1)), lambda d: d.sum(-1) ** 0.5],
    ids=["method", "function", "power"],
)  # fmt: skip
def test_distances_of_zero_have_a_gradient(length: object) -> None:
    def run() -> list[float]:
        torch.manual_seed(0)
        model = nn.Linear(6, 2)
        optimizer = SGD(model.parameters(), lr=0.1)
        x, losses = torch.randn(8, 6), []
        for _ in range(10):
            pairs = model(x)[:, None] - model(x)[None]  # a point is no way from itself
            loss = (length(pairs.square()) - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    assert math.isnan(run()[1])
    with curing("safe-domain") as told:
        losses = run()
    assert losses[-1] < losses[0] and "moved 80 arguments" in told.summaries["safe-domain"]


def test_inside_of_a_domain_nothing_moves() -> None:
    x = torch.tensor([1e-30, 0.5, 2.0], requires_grad=True)
    with curing("safe-domain"):
        assert torch.equal(x.log(), x.detach().log()) and torch.equal(x[1:].sqrt(), x[1:].detach().sqrt())
        assert torch.equal((-x) ** -2, (-x.detach()) ** -2)
        edge = torch.tensor([1.0, -1.0, 0.0], requires_grad=True)
        (edge.acos() + edge.abs().log()).sum().backward()
    assert torch.isfinite(edge.grad).all()


# -- schedules ---------------------------------------------------------------------------------------------------------


def rates(make: object, own: int, steps: int = 12) -> list[float]:
    """The rate of each step, where the script calls ``scheduler.step()`` after every ``own``-th."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = SGD([weight], lr=1.0)
    scheduler: LRScheduler = make(optimizer)
    seen = []
    for number in range(1, steps + 1):
        weight.sum().backward()
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number % own == 0:
            scheduler.step()
    return seen


def two_phases(optimizer: torch.optim.Optimizer) -> LRScheduler:
    parts = [LinearLR(optimizer, 0.1, total_iters=4), CosineAnnealingLR(optimizer, T_max=8)]
    return SequentialLR(optimizer, parts, milestones=[4])


SCHEDULES = {
    "one cycle": lambda optimizer: OneCycleLR(optimizer, max_lr=1.0, total_steps=12),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=12),
    "steps": lambda optimizer: StepLR(optimizer, 3, gamma=0.1),
    "two phases": two_phases,
}


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_a_schedule_moves_with_its_optimizer(make: object) -> None:
    once_a_step = rates(make, own=1)
    with curing("schedule") as told:
        assert rates(make, own=4) == once_a_step
    assert told.summaries["schedule"].startswith("moved the schedules at each step")
    with curing("schedule"):
        assert rates(make, own=100) == once_a_step  # never, as by a script that forgot to
    slow = rates(make, own=3)
    with curing("schedule:every=3"):
        assert rates(make, own=1) == slow


def test_a_schedule_that_is_over_stays_where_it_ends() -> None:
    with curing("schedule") as told:
        seen = rates(SCHEDULES["one cycle"], own=1, steps=20)
    assert seen[12:] == [seen[12]] * 8 and not told.notes


def test_a_schedule_of_an_optimizer_that_never_steps_serves_the_one_that_does() -> None:
    def run(late: bool) -> list[float]:
        weight = nn.Parameter(torch.ones(2))
        optimizer = SGD([weight], lr=1.0)
        scheduler = StepLR(optimizer, 2, gamma=0.1)
        optimizer = SGD([weight], lr=1.0) if late else optimizer
        seen = []
        for _ in range(8):
            weight.sum().backward()
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return seen

    assert run(late=True) == [1.0] * 8
    with curing("schedule:every=auto") as told:
        cured = run(late=True)
    assert cured == pytest.approx(run(late=False))
    assert told.summaries["schedule"] == "gave 1 schedules to the optimizer that steps"


def test_a_schedule_that_was_left_behind_serves_the_optimizer_of_the_next_stage() -> None:
    def run(own: bool) -> list[float]:
        weight, head = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        optimizer = SGD([head], lr=1.0)
        scheduler = StepLR(optimizer, 2, gamma=0.1)
        seen = []
        for step in range(8):
            if step == 4:
                optimizer = SGD([weight, head], lr=0.5)
                scheduler = StepLR(optimizer, 2, gamma=0.5) if own else scheduler
            (weight * head).sum().backward()
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return seen

    first, its_own = [1.0, 1.0, 0.1, 0.1], [0.5, 0.5, 0.25, 0.25]
    assert run(own=False) == pytest.approx(first + [0.5] * 4)
    with curing("schedule:every=auto"):
        assert run(own=False) == pytest.approx([*first, 0.5, 0.5, 0.05, 0.05])
        assert run(own=True) == pytest.approx(first + its_own)


# -- clipping and decay ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_scheduler_takes_its_number_to_get_better_the_way_it_does(mode: str) -> None:
    other, sign = {"min": ("max", -1), "max": ("min", 1)}[mode]

    def run(own: str, *cures: str) -> list[float]:
        optimizer = SGD([nn.Parameter(torch.ones(2))], 1.0)
        scheduler = ReduceLROnPlateau(optimizer, own, factor=0.5, patience=1, threshold=0.01)  # type: ignore[arg-type]
        rates = []
        with curing(*cures) as told:
            for step in range(12):
                optimizer.step()
                scheduler.step(10.0 + sign * min(step, 6))  # it gets better, then rests
                rates.append(optimizer.param_groups[0]["lr"])
        assert bool(told.notes) == (bool(cures) and own == mode)
        return rates

    right = run(mode)
    assert right[6] == 1.0 > right[-1]
    assert run(other)[6] < 1.0
    assert run(other, f"plateau-mode:mode={mode}") == right
    assert run(mode, f"plateau-mode:mode={mode}") == right


@pytest.mark.parametrize("way", ["norm", "named", "value"])
def test_wider_clip(way: str) -> None:
    def gradient(asked: float) -> Tensor:
        weight = nn.Parameter(torch.tensor([3.0, 4.0]))
        weight.square().sum().mul(0.5).backward()
        if way == "value":
            nn.utils.clip_grad_value_([weight], asked)
        elif way == "named":
            nn.utils.clip_grad_norm_([weight], max_norm=asked)
        else:
            nn.utils.clip_grad_norm_([weight], asked)
        return weight.grad

    with curing("wider-clip:bound=2.5") as told:
        cured = gradient(1e-6), gradient(2.75)
    assert torch.equal(cured[0], gradient(2.5)) and torch.equal(cured[1], gradient(2.75))
    assert told.summaries["wider-clip"] == "clipped at 2.5 in the place of a lower bound, 1 times"


@pytest.mark.parametrize(("way", "given"), [("clip", 50.0), ("divide", 10.0)])
def test_wider_clip_widens_what_other_code_clips_and_not_what_it_divides(way: str, given: float) -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    with curing("wider-clip:bound=0.1") as told:
        optimizer = SGD([weight], lr=0.0)
        for size in (1.0, 2.0, 20.0):
            optimizer.zero_grad()
            weight.square().sum().mul(size / 2).backward()
            weight.grad.div_(weight.grad.norm() * 100 if way == "clip" else 10)
            optimizer.step()
            assert size != 2.0 or weight.grad.norm().item() == pytest.approx(10.0 if way == "clip" else 1.0)
    assert weight.grad.norm().item() == pytest.approx(given)
    assert told.interposer.cures[0].acted == (2 if way == "clip" else 0)


def test_wider_clip_knows_of_a_scaler() -> None:
    def step(asked: float, unscale: bool) -> Tensor:
        weight = nn.Parameter(torch.tensor([3.0, 4.0]))
        optimizer, scaler = SGD([weight], lr=1.0), torch.amp.GradScaler("cpu", init_scale=1024.0)
        with curing("wider-clip:bound=2.5"):
            scaler.scale(weight.square().sum().mul(0.5)).backward()
            if unscale:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_([weight], asked)
            scaler.step(optimizer)
        return weight.detach()

    torch.testing.assert_close(step(0.1, True), torch.tensor([1.5, 2.0]))
    torch.testing.assert_close(step(1.0, False), torch.tensor([2.4, 3.2]))  # its own bound, as if unscaled before


def test_clip_is_torchs_own() -> None:
    def run(own: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = SGD(model.parameters(), lr=0.1)
        for number in range(4):
            optimizer.zero_grad()
            (model(torch.ones(2, 4)).sum() * 10.0 ** (number - 2)).backward()
            if own:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        return list(model.parameters())

    by_hand = run(own=True)
    with curing("clip:max_norm=0.5") as told:
        cured = run(own=False)
    for a, b in zip(cured, by_hand, strict=True):
        torch.testing.assert_close(a, b)
    assert told.summaries["clip"] == "clipped 3 of 4 gradients to a norm of 0.5"


def test_weights_decay_and_biases_do_not() -> None:
    model = nn.Linear(4, 3)
    optimizer = SGD(model.parameters(), lr=0.5)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    with curing("weight-decay:decay=0.2") as told:
        (0 * model(torch.ones(2, 4)).sum()).backward()
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * 0.9)
    assert torch.equal(model.bias, before[1])
    assert told.summaries["weight-decay"] == "took lr · 0.2 off the weights after each of 1 steps"


@pytest.mark.parametrize(
    "relu", [nn.ReLU(), nn.ReLU(inplace=True), F.relu, lambda x: torch.relu(x), lambda x: x.relu()]
)
def test_a_unit_that_is_off_comes_back(relu: object) -> None:
    def run() -> Tensor:
        bias = nn.Parameter(torch.tensor([-1.0]))
        for _ in range(3):
            loss = (relu(torch.zeros(4, 1) + bias) - 1).square().mean()
            loss.backward()
            SGD([bias], lr=1.0).step()
        return bias.detach()

    assert run() == -1
    with curing("leaky-relu") as told:
        assert run() > -1
    assert told.summaries["leaky-relu"] == "gave 3 ReLUs a slope of 0.1 below zero"


# -- skip connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stepped", "reach"), [(lambda x: torch.round(x), 9.0), (lambda x: x.sign(), 1.0)])
def test_the_gradient_passes_what_has_no_slope(stepped: Callable[[Tensor], Tensor], reach: float) -> None:
    x = torch.tensor([-2.2, -0.4, 0.3, 1.7], requires_grad=True)
    with curing("straight-through"):
        value = stepped(x)
        value.sum().backward()
        with torch.no_grad():
            assert torch.equal(stepped(x), value)
    assert torch.equal(value, stepped(x)) and torch.equal(x.grad, (x.detach().abs() <= reach).float())


class Spike(torch.autograd.Function):
    """A step at one half, with next to no slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0.5).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 1e-9 * gradient


def test_a_step_gets_a_slope_as_wide_as_what_enters_it() -> None:
    before = inspect.getattr_static(torch.autograd.Function, "apply")
    x = torch.linspace(-3, 4, 701, dtype=torch.float64, requires_grad=True)
    with curing("wide-surrogate") as told:
        value = Spike.apply(x)
        value.sum().backward()
    assert torch.equal(value, (x > 0.5).double())
    far = x.detach() - 0.505  # the step is between 0.50 and 0.51
    size = far.abs().median()
    torch.testing.assert_close(x.grad, (1 + far.abs() / size) ** -2 / (2 * size))
    assert told.summaries["wide-surrogate"] == "gave 1 steps a wider slope (Spike)"
    assert inspect.getattr_static(torch.autograd.Function, "apply") is before
    x.grad = None
    Spike.apply(x).sum().backward()
    assert float(x.grad.max()) == 1e-9


def test_what_is_no_step_keeps_its_own_slope() -> None:
    class Double(Spike):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

    class Falls(Spike):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return (x < 0.5).to(x.dtype)

    x = torch.linspace(-3, 4, 70, requires_grad=True)
    with curing("wide-surrogate") as told:
        (Double.apply(x) + Falls.apply(x)).sum().backward()
        with torch.no_grad():
            Spike.apply(x)
    assert torch.equal(x.grad, torch.full_like(x, 2e-9)) and "nothing was changed" in told.notes[0]


class Block(nn.Module):
    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.norm, self.attention, self.mlp, self.skip = nn.LayerNorm(WIDTH), Attention(), nn.Linear(WIDTH, WIDTH), skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention(self.norm(x))
        x = x + y if self.skip else y
        return x + self.mlp(x)


@pytest.mark.parametrize("skip", [True, False])
def test_attention_without_a_skip_gets_one(skip: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), *(Block(skip) for _ in range(6)))
    optimizer = SGD(model.parameters(), lr=0.0)

    def apart() -> float:
        """How far tokens of one sequence are from each other, relative to their length."""
        y = model(tokens()).detach()
        return float((y - y.mean(1, keepdim=True)).norm() / y.norm())

    bare = apart()
    with curing("attention-skip") as told:
        step(model, optimizer, tokens())
        cured = apart()
    assert cured == bare if skip else cured > 0.3 > 0.05 > bare
    assert told.summaries["attention-skip"] == f"put a skip connection around {0 if skip else 6} attentions"
    assert apart() == bare and bool(told.notes) == skip


def test_a_feed_forward_network_beside_it_gets_one_too() -> None:
    class Stacked(nn.Module):
        def __init__(self, skip: bool) -> None:
            super().__init__()
            self.attention, self.skip = Attention(), skip
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))
            self.out = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            x = self.attention(x)
            return self.out(x + self.mlp(x) if self.skip else self.mlp(x))

    for skip, wanted in ((False, "2 attentions and 2 feed-forward networks"), (True, "2 attentions")):
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Stacked(skip), Stacked(skip))
        with curing("attention-skip") as told:
            step(model, SGD(model.parameters(), lr=0.0), tokens())
        assert told.summaries["attention-skip"] == f"put a skip connection around {wanted}"


def test_torchs_layers_get_their_norms_first_and_trained_ones_do_not() -> None:
    def layer() -> nn.Module:
        torch.manual_seed(0)
        return nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True)

    model, trained = layer(), layer()
    with torch.no_grad():
        trained.norm1.weight[0] = 2.0
    with curing("attention-skip") as told:
        optimizers = [SGD(one.parameters(), lr=0.0) for one in (model, trained)]
        for one, optimizer in zip((model, trained), optimizers, strict=True):
            step(one, optimizer, tokens())
    assert model.norm_first and not trained.norm_first
    assert told.summaries["attention-skip"].endswith("0 attentions, and the norms of 1 layers into their branches")
    assert "norm1 has learnt scales" in told.notes[0]


def test_residual_branches_begin_at_zero() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.outer(torch.relu(self.inner(x)))

    torch.manual_seed(0)
    blocks = [Residual() for _ in range(4)]
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), *blocks, nn.Linear(WIDTH, WIDTH))
    optimizer = SGD(model.parameters(), lr=1e-3)
    with curing("critical-init") as told:
        step(model, optimizer, tokens()[:, 0])
    assert max(float(block.outer.weight.detach().abs().max()) for block in blocks) < 1e-2
    assert min(float(block.inner.weight.detach().std()) for block in blocks) > 0.1
    assert told.summaries["critical-init"].endswith("and 4 residual branches that begin at zero")


class Product(nn.Module):
    """A layer of the script's own, of which no size of the weights is critical."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(inputs, WIDTH), nn.Linear(inputs, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return 20 * self.left(x) * self.right(x)


def test_blocks_are_normalised_from_the_first_forward_on_and_the_output_is_not() -> None:
    torch.manual_seed(0)
    x, sizes = torch.randn(32, WIDTH), []
    head = nn.Linear(WIDTH, 1)
    model = nn.ModuleDict({"head": head, "body": nn.Sequential(*(Product(WIDTH) for _ in range(4)))})
    model.forward = lambda x: head(model["body"](x))  # the last layer is not the last that is registered
    optimizer = SGD(model.parameters(), lr=0.0)
    bare = model(x).detach()
    assert float(bare.abs().max()) > 1e6
    with curing("layer-norm") as told:
        optimizer = SGD(model.parameters(), lr=0.0)
        for part in (*model["body"][1:], head):
            part.register_forward_pre_hook(lambda m, args: sizes.append(float(args[0].detach().std())))
        y = model(x).detach()
        optimizer.step()
    assert not told.notes
    assert sizes == pytest.approx(4 * [1.0], rel=0.02) and float(y.std()) < 3
    assert told.summaries["layer-norm"] == "normalised what 4 blocks make over its features"
    assert torch.equal(model(x).detach(), bare)


def test_convolutions_are_normalised_over_channels_and_places_and_trained_models_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    seen: list[Tensor] = []
    with curing("layer-norm"):
        SGD(model.parameters(), lr=0.0)
        model[1].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
        model(50 + torch.randn(3, 1, 4, 4))
    assert seen[0].flatten(1).mean(1).abs().max() < 1e-4 and torch.allclose(
        seen[0].flatten(1).std(1), torch.ones(3), atol=0.05
    )
    with curing("layer-norm", offset=8) as told:
        SGD(model.parameters(), lr=0.0)
    assert "the run is continued" in told.notes[0]


def test_steps_go_down_that_were_to_go_up() -> None:
    weight = nn.Parameter(torch.ones(1))
    target = torch.zeros(1)
    for maximize, sign in ((True, 1.0), (False, -1.0)):
        optimizer = SGD([weight], lr=0.25, maximize=maximize)
        before = float(weight.detach())
        with curing("descend") as told:
            loss = sign * F.mse_loss(weight, target) / 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert float(weight.detach()) == pytest.approx(before / 2) and not told.notes
        assert optimizer.param_groups[0]["maximize"] is maximize
    with curing("descend") as told:
        F.mse_loss(weight, target).backward()
        SGD([weight], lr=0.1).step()
    assert "nothing was changed" in told.notes[0]


def test_a_rate_is_bounded_for_the_length_of_a_step() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = SGD([weight], lr=0.5)
    with curing("lr-cap:max=0.125") as told:
        for rate in (0.5, 0.0625):
            optimizer.param_groups[0]["lr"] = rate
            weight.sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            assert optimizer.param_groups[0]["lr"] == rate
    assert float(weight.detach()) == 1 - 0.125 - 0.0625
    assert told.summaries["lr-cap"].startswith("took 1 steps with 0.125")


def test_what_would_overflow_does_not() -> None:
    x = torch.tensor([1.0, 200.0], requires_grad=True)
    with curing("safe-domain"):
        y = x.exp()
        y.sum().backward()
    assert torch.equal(y[0], torch.tensor(1.0).exp())
    assert torch.isfinite(y).all() and x.grad[1] == 0
