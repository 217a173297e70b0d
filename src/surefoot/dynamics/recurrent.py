"""Unroll a fused recurrent module, and what a loss's gradient is at each of its states.

The fused kernels of :class:`torch.nn.RNN`, ``LSTM`` and ``GRU`` keep their states inside; unrolled in float64 the same
formulas show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Unrolled:
    """What :func:`unroll` gives.

    Attributes
    ----------
    output : (batch, time, features): of the last layer, both directions side by side, as the module's own output
    states : for each direction and each of its time steps in its own order, the states of all layers after it: h, and
        c for LSTMs, each (batch, hidden)
    """

    output: Float[Tensor, "batch time features"]
    states: tuple[tuple[tuple[Tensor, ...], ...], ...]


def unroll(
    module: nn.RNNBase,
    inputs: Float[Tensor, "batch time features"],
    state: Float[Tensor, "layers batch hidden"] | tuple[Tensor, Tensor] | None = None,
) -> Unrolled:
    """Run a recurrent module one time step after another, without dropout between its layers.

    Parameters
    ----------
    module : ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, any number of layers and directions, without projection
    inputs : batch first, whatever the module's ``batch_first`` says; computed in their dtype
    state : h (and c) before the first step as the module takes them; zeros by default

    Raises
    ------
    ValueError
        For a module with ``proj_size`` or of another kind.
    """
    if module.mode not in _GATES or getattr(module, "proj_size", False):
        raise ValueError(f"module: {module} is not an RNN, LSTM or GRU without proj_size")
    batch, steps, _ = inputs.shape
    directions = 2 if module.bidirectional else 1
    zeros = inputs.new_zeros(module.num_layers * directions, batch, module.hidden_size)
    starts: Sequence[Tensor] = (zeros, zeros)
    if state is not None:
        starts = [s.to(inputs) for s in (state if isinstance(state, tuple) else (state,))]
    found: list[list[list[Tensor]]] = [[[] for _ in range(steps)] for _ in range(directions)]
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            (w_in, w_h), (b_in, b_h) = _parameters(module, layer, direction, inputs)
            at = layer * directions + direction
            h, c = starts[0][at], starts[-1][at]
            driven = nn.functional.linear(inputs, w_in, b_in)
            seen: list[Tensor] = []
            for step in range(steps):
                place = steps - 1 - step if direction else step
                h, c = _cell(module.mode, driven[:, place], nn.functional.linear(h, w_h, b_h), h, c)
                found[direction][step] += [h, c] if module.mode == "LSTM" else [h]
                seen.append(h)
            outputs.append(torch.stack(seen[::-1] if direction else seen, 1))
        inputs = torch.cat(outputs, -1)
    return Unrolled(inputs, tuple(tuple(tuple(states) for states in one) for one in found))


def _parameters(
    module: nn.RNNBase, layer: int, direction: int, like: Tensor
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Weights and biases of one layer in one direction, of the input and of the state."""
    suffix = f"l{layer}{'_reverse' if direction else ''}"
    kinds = ("ih", "hh")
    weights = [getattr(module, f"weight_{kind}_{suffix}").detach().to(like) for kind in kinds]
    biases = [getattr(module, f"bias_{kind}_{suffix}").detach().to(like) if module.bias else None for kind in kinds]
    return weights, biases


def _cell(mode: str, driven: Tensor, recurrent: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One time step; ``driven`` and ``recurrent`` are what the input and the state give to the gates."""
    if mode == "GRU":
        r_in, z_in, n_in = driven.chunk(3, -1)
        r_h, z_h, n_h = recurrent.chunk(3, -1)
        z = torch.sigmoid(z_in + z_h)
        return (1 - z) * torch.tanh(n_in + torch.sigmoid(r_in + r_h) * n_h) + z * h, c
    gates = driven + recurrent
    if mode == "LSTM":
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    return (torch.tanh(gates) if mode == "RNN_TANH" else torch.relu(gates)), c


def state_gradients(
    module: nn.RNNBase,
    inputs: Float[Tensor, "batch time features"],
    state: Tensor | tuple[Tensor, Tensor] | None = None,
    *,
    output_gradient: Float[Tensor, "batch time outputs"] | None = None,
    final_gradients: Sequence[Float[Tensor, "layers batch hidden"] | None] = (),
) -> Float[Tensor, "directions time"]:
    """|∂L/∂state_t| at each time step over all layers, from what the loss gives back to the module's outputs.

    One unrolled pass in float64 and one backward through it: exact, dropout between the layers apart.

    Parameters
    ----------
    module, inputs, state : as for :func:`unroll`
    output_gradient : ∂L/∂output; None where the loss does not read the output
    final_gradients : ∂L/∂h_n (and ∂L/∂c_n), None where the loss does not read one

    Returns
    -------
    (directions, time), each in the order of the direction's own steps.

    Raises
    ------
    ValueError
        If no gradient is given at all.
    """
    if output_gradient is None and all(g is None for g in final_gradients):
        raise ValueError("output_gradient and final_gradients: both are None; give what the loss passes back")
    inputs = inputs.detach().double()
    with torch.enable_grad():
        begin = _start(module, inputs, state)
        run = unroll(module, inputs, begin if module.mode == "LSTM" else begin[0])
        directions = len(run.states)
        roots: list[Tensor] = []
        weights: list[Tensor] = []
        if output_gradient is not None:
            roots.append(run.output)
            weights.append(output_gradient.detach().double())
        kinds = 2 if module.mode == "LSTM" else 1
        for kind, gradient in enumerate(final_gradients):
            if gradient is None:
                continue
            for layer in range(module.num_layers):
                for direction in range(directions):
                    roots.append(run.states[direction][-1][layer * kinds + kind])
                    weights.append(gradient[layer * directions + direction].detach().double())
        flat = [s for one in run.states for states in one for s in states]
        found = torch.autograd.grad(roots, flat, weights, allow_unused=True)
    width = module.num_layers * kinds
    squares = [inputs.new_zeros(()) if g is None else g.square().sum() for g in found]
    return torch.stack(squares).view(directions, -1, width).sum(-1).sqrt()


def _start(module: nn.RNNBase, inputs: Tensor, state: Tensor | tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """The first state as a leaf, so that every state has a graph."""
    if state is None:
        layers = module.num_layers * (2 if module.bidirectional else 1)
        h = c = inputs.new_zeros(layers, inputs.shape[0], module.hidden_size)
    else:
        h, c = (state[0], state[-1]) if isinstance(state, tuple) else (state, state)
    return h.detach().double().requires_grad_(), c.detach().double().requires_grad_()


def final_state(
    module: nn.RNNBase,
    inputs: Float[Tensor, "batch time features"],
    state: Tensor | tuple[Tensor, Tensor] | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """h (and c) after ``inputs`` by the module's own fused kernel: no dropout, no hook, no graph."""
    inputs = inputs.detach()
    if state is None:
        directions = 2 if module.bidirectional else 1
        zeros = inputs.new_zeros(module.num_layers * directions, inputs.shape[0], module.hidden_size)
        state = (zeros, zeros) if module.mode == "LSTM" else zeros
    kernel = getattr(torch._VF, module.mode.lower())
    with torch.no_grad():
        _, *last = kernel(
            inputs, state, module._flat_weights, module.bias, module.num_layers, 0.0, False, module.bidirectional, True
        )
    return (last[0], last[1]) if module.mode == "LSTM" else last[0]
