"""Characters of Python's own help texts: a small language to model, at hand everywhere."""

from __future__ import annotations

from pydoc_data.topics import topics

import torch
from torch import Tensor


def topics_text() -> tuple[Tensor, Tensor, int]:
    """The help texts of the standard library as indices of characters: nine tenths to train on, the rest to validate,
    and how many kinds of characters there are."""
    text = "".join(topics[key] for key in sorted(topics))
    kinds = {c: i for i, c in enumerate(sorted(set(text)))}
    indices = torch.tensor([kinds[c] for c in text])
    cut = 9 * len(indices) // 10
    return indices[:cut], indices[cut:], len(kinds)


def excerpts(text: Tensor, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random excerpts and the characters that follow each of theirs, both (count, length)."""
    starts = torch.randint(len(text) - length, (count, 1), generator=generator)
    rows = text[starts + torch.arange(length + 1)]
    return rows[:, :-1], rows[:, 1:]
