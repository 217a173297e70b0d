"""The numbers that a script prints by names which the field gives a direction: of an accuracy more is better, of an
error less.

A branch of the script prints to nowhere, so what it would have printed is read here instead. A training loss is left
out, for that is known better than it is printed, and so are names that say nothing of what is good.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

_LESS = frozenset((
    "loss", "nll", "ce", "bce", "mse", "rmse", "mae", "mape", "error", "err", "wer", "cer", "perplexity", "ppl", "bpc",
    "bpd", "fid", "regret",
))  # fmt: skip
_MORE = frozenset((
    "acc", "accuracy", "auc", "auroc", "f1", "precision", "recall", "iou", "miou", "dice", "map", "ap", "bleu", "rouge",
    "psnr", "ssim", "r2", "top1", "top5", "hits", "reward", "return", "score", "success", "win", "elbo",
))  # fmt: skip
_HELD_OUT = frozenset(("val", "valid", "validation", "test", "eval", "dev", "held", "heldout", "holdout"))
_TRAINING = frozenset(("train", "training", "trained", "batch", "fit"))
_BESIDE = frozenset(("loss", "step", "epoch", "iter", "running", "avg", "average", "mean", "total", "the"))
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)\b"
_PAIR = re.compile(rf"((?:[A-Za-z][\w/@-]* )?[A-Za-z][\w/@-]*)['\"]?(?: *[:=] *|  *)({_NUMBER})")  # one word or two
_WORD = re.compile(r"[A-Z]?[a-z]+\d?|[A-Z]+(?![a-z])\d?")


def direction(name: str) -> int:
    """1 where more is better of what has this name, −1 where less is, 0 where the name tells neither.

    0 also for what was trained on, as a bare loss is, and for a name in which words of both kinds are.
    """
    words = _words(name)
    more, less = bool(words & _MORE), bool(words & _LESS)
    if more == less or words & _TRAINING or words <= _BESIDE:
        return 0
    return 1 if more else -1


class Printed:
    """Takes what is written to ``sys.stdout``; it is for a process that nobody reads the output of.

    The first number with a direction is kept to, one of held-out data before others.
    """

    def __init__(self) -> None:
        self._line = ""
        self._name = ""
        self._value = math.nan

    def listen(self) -> None:
        """From now on."""
        sys.stdout.write = self._write  # type: ignore[method-assign]

    def badness(self) -> float:
        """The newest value since this was asked last, turned so that less is better; NaN if there was none."""
        value, self._value = self._value, math.nan
        return value

    def _write(self, text: Any) -> int:
        *lines, self._line = (self._line + str(text)).split("\n")
        for line in lines:
            self._read(line)
        self._line = self._line[-4096:]
        return len(text)

    def _read(self, line: str) -> None:
        found = [(name, float(number)) for name, number in _PAIR.findall(line)]
        told = {name: value for name, value in found if direction(name)}
        if not self._name and told:
            self._name = next((name for name in told if _words(name) & _HELD_OUT), next(iter(told)))
        if self._name in told:
            value = -direction(self._name) * told[self._name]
            self._value = math.inf if math.isnan(value) else value


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
