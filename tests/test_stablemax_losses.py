"""StableMax: closed forms, derivatives, masks, half types, transforms, bad input."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from checking import unchecked
from surefoot.losses import StableMaxCrossEntropyLoss, log_stablemax, stablemax, stablemax_cross_entropy
from surefoot.losses.stablemax import log_s
from surefoot.losses.stablemax_rows import _plain, row_losses


def reference(z: Tensor) -> Tensor:
    """StableMax by its definition."""
    return torch.where(z >= 0, z + 1, 1 / (1 - z.clamp(max=0)))


def batch(seed: int, shape: tuple[int, ...] = (6, 5), dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3


def labels(seed: int, *shape: int, classes: int = 5) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def test_probabilities_of_the_definition() -> None:
    p = stablemax(torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64))
    assert p.tolist() == [2 / 3, 2 / 9, 1 / 9]


@given(st.integers(0, 10_000), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=30, deadline=None)
def test_rows_sum_to_one_and_keep_the_order(seed: int, dtype: torch.dtype) -> None:
    z = batch(seed, dtype=dtype)
    p = stablemax(z)
    eps = torch.finfo(dtype).eps
    assert p.dtype == dtype
    torch.testing.assert_close(p.sum(-1), torch.ones(6, dtype=dtype), rtol=0, atol=8 * eps)
    assert torch.equal(p.argsort(-1), z.argsort(-1))
    torch.testing.assert_close(p, torch.softmax(log_s(z), -1), rtol=0, atol=8 * eps)
    torch.testing.assert_close(log_stablemax(z).exp(), p, rtol=0, atol=16 * eps)


def test_other_dimension() -> None:
    z = batch(1, (3, 4, 5))
    assert torch.equal(stablemax(z, dim=1), stablemax(z.movedim(1, -1)).movedim(-1, 1))
    torch.testing.assert_close(log_stablemax(z, dim=0), stablemax(z, dim=0).log())


def test_loss_and_gradient_of_a_worked_example() -> None:
    z = torch.tensor([[20.0, 0.0, -3.0]], dtype=torch.float64, requires_grad=True)
    loss = stablemax_cross_entropy(z, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(22.25 / 21), rel=1e-14)
    assert z.grad is not None
    # The middle logit is exactly 0; its gradient is p = 1/22.25 all the same.
    expected = [(21 / 22.25 - 1) / 21, 1 / 22.25, 0.25 / 22.25 / 4]
    assert z.grad[0].tolist() == pytest.approx(expected, rel=1e-13)
    assert z.grad[0].tolist() == pytest.approx([-0.0026752274, 0.0449438202, 0.0028089888], abs=1e-10)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_gradient_is_softmaxs_over_one_plus_size(seed: int) -> None:
    z, y = batch(seed).requires_grad_(), labels(seed, 6)
    stablemax_cross_entropy(z, y).backward()
    p = reference(z.detach()) / reference(z.detach()).sum(-1, keepdim=True)
    expected = (p - F.one_hot(y, 5)) / (1 + z.detach().abs()) / 6
    torch.testing.assert_close(z.grad, expected, rtol=1e-12, atol=1e-15)


def test_derivatives_against_finite_differences() -> None:
    z, y = batch(3).requires_grad_(), labels(3, 6)
    assert float(z.detach().abs().min()) > 0.01  # g'' jumps at 0
    for function in (
        lambda z: stablemax_cross_entropy(z, y),
        lambda z: stablemax_cross_entropy(z, y, label_smoothing=0.1),
        log_stablemax,
        stablemax,
    ):
        assert torch.autograd.gradcheck(function, (z,))
        assert torch.autograd.gradgradcheck(function, (z,))
    assert torch.autograd.gradcheck(lambda z: row_losses(z, y), (z,), check_forward_ad=True)
    assert torch.autograd.gradcheck(log_s, (z,), check_forward_ad=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_options_as_those_of_torch(reduction: str, smoothing: float, weighted: bool) -> None:
    z, y = batch(4, (6, 5, 3)).requires_grad_(), labels(4, 6, 3)
    y[0, 0] = y[4, 2] = -100
    weight = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0], dtype=torch.float64) if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}
    ours = stablemax_cross_entropy(z, y, weight, **options)
    (gradient,) = torch.autograd.grad(ours.sum(), z)
    theirs = F.cross_entropy(reference(z).log(), y, weight, **options)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, torch.autograd.grad(theirs.sum(), z)[0])
    module = StableMaxCrossEntropyLoss(weight, **options)
    assert torch.equal(module(z, y), ours)
    assert f"reduction={reduction!r}" in repr(module)


def test_probabilities_as_targets() -> None:
    z, q = batch(5), batch(6).softmax(-1)
    torch.testing.assert_close(stablemax_cross_entropy(z, q), F.cross_entropy(reference(z).log(), q))


def test_other_ignored_class_and_a_batch_that_is_all_ignored() -> None:
    z, y = batch(7).requires_grad_(), torch.full((6,), 2)
    loss = stablemax_cross_entropy(z, y, ignore_index=2)
    assert math.isnan(loss.item()) == math.isnan(F.cross_entropy(z, y, ignore_index=2).item())
    y[0] = 1
    stablemax_cross_entropy(z, y, ignore_index=2).backward()
    assert z.grad is not None and bool((z.grad[1:] == 0).all())


def test_masked_logits_have_finite_gradients_and_infinite_ones_none() -> None:
    z = torch.tensor([[1.0, -math.inf, 0.0, 1.0]], requires_grad=True)
    stablemax_cross_entropy(z, torch.tensor([0])).backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all()) and float(z.grad[0, 1]) == 0.0
    (gradient,) = torch.autograd.grad(log_stablemax(z)[0, 0], z)
    assert bool(gradient.isfinite().all()) and float(gradient[0, 1]) == 0.0
    assert torch.autograd.grad(stablemax(z)[0, 0], z)[0].isfinite().all()
    infinite = torch.tensor([[1.0, math.inf, 0.0]], requires_grad=True)
    loss = stablemax_cross_entropy(infinite, torch.tensor([1]))
    loss.backward()
    assert math.isnan(loss.item()) and infinite.grad is not None and bool(infinite.grad.isnan().all())


@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
def test_no_nan_from_the_branch_not_taken(value: float) -> None:
    z = torch.full((2, 3), value, requires_grad=True)
    for result in (stablemax_cross_entropy(z, torch.tensor([0, 1])), log_stablemax(z)[0, 0], stablemax(z)[0, 0]):
        assert bool(torch.autograd.grad(result, z)[0].isfinite().all())


def test_not_invariant_to_a_shift_and_loss_falls_with_scale() -> None:
    z = torch.tensor([[3.0, 1.0, -2.0]], dtype=torch.float64)
    assert not torch.allclose(stablemax(z), stablemax(z + 1))
    y = z.argmax(-1)
    assert stablemax_cross_entropy(2 * z, y) < stablemax_cross_entropy(z, y)


def test_small_losses_keep_their_digits_where_softmax_gives_zero() -> None:
    z = torch.tensor([[60.0, -60.0]])
    y = torch.tensor([0])
    assert float(F.cross_entropy(z, y)) == 0.0
    assert float(stablemax_cross_entropy(z, y)) == pytest.approx(math.log1p(1 / 61 / 61), rel=1e-6)
    far = torch.tensor([[1e5, -1e5]])  # beyond the reach of log_softmax of g(z) in float32
    assert float(stablemax_cross_entropy(far, y)) == pytest.approx(1e-10, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_stay_half_and_close(dtype: torch.dtype) -> None:
    z, y = batch(8, dtype=torch.float32).to(dtype).requires_grad_(), labels(8, 6)
    loss = stablemax_cross_entropy(z, y)
    loss.backward()
    assert loss.dtype == dtype and z.grad is not None and z.grad.dtype == dtype
    exact = stablemax_cross_entropy(z.detach().double(), y)
    assert float(loss) == pytest.approx(float(exact), rel=2e-2)
    large = torch.full((1, 40_000), 5.0, dtype=torch.float16)  # Σ s is beyond float16
    assert float(stablemax(large).sum(dtype=torch.float32)) == pytest.approx(1, rel=2e-2)
    assert stablemax_cross_entropy(z, y, compute_dtype=torch.float64).dtype == torch.float64
    assert log_stablemax(z, compute_dtype=torch.float32).dtype == dtype


def test_blocks_are_the_whole() -> None:
    z = batch(9, (70, 3000), torch.float32).requires_grad_()  # several blocks
    y = labels(9, 70, classes=3000)
    torch.testing.assert_close(row_losses(z, y), _plain(z, y))
    ours = torch.autograd.grad(row_losses(z, y).mean(), z)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(_plain(z, y).mean(), z)[0])
    assert stablemax_cross_entropy(z[:0], y[:0], reduction="sum") == 0


def test_transforms() -> None:
    z, y = batch(10), labels(10, 6)
    each = torch.func.vmap(torch.func.grad(lambda z, y: stablemax_cross_entropy(z[None], y[None])))(z, y)
    whole = torch.func.grad(lambda z: stablemax_cross_entropy(z, y, reduction="sum"))(z)
    torch.testing.assert_close(each, whole)
    _, slope = torch.func.jvp(lambda z: stablemax_cross_entropy(z, y, reduction="sum"), (z,), (torch.ones_like(z),))
    torch.testing.assert_close(slope, whole.sum())
    hessian = torch.func.hessian(lambda z: stablemax_cross_entropy(z[None], y[:1]))(z[0])
    torch.testing.assert_close(hessian, hessian.T)


def test_under_a_compiler_that_only_traces() -> None:
    z, y = batch(11).requires_grad_(), labels(11, 6)
    compiled = torch.compile(stablemax_cross_entropy, backend="eager", fullgraph=True)
    with unchecked():  # the compiler can't see through the type checker
        torch.testing.assert_close(compiled(z, y), stablemax_cross_entropy(z, y))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"logits": torch.ones(3, 4, dtype=torch.int64)}, TypeError, "logits: got torch.int64"),
        ({"logits": torch.ones(4)}, ValueError, "logits: got shape"),
        ({"targets": torch.zeros(3, dtype=torch.int32)}, TypeError, "targets: got torch.int32"),
        ({"targets": torch.zeros(2, dtype=torch.int64)}, ValueError, "targets: got shape"),
        ({"targets": torch.ones(3, 5)}, ValueError, "targets: got shape"),
        ({"targets": torch.full((3,), 4)}, ValueError, "targets: got class 4; the logits have classes 0 to 3"),
        ({"weight": torch.ones(3)}, ValueError, "weight: got shape"),
        ({"reduction": "median"}, ValueError, "reduction: got 'median'"),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing: got 1.5"),
    ],
)
def test_bad_input(change: dict, error: type[Exception], words: str) -> None:
    given = {"logits": torch.ones(3, 4), "targets": torch.zeros(3, dtype=torch.int64), **change}
    with pytest.raises(error, match=words):
        stablemax_cross_entropy(**given)


def test_bad_input_of_the_probabilities() -> None:
    for function in (stablemax, log_stablemax):
        with pytest.raises(TypeError, match=r"logits: got torch\.int64"):
            function(torch.ones(3, dtype=torch.int64))
