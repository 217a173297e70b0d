"""Each cure in place does what its part does by hand, and leaves everything else as it is, bit for bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from curing import Told, curing
from loops import train
from surefoot.losses import stablemax_cross_entropy, z_loss
from surefoot.optim import OrthogonalGrad, SafeStep, adaptive_clip_grad_, orthogonalize_gradients

NOTHING = (
    "lr-scale:factor=1",
    "warmup:steps=1",
    "adam-eps:eps=1e-8",
    "agc:clip=1e9",
    "z-loss:coef=0",
    "skip-bad-batch:factor=1e9",
    "safe-step:r_max=1e9",
    "clip:max_norm=1e9",
    "qk-clip:tau=1e9",
    "safe-softmax",
    "wider-clip:bound=1e-9",
    "weight-decay:decay=1e-30",
    "attention-skip",
    "temper:rms=1e9",
)


@pytest.mark.parametrize("loop", ["mlp", "cnn", "transformer", "bf16", "checkpoint"])
def test_a_setting_that_does_nothing_changes_no_bit(loop: str) -> None:
    bare = train(loop)
    with curing(*NOTHING) as told:
        cured = train(loop)
    # The checker of shapes and types draws from Python's generator when it looks into a list; a run without it is in
    # test_apply_command.
    torch_state, _, numpy_state = cured.random_state
    cured.random_state = (torch_state, bare.random_state[1], numpy_state)
    assert cured.same_as(bare)
    assert "shortened 0 of" in told.summaries["safe-step"]
    assert not [note for note in told.notes if "not applied" in note]


def test_everything_is_taken_away_again() -> None:
    state = (F.cross_entropy, torch.autograd.backward, torch.optim.Optimizer.__init__)
    hooks = list(_global_optimizer_pre_hooks), list(_global_optimizer_post_hooks)
    model = small()
    with curing(*NOTHING, "orthogonal-grad", "critical-init"):
        fit(model, torch.optim.SGD(model.parameters(), lr=0.1), 3)
    assert (F.cross_entropy, torch.autograd.backward, torch.optim.Optimizer.__init__) == state
    assert (list(_global_optimizer_pre_hooks), list(_global_optimizer_post_hooks)) == hooks
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


# -- small things to train ---------------------------------------------------------------------------------------------


def small(act: Callable[[], nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), act(), nn.Linear(16, 3))


def batch(seed: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :3].argmax(1)


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5, after: Callable[[], object] | None = None,
        before: Callable[[], object] | None = None) -> list[Tensor]:  # fmt: skip
    """Train, and give the weights; ``before`` and ``after`` are called around each step."""
    for i in range(steps):
        x, y = batch(i)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if before is not None:
            before()
        optimizer.step()
        if after is not None:
            after()
    return weights(model)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# -- numbers of the groups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_lr_scale_is_a_scaled_rate_under_a_scheduler(kind: type[torch.optim.Optimizer]) -> None:
    def run(factor: float) -> tuple[list[Tensor], list[float]]:
        model = small()
        groups = [{"params": model[0].parameters(), "lr": 0.25}, {"params": model[2].parameters()}]
        optimizer = kind(groups, lr=0.5 * factor)
        optimizer.param_groups[0]["lr"] *= factor
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)  # reads and writes the groups' own rate
        rates: list[float] = []

        def after() -> None:
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"] / factor)

        return fit(model, optimizer, after=after), rates

    by_hand, rates = run(0.125)
    with curing("lr-scale:factor=0.125") as told:
        cured, seen = run(1.0)
    assert same(cured, by_hand) and seen == rates == [0.25 * 0.5**i for i in range(1, 6)]
    assert told.summaries == {"lr-scale": "took 5 steps with 0.125 times the script's learning rate"}


def test_rates_as_tensors() -> None:
    model, twin = small(), small()
    by_hand = fit(twin, torch.optim.Adam(twin.parameters(), lr=torch.tensor(0.005)))
    rate = torch.tensor(0.01)
    with curing("lr-scale:factor=0.5"):
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        assert same(fit(model, optimizer), by_hand)
    assert optimizer.param_groups[0]["lr"] is rate and float(rate) == pytest.approx(0.01)


def test_lr_scale_counts_once_in_wrapped_optimizers() -> None:
    def run(lr: float) -> list[Tensor]:
        model = small()
        return fit(model, OrthogonalGrad(torch.optim.SGD(model.parameters(), lr=lr)))

    by_hand = run(0.05)
    with curing("lr-scale:factor=0.5"):
        assert same(run(0.1), by_hand)


def test_several_optimizers() -> None:
    def run(lr: float) -> list[Tensor]:
        model = small()
        first, second = (torch.optim.SGD(model[i].parameters(), lr=lr * k) for i, k in ((0, 1), (2, 4)))
        second.zero_grad()
        return fit(model, first, after=lambda: (second.step(), second.zero_grad()))

    by_hand = run(0.05)
    with curing("lr-scale:factor=0.5") as told:
        assert same(run(0.1), by_hand)
    assert told.interposer.cures[0].acted == 10


def test_lr_scale_of_lbfgs() -> None:
    def run(lr: float) -> list[Tensor]:
        model = small(nn.Tanh)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=lr, max_iter=5)
        x, y = batch(0)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        return weights(model)

    by_hand = run(0.25)
    with curing("lr-scale:factor=0.5"):
        assert same(run(0.5), by_hand)


def test_a_step_that_raises_leaves_the_rate_for_the_next() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def broken() -> Tensor:
        raise ArithmeticError("mine")

    with curing("lr-scale:factor=0.5"):
        for _ in range(3):
            with pytest.raises(ArithmeticError, match="mine"):
                optimizer.step(broken)
        fit(model, optimizer, 1)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_warmup_takes_its_share_of_each_rate() -> None:
    model, twin = small(), small()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.0)
    shares = iter([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    by_hand = fit(twin, optimizer, 6, before=lambda: optimizer.param_groups[0].update(lr=0.4 * next(shares)))
    with curing("warmup:steps=4") as told:
        assert same(fit(model, torch.optim.SGD(model.parameters(), lr=0.4), 6), by_hand)
    assert told.summaries["warmup"] == "took the first 3 of 4 steps with a smaller learning rate"


def test_warmup_goes_on_where_a_continued_run_stopped() -> None:
    model, twin = small(), small()
    by_hand = fit(twin, torch.optim.SGD(twin.parameters(), lr=0.4))
    with curing("warmup:steps=4", offset=4):
        assert same(fit(model, torch.optim.SGD(model.parameters(), lr=0.4)), by_hand)


def test_adam_eps() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.Adam([parameter], lr=0.1, eps=1e-8)
    parameter.grad = torch.tensor([1e-9])
    with curing("adam-eps:eps=1e-9"):
        optimizer.step()
    assert 1 - parameter.item() == pytest.approx(0.1 * 0.5, rel=1e-3)  # |g|/(|g| + ε)
    assert optimizer.param_groups[0]["eps"] == 1e-8


def test_adam_eps_where_there_is_none_to_set() -> None:
    with curing("adam-eps") as told:
        model = small()
        fit(model, torch.optim.SGD(model.parameters(), lr=0.1))
        half = nn.Parameter(torch.ones(3, dtype=torch.float16))
        optimizer = torch.optim.Adam([half], eps=1e-6)
        half.grad = torch.ones_like(half)
        optimizer.step()
    assert told.summaries["adam-eps"] == "took 0 steps with eps = 1e-15"
    assert any("zero in the precision of some weights" in note for note in told.notes)


# -- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        ("agc:clip=0.02,eps=0.01", lambda p: adaptive_clip_grad_(p, 0.02, 0.01)),
        ("orthogonal-grad", orthogonalize_gradients),
        ("orthogonal-grad:restore_norm=true,scope=global", lambda p: orthogonalize_gradients(p, True, "global")),
    ],
)
def test_gradients_are_changed_as_by_hand(text: str, by_hand: Callable[[list[Tensor]], object]) -> None:
    model, twin = small(), small()
    params = list(twin.parameters())
    expected = fit(twin, torch.optim.AdamW(params, lr=0.05), before=lambda: by_hand(params))
    with curing(text) as told:
        assert same(fit(model, torch.optim.AdamW(model.parameters(), lr=0.05)), expected)
    assert told.interposer.cures[0].acted == 5 and "over 5 steps" in next(iter(told.summaries.values()))


def test_gradients_of_closures() -> None:
    def run(clip: bool) -> list[Tensor]:
        model = small(nn.Tanh)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
        x, y = batch(0)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if clip:
                adaptive_clip_grad_(model.parameters(), 0.01)
            return loss

        optimizer.step(closure)
        return weights(model)

    by_hand = run(True)
    with curing("agc:clip=0.01"):
        assert same(run(False), by_hand)


@pytest.mark.parametrize("fused", [False, True])
def test_under_a_gradient_scaler(fused: bool) -> None:
    def run(apply: str | None) -> list[Tensor]:
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for i in range(4):
            x, y = batch(i)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if apply is None:
                scaler.unscale_(optimizer)
                adaptive_clip_grad_(model.parameters(), 0.01)
            scaler.step(optimizer)
            scaler.update()
        return weights(model)

    by_hand = run(None)
    with curing("agc"):
        cured = run("agc")
    for a, b in zip(cured, by_hand, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


# -- bad batches -------------------------------------------------------------------------------------------------------


class Corrupt:
    """A loop in which one batch is bad, or left out by hand."""

    def __init__(self, bad: str | None, size: str, kind: type[torch.optim.Optimizer] = torch.optim.AdamW) -> None:
        torch.manual_seed(0)
        norm = nn.Identity() if size == "huge" else nn.BatchNorm1d(16)  # behind which huge inputs look like any
        self.model = nn.Sequential(nn.Linear(6, 16), norm, nn.ReLU(), nn.Linear(16, 3))
        self.optimizer = kind(self.model.parameters(), lr=0.02)
        for i in range(30):
            x, y = batch(i)
            if i == 20:
                if bad is None:
                    continue
                x = x * {"nan": math.nan, "huge": 1e6, "inf": math.inf}[bad]
                y = (y + 1) % 3
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    @property
    def state(self) -> list[Tensor]:
        moments = [v for s in self.optimizer.state_dict()["state"].values() for v in s.values() if v is not None]
        return [t.detach().clone() for t in (*self.model.state_dict().values(), *moments)]


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("bad", ["nan", "inf", "huge"])
def test_a_bad_batch_leaves_no_trace(bad: str, kind: type[torch.optim.Optimizer]) -> None:
    clean = Corrupt(None, bad, kind)
    with curing("skip-bad-batch") as told:
        cured = Corrupt(bad, bad, kind)
    assert same(cured.state, clean.state)
    assert told.summaries == {"skip-bad-batch": "left out 1 of 30 steps: 21"}
    assert all(p.grad is not None for p in cured.model.parameters())
    (skip,) = told.of("skip")
    assert skip["signal"] in ("loss", "gradient_norm") and float(skip["value"]) != float(skip["limit"])


def test_good_runs_are_left_alone() -> None:
    for seed in range(4):
        with curing("skip-bad-batch") as told:
            model = small(seed=seed)
            fit(model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), 100)
            fit(model, torch.optim.SGD(model.parameters(), lr=0.5), 50)
        assert told.summaries == {"skip-bad-batch": "left out no step"}


def test_bad_batches_under_a_gradient_scaler() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=5)
    with curing("skip-bad-batch") as told:
        for i in range(40):
            x, y = batch(i)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(1e3 * x if i == 30 else x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert told.summaries["skip-bad-batch"].startswith("left out 1 of ") and told.interposer.cures[0].acted == 1


# -- losses ------------------------------------------------------------------------------------------------------------


def test_z_loss_is_added_in_training_alone() -> None:
    logits, targets = torch.randn(5, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 0])
    plain = F.cross_entropy(logits, targets).detach()
    with curing("z-loss:coef=0.5") as told:
        loss = nn.CrossEntropyLoss()(logits, targets)
        with torch.no_grad():
            assert torch.equal(F.cross_entropy(logits, targets), plain)
        assert torch.equal(F.cross_entropy(logits.detach(), targets), plain)
        each = F.cross_entropy(logits, targets, reduction="none", ignore_index=0)
        old = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(loss.detach(), plain + z_loss(logits.detach(), 0.5))
    assert not each[0] and not each[4] and old.shape == ()
    assert told.summaries == {"z-loss": "added 0.5 · (log Z)² to 3 losses"}


def test_stablemax_takes_the_place_of_softmax() -> None:
    logits, targets = torch.randn(5, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 0])
    weight = torch.rand(4)
    with curing("stablemax"):
        loss = F.cross_entropy(logits, targets, weight, ignore_index=3, label_smoothing=0.1)
        one = nn.CrossEntropyLoss(reduction="sum")(logits[0], targets[0])
        with torch.autocast("cpu", torch.bfloat16):
            wide = F.cross_entropy(logits.bfloat16(), targets)
        with pytest.raises(IndexError, match="out of bounds"):  # the script's mistake is told as ever
            F.cross_entropy(logits, targets + 9)
    expected = stablemax_cross_entropy(logits, targets, weight, ignore_index=3, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(one, stablemax_cross_entropy(logits[:1], targets[:1], reduction="sum"))
    assert wide.dtype == torch.float32


@pytest.mark.parametrize("text", ["z-loss:coef=0.01", "stablemax"])
def test_a_log_softmax_and_an_nll_loss_are_a_cross_entropy(text: str) -> None:
    def gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        logits = (5 * torch.randn(7, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
        loss(logits, torch.arange(7) % 3).backward()
        return logits.grad

    with curing(text):
        whole = gradient(F.cross_entropy)
        for apart in (
            lambda z, t: F.nll_loss(F.log_softmax(z, 1), t),
            lambda z, t: nn.NLLLoss()(nn.LogSoftmax(dim=-1)(z), t),
            lambda z, t: F.nll_loss(torch.log_softmax(z, dim=1), t),
        ):
            torch.testing.assert_close(gradient(apart), whole)
        of_rows = gradient(lambda z, t: F.nll_loss(z.log_softmax(0), t))  # no cross-entropy: over the rows
    torch.testing.assert_close(of_rows, gradient(lambda z, t: F.nll_loss(z.log_softmax(0), t)))


@pytest.mark.parametrize("text", ["z-loss", "stablemax", "safe-step", "lr-scale", "critical-init"])
def test_where_there_is_nothing_to_change_it_says_so(text: str) -> None:
    with curing(text) as told:
        pass
    (note,) = told.notes
    assert note.startswith(f"{text}: ") and "nothing was changed" in note


# -- steps -------------------------------------------------------------------------------------------------------------


def test_a_safe_step_is_what_the_wrapper_takes() -> None:
    model, twin = small(), small()
    wrapped = SafeStep(torch.optim.Adam(twin.parameters(), lr=1.0), twin)
    by_hand = fit(twin, wrapped, 8)
    with curing("safe-step") as told:
        cured = fit(model, torch.optim.Adam(model.parameters(), lr=1.0), 8)
    for a, b in zip(cured, by_hand, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert told.summaries["safe-step"].startswith("shortened 8 of 8 steps, at most to 0.")


def test_safe_steps_with_dropout_batch_norm_accumulation_and_binary_targets() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 2))
    with curing("safe-step") as told:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e3)
        for i in range(6):
            x, y = batch(i)
            target = F.one_hot(y.clamp(max=1), 2).float()
            F.binary_cross_entropy_with_logits(model(x), target).backward()
            if i % 2:
                optimizer.step()
                optimizer.zero_grad()
    assert told.summaries["safe-step"].startswith("shortened 3 of 3 steps") and not told.notes
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_safe_steps_of_lbfgs_and_of_an_optimizer_that_was_there() -> None:
    model = small(nn.Tanh)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=50.0, max_iter=3)
    x, y = batch(0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with curing("safe-step") as told:
        optimizer.step(closure)
    assert told.summaries["safe-step"].startswith("shortened 1 of 1 steps") and not told.notes


def test_an_update_that_is_not_finite_is_not_taken() -> None:
    model = small()
    before = weights(model)
    with curing("safe-step") as told:
        fit(model, torch.optim.SGD(model.parameters(), lr=math.inf), 1)
    assert same(before, weights(model))
    assert any("not finite" in note for note in told.notes)


def test_a_regression_has_no_radius() -> None:
    model = small()
    with curing("safe-step") as told:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(batch(0)[0]).square().mean().backward()
        optimizer.step()
    assert "no step's loss was found to be a cross-entropy" in told.notes[0]


# -- weights -----------------------------------------------------------------------------------------------------------


class Functional(nn.Module):
    """Activations that no module shows."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.layers = nn.ModuleList(nn.Linear(6 if i == 0 else 256, 256) for i in range(4))
        self.head = nn.Linear(256, 3)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


