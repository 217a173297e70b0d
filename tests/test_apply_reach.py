"""Cures reach the ways in which scripts write one and the same thing."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from curing import Told, curing
from surefoot.apply.branch import refusal

# -- functions that were taken by name before a remedy was chosen ------------------------------------------------------


def taken_by_name(name: str) -> Tensor:
    """What one layer makes whose activation was taken by its name before there was an optimiser."""
    activation = getattr(torch, name)
    bias = nn.Parameter(torch.full((4, 2), 30.0 if name == "tanh" else -1.0))
    optimizer = SGD([bias], lr=4.0)
    for _ in range(40):
        loss = (activation(bias) - 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.detach()


@pytest.mark.skipif(refusal() is not None, reason=f"no branch here: {refusal()}")
@pytest.mark.parametrize(("name", "cure"), [("relu", "leaky-relu"), ("tanh", "saturation-cap")])
def test_a_remedy_that_is_chosen_late_reaches_what_was_taken_early(name: str, cure: str) -> None:
    plain = getattr(torch, name)
    bare = taken_by_name(name)
    with curing(f"best-of:of=lr-scale:factor=0.5/{cure}") as told:
        cured = taken_by_name(name)
    assert told.summaries["best-of"].startswith(f"took {cure} of 2")
    assert cured < bare
    assert getattr(torch, name) is plain


def test_a_door_that_nothing_stands_behind_gives_the_same_numbers() -> None:
    with curing("best-of:of=lr-scale:factor=1/leaky-relu", offset=1):  # a run that goes on takes the first
        cured = taken_by_name("relu")
    assert torch.equal(cured, taken_by_name("relu"))


def test_cures_that_stand_before_one_another_know_the_script_that_calls() -> None:
    predictions, targets = torch.zeros(4, 1, requires_grad=True), torch.arange(4.0)
    with curing("unit-targets", "match-shapes"):
        first = (predictions - targets).square().mean()
    with curing("match-shapes", "unit-targets"):
        second = (predictions - targets).square().mean()
    assert first == second == targets.square().mean()


# -- activations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relu_", [lambda y: torch.relu_(y), lambda y: F.relu_(y), lambda y: y.relu_()])
def test_a_relu_in_place_stays_in_place(relu_: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([[-2.0, 3.0]], requires_grad=True)
    with curing("leaky-relu:slope=0.5"):
        y = x.clone()
        relu_(y)
        y.sum().backward()
    assert y.tolist() == [[-1.0, 3.0]] and x.grad is not None and x.grad.tolist() == [[0.5, 1.0]]


def test_a_margin_is_no_unit() -> None:
    with curing("leaky-relu"):
        assert F.relu(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
        module = nn.Sequential(nn.ReLU())
        torch.testing.assert_close(module(torch.tensor([-1.0, 2.0])), torch.tensor([-0.1, 2.0]))


@pytest.mark.parametrize("squash", ["tanh_", "sigmoid_"])
def test_what_squashes_in_place_is_capped(squash: str) -> None:
    x = torch.tensor([[30.0, -30.0]], requires_grad=True)
    with curing("saturation-cap:rms=1"):
        y = x.clone()
        getattr(y, squash)()
        y.sum().backward()
    plain = getattr(torch, squash.rstrip("_"))
    torch.testing.assert_close(y.detach(), plain(torch.tensor([[1.0, -1.0]])))
    assert x.grad is not None and bool((x.grad > 0).all())


# -- updates by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2])
def test_gradients_of_updates_by_hand_are_cleared_once_they_were_used(parts: int) -> None:
    weight, used = nn.Parameter(torch.tensor([1.0])), []
    with curing("zero-grad") as told:
        for _ in range(3):
            for _ in range(parts):  # accumulated, and not to be cleared between
                weight.sum().backward()
            used.append(float(weight.grad))
            with torch.no_grad():
                weight -= 0.1 * weight.grad
    assert used == [float(parts)] * 3
    assert told.summaries["zero-grad"] == "cleared the gradients of 2 steps"


# -- seeds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.RandomState(3).rand(),
        lambda: random.Random(3).random(),
        lambda: (random.seed(3), random.random())[1],
        lambda: (torch.random.manual_seed(3), float(torch.rand(())))[1],
    ],
)
def test_generators_of_other_libraries_draw_afresh(draw: Callable[[], float]) -> None:
    def run() -> list[float]:
        model = nn.Linear(1, 1)
        optimizer, drawn = SGD(model.parameters(), lr=0.1), []
        for _ in range(3):
            drawn.append(draw())
            model(torch.ones(1, 1)).sum().backward()
            optimizer.step()
        return drawn

    assert len(set(run())) == 1
    with curing("fresh-batches"):
        drawn = run()
        assert isinstance(np.random.RandomState(1), np.random.RandomState)
    assert len(set(drawn)) == 3
    assert type(np.random.RandomState) is type and type(random.Random) is type


# -- targets in raw units ----------------------------------------------------------------------------------------------


def prices(
    loss: Callable[[Tensor, Tensor], Tensor], *cures: str, mean: float = 5000.0, deviation: float = 2000.0
) -> tuple[float, float, Told]:
    """How far a network is off at the end, in deviations of its targets; its last loss; what cures told."""
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = mean + deviation * torch.tanh(x @ torch.randn(4))
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = SGD(model.parameters(), lr=0.1)
    with curing(*cures) as told:
        for _ in range(150):
            error = loss(model(x).squeeze(1), y)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        with torch.no_grad():
            off = float((model(x).squeeze(1) - y).square().mean().sqrt()) / deviation
    return off, float(error.detach()), told


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, y: F.mse_loss(p, y),
        lambda p, y: nn.SmoothL1Loss()(p, y),
        lambda p, y: nn.L1Loss()(p, y),
        lambda p, y: ((p - y) ** 2).mean(),
        lambda p, y: (y - p).abs().mean(),
    ],
)
def test_a_head_learns_in_the_unit_of_its_targets(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    off, value, told = prices(loss, "unit-targets")
    assert off < 0.4  # deviations, and in the script's own unit
    assert value > 100 * off  # the loss that the script sees is in it, too
    assert told.summaries["unit-targets"].startswith("gave heads the unit of their targets (")
    assert not off >= prices(loss)[0]


def test_targets_of_their_own_size_are_left_alone() -> None:
    plain = prices(lambda p, y: F.mse_loss(p, y), mean=1.0, deviation=1.0)
    off, value, told = prices(lambda p, y: F.mse_loss(p, y), "unit-targets", mean=1.0, deviation=1.0)
    assert (off, value) == plain[:2]
    assert "nothing was changed" in told.notes[0]


def test_the_unit_makes_the_gradient_that_of_standardised_targets() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(64, 4), 300 + 40 * torch.randn(64)
    scaled, plain = nn.Linear(4, 1), nn.Linear(4, 1)
    optimizer = SGD(scaled.parameters(), lr=0.0)
    with curing("unit-targets"):
        for _ in range(2):  # the first shows the targets
            optimizer.zero_grad()
            F.mse_loss(scaled(x).squeeze(1), y).backward()
            optimizer.step()
        plain.load_state_dict(scaled.state_dict())
    assert float(plain.bias.detach()) == 0
    F.mse_loss(plain(x).squeeze(1), (y - y.mean()) / y.std(correction=0)).backward()
    torch.testing.assert_close(scaled.weight.grad, plain.weight.grad)
    torch.testing.assert_close(scaled.bias.grad, plain.bias.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [lambda x: x.transpose(0, 1), lambda x: x])  # whose bias is a node of its own, or not
def test_a_head_of_sequences_gets_its_unit(rows: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x, head = torch.randn(8, 9, 4), nn.Linear(4, 1)
    states = rows(x)
    with curing("unit-targets") as told:
        for _ in range(2):
            F.mse_loss(head(states).squeeze(-1), 300 + 40 * torch.randn(states.shape[:2])).backward()
    assert "±" in told.summaries["unit-targets"]


def test_a_head_that_knows_its_unit_keeps_it() -> None:
    torch.manual_seed(0)
    x, head = torch.randn(64, 4), nn.Linear(4, 1)
    with torch.no_grad():
        head.weight.fill_(40.0)
        head.bias.fill_(300.0)
    y = head(x).squeeze(1).detach() + torch.randn(64)
    with curing("unit-targets") as told:
        F.mse_loss(head(x).squeeze(1), y).backward()
    assert float(head.bias.detach()) == 300.0
    assert "nothing was changed" in told.notes[0]


# -- casts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cure", "other"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_data_that_a_script_casts_keep_their_range(cure: str, other: torch.dtype) -> None:
    model = nn.Linear(1, 1).half()
    with curing(cure) as told:
        optimizer = SGD(model.parameters(), lr=0.0)
        weights = [torch.tensor([1e6]).to(torch.float16), torch.tensor([1e6]).half(), torch.ones(1).type(torch.half)]
        assert torch.ones(1).bfloat16().dtype == other
        assert torch.ones(1).double().dtype == torch.float64 and torch.ones(1, dtype=torch.int64).half().dtype != other
        (model(torch.ones(2, 1).half()) * weights[0]).mean().backward()
        optimizer.step()
    assert all(w.dtype == torch.float32 and bool(w.isfinite()) for w in weights)
    assert model.weight.dtype == torch.float32 and "casts of data gave float32" in told.summaries[cure]


def test_data_for_a_frozen_teacher_stay_as_it_is() -> None:
    teacher, model = nn.Linear(1, 1).half().requires_grad_(False), nn.Linear(1, 1)
    with curing("float32"):
        optimizer = SGD(model.parameters(), lr=0.1)
        assert teacher(torch.ones(2, 1).half()).dtype == torch.float16
        assert optimizer is not None


# -- dropout -----------------------------------------------------------------------------------------------------------


def test_dropout_acts_behind_the_first_layer_and_in_training_only() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 400, bias=False), nn.Linear(400, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[1].weight.fill_(1.0)
    x, drawn = torch.ones(1, 4), torch.get_rng_state()
    with curing("dropout:p=0.25") as told:
        SGD(model.parameters(), lr=0.1)
        kept = float(model(x).detach()) * 0.75 / 4  # of 400 units, each worth 4
        assert abs(kept - round(kept)) < 0.01 and 250 < kept < 350  # 300 ± 8.7
        with torch.no_grad():
            assert float(model(x)) == 1600
        model.eval()
        assert float(model(x).detach()) == 1600
    assert torch.equal(drawn, torch.get_rng_state())
    assert told.summaries["dropout"] == "dropped 0.25 of what enters 1 layers, in training"


def test_dropout_of_tables_alone_is_of_what_they_give() -> None:
    table = nn.Embedding(3, 400)
    with curing("dropout"):
        SGD(table.parameters(), lr=0.1)
        assert 100 < int((table(torch.tensor([0])) == 0).sum()) < 300
