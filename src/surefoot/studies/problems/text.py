"""Text that comes with Python: the help topics of ``pydoc``, as symbols, cut for training and validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """Symbols as numbers: ``train`` is the first nine tenths, ``valid`` the rest, ``vocab`` the number of kinds."""

    train: Int[Tensor, " train"]
    valid: Int[Tensor, " valid"]
    vocab: int

    def batch(
        self, rows: int, length: int, generator: torch.Generator, *, valid: bool = False
    ) -> tuple[Int[Tensor, "rows length"], Int[Tensor, "rows length"]]:
        """Random passages, and the symbols that follow theirs."""
        source = self.valid if valid else self.train
        starts = torch.randint(len(source) - length, (rows, 1), generator=generator)
        windows = source[starts + torch.arange(length + 1)]
        return windows[:, :-1], windows[:, 1:]


@cache
def help_topics() -> Text:
    """The topics in alphabetical order: about 465,000 characters of some 100 kinds."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name] for name in sorted(topics))
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    numbers = torch.tensor([symbols[symbol] for symbol in text])
    cut = int(0.9 * len(numbers))
    return Text(numbers[:cut], numbers[cut:], len(symbols))


def bigram_cross_entropy(text: Text) -> float:
    """Cross-entropy in nats of the validation symbols, given the one before each and the counts of the training part.

    Each count is one higher than it is, so that no pair is impossible.
    """
    counts = torch.ones(text.vocab, text.vocab)
    counts.index_put_((text.train[:-1], text.train[1:]), torch.ones(len(text.train) - 1), accumulate=True)
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    return float(-log_p[text.valid[:-1], text.valid[1:]].mean())
