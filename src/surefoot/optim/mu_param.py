"""muParam: learning rates and first weights with which the best rate of a narrow model is that of a wide one.

Finding of the paper: the best rate then moves less with size, but neither loss nor sensitivity to the rate improve, and
qk-layernorm is needed all the same.

Source: Wortsman et al. 2024, arXiv 2309.14322, §3.2.4 (after Yang et al. 2022, arXiv 2203.03466).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Variant = Literal["simple", "intermediate", "full"]
_VARIANTS = ("simple", "intermediate", "full")


@dataclass(frozen=True)
class MuParam:
    """What a variant of muParam asks for.

    Attributes
    ----------
    groups : for an optimiser of Adam's family, each with its ``lr``
    attention_power : attention logits are to be ⟨q, k⟩/dᵖ of a head of width d; ½ as usual, 1 in ``"full"``. It is the
        model's to do: ``scaled_dot_product_attention(…, scale=head_dim ** -power)``
    """

    groups: list[dict[str, Any]]
    attention_power: float


def mu_groups(
    model: nn.Module,
    base_width: int,
    variant: Variant = "simple",
    *,
    lr: float,
    head: str | None = None,
    queries: Sequence[str] = (),
) -> MuParam:
    """Parameter groups by muParam, and the first weights that its variants change, which is done in place.

    * ``"simple"``: the rate of every linear layer is lr · base_fan_in/fan_in, which is base_width/width, since the
      widths grow together.
    * ``"intermediate"``: the head's first weights have standard deviation √base_fan_in/fan_in as well.
    * ``"full"``: query weights start at 0, and attention logits are divided by the head's width and not by its root.

    Parameters
    ----------
    model
        A Transformer; all that is not in a linear layer (embeddings, norms) gets ``lr`` itself.
    base_width
        Width at which the rates are ``lr``; the paper's is 256.
    variant
        See above.
    lr
        Base learning rate.
    head
        Name of the linear layer that makes the logits, by default the last one; its ``in_features`` is the width.
    queries
        Names of the linear layers that make queries, for ``"full"``. Of a layer with three times as many outputs as
        inputs the first third is meant: queries, keys and values in one.

    Returns
    -------
    MuParam
        Groups, and the power by which attention is to be scaled.

    Raises
    ------
    ValueError
        If the variant is unknown, a number is not positive, a name is no linear layer, or ``"full"`` is given no
        queries.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant: got {variant!r}; use one of {', '.join(_VARIANTS)}")
    if base_width < 1 or not lr > 0:
        raise ValueError(f"base_width, lr: got {base_width} and {lr}; both are positive")
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise ValueError("model: has no torch.nn.Linear whose rate could be scaled")
    unknown = [name for name in (*([] if head is None else [head]), *queries) if name not in linear]
    if unknown:
        raise ValueError(f"head, queries: {unknown[0]!r} is no torch.nn.Linear; there are {', '.join(linear)}")
    if variant == "full" and not queries:
        raise ValueError("queries: 'full' sets query weights to 0; name the linear layers that make them")
    last = linear[head if head is not None else list(linear)[-1]]
    width = last.in_features
    with torch.no_grad():
        if variant != "simple":
            # measured and not presumed: heads start with other spreads than 1/√fan_in, too
            last.weight.mul_(math.sqrt(base_width) / width / last.weight.std(correction=0).clamp_min(1e-30))
        if variant == "full":
            for name in queries:
                layer = linear[name]
                rows = layer.out_features // 3 if layer.out_features == 3 * layer.in_features else layer.out_features
                layer.weight[:rows].zero_()
    inside = {id(p) for module in linear.values() for p in module.parameters(recurse=False)}
    scaled = [p for p in model.parameters() if id(p) in inside]
    others = [p for p in model.parameters() if id(p) not in inside]
    groups = [{"params": scaled, "lr": lr * base_width / width}, {"params": others, "lr": lr}]
    return MuParam([group for group in groups if group["params"]], 1.0 if variant == "full" else 0.5)
