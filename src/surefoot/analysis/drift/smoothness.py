"""Geometric complexity: how fast a model's outputs turn with its inputs; larger steps leave it smaller.

Dherin, Munn, Rosca, Barrett, "Why neural networks find simple solutions", NeurIPS 2022; Rosca, thesis, arXiv
2310.14036.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from surefoot.autodiff.jvp import functional
from surefoot.autodiff.kernels import differentiable_kernels


def geometric_complexity(
    model: nn.Module,
    inputs: Tensor,
    *,
    method: Literal["exact", "hutchinson"] = "exact",
    probes: int = 10,
    chunk: int = 64,
    seed: int = 0,
) -> float:
    """(1/N) Σ ‖∂ outputs / ∂ input‖_F² over the rows of ``inputs``, in eval mode.

    Parameters
    ----------
    model : gives a row of outputs a row of inputs, rows independent of each other
    inputs : floating, (batch, …)
    method : ``"exact"``: one backward an output; ``"hutchinson"``: ``probes`` random combinations of the outputs, for
        many outputs
    chunk : rows at a time
    seed : of the combinations

    Raises
    ------
    ValueError
        For inputs that are not floating, no row, an unknown method, no probe.
    """
    if not inputs.dtype.is_floating_point or not len(inputs):
        raise ValueError(f"inputs: got {inputs.dtype} of shape {tuple(inputs.shape)}; must be floating, at least a row")
    if method not in ("exact", "hutchinson"):
        raise ValueError(f"method: got {method!r}; must be 'exact' or 'hutchinson'")
    if probes < 1 or chunk < 1:
        raise ValueError(f"probes, chunk: got {probes}, {chunk}; must be at least 1")
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for rows in inputs.split(chunk):
        leaf = rows.detach().requires_grad_()
        with torch.enable_grad(), differentiable_kernels(model):
            outputs = functional(model, (leaf,))({}).reshape(len(rows), -1)
            width = outputs.shape[1]
            for i in range(width if method == "exact" else probes):
                if method == "exact":
                    weights = torch.zeros_like(outputs)
                    weights[:, i] = 1
                else:
                    signs = torch.randint(2, outputs.shape, generator=generator) * 2 - 1
                    weights = signs.to(outputs) / math.sqrt(probes)
                (slope,) = torch.autograd.grad(outputs, leaf, weights, retain_graph=True)
                total += float(slope.double().square().sum())
    return total / len(inputs)