@pytest.mark.parametrize(
    ("act", "C_W", "word"),
    [
        (F.relu, 2.0, "(relu)"),
        (F.gelu, 1.983, "(gelu)"),
        (lambda x: F.leaky_relu(x, 0.5), 1.6, "(LeakyReLU(negative_slope=0.5))"),
        (F.relu6, 2.0, "(Hardtanh(min_val=0.0, max_val=6.0))"),
    ],
)
def test_weights_are_drawn_before_the_first_forward(act: Callable[[Tensor], Tensor], C_W: float, word: str) -> None:
    torch.manual_seed(0)
    model = Functional(act)
    embedding = model.embed.weight.detach().clone()
    with curing("critical-init") as told:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = torch.get_rng_state()
        x, y = batch(0)
        loss = F.cross_entropy(model(10 * x), y)
        assert torch.equal(torch.get_rng_state(), state)
        drawn = [layer.weight.detach().clone() for layer in model.layers]
        loss.backward()
        optimizer.step()
        model(x)
    assert word in told.summaries["critical-init"] and told.interposer.cures[0].acted == 1 and not told.notes
    assert float(drawn[1].var()) * 256 == pytest.approx(C_W, rel=0.05)
    size = float((10 * x).square().mean()) * float(drawn[0].square().mean()) * 6
    assert size == pytest.approx(3.56 if "gelu" in word else 1.0, rel=0.15)  # K* of the first preactivations
    assert torch.equal(model.embed.weight, embedding) and not model.head.bias.detach().equal(torch.zeros(3))
    torch.manual_seed(0)
    again = Functional(act)
    with curing("critical-init"):
        torch.optim.SGD(again.parameters(), lr=0.1)
        again(10 * x)
    assert torch.equal(again.layers[1].weight, drawn[1])  # it follows from the script's own seed


