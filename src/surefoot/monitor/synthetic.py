"""Inputs for a model that came without any: normal numbers or uniform ids, of the shape its first layer asks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn

ROWS, LENGTH, SIDES = 16, 32, (32, 64, 224, 28)
_ASK = "return (model, inputs) from TARGET, inputs being what one batch of yours is"


def synthetic(model: nn.Module, generator: torch.Generator) -> tuple[Tensor, str]:
    """Inputs that the model accepts, and a sentence that says what they are.

    Raises
    ------
    ValueError
        If the model takes more than one argument, its first layer tells no shape, or it accepts none of those tried.
    """
    needed = [
        p.name
        for p in inspect.signature(model.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if len(needed) > 1:
        raise ValueError(f"TARGET: {type(model).__name__}.forward takes {', '.join(needed)}; {_ASK}")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    error: Exception | None = None
    tried = []
    for layer, shape, ids in _shapes(model):
        if ids:
            inputs = torch.randint(ids, shape, generator=generator)
        else:
            inputs = torch.randn(shape, generator=generator).to(dtype)
        try:
            with torch.no_grad():
                model(inputs[:2])
        except Exception as failed:  # the model's own
            error = failed
            tried.append(tuple(shape))
            continue
        kind = f"ids below {ids:,}, uniform," if ids else "standard-normal numbers"
        return inputs, f"synthetic {kind} of shape {tuple(shape)}, as {layer} asks"
    if error is None:
        raise ValueError(f"TARGET: no layer of {type(model).__name__} tells what its inputs are; {_ASK}")
    why = " ".join(str(error).split())[:160]
    raise ValueError(f"TARGET: {type(model).__name__} takes no inputs of shape {tried[-1]} ({why}); {_ASK}")


def _shapes(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Name of the first layer that tells a shape, shapes to try, and below what ids are (0: numbers)."""
    for name, module in model.named_modules():
        said = f"{name or 'the model'} ({type(module).__name__})"
        match module:
            case nn.Embedding() | nn.EmbeddingBag():
                yield said, (ROWS, LENGTH), module.num_embeddings
            case nn.MultiheadAttention():
                yield said, (ROWS, LENGTH, module.embed_dim), 0
            case nn.RNNBase():
                yield said, (ROWS, LENGTH, module.input_size), 0
            case nn.LayerNorm():
                yield said, (ROWS, LENGTH, *module.normalized_shape), 0
            case nn.Linear():
                yield said, (ROWS, module.in_features), 0
                yield said, (ROWS, LENGTH, module.in_features), 0
            case nn.Conv1d():
                yield said, (ROWS, module.in_channels, 4 * LENGTH), 0
            case nn.Conv2d():
                for side in SIDES:
                    yield said, (ROWS, module.in_channels, side, side), 0
            case nn.Conv3d():
                yield said, (4, module.in_channels, LENGTH, LENGTH, LENGTH), 0
            case _:
                continue
        return
