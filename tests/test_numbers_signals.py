"""Signals on numbers and optimisers: what is recorded is what a slow, plain computation gives."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.adaptivity import bias_correction, effective_eps, second_moment
from surefoot.analysis.naive_loss import nlm_alignment
from surefoot.analysis.precision import flushed, representable
from surefoot.analysis.softmax import (
    headroom,
    log_partition,
    margins,
    rounded_gradient_share,
    softmax_collapse,
    target_margins,
)
from watching import Kept, watching

CE = "cross_entropy"


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3))


def batch(rows: int = 32) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 6), torch.randint(3, (rows,))


class TestLogits:
    def test_closed_forms(self) -> None:
        logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]])
        log_p, y = logits.log_softmax(1), torch.tensor([0, 2])
        assert margins(log_p).tolist() == pytest.approx([2.0, 2.0])
        assert target_margins(log_p, y).tolist() == pytest.approx([2.0, -2.0])
        assert log_partition(logits).tolist() == pytest.approx(np.log(np.exp(logits.numpy()).sum(1)).tolist(), rel=1e-6)
        reference = softmax_collapse(logits).headroom_nats
        assert headroom(log_p).tolist() == pytest.approx(reference.tolist(), rel=1e-5)

    def test_rounding_is_all_there_is_in_collapsed_rows_only(self) -> None:
        y = torch.zeros(2, dtype=torch.long)
        gone = torch.tensor([[20.0, 0.0], [18.0, 0.0]]).log_softmax(1)
        assert float(rounded_gradient_share(gone, y)) == pytest.approx(1.0)
        one_left = torch.tensor([[20.0, 0.0], [2.0, 0.0]]).log_softmax(1)
        assert float(rounded_gradient_share(one_left, y)) < 1e-6
        # a row that is collapsed but wrong has all of its gradient
        assert float(rounded_gradient_share(gone, 1 - y)) < 1e-6

    def test_rows_to_ignore_take_no_part(self) -> None:
        log_p = torch.tensor([[20.0, 0.0], [2.0, 0.0]]).log_softmax(1)
        assert float(rounded_gradient_share(log_p, torch.tensor([0, -1]))) == pytest.approx(1.0)
        assert math.isnan(float(rounded_gradient_share(log_p, torch.tensor([-1, -1]))))

    @pytest.mark.parametrize("shape", [(), (5,)])
    def test_in_a_run(self, shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        net: nn.Module = nn.Linear(6, 3) if not shape else nn.Conv1d(6, 3, 1)
        x, y = torch.randn(8, 6, *shape), torch.randint(3, (8, *shape))
        y.view(-1)[0] = -100
        optimizer = torch.optim.SGD(net.parameters(), 0.0)
        with watching(1) as seen:
            for _ in range(2):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
        logits = net(x).detach()
        rows = logits.movedim(1, -1).reshape(-1, 3) if shape else logits
        right = y.reshape(-1)
        kept = right >= 0
        lead = target_margins(rows[kept].log_softmax(1), right[kept])
        expected = {
            "target_margin": lead.mean(),
            "target_margin_min": lead.min(),
            "logit_margin": margins(rows.log_softmax(1)).mean(),
            "log_partition_mean": rows.logsumexp(1).mean(),
            "log_partition_max": rows.logsumexp(1).abs().max(),
            "logit_shift": rows.mean(),
            "softmax_headroom": headroom(rows.log_softmax(1)).median(),
        }
        for signal, value in expected.items():
            assert seen.signal(signal, CE)[2] == pytest.approx(float(value), rel=1e-4, abs=1e-6), signal
        assert seen.signal("softmax_rounding_share", CE)[1] < 1e-5

    @pytest.mark.parametrize("half", [False, True])
    def test_log_z_written_by_hand(self, half: bool) -> None:
        torch.manual_seed(0)
        net = nn.Linear(6, 3)
        nn.init.constant_(net.bias, 40.0)
        x, y = torch.randn(8, 6), torch.randint(3, (8,))
        with watching(1) as seen, torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = net(x).float()
            log_z = torch.logsumexp(logits, dim=1)
            loss = (log_z - logits.gather(1, y[:, None]).squeeze(1)).mean() + 1e-4 * log_z.square().mean()
            loss.backward()
            torch.optim.SGD(net.parameters(), 0.0).step()
        logits, log_p = logits.detach(), logits.detach().log_softmax(1)
        lead = target_margins(log_p, y)
        expected = {
            "target_margin": lead.mean(),
            "target_margin_min": lead.min(),
            "log_partition_mean": logits.logsumexp(1).mean(),
            "logit_shift": logits.mean(),
            # the cast to float32 has brought no digits back
            "logit_rounding": 2.0 ** (-8 if half else -24) * logits.mean(),
        }
        for signal, value in expected.items():
            assert seen.signal(signal, "logsumexp")[1] == pytest.approx(float(value), rel=1e-3, abs=1e-6), signal

    def test_a_mixture_s_likelihood_has_no_logits(self) -> None:
        net = nn.Linear(6, 3)
        with watching(1) as seen:
            (net(torch.randn(8, 6)).square() * torch.rand(3)).logsumexp(1).mean().backward()
            torch.optim.SGD(net.parameters(), 0.0).step()
        assert not seen.signal("log_partition_mean", "logsumexp")


class TestWeights:
    def test_alignment_and_ratio(self) -> None:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                expected = nlm_alignment(list(net.parameters())).total
                optimizer.step()
        assert seen.signal("nlm_alignment")[3] == pytest.approx(expected, rel=1e-4)
        for layer in ("0", "2"):
            ratio = seen.signal("update_rms", layer)[3] / seen.signal("weight_rms", layer)[3]
            assert seen.signal("update_ratio", layer)[3] == pytest.approx(ratio, rel=1e-5)
            assert not seen.signal("swallowed_share", layer)

    def test_updates_that_bfloat16_swallows(self) -> None:
        net = nn.Linear(4, 1, bias=False).bfloat16()
        with torch.no_grad():
            net.weight.copy_(torch.tensor([[1.0, 1.0, 1e-3, 1.0]]))
        optimizer = torch.optim.SGD(net.parameters(), 1e-3)  # ½ ulp of 1 is 2⁻⁸ or 2⁻⁹
        with watching(1) as seen:
            net(torch.tensor([[1.0, 1.0, 1.0, 0.0]]).bfloat16()).sum().backward()
            optimizer.step()
        # of three elements with a gradient the small one moves
        assert seen.signal("swallowed_share", "Linear")[1] == pytest.approx(2 / 3)


class _Straight(torch.autograd.Function):
    """Sign, with the slope of a clamp."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return weight.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0].abs() <= 1)