class ByHand(nn.Module):
    """Matrices of its own, features first, and a head of torch's."""

    def __init__(self, head: bool) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(a, b) for a, b in ((6, 256), (256, 256)))
        self.head = nn.Linear(256, 3) if head else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = torch.tanh(x @ weight)
        return self.head(x)


@pytest.mark.parametrize("head", [False, True])
def test_matrices_by_hand_are_brought_to_the_size_of_the_critical_point(head: bool) -> None:
    torch.manual_seed(0)
    model = ByHand(head)
    drawn = [weight.detach().clone() for weight in model.weights]
    with curing("critical-init") as told:
        torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.randn(8, 6))
    assert "scaled 2 matrices of its own to C_W = 1" in told.summaries["critical-init"] and not told.notes
    for weight, before, fan_in in zip(model.weights, drawn, (6, 256), strict=True):
        assert float(weight.square().mean()) * fan_in == pytest.approx(1.0, rel=1e-4)
        assert torch.allclose(weight / weight[0, 0], before / before[0, 0], rtol=1e-4)


def test_copies_stay_copies() -> None:
    model = small()
    target = copy.deepcopy(model)
    with curing("critical-init"):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        fit(model, optimizer, 1)
    assert same(weights(model), weights(target)) and not same(weights(small()), weights(model))


