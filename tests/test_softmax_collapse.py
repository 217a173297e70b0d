"""Softmax Collapse and naive loss minimisation: thresholds, worked examples, Euler's identity."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.naive_loss import logit_growth, nlm_alignment
from surefoot.analysis.softmax import (
    CollapseHistory,
    logit_headroom,
    predicted_collapse,
    softmax_collapse,
    update_collapse,
)

THRESHOLDS = {torch.float16: 7.6230, torch.bfloat16: 5.5469, torch.float32: 16.6355, torch.float64: 36.7368}


@pytest.mark.parametrize("dtype", THRESHOLDS)
def test_threshold_of_each_precision_by_bisection(dtype: torch.dtype) -> None:
    low, high = 1.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        gone = softmax_collapse(torch.tensor([[0.0, -middle]], dtype=torch.float64), dtype=dtype).rate == 1
        low, high = (low, middle) if gone else (middle, high)
    # The gap itself is rounded in half types.
    tolerance = 3e-2 if dtype in (torch.float16, torch.bfloat16) else 1e-4
    assert high == pytest.approx(THRESHOLDS[dtype], abs=tolerance)
    assert logit_headroom(dtype, 2) == pytest.approx(high, abs=tolerance)
    assert logit_headroom(dtype, 101) == pytest.approx(logit_headroom(dtype, 2) + math.log(100))


def test_a_collapsed_row_has_no_loss_and_an_unbalanced_gradient() -> None:
    y = torch.tensor([0])
    single = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(single, y)
    loss.backward()
    measured = softmax_collapse(single, y)
    assert loss.item() == 0 and measured.rate == 1 and measured.zero_loss_rate == 1
    assert single.grad is not None
    assert single.grad[0].tolist() == pytest.approx([0, 2.0612e-9, 2.0612e-9], rel=1e-3)
    double = single.detach().double().requires_grad_()
    loss = F.cross_entropy(double, y)
    loss.backward()
    assert loss.item() == pytest.approx(4.1223073758e-9, rel=1e-6)  # log-softmax keeps about eight digits of it
    assert double.grad is not None and abs(float(double.grad.sum())) < 1e-15 < float(double.grad[0, 1])
    assert softmax_collapse(double, y).rate == 0


def test_a_wrong_row_may_be_collapsed_with_a_large_loss() -> None:
    z = torch.tensor([[30.0, 0.0], [30.0, 0.0], [1.0, 0.0]])
    measured = softmax_collapse(z, torch.tensor([0, 1, 0]))
    assert measured.collapsed.tolist() == [True, True, False]
    assert measured.rate == pytest.approx(2 / 3) and measured.zero_loss_rate == pytest.approx(1 / 3)
    assert softmax_collapse(z).zero_loss_rate is None


def test_headroom_and_its_picture() -> None:
    z = torch.tensor([[10.0, 0.0, 0.0], [20.0, 0.0, -math.inf], [1.0, 1.0, 1.0]])
    measured = softmax_collapse(z)
    limit = math.log(2 / torch.finfo(torch.float32).eps)
    expected = [limit - 10 + math.log(2), limit - 20, limit + math.log(2)]
    assert measured.headroom_nats.tolist() == pytest.approx(expected)
    assert (measured.headroom_nats <= 0).tolist() == measured.collapsed.tolist()
    assert len(measured.plot().data) == 1


def test_history_and_prediction() -> None:
    history = CollapseHistory()
    for step in range(1, 11):
        z = torch.tensor([[step * 1.0, 0.0]] * 3)
        history = update_collapse(history, step, softmax_collapse(z, torch.zeros(3, dtype=torch.int64)))
    assert history.first_step is None
    assert predicted_collapse(history) == pytest.approx(math.log(2 / torch.finfo(torch.float32).eps), rel=1e-9)
    for step in (16, 18):
        history = update_collapse(history, step, softmax_collapse(torch.tensor([[step * 1.0, 0.0]])))
    assert history.first_step == 18 and math.isnan(history.zero_loss_rates[-1])
    assert predicted_collapse(CollapseHistory((1,), (0.0,), (0.0,), (1.0,))) is None
    assert predicted_collapse(CollapseHistory((1, 2), (0.0,) * 2, (0.0,) * 2, (1.0, 2.0))) is None
    with pytest.raises(ValueError, match="step: got 18 after 18"):
        update_collapse(history, 18, softmax_collapse(torch.ones(1, 2)))
    with pytest.raises(ValueError, match="last: got 1"):
        predicted_collapse(history, last=1)


def network(bias: bool) -> nn.Sequential:
    layers = (nn.Linear(6, 8, bias=bias), nn.ReLU(), nn.Linear(8, 7, bias=bias), nn.ReLU(), nn.Linear(7, 4, bias=bias))
    return nn.Sequential(*layers).double()


def products(model: nn.Module) -> list[float]:
    return [float((p.detach() * p.grad).sum()) for p in model.parameters() if p.grad is not None and p.dim() == 2]


@pytest.mark.parametrize("bias", [False, True])
def test_eulers_identity_holds_in_every_layer_without_biases_only(bias: bool) -> None:
    torch.manual_seed(0)
    model, x, y = network(bias), torch.randn(10, 6, dtype=torch.float64), torch.randint(4, (10,))
    z: Tensor = model(x)
    F.cross_entropy(z, y).backward()
    growth = logit_growth(z, y)
    if bias:
        assert max(products(model)) - min(products(model)) > 1e-3
    else:
        assert products(model) == pytest.approx([growth] * 3, abs=1e-12)


def test_alignment_of_the_whole_and_of_each_tensor() -> None:
    params = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([1.0, 0.0])}
    grads = {"a": torch.tensor([-3.0, -4.0]), "b": torch.tensor([0.0, 2.0])}
    measured = nlm_alignment(params, grads)
    assert measured.per_tensor == pytest.approx({"a": 1.0, "b": 0.0})
    assert measured.total == pytest.approx(25 / math.sqrt(26 * 29))
    assert len(measured.plot().data) == 1
    assert nlm_alignment(list(params.values()), list(grads.values())).per_tensor["0"] == pytest.approx(1)
    model = network(False)
    F.cross_entropy(model(torch.randn(3, 6, dtype=torch.float64)), torch.zeros(3, dtype=torch.int64)).backward()
    assert set(nlm_alignment(dict(model.named_parameters())).per_tensor) == {"0.weight", "2.weight", "4.weight"}


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"dtype: got torch\.int64"):
        softmax_collapse(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="logits: got shape"):
        softmax_collapse(torch.ones(3))
    with pytest.raises(ValueError, match="targets: got shape"):
        softmax_collapse(torch.ones(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="n_classes: got 1"):
        logit_headroom(torch.float32, 1)
    with pytest.raises(ValueError, match="there is no gradient"):
        nlm_alignment([torch.ones(2)])
    with pytest.raises(ValueError, match="grads: got those of"):
        nlm_alignment({"a": torch.ones(2)}, {"b": torch.ones(2)})
    with pytest.raises(ValueError, match="has shape"):
        nlm_alignment([torch.ones(2)], [torch.ones(3)])
    with pytest.raises(ValueError, match="logits, targets: got shapes"):
        logit_growth(torch.ones(2, 3), torch.zeros(3, dtype=torch.int64))
