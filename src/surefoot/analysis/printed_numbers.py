"""The numbers that a script prints beside a name, as in ``step 40  val_error 0.12``, and what the name says of them.

A name that the field gives a direction is told by its words: of an accuracy more is better, of an error less. A
training loss is left out, for that is known better than it is printed, and so is what only tells where the run is.
"""

from __future__ import annotations

import re

_LESS = frozenset((
    "loss", "nll", "ce", "bce", "mse", "rmse", "mae", "mape", "error", "err", "wer", "cer", "perplexity", "ppl", "bpc",
    "bpd", "fid", "regret", "nats", "logloss", "deviance", "surprisal", "surprise", "cost", "costs", "errors", "misfit",
    "miss", "missed", "misses", "mismatch", "mistakes", "residual", "unexplained", "wrong",
    "reconstruction", "recon", "distortion", "distance", "gap", "imbalance", "exploitability", "exploit", "rms",
))  # fmt: skip
_MORE = frozenset((
    "acc", "accuracy", "auc", "auroc", "f1", "precision", "recall", "iou", "miou", "dice", "map", "ap", "bleu", "rouge",
    "psnr", "ssim", "r2", "top1", "top5", "hits", "correct", "elbo", "right",
    "ndcg", "mrr", "kappa", "mcc", "snr", "sdr", "found",
))  # fmt: skip
# What is won by playing on.
_WON = frozenset(("reward", "return", "score", "success", "win", "wins", "won", "solved"))
# What comes in, of which more is better; but how much there is to be had may change as well.
_INCOME = frozenset(("earned", "earnings", "income", "payoff", "profit", "revenue", "sales", "takings", "utility"))
_HELD_OUT = frozenset(("val", "valid", "validation", "test", "eval", "dev", "held", "heldout", "holdout"))
_TRAINING = frozenset(("train", "training", "trained", "batch", "fit"))
# One player's loss, which rises where the other one learns: at its best a critic cannot tell.
_PLAYERS = frozenset(("d", "g", "disc", "discriminator", "critic", "gen", "generator", "actor", "adversary"))
_BESIDE = frozenset(("loss", "step", "epoch", "iter", "running", "avg", "average", "mean", "total", "the"))
_SETTING = frozenset((
    "step", "epoch", "iter", "iteration", "episode", "update", "round", "cycle", "stage", "lr", "rate", "time", "sec",
    "seconds", "eta", "seed", "size", "beta", "temperature", "momentum", "decay", "scale", "norm", "grad", "gradient",
    "weight", "weights", "kl", "entropy", "penalty", "clip", "sigma", "eps", "epsilon", "alpha", "gamma", "of",
))  # fmt: skip
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)\b"
_PAIR = re.compile(rf"((?:[A-Za-z][\w/@-]* )?[A-Za-z][\w/@-]*)['\"]?(?: *[:=] *|  *)({_NUMBER})")  # one word or two
_WORD = re.compile(r"[A-Z]?[a-z]+\d?|[A-Z]+(?![a-z])\d?")


def pairs(line: str) -> list[tuple[str, float]]:
    """Names and numbers of a line, in their order."""
    return [(name, float(number)) for name, number in _PAIR.findall(line)]


def direction(name: str) -> int:
    """1 where more is better of what has this name, −1 where less is, 0 where the name tells neither.

    0 also for what was trained on, as a bare loss or that of one of two players is, and for a name in which words of
    both kinds are.
    """
    words = _words(name)
    more, less = bool(words & (_MORE | _WON)), bool(words & _LESS)
    if more == less or words & _TRAINING or words <= _BESIDE or _of_a_player(words):
        return 0
    return 1 if more else -1


def of_a_reward(name: str) -> int:
    """As :func:`direction`, of what a policy is paid by as well: 1 of an income that its name tells no more of."""
    words = _words(name)
    return direction(name) or int(bool(words & _INCOME) and not words & (_LESS | _TRAINING))


def of_a_game(name: str) -> bool:
    """Whether the number is what is won by playing on, with what was learned so far: no data are held out for that."""
    words = _words(name)
    return bool(words & _WON) and not words & (_MORE | _LESS | _HELD_OUT)


def of_an_accuracy(name: str) -> bool:
    """Whether the number is the share of rows that are told right, of data that are not trained on."""
    words = _words(name)
    return bool(words & {"acc", "accuracy"}) and not words & _TRAINING


def held_out(name: str) -> bool:
    """Whether the name says that the number is of data that are not trained on."""
    return bool(_words(name) & _HELD_OUT)


def of_the_result(name: str) -> bool:
    """Whether the number may tell how good the model is: it is neither of what is trained on nor a setting of the run,
    nor where the run is."""
    words = _words(name)
    if not words or words & _TRAINING or words <= _BESIDE or _of_a_player(words):
        return False
    return bool(direction(name)) or held_out(name) or not words & _SETTING


def _of_a_player(words: set[str]) -> bool:
    return "loss" in words and bool(words & _PLAYERS)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
