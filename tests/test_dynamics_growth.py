"""Gradients back through time: unrolled modules against torch's own, rates in closed form, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.dynamics import final_state, growth_rate, predicted_factor, state_gradients, unroll

KINDS = {
    "rnn": lambda **k: nn.RNN(3, 5, batch_first=True, **k),
    "relu": lambda **k: nn.RNN(3, 5, nonlinearity="relu", batch_first=True, **k),
    "gru": lambda **k: nn.GRU(3, 5, batch_first=True, **k),
    "lstm": lambda **k: nn.LSTM(3, 5, batch_first=True, **k),
}
OPTIONS: tuple[dict, ...] = ({}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"bias": False})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_unrolled_module_gives_the_modules_own_output(kind: str, options: dict) -> None:
    torch.manual_seed(0)
    module = KINDS[kind](**options).double()
    x = torch.randn(2, 7, 3, dtype=torch.double)
    h = torch.randn(module.num_layers * (2 if module.bidirectional else 1), 2, 5, dtype=torch.double)
    start = (h, h.flip(0)) if kind == "lstm" else h
    run = unroll(module, x, start)
    torch.testing.assert_close(run.output, module(x, start)[0])
    torch.testing.assert_close(unroll(module, x).output, module(x)[0])
    assert len(run.states) == (2 if module.bidirectional else 1) and len(run.states[0]) == 7
    last, own = final_state(module, x, start), module(x, start)[1]
    torch.testing.assert_close(last, own)
    torch.testing.assert_close(final_state(module, x), module(x)[1])


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_state_gradients_are_those_of_cells_in_a_loop(kind: str) -> None:
    torch.manual_seed(1)
    module = KINDS[kind]().double()
    cell = (nn.LSTMCell if kind == "lstm" else nn.GRUCell)(3, 5).double()
    for name, parameter in cell.named_parameters():
        parameter.data = getattr(module, f"{name}_l0").data
    x, weight = torch.randn(2, 6, 3, dtype=torch.double), torch.randn(2, 6, 5, dtype=torch.double)
    h = torch.zeros(2, 5, dtype=torch.double, requires_grad=True)
    state = (h, h) if kind == "lstm" else h
    states, loss = [], torch.zeros((), dtype=torch.double)
    for t in range(6):
        state = cell(x[:, t], state)
        states.append(state if kind == "lstm" else (state,))
        loss = loss + (states[-1][0] * weight[:, t]).sum()
    wanted = torch.autograd.grad(loss, [s for step in states for s in step], allow_unused=True)
    squares = [0.0 if g is None else float(g.square().sum()) for g in wanted]
    width = len(states[0])
    expected = [math.sqrt(sum(squares[t * width : (t + 1) * width])) for t in range(6)]
    got = state_gradients(module, x, output_gradient=weight)
    np.testing.assert_allclose(got[0].numpy(), expected, rtol=1e-10)


def test_the_gradient_of_the_last_state_alone() -> None:
    torch.manual_seed(2)
    module = nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
    x = torch.randn(3, 5, 3)
    _, (h, c) = module(x)
    ones, twos = torch.ones_like(h), 2 * torch.ones_like(c)
    got = state_gradients(module, x, final_gradients=(ones, twos))
    assert got.shape == (2, 5) and bool((got > 0).all())
    # without a layer above, the last step's state gets exactly what was given
    module = nn.LSTM(3, 4, batch_first=True)
    alone = state_gradients(module, x, final_gradients=(None, 2 * torch.ones(1, 3, 4)))
    assert alone[0, -1].item() == pytest.approx(2 * math.sqrt(3 * 4))


def test_a_linear_recurrence_grows_by_its_factor() -> None:
    module = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    x = torch.ones(1, 40, 1)
    for a in (0.5, 1.0, 3.0):
        with torch.no_grad():
            module.all_weights[0][1].fill_(a)
            module.all_weights[0][0].fill_(1.0)
        output = torch.zeros(1, 40, 1)
        output[0, -1] = 1.0
        norms = state_gradients(module, x, output_gradient=output)[0].numpy()
        np.testing.assert_allclose(norms, a ** np.arange(39, -1, -1), rtol=1e-9)
        assert growth_rate(norms) == pytest.approx(math.log(a), abs=1e-12)
        assert predicted_factor(growth_rate(norms), 39) == pytest.approx(a**39, rel=1e-6)


def test_tanh_saturation_divides_the_rate() -> None:
    # h = tanh(w h) at its fixed point: J = w (1 − h²)
    w, h = 2.0, 1.0
    for _ in range(200):
        h = math.tanh(w * h)
    module = nn.RNN(1, 1, bias=False, batch_first=True).double()
    with torch.no_grad():
        module.all_weights[0][1].fill_(w)
    output = torch.zeros(1, 30, 1, dtype=torch.double)
    output[0, -1] = 1.0
    start = torch.full((1, 1, 1), h, dtype=torch.double)
    norms = state_gradients(module, torch.zeros(1, 30, 1), start, output_gradient=output)[0].numpy()
    assert growth_rate(norms) == pytest.approx(math.log(w * (1 - h * h)), rel=1e-9)


def test_rates_of_odd_series() -> None:
    assert math.isnan(growth_rate(np.ones(3)))
    assert math.isnan(growth_rate(np.array([1.0, np.nan, 1.0, 1.0])))
    assert growth_rate(np.array([np.inf, 1.0, 1.0, 1.0])) == math.inf
    assert math.isnan(growth_rate(np.zeros(10)))
    series = np.exp(-0.1 * np.arange(100.0))
    series[::5] *= 1e6  # a fifth of odd times bends nothing
    assert growth_rate(series) == pytest.approx(0.1, abs=0.02)
    assert predicted_factor(10.0, 1000) == math.inf and predicted_factor(-10.0, 1000) == 0.0
    assert math.isnan(predicted_factor(math.nan, 10))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="one number a time step"):
        growth_rate(np.ones((2, 5)))
    with pytest.raises(ValueError, match="proj_size"):
        unroll(nn.LSTM(3, 5, proj_size=2), torch.randn(1, 4, 3))
    with pytest.raises(ValueError, match="both are None"):
        state_gradients(nn.GRU(3, 5), torch.randn(1, 4, 3))