def trained(steps: int, kind: type[torch.optim.Optimizer] = torch.optim.Adam) -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    fit(model, kind(model.parameters(), lr=0.01), steps)
    return model


def normalised() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    model(batch(0)[0])
    return model


def frozen() -> nn.Sequential:
    model = small()
    model[0].requires_grad_(False)
    return model


def sigmoids() -> nn.Sequential:
    return small(nn.Sigmoid)


@pytest.mark.parametrize(
    ("make", "say"),
    [
        (lambda: trained(150), "differ more in size than if they were drawn alike"),
        (normalised, "has seen 1 batches"),
        (frozen, "0 is frozen, as in fine-tuning"),
        (sigmoids, "sigmoid has no critical point"),
    ],
)
def test_trained_weights_stay(make: Callable[[], nn.Module], say: str) -> None:
    model = make()
    before = weights(model)
    with curing("critical-init") as told:
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        model(batch(3)[0])
    assert same(before, weights(model))
    assert say in told.notes[0] and told.summaries == {"critical-init": "drew no weights"}


@pytest.mark.parametrize(
    "draw",
    [
        nn.init.xavier_normal_,
        nn.init.orthogonal_,
        nn.init.kaiming_uniform_,
        lambda w: nn.init.trunc_normal_(w, std=0.02),
        lambda w: nn.init.constant_(w, 0.5),
        lambda w: nn.init.normal_(w, std=5.0),
    ],
)
def test_fresh_weights_are_known_as_such(draw: Callable[[Tensor], Tensor]) -> None:
    from surefoot.apply.fresh import sign_of_training

    for seed in range(5):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(64, 64), nn.LayerNorm(64)
        )
        for module in model:
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                draw(module.weight)
        assert sign_of_training(model) is None


