"""The parts that cures put in place, by hand: clipping by unit, warm-up, the gate for bad batches, z-loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from surefoot.losses import cross_entropy_with_z_loss, z_loss
from surefoot.losses.z_loss import penalty
from surefoot.optim import BadBatchGate, OutlierGate, adaptive_clip_grad_, warmup_factor

# -- adaptive gradient clipping ----------------------------------------------------------------------------------------


def with_gradient(weight: Tensor, gradient: Tensor) -> nn.Parameter:
    parameter = nn.Parameter(weight)
    parameter.grad = gradient
    return parameter


def test_rows_are_clipped_to_their_share() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    p = with_gradient(weight, torch.tensor([[30.0, 40.0], [0.6, 0.8], [1e-3, 0.0]]))
    clipped = adaptive_clip_grad_(p, clip=0.1, eps=1e-3)
    assert int(clipped) == 2
    expected = torch.tensor([[0.3, 0.4], [0.6e-4, 0.8e-4], [1e-3, 0.0]])  # λ|w|; λ·eps for weights at zero; left alone
    torch.testing.assert_close(p.grad, expected)


def test_convolutions_by_channel_and_vectors_as_one() -> None:
    conv = with_gradient(torch.ones(2, 3, 2, 2), torch.zeros(2, 3, 2, 2).index_fill_(0, torch.tensor([1]), 10.0))
    bias = with_gradient(torch.tensor([3.0, 4.0]), torch.tensor([8.0, 6.0]))
    assert int(adaptive_clip_grad_([conv, bias], clip=0.5)) == 2
    assert float(conv.grad[1].norm()) == pytest.approx(0.5 * math.sqrt(12)) and not conv.grad[0].any()
    torch.testing.assert_close(bias.grad, torch.tensor([2.0, 1.5]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_every_dtype(dtype: torch.dtype) -> None:
    p = with_gradient(torch.ones(4, 4, dtype=dtype), 100 * torch.ones(4, 4, dtype=dtype))
    adaptive_clip_grad_(p, clip=0.25)
    assert p.grad.dtype == dtype and float(p.grad.abs().mean()) == pytest.approx(0.25, rel=1e-2)


def test_inside_its_share_nothing_changes_by_a_bit() -> None:
    gradient = torch.randn(7, 5)
    p = with_gradient(torch.randn(7, 5), gradient.clone())
    assert int(adaptive_clip_grad_([p, nn.Parameter(torch.ones(2))], clip=1e9)) == 0
    assert torch.equal(p.grad, gradient)


def test_bad_clips() -> None:
    p = with_gradient(torch.ones(2, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match="clip: got 0"):
        adaptive_clip_grad_(p, clip=0.0)
    with pytest.raises(ValueError, match="eps: got nan"):
        adaptive_clip_grad_(p, eps=math.nan)
    sparse = nn.Embedding(4, 2, sparse=True)
    sparse(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        adaptive_clip_grad_(sparse.parameters())


# -- warm-up -----------------------------------------------------------------------------------------------------------


def test_warmup_is_linear_and_then_one() -> None:
    assert [warmup_factor(t, 4) for t in range(1, 7)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="both count from 1"):
        warmup_factor(0, 4)


def test_warmup_in_torchs_own_scheduler() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: warmup_factor(t + 1, 4))
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == [0.5, 1.0, 1.5, 2.0, 2.0]


# -- bad batches -------------------------------------------------------------------------------------------------------


def test_the_gate_knows_its_past() -> None:
    gate = OutlierGate(factor=3.0, window=16)
    past = [1.0, 1.2, 0.9, 1.1, 1.0, 1.3, 1.0, 1.0]
    assert all(map(gate.passes, past))
    # m = 1, M = 1.3: by range 1.9, by size 3
    assert gate.limit == pytest.approx(3.0)
    assert not gate.passes(3.01) and gate.passes(2.99)


@given(st.floats(1e-6, 1e6), st.lists(st.floats(0.5, 2.0), min_size=12, max_size=40))
def test_the_gate_has_no_unit(unit: float, values: list[float]) -> None:
    one, other = OutlierGate(), OutlierGate()
    values = [*values, 1e3, 1.0, 50.0]
    verdicts = [one.passes(v) for v in values]
    assert [other.passes(unit * v) for v in values] == verdicts
    assert not verdicts[-3]


def test_what_is_no_worse_than_the_start_passes() -> None:
    gate = OutlierGate()
    for value in [2.3] * 8 + [2.3 * 0.8**i for i in range(60)]:
        assert gate.passes(value)
    assert gate.passes(2.2) and not gate.passes(40.0)


def test_not_finite_never_passes_and_is_no_past() -> None:
    gate = OutlierGate()
    assert not gate.passes(math.nan) and not gate.passes(math.inf)
    assert gate.limit == math.inf and gate.passes(1.0)


def test_a_new_level_is_taken_as_one() -> None:
    gate = OutlierGate(patience=4)
    assert all(gate.passes(1.0) for _ in range(10))
    assert [gate.passes(100.0) for _ in range(6)] == [False, False, False, True, True, True]


def test_negative_losses() -> None:
    gate = OutlierGate()
    assert all(gate.passes(-5.0 + 0.1 * (i % 4)) for i in range(12))
    assert gate.passes(-4.0) and not gate.passes(30.0)


def test_either_loss_or_norm_refuses() -> None:
    gate = BadBatchGate()
    for _ in range(10):
        assert gate.passes(loss=1.0, norm=0.1)
    assert not gate.passes(loss=1.0, norm=5.0)
    assert [name for name, _, _ in gate.reasons] == ["gradient_norm"]
    assert not gate.passes(loss=9.0) and gate.reasons[0][:2] == ("loss", 9.0)
    assert gate.passes() and not gate.reasons
    for words in ({"factor": 1.0}, {"window": 3}, {"patience": 0}):
        with pytest.raises(ValueError, match="got"):
            BadBatchGate(**words)


# -- z-loss ------------------------------------------------------------------------------------------------------------


def test_uniform_logits() -> None:
    assert float(z_loss(torch.zeros(5, 100), 0.3)) == pytest.approx(0.3 * math.log(100) ** 2)


def test_gradient_is_twice_log_z_times_the_softmax() -> None:
    logits = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    z_loss(logits, 0.01).backward()
    log_z = logits.detach().logsumexp(-1, keepdim=True)
    torch.testing.assert_close(logits.grad, 2 * 0.01 * log_z * logits.detach().softmax(-1) / 6)
    assert torch.autograd.gradcheck(lambda z: z_loss(z, 0.5), logits)


def test_a_common_shift_is_what_it_sees() -> None:
    logits, targets = torch.randn(4, 7, dtype=torch.float64), torch.tensor([0, 3, 6, 1])
    one, two = (cross_entropy_with_z_loss(z, targets, coef=1.0) for z in (logits, logits + 5))
    assert float(one.cross_entropy) == pytest.approx(float(two.cross_entropy), rel=1e-12)
    expected = (logits.logsumexp(-1) + 5).square().mean()
    assert float(two.z_loss) == pytest.approx(float(expected), rel=1e-12)


def test_masked_rows_do_not_count() -> None:
    logits = torch.randn(2, 3, 5)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    assert float(z_loss(logits, 1.0, mask)) == pytest.approx(float(logits.logsumexp(-1)[mask].square().mean()))
    with pytest.raises(ValueError, match="mask"):
        z_loss(logits, 1.0, mask[0])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (5,)])
@pytest.mark.parametrize("how", [{}, {"label_smoothing": 0.1}, {"ignore_index": 2}, {"weight": True}])
def test_the_sum_is_that_of_its_parts(reduction: str, shape: tuple[int, ...], how: dict) -> None:
    torch.manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64)
    classes = shape[0] if len(shape) == 1 else shape[1]
    targets = torch.randint(classes, (shape[0], *shape[2:]) if len(shape) > 1 else ())
    how = {**how, "weight": torch.rand(classes, dtype=torch.float64) if how.get("weight") else None}
    found = cross_entropy_with_z_loss(logits, targets, coef=0.2, reduction=reduction, **how)
    torch.testing.assert_close(found.cross_entropy, F.cross_entropy(logits, targets, reduction=reduction, **how))
    squares = 0.2 * logits.logsumexp(0 if len(shape) == 1 else 1).square()
    kept = targets != how.get("ignore_index", -100)
    squares = torch.where(kept, squares, 0)
    expected = {"none": squares, "sum": squares.sum(), "mean": squares.sum() / kept.sum()}[reduction]
    torch.testing.assert_close(found.z_loss, expected)
    torch.testing.assert_close(found.total, found.cross_entropy + found.z_loss)
    torch.testing.assert_close(penalty(logits, targets, 0.2, how.get("ignore_index", -100), reduction), expected)


def test_probabilities_as_targets_and_half_precision() -> None:
    logits = torch.randn(4, 6)
    found = cross_entropy_with_z_loss(logits, logits.softmax(-1), coef=1.0)
    assert float(found.z_loss) == pytest.approx(float(logits.logsumexp(-1).square().mean()), rel=1e-6)
    half = z_loss((1000 * torch.ones(2, 4)).half(), 1.0)  # the square is beyond float16
    assert half.dtype == torch.float32 and float(half) == pytest.approx((1000 + math.log(4)) ** 2)


def test_bad_z_losses() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        z_loss(torch.ones(2, 2, dtype=torch.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="coef"):
        z_loss(torch.ones(2, 2), -1.0)
    with pytest.raises(ValueError, match="reduction"):
        cross_entropy_with_z_loss(torch.ones(2, 2), torch.tensor([0, 1]), reduction="median")  # type: ignore[arg-type]
