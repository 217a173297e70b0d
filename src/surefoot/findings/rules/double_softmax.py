"""``double-softmax``: a softmax or sigmoid in front of a loss function that has its own.

Cross-entropy of probabilities read as logits: a logit in [0, 1] can favour the right class by a factor e at most, so
the loss cannot fall below ln(1 + (C − 1)/e) (1.46 for ten classes) and its gradient is shrunk by the inner Jacobian.
Binary: the sigmoid of a number in [0, 1] is in [½, 0.73], so a negative can never score below ln 2. A log-softmax in
front is harmless, because log-softmax applied twice is log-softmax. ``nll_loss`` of probabilities (not their
logarithms) is the same confusion the other way round: its loss is −p, and the gradient no longer grows where the model
is wrong.
"""

from __future__ import annotations

import math

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy

_LOOKS = 2
_SOFTMAX, _SIGMOID, _SOFTMAX_TWICE, _SIGMOID_TWICE = 1.0, 3.0, 4.0, 5.0
_BY_HAND = {"logsigmoid": "log σ(x)", "softplus": "softplus(x)", "logsumexp": "x − log Σ exp x"}
# log_softmax: a cross-entropy that is written by hand, or has probabilities as targets
_OF_CLASSES = ("cross_entropy", "log_softmax", "nll_loss")
_ROW_ERROR = 1e-3


@rule("double-softmax", needs=("logits",))
def double_softmax(history: History) -> Sign | None:
    """The input of cross-entropy (or of ``nll_loss``, or of BCE with logits) is already a probability, at two looks in
    a row: by the operation that made it, or because every row is non-negative and sums to one. Warning; critical where
    the loss learns nothing."""
    for name in history.wheres("activation_before"):
        steps, before = history.series("activation_before", name)
        if len(before) < _LOOKS:
            continue
        made = set(before[-_LOOKS:].tolist())
        rows_sum = _rows_sum_to_one(history, name)
        evidence: tuple[Evidence, ...]
        cures: tuple[Remedy, ...]
        if name in _OF_CLASSES and (made == {_SOFTMAX} or rows_sum):
            classes = history.value("num_classes", name)
            floor = math.log1p((classes - 1) / math.e) if classes >= 2 else math.nan
            cures = (remedies.NLL_OF_LOG,)  # for nll_loss raw logits would be as wrong
            if name != "nll_loss":
                cures = (remedies.LOGITS_FROM_MODEL, *cures)
                cause = (
                    f"{name} gets probabilities: it applies a softmax of its own, so that with "
                    f"{classes:.0f} classes the loss cannot fall below {floor:.3g}."
                )
            else:
                cause = "nll_loss gets probabilities, not their logarithms: it averages −p and not −log p."
        elif name in ("cross_entropy", "log_softmax") and made == {_SIGMOID}:
            classes = history.value("num_classes", name)
            floor = math.log1p((classes - 1) / math.e) if classes >= 2 else math.nan
            cause = f"{name} gets the output of a sigmoid: logits in [0, 1] keep the loss above {floor:.3g}."
            cures = (remedies.LOGITS_FROM_MODEL,)
        elif name == "nll_loss" and made == {_SIGMOID}:
            cause = "nll_loss gets the output of a sigmoid, not log-probabilities: it averages −σ and not −log p."
            cures = (remedies.LOGITS_FROM_MODEL,)
        elif name in ("nll_loss", "binary_cross_entropy") and made <= {_SOFTMAX_TWICE, _SIGMOID_TWICE}:
            cause = (
                f"{name} gets probabilities that were squashed twice: a softmax or sigmoid of numbers in [0, 1] has "
                "hardly any range left."
            )
            cures = (remedies.LOGITS_FROM_MODEL,)
        elif name in _BY_HAND and made <= {_SOFTMAX, _SIGMOID}:
            cause = f"{_BY_HAND[name]} is taken of probabilities: it squashes by itself, and is meant for logits."
            cures = (remedies.LOGITS_FROM_MODEL,)
        elif name == "binary_cross_entropy_with_logits" and made <= {_SOFTMAX, _SIGMOID}:
            floor = math.log(2)
            cause = (
                "binary_cross_entropy_with_logits gets probabilities: it applies a sigmoid of its own, so that no "
                "negative can score below ln 2."
            )
            cures = (remedies.LOGITS_FROM_MODEL, remedies.PLAIN_BCE)
        else:
            continue
        step = int(steps[-1])
        if rows_sum and made != {_SOFTMAX}:
            error = history.value("row_sum_error", name)
            source = "rows that are non-negative and sum to one are probabilities already"
            evidence = (Evidence("row_sum_error", name, step, error, _ROW_ERROR, source),)
        else:
            source = "the operation that made the loss's input: 1 softmax, 3 sigmoid; 0 and 2 (log-softmax) are right"
            evidence = (Evidence("activation_before", name, step, float(before[-1]), 0.0, source),)
        severity = "warning" if history.learned else "critical"
        return Sign(severity, cause, evidence, (), int(steps[0]), cures)  # type: ignore[arg-type]
    return None


def _rows_sum_to_one(history: History, name: str) -> bool:
    _, errors = history.series("row_sum_error", name)
    _, nonnegative = history.series("nonnegative_share", name)
    classes = history.value("num_classes", name)
    if len(errors) < _LOOKS or len(nonnegative) < _LOOKS or not classes >= 2:
        return False
    return bool((errors[-_LOOKS:] < _ROW_ERROR).all() and (nonnegative[-_LOOKS:] == 1).all())