def test_a_continued_run_keeps_its_weights() -> None:
    model = small()
    with curing("critical-init", offset=100) as told:
        torch.optim.SGD(model.parameters(), lr=0.1)
        model(batch(0)[0])
    assert same(weights(model), weights(small())) and "the run is continued" in told.notes[0]


# -- never in the way --------------------------------------------------------------------------------------------------


def test_a_cure_that_fails_is_off_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ours\nin two lines")

    monkeypatch.setattr("surefoot.apply.agc.adaptive_clip_grad_", broken)
    model, twin = small(), small()
    expected = fit(twin, torch.optim.SGD(twin.parameters(), lr=0.05))
    with curing("agc", "lr-scale:factor=0.5") as told:
        assert same(fit(model, torch.optim.SGD(model.parameters(), lr=0.1)), expected)
    assert told.notes == ["agc is not applied any more: RuntimeError: ours in two lines"]
    assert told.summaries["agc"].endswith("it failed and was turned off (RuntimeError: ours in two lines)")


def test_compiled_models_and_losses() -> None:
    torch._dynamo.reset()
    x, y = batch(0)
    with curing("safe-step", "critical-init", "agc", "z-loss:coef=1") as told:
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        plain = model[0].weight.detach().clone()
        compiled = torch.compile(model, backend="eager")  # after the optimiser: its forward is hidden
        loss = torch.compile(lambda: F.cross_entropy(compiled(x), y), backend="eager")()
        assert torch.equal(plain, model[0].weight)
        first = small(seed=3)
        door = torch.compile(first, backend="eager")
        torch.optim.SGD(door.parameters(), lr=0.1)
        before = first[0].weight.detach().clone()
        door(x)
        assert not torch.equal(before, first[0].weight)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = small()(x)
        expected = F.cross_entropy(logits, y) + z_loss(logits, 1.0)
    torch.testing.assert_close(loss.detach(), expected)
    assert (
        told.summaries["z-loss"].endswith("and in compiled code") and "drew 2 layers" in told.summaries["critical-init"]
    )
    assert any("safe-step: " in n and "compiled" in n for n in told.notes)
    assert any("critical-init: a model's forward is compiled" in n for n in told.notes)