@pytest.mark.parametrize(("scale", "share"), [(1.0, 0.0), (4.0, 0.75), (10.0, 0.9), (100.0, math.nan)])
def test_weights_beyond_the_reach_of_a_surrogate(scale: float, share: float) -> None:
    """Of 100 weights spread evenly up to ``scale`` those above 1 get no gradient; one in ten or a hundred is told apart
    from a chance only where eight have one."""
    layer = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        layer.weight.copy_(scale * torch.arange(1, 101).reshape(10, 10) / 100.0)
    optimizer = torch.optim.SGD(layer.parameters(), 1e-3)
    x = torch.rand(4, 10) + 0.5
    with watching(1) as seen:
        F.linear(x, _Straight.apply(layer.weight)).square().mean().backward()
        optimizer.step()
    found = seen.signal("beyond_reach_share", "Linear")
    assert found.get(1, math.nan) == pytest.approx(share, abs=0.011, nan_ok=True)


def test_units_that_are_off_are_not_beyond_reach() -> None:
    """Whole rows without a gradient, of weights as large as the others."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 50), nn.ReLU(), nn.Linear(50, 1))
    with torch.no_grad():
        net[0].bias[:48] = -100.0
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    with watching(1) as seen:
        net(torch.randn(16, 8)).square().mean().backward()
        optimizer.step()
    assert not net[0].weight.grad[:48].any()
    assert seen.signal("beyond_reach_share", "0")[1] < 0.5


def hand_clip(net: nn.Module) -> None:
    for p in net.parameters():
        if p.grad is not None:
            p.grad.mul_(0.25)


class TestClipping:
    def ratios(self, clip, scaler=None, micro: int = 1) -> Kept:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                for _ in range(micro):
                    loss = F.cross_entropy(net(x), y)
                    (loss if scaler is None else scaler.scale(loss)).backward()
                if scaler is not None:
                    scaler.unscale_(optimizer)
                if clip is not None:
                    clip(net)
                if scaler is None:
                    optimizer.step()
                else:
                    scaler.step(optimizer)
                    scaler.update()
        return seen

    @pytest.mark.parametrize("micro", [1, 2])
    @pytest.mark.parametrize("scale", [None, 1024.0])
    def test_every_way_of_clipping_is_seen(self, micro: int, scale: float | None) -> None:
        def scaler():
            return None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)

        plain = self.ratios(None, scaler(), micro).signal("clip_ratio")
        assert list(plain.values()) == pytest.approx([1.0] * 3, rel=1e-5)
        hand = self.ratios(hand_clip, scaler(), micro).signal("clip_ratio")
        assert list(hand.values()) == pytest.approx([0.25] * 3, rel=1e-5)
        seen = self.ratios(lambda net: nn.utils.clip_grad_norm_(net.parameters(), 0.01), scaler(), micro)
        for step, ratio in seen.signal("clip_ratio").items():
            assert ratio == pytest.approx(0.01 / seen.signal("gradient_norm")[step], rel=1e-3)


class TestAdaptivity:
    @pytest.mark.parametrize(
        "make",
        [torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop,
         torch.optim.Adagrad, torch.optim.Adamax],
    )  # fmt: skip
    @pytest.mark.parametrize("eps", [1e-12, 10.0])
    def test_is_seen_in_each_adaptive_optimiser(self, make, eps: float) -> None:
        net, (x, y) = model(), batch()
        optimizer = make(net.parameters(), lr=1e-3, eps=eps)
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
        for layer in ("0", "2"):
            assert seen.signal("epsilon_share", layer)[3] == (1.0 if eps > 1 else 0.0)
            factor = seen.signal("epsilon_factor", layer)[3]
            assert factor < 0.1 if eps > 1 else factor == pytest.approx(1, abs=1e-6)

    def test_against_a_dense_reference(self) -> None:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=3e-3)
        with watching(1) as seen:
            for _ in range(4):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
        root = torch.cat(
            [(optimizer.state[p]["exp_avg_sq"] / (1 - 0.999**4)).sqrt().flatten() for p in net[0].parameters()]
        )
        met = root[root > 0]
        assert seen.signal("epsilon_share", "0")[4] == pytest.approx(float((met < 3e-3).float().mean()), abs=1e-6)
        assert seen.signal("epsilon_factor", "0")[4] == pytest.approx(float((met / (met + 3e-3)).mean()), rel=1e-5)

    def test_rows_that_never_had_a_gradient_do_not_count(self) -> None:
        embed = nn.Embedding(50, 4)
        optimizer = torch.optim.Adam(embed.parameters(), eps=1e-12)
        with watching(1) as seen:
            embed(torch.tensor([1, 2])).sum().backward()
            optimizer.step()
        assert seen.signal("epsilon_share", "Embedding")[1] == 0.0

    def test_parts(self) -> None:
        assert second_moment({"square_avg": torch.ones(2), "acc_delta": torch.ones(2)}) is None
        assert second_moment({"momentum_buffer": torch.ones(2)}) is None
        assert effective_eps(1e-8, torch.float16) == 0.0
        state = {"exp_avg_sq": torch.ones(2), "step": torch.tensor(1.0)}
        assert bias_correction(state, {"betas": (0.9, 0.999)}) == pytest.approx(math.sqrt(1e-3))


class TestFloat16:
    def test_parts(self) -> None:
        values = torch.tensor([0.0, 1e-5, 1.0, 1e-7])
        zero, subnormal = flushed(values)
        assert (float(zero), float(subnormal)) == (0.25, 0.5)
        assert bool(representable(torch.tensor([0.0, 0.5, 2.0**-24])))
        assert not bool(representable(torch.tensor([0.1, 0.5])))

    @pytest.mark.parametrize("pure", [True, False])
    def test_gradients_at_the_floor(self, pure: bool) -> None:
        net, (x, y) = model(), batch()
        if pure:
            net, x = net.half(), x.half()
        optimizer = torch.optim.SGD(net.parameters(), 0.0)
        with watching(1) as seen:
            for _ in range(2):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.float16, enabled=not pure):
                    loss = F.cross_entropy(net(x), y)
                (loss * 1e-4).backward()
                optimizer.step()
        assert seen.signal("gradient_subnormal_share", "0")[2] > 0.5
        assert 0 < seen.signal("gradient_peak", "2")[2] < 1e-6
        assert 0 < seen.signal("activation_peak", "0")[2] < 1e-3

    @pytest.mark.parametrize("dtype", [None, torch.bfloat16])
    def test_other_types_have_no_such_signals(self, dtype: torch.dtype | None) -> None:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        with watching(1) as seen:
            for _ in range(2):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None):
                    loss = F.cross_entropy(net(x), y)
                loss.backward()
                optimizer.step()
        assert not seen.signal("gradient_zero_share", "0")
        assert not seen.signal("activation_peak", "0")


class TestOverflow:
    """Of a forward in float16 whose own operations overflow, or only reach infinity as they are meant to."""

    class Scaled(nn.Module):
        def __init__(self, size: float, overflows: bool) -> None:
            super().__init__()
            self.net, self.size, self.overflows = nn.Linear(4, 3), size, overflows

        def forward(self, x: Tensor) -> Tensor:
            x = (self.size * x).half()
            if not self.overflows:
                far = x.masked_fill(x > 0, -torch.inf).amax(1, keepdim=True).exp()
                return self.net(x / x.square().mean(1, keepdim=True).sqrt() + far + (-x.abs()).exp())
            return self.net(x * (4 / x.square().sum(1, keepdim=True)).sqrt())

    def train(self, net: nn.Module, steps: int = 3) -> list[Tensor]:
        torch.manual_seed(0)
        net = copy.deepcopy(net)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(net(torch.ones(8, 4)), torch.arange(8) % 3)
            loss.backward()
            optimizer.step()
        return [p.detach() for p in net.parameters()]

    def test_the_operation_that_overflows_is_named_and_nothing_is_changed(self) -> None:
        net = self.Scaled(200.0, overflows=True)  # each square is 40000, and their sum beyond 65504
        bare = self.train(net)
        with watching(1) as seen:
            watched = self.train(net)
        assert all(map(torch.equal, bare, watched))
        assert seen.signal("overflowed_share", "sum") == {2: 1.0, 3: 1.0}
        assert not seen.signal("overflowed_share", "pow")
        assert seen.findings()["low-precision-overflow"].detected_step == 3

    def test_infinities_that_are_meant_are_none(self) -> None:
        with watching(1) as seen:
            self.train(self.Scaled(20.0, overflows=False))
        assert seen.signal("activation_peak", "net")
        assert not [name for _, family, _ in seen.rows for name, _ in family.columns if name == "overflowed_share"]

    def test_a_forward_that_fails_leaves_nothing_behind(self) -> None:
        class Failing(self.Scaled):  # type: ignore[name-defined]
            calls = 0

            def forward(self, x: Tensor) -> Tensor:
                type(self).calls += 1
                if self.calls == 2:
                    raise KeyError("the script's own")
                return super().forward(x)

        before = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        with watching(1):
            with pytest.raises(KeyError):
                self.train(Failing(200.0, overflows=True))
            assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == before


class TestScaler:
    @pytest.mark.parametrize("every", [1, 1000])
    def test_skipped_steps_are_counted_whether_looked_at_or_not(self, every: int) -> None:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
        with watching(every) as seen:
            for _ in range(40):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.float16):
                    loss = F.cross_entropy(net(x), y)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            steps = seen.observer.clock.steps
        assert 0 < steps < 40
        told = seen.of("skipped")
        assert [event["total"] for event in told] == [n for n in (1, 2, 4, 8, 16, 32) if n <= 40 - steps]
        assert told[-1]["scale_bound"] == 2.0 ** (40 - told[-1]["total"])
        if every == 1:
            assert seen.signal("skipped_steps")[steps] == 40 - steps
            assert seen.signal("loss_scale")[steps] == scaler.get_scale()


class TestSchedulers:
    def test_what_they_are_and_how_often_they_were_stepped(self) -> None:
        net, (x, y) = model(), batch()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
        with watching(1) as seen:
            for _ in range(4):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
                scheduler.step()
        mine = [n for n in ("CosineAnnealingLR", "CosineAnnealingLR2") if seen.signal("scheduler_steps", n)][-1]
        assert seen.signal("scheduler_steps", mine)[4] == 4  # the last word, after the last step
        last = next(s for s in seen.of("schedulers")[-1]["schedulers"] if s["name"] == mine)
        assert (last["type"], last["horizon"], last["optimizer"], last["optimizer_steps"]) == (
            "CosineAnnealingLR",
            7,
            "",
            4,
        )
        assert seen.of("schedulers")[-1]["final"]
