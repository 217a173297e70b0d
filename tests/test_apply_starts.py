"""Cures of a start: biases, recurrent weights, forget gates, zero factors, sigmoids, skip connections."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curing import curing


def step(model: nn.Module, x: Tensor) -> torch.optim.Optimizer:
    """One optimiser, one forward, backward and step at rate zero."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    model(x).square().mean().backward()
    optimizer.step()
    return optimizer


def test_biases_become_zero_and_a_copy_stays_a_copy() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    nn.init.constant_(model[0].bias, -30.0)
    target = copy.deepcopy(model)
    with curing("zero-bias") as told:
        step(model, torch.randn(4, 8))
    assert not model[0].bias.any() and not target[0].bias.any()
    assert told.summaries["zero-bias"] == "set 2 biases of Sequential to zero"


def test_a_model_that_was_stepped_keeps_its_biases() -> None:
    model, later = nn.Linear(8, 16), nn.Linear(8, 16)
    with curing("zero-bias") as told:
        step(model, torch.randn(4, 8))
        step(later, torch.randn(4, 8))
    assert later.bias.any() and any("a step was taken already" in note for note in told.notes)


class Loop(nn.Module):
    """A recurrence by hand, and the same of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.gru = nn.Linear(6, 6), nn.GRU(6, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 6)
        for t in range(x.shape[1]):
            h = torch.tanh(self.cell(h) + x[:, t])
        return h + self.gru(x)[0][:, -1]


def test_recurrent_weights_keep_lengths_wherever_the_model_is() -> None:
    torch.manual_seed(0)
    model = Loop()
    with curing("orthogonal-recurrent:layers=reader.cell", "forget-gates:length=50"):
        step(model, torch.randn(3, 5, 6))
    for weight in (model.cell.weight, *model.gru.weight_hh_l0.split(6)):
        torch.testing.assert_close(weight @ weight.T, torch.eye(6), atol=1e-5, rtol=0)
    kept = 1 + (model.gru.bias_ih_l0 + model.gru.bias_hh_l0)[6:12].detach().exp()
    torch.testing.assert_close(kept, 1 + torch.linspace(1, 49, 6))


class LowRank(nn.Module):
    """A frozen layer, and two factors beside it that are both zero."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 6).requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.zeros(2, 6)), nn.Parameter(torch.zeros(6, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T


def test_factors_come_off_zero_though_another_layer_is_frozen() -> None:
    model = LowRank()
    with curing("off-zero"):
        step(model, torch.randn(3, 6))
    assert model.a.any() and model.b.any() and model.b.grad is not None and model.b.grad.any()


class Gated(nn.Module):
    """Sigmoids as hidden units (a module's, a function's), as a gate, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.squash = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        h = F.dropout(self.squash(self.layers[0](x)), 0.0)
        h = torch.sigmoid(self.layers[1](h))
        h = torch.sigmoid(self.layers[2](h)) * self.layers[0](x)
        return F.sigmoid(self.layers[3](h))


def test_hidden_sigmoids_become_relus_and_gates_stay() -> None:
    torch.manual_seed(0)
    model, x = Gated(), torch.randn(5, 8)
    with curing("relu") as told:
        step(model, x)
        h = F.relu(model.layers[1](F.relu(model.layers[0](x))))
        wanted = 1 / (1 + torch.exp(-model.layers[3](model.layers[0](x) / (1 + torch.exp(-model.layers[2](h))))))
        torch.testing.assert_close(model(x), wanted)
    assert "at 2 places of Gated" in told.summaries["relu"]
    assert not torch.equal(model(x), wanted)


def test_blocks_get_a_way_past() -> None:
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(5, 8)
    with curing("skip-connection") as told:
        step(model, x)
        hidden = torch.tanh(F.linear(x, model[0].weight, model[0].bias) + x)
        torch.testing.assert_close(model(x), model[2](hidden))
    assert told.summaries["skip-connection"] == "put a skip connection around 1 blocks"


def test_nothing_over_a_count_of_nothing_is_nothing() -> None:
    w = torch.ones(3, requires_grad=True)
    count = torch.tensor([2.0, 0.0, 1.0])
    with curing("safe-domain"):
        for mean in ((w * count) / count, torch.div(w * count, count), (w * count).div(count)):
            assert mean.tolist() == [1.0, 0.0, 1.0]
            w.grad = None
            mean.sum().backward()
            assert w.grad is not None and w.grad.tolist() == [1.0, 0.0, 1.0]
        assert (1 / count).isinf().any()  # nothing of training


def test_what_enters_a_tanh_keeps_to_where_it_has_a_slope() -> None:
    x = torch.tensor([300.0, -400.0], requires_grad=True)
    with curing("saturation-cap:rms=1") as told:
        y = nn.Tanh()(x)
        assert torch.equal(torch.sigmoid(small := torch.tensor([0.5, -0.5])), 1 / (1 + (-small).exp()))
    torch.testing.assert_close(y, (x / x.detach().square().mean().sqrt()).tanh())
    y.sum().backward()
    assert x.grad is not None and bool((x.grad > 1e-4).all())
    assert told.summaries["saturation-cap"] == "scaled what entered a tanh or sigmoid to a size of 1 in 1 of 2 calls"


@pytest.mark.parametrize("after", [3, 41])
def test_parameters_that_come_late_join_within_some_steps(after: int) -> None:
    model = nn.ModuleList([nn.Linear(4, 1)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(16, 4)
    with curing("all-parameters") as told:
        for n in range(after + 12):
            if n == after:
                model.append(nn.Linear(4, 1))
                first = model[1].weight.detach().clone()
            optimizer.zero_grad()
            (sum(layer(x) for layer in model) - x.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()
    assert not torch.equal(first, model[1].weight) and "gave 2" in told.summaries["all-parameters"]


class Stack(nn.Module):
    """Recurrent layers, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.LSTM(6, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


def test_what_recurrent_layers_give_on_goes_past_them_and_their_states_stay() -> None:
    model, x = Stack(), torch.randn(3, 5, 6)
    first, second = model.layers
    h, states = first(x)
    past = x + h
    with curing("skip-connection"):
        step(model, x)
        out, same = model(x), first(x)[1]
    torch.testing.assert_close(out, past + second(past)[0])
    torch.testing.assert_close(same, states)
    with curing("layer-norm"):
        step(model, x)
        out = model(x)
    torch.testing.assert_close(out, second(F.layer_norm(h, (6,)))[0])  # the last makes the outputs
