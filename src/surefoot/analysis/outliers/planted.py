"""Ground truth for the finder: opposing signals planted into a data set, and a probe for a suspected feature."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def plant_opposing_signal(
    inputs: Float[Tensor, "n ..."],
    targets: Int[Tensor, " n"],
    classes: tuple[int, int],
    fraction: float,
    vector: Float[Tensor, ...],
    amplitude: float,
    seed: int = 0,
) -> tuple[Float[Tensor, "n ..."], Int[Tensor, " a"], Int[Tensor, " b"]]:
    """Add one large feature to a share of the samples of two classes, so that it pulls towards both.

    Parameters
    ----------
    inputs, targets : the data; left as they are
    classes : the two labels that get the feature
    fraction : share of each class that gets it, in (0, 1]
    vector : the feature, of one input's shape; scaled to unit length
    amplitude : length of what is added, in the inputs' units
    seed : of the choice of samples

    Returns
    -------
    inputs with the feature, positions of the chosen samples of the first class, and of the second (sorted).

    Raises
    ------
    ValueError
        For equal or absent classes, a fraction outside (0, 1], a zero vector or one of another shape.
    """
    if vector.shape != inputs.shape[1:] or not bool(vector.any()):
        raise ValueError(f"vector: got shape {tuple(vector.shape)}; must be {tuple(inputs.shape[1:])} and not zero")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: got {fraction}; must be in (0, 1]")
    if classes[0] == classes[1]:
        raise ValueError(f"classes: got {classes}; must be two different labels, or nothing opposes")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in classes:
        members = (targets == label).nonzero().flatten()
        if len(members) == 0:
            raise ValueError(f"classes: label {label} does not occur in targets")
        order = torch.randperm(len(members), generator=generator)[: max(1, round(fraction * len(members)))]
        chosen.append(members[order.to(members.device)].sort().values)
    planted = inputs.clone()
    step = amplitude * vector / vector.norm()
    for members in chosen:
        planted[members] += step.to(planted)
    return planted, chosen[0], chosen[1]


@torch.no_grad()
def feature_probe(
    model: nn.Module,
    vector: Float[Tensor, ...],
    amplitudes: Float[Tensor, " m"],
    base: Float[Tensor, ...] | None = None,
) -> Float[Tensor, "m classes"]:
    """Class probabilities for inputs that hold only a suspected feature, at several amplitudes.

    The paper feeds blocks of one colour and watches the probabilities swing between the two classes from step to step
    (arXiv 2311.04163). Call it at several steps of a run.

    Parameters
    ----------
    model : a classifier of logits; run in eval mode, put back after
    vector : the feature, of one input's shape; scaled to unit length
    amplitudes : lengths at which it is fed
    base : what it is added to; zeros by default (the mean input, if inputs are centred)

    Raises
    ------
    ValueError
        For a zero vector, or a base of another shape.
    """
    if not bool(vector.any()):
        raise ValueError("vector: is zero; must be the feature to probe")
    base = torch.zeros_like(vector) if base is None else base
    if base.shape != vector.shape:
        raise ValueError(f"base: got shape {tuple(base.shape)}; must be {tuple(vector.shape)}, as the vector")
    unit = (vector / vector.norm()).unsqueeze(0)
    inputs = base.unsqueeze(0) + amplitudes.to(unit).reshape(-1, *[1] * vector.dim()) * unit
    modes = [(module, module.training) for module in model.modules()]
    try:
        return model.eval()(inputs).softmax(dim=-1)
    finally:
        for module, mode in modes:
            module.training = mode
