"""Starts that are wrong in one place: biases, recurrent weights, forget gates, or factors that are all zero."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

_GATED = (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell)  # their second gate forgets


@torch.no_grad()
def zero_bias_(model: nn.Module) -> int:
    """Set every ``bias`` of a model's layers to zero: with symmetric weights each unit is on for half of all inputs.

    Parameters
    ----------
    model : a model that was just drawn

    Returns
    -------
    int
        Biases that were not zero.
    """
    found = 0
    for module in model.modules():
        biases = [p for name, p in module.named_parameters(recurse=False) if name.startswith("bias") and bool(p.any())]
        for bias in () if isinstance(module, _GATED) else biases:
            bias.zero_()
            found += 1
    return found


@torch.no_grad()
def orthogonal_recurrent_(model: nn.Module, layers: Collection[str] = ()) -> int:
    """Draw recurrent weights anew so that they keep lengths: each gate's an orthogonal matrix.

    Parameters
    ----------
    model : a model that was just drawn
    layers : names of layers that a hand-written loop calls at every time step, beside torch's recurrent ones. One that
        is not square (input and state side by side) is divided by its largest singular value.

    Returns
    -------
    int
        Matrices that were drawn or divided.

    Notes
    -----
    Q. Le, N. Jaitly, G. Hinton 2015, A Simple Way to Initialize Recurrent Networks, arXiv 1504.00941; A. Saxe,
    J. McClelland, S. Ganguli 2014, arXiv 1312.6120.
    """
    found = 0
    for path, module in model.named_modules():
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            for name, weight in module.named_parameters(recurse=False):
                if name.startswith("weight_hh"):
                    for gate in weight.split(module.hidden_size):
                        nn.init.orthogonal_(gate)
                        found += 1
        elif any(f".{layer}".endswith(f".{path or type(module).__name__}") for layer in layers):
            weights = [p for p in module.parameters(recurse=False) if p.dim() == 2]
            square = [weight for weight in weights if weight.shape[0] == weight.shape[1]]
            for weight in square:
                nn.init.orthogonal_(weight)
            for weight in weights if not square else ():
                weight.div_(torch.linalg.matrix_norm(weight, 2))
            found += len(square or weights)
    return found


@torch.no_grad()
def open_forget_gates_(model: nn.Module, length: float) -> int:
    """Let the units of LSTMs and GRUs keep their memory for times between 1 and ``length`` steps.

    A gate σ(b) keeps its memory for about 1 + eᵇ steps: b = ln(t − 1) for times t up to the length.

    Parameters
    ----------
    model : a model that was just drawn
    length : in time steps, 3 or more

    Returns
    -------
    int
        Layers whose gates were opened.

    Notes
    -----
    C. Tallec, Y. Ollivier 2018, Can recurrent neural networks warp time?, arXiv 1804.11188, §3.
    """
    most = max(3.0, length) - 1
    gated = [module for module in model.modules() if isinstance(module, _GATED)]
    for module in gated:
        times = torch.linspace(1.0, most, module.hidden_size)
        for name, bias in module.named_parameters(recurse=False):
            if name.startswith(("bias_ih", "bias_hh")):
                gate = bias[module.hidden_size : 2 * module.hidden_size]
                gate.copy_(times.log() if name.startswith("bias_ih") else torch.zeros_like(gate))
    return len(gated)


@torch.no_grad()
def off_zero_(parameters: Iterable[Tensor]) -> int:
    """Draw trainable matrices that are zero throughout, as ``nn.Linear`` draws its weights.

    Two factors that are both zero keep each other there: the gradient of each is the other one times something.

    Parameters
    ----------
    parameters : those that an optimiser was just given

    Returns
    -------
    int
        Matrices that were drawn.
    """
    zero = [p for p in parameters if p.requires_grad and p.dim() > 1 and not bool(p.any())]
    for weight in zero:
        nn.init.kaiming_uniform_(weight, a=5**0.5)
    return len(zero)