def test_a_compiled_step_is_not_met() -> None:
    torch._dynamo.reset()
    model = small()
    with curing("agc", "warmup") as told:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
        torch.compile(optimizer.step, backend="eager")()
    assert [note.partition(":")[0] for note in told.notes] == ["agc", "warmup"]
    assert all("inside compiled code" in note for note in told.notes)


def test_only_the_optimizers_that_are_followed() -> None:
    model = small()
    one, other = (torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2))
    with curing("lr-scale", follows=lambda o: o is one) as told:
        for optimizer in (one, other):
            optimizer.step()
    assert told.interposer.cures[0].acted == 1


def test_what_was_done_is_told_at_each_doubling_and_at_the_end() -> None:
    model = small()
    with curing("lr-scale:factor=0.5") as told:
        fit(model, torch.optim.SGD(model.parameters(), lr=0.1), 9)
    assert told.of("apply") == [{"id": "lr-scale", "settings": {"factor": 0.5}}]
    assert [event["count"] for event in told.of("applied")] == [1, 2, 4, 8, 9]


def test_summaries_are_there_before_the_first_step() -> None:
    every = ("lr-scale", "safe-step", "warmup", "adam-eps", "skip-bad-batch", "agc", "z-loss", "orthogonal-grad",
             "critical-init")  # fmt: skip
    with curing(*every) as told:
        check_summaries(told)


def check_summaries(told: Told) -> None:
    for id, text in told.summaries.items():
        assert text and not text.endswith("."), id


def test_tempered_logits_are_those_of_one_higher_temperature() -> None:
    torch.manual_seed(0)
    first, second = 100 * torch.randn(32, 7), 30 * torch.randn(32, 7)
    targets = torch.arange(32) % 7
    size = (first - first.mean(1, keepdim=True)).square().mean().sqrt()
    with curing("temper:rms=3") as told:
        model = torch.nn.Linear(7, 7)
        torch.optim.SGD(model.parameters(), lr=0.1)
        got = [F.cross_entropy(x.clone().requires_grad_(), targets) for x in (first, second)]
        small = F.cross_entropy(first, targets)  # without a gradient: as validation has it
    wanted = [F.cross_entropy(x * 3 / size, targets) for x in (first, second)]
    assert torch.allclose(torch.stack(got), torch.stack(wanted)) and small == F.cross_entropy(first, targets)
    assert told.summaries["temper"] == f"multiplied logits by {3 / size:.2g} in 2 losses"
