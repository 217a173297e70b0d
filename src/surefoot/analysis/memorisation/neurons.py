"""The neurons of one hidden layer of a model: where they are, how periodic each is, and the model without some."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from surefoot.analysis.memorisation.spectra import fourier_frequency, inverse_participation_ratio


@dataclass(frozen=True)
class HiddenLayer:
    """Where the neurons of a hidden layer are in a model.

    Attributes
    ----------
    incoming
        Names of the parameters with a row a neuron: [N, p], or [N, k·p] for k concatenated one-hot inputs.
    outgoing
        Name of the ``nn.Linear`` that reads the neurons; its weight [C, N] has a column a neuron.
    period
        p, the length of one block of an incoming row; None: the whole row is one block.
    """

    incoming: tuple[str, ...]
    outgoing: str
    period: int | None = None


def hidden_layer(model: nn.Module) -> HiddenLayer:
    """The last hidden layer of a model.

    A model that knows says so in an attribute ``hidden_layer``. Else it is what the last ``nn.Linear`` reads, written
    by the nearest ``nn.Linear`` before it; blocks are as long as there are classes where that divides the input.

    Raises
    ------
    ValueError
        If there is no such pair of linear layers: pass a :class:`HiddenLayer` instead.
    """
    known = getattr(model, "hidden_layer", None)
    if isinstance(known, HiddenLayer):
        return known
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if linears:
        outgoing, reader = linears[-1]
        for name, writer in reversed(linears[:-1]):
            if writer.out_features == reader.in_features:
                classes = reader.out_features
                period = classes if writer.in_features % classes == 0 else None
                return HiddenLayer((f"{name}.weight",), outgoing, period)
    raise ValueError(
        f"model {type(model).__name__} has no two nn.Linear of which one reads the other's neurons; "
        "pass layer=HiddenLayer(incoming=…, outgoing=…)"
    )


def neuron_rows(model: nn.Module, layer: HiddenLayer | None = None) -> tuple[Float[Tensor, "neurons entries"], ...]:
    """The weight rows of every neuron: each block of the incoming ones, then the outgoing one; views, [N, p] each.

    Raises
    ------
    ValueError
        If a name of ``layer`` is not in the model, the shapes do not fit, or the period does not divide a row.
    """
    layer = layer or hidden_layer(model)
    reader = outgoing_linear(model, layer)
    rows: list[Tensor] = []
    parameters = dict(model.named_parameters())
    for name in layer.incoming:
        if name not in parameters:
            raise ValueError(f"layer.incoming names {name!r}, which is no parameter; there are {sorted(parameters)}")
        weight = parameters[name].detach()
        if weight.dim() != 2 or weight.shape[0] != reader.in_features:
            raise ValueError(f"{name} must be [{reader.in_features}, k·p], got {tuple(weight.shape)}")
        period = layer.period or weight.shape[1]
        if weight.shape[1] % period:
            raise ValueError(f"layer.period {period} does not divide the {weight.shape[1]} columns of {name}")
        rows.extend(weight.split(period, dim=1))
    return (*rows, reader.weight.detach().T)


def outgoing_linear(model: nn.Module, layer: HiddenLayer) -> nn.Linear:
    """The module that ``layer.outgoing`` names; ValueError if it is not an ``nn.Linear`` of the model."""
    module = dict(model.named_modules()).get(layer.outgoing)
    if not isinstance(module, nn.Linear):
        raise ValueError(f"layer.outgoing must name an nn.Linear of the model, got {layer.outgoing!r}")
    return module


@torch.no_grad()
def neuron_ipr(
    model: nn.Module, layer: HiddenLayer | None = None, r: int = 2, drop_dc: bool = False
) -> Float[Tensor, " neurons"]:
    """Mean inverse participation ratio of the incoming and outgoing rows of every neuron, [N].

    Near 1: a periodic neuron, which generalises on modular arithmetic. Near 2 / ⌊p/2⌋: a neuron without a frequency,
    which memorises if the network fits wrong labels. Exactly 0: a dead neuron.

    Parameters
    ----------
    model : any model with such a layer; inputs and classes indexed by residues in their natural order
    layer : found by :func:`hidden_layer` where not given
    r, drop_dc : as :func:`~surefoot.analysis.memorisation.inverse_participation_ratio`

    Source: Doshi et al. 2024 (arXiv 2310.13061).
    """
    rows = neuron_rows(model, layer)
    if len({row.shape for row in rows}) == 1:  # one batched transform over [blocks, N, p]
        return inverse_participation_ratio(torch.stack(rows), r, drop_dc=drop_dc).mean(dim=0)
    return torch.stack([inverse_participation_ratio(row, r, drop_dc=drop_dc) for row in rows]).mean(dim=0)


@torch.no_grad()
def neuron_frequency(model: nn.Module, layer: HiddenLayer | None = None) -> Int[Tensor, " neurons"]:
    """The strongest non-zero frequency of every neuron's first incoming block, int [N]."""
    return fourier_frequency(neuron_rows(model, layer)[0])


@torch.no_grad()
def prune_neurons(
    model: nn.Module,
    neurons: Int[Tensor, " pruned"] | Bool[Tensor, " neurons"] | list[int],
    layer: HiddenLayer | None = None,
) -> nn.Module:
    """A copy of the model with the incoming rows and outgoing columns of some neurons set to zero.

    Parameters
    ----------
    neurons : numbers in 0 … N − 1, or a mask of N booleans; none is allowed
    layer : found by :func:`hidden_layer` where not given

    Raises
    ------
    ValueError
        If a number is out of range or a mask has the wrong length.
    """
    layer = layer or hidden_layer(model)
    count = outgoing_linear(model, layer).in_features
    index = torch.as_tensor(neurons)
    if index.dtype == torch.bool:
        if index.shape != (count,):
            raise ValueError(f"neurons as a mask must have {count} entries, got shape {tuple(index.shape)}")
        index = index.nonzero().flatten()
    elif index.numel() and (index.min() < 0 or index.max() >= count):
        raise ValueError(f"neurons must be in 0 … {count - 1}, got {int(index.min())} … {int(index.max())}")
    pruned = copy.deepcopy(model)
    for row in neuron_rows(pruned, layer):
        row[index.long().to(row.device)] = 0
    return pruned


def norm_weight_correlation(ipr: Float[Tensor, " neurons"], gamma: Float[Tensor, " neurons"]) -> float:
    """Pearson correlation of the neurons' IPR with |γ|, the size of their normalisation weight; NaN if either is flat.

    Strongly positive: normalisation suppresses the memorising neurons (Doshi et al. 2024, arXiv 2310.13061).

    Raises
    ------
    ValueError
        If the two are not vectors of one length of at least 2.
    """
    if ipr.dim() != 1 or ipr.shape != gamma.shape or ipr.numel() < 2:
        raise ValueError(
            f"ipr and gamma must be vectors of one length, got {tuple(ipr.shape)} and {tuple(gamma.shape)}"
        )
    pair = torch.stack([ipr.detach().double().cpu(), gamma.detach().double().cpu().abs()])
    return float(cast(Tensor, torch.corrcoef(pair))[0, 1])
