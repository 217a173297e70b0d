"""What a network trained on partly wrong labels gets right: five accuracies and four losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class CorruptedData(Protocol):
    """A classification set of n rows whose corrupted labels are known: tensors, on one device.

    ``x`` is what the model takes, a row a sample; ``y`` the given and ``y_true`` the true labels, int [n];
    ``idx_train``, ``idx_corrupt`` (part of it) and ``idx_test`` are row numbers.
    ``studies.problems.modular`` makes such sets.
    """

    @property
    def x(self) -> Tensor: ...
    @property
    def y(self) -> Tensor: ...
    @property
    def y_true(self) -> Tensor: ...
    @property
    def idx_train(self) -> Tensor: ...
    @property
    def idx_corrupt(self) -> Tensor: ...
    @property
    def idx_test(self) -> Tensor: ...


@dataclass(frozen=True)
class MemorizationReport:
    """Accuracies in [0, 1] and losses of one model; NaN over an empty set.

    Attributes
    ----------
    train : accuracy on the training rows, against the labels as given
    memorised : share of the corrupted rows answered with the wrong label as given (chance hits among them count)
    recovered : share of the corrupted rows answered with the true label, against what the network was told
    clean_train : accuracy on the training rows whose labels were left alone
    test : accuracy on the test rows, against true labels
    train_loss, corrupt_loss, clean_loss, test_loss : the same rows and labels, under the loss asked for
    """

    train: float
    memorised: float
    recovered: float
    clean_train: float
    test: float
    train_loss: float
    corrupt_loss: float
    clean_loss: float
    test_loss: float

    def as_dict(self) -> dict[str, float]:
        """Name to value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def one_hot_squared_error(
    logits: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Squared error of every row against its one-hot target, a mean over classes, without forming the target."""
    right = logits.gather(1, targets[:, None]).squeeze(1)
    return (logits.square().sum(dim=1) - 2 * right + 1) / logits.shape[1]


@torch.no_grad()
def all_logits(model: nn.Module, x: Tensor, batch_size: int | None = None) -> Float[Tensor, "rows classes"]:
    """Outputs on all rows in evaluation mode; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return torch.cat([model(rows) for rows in x.split(batch_size or max(1, len(x)))])
    finally:
        for module, mode in modes:
            module.training = mode


def memorization_report(
    model: nn.Module, data: CorruptedData, loss: Loss = one_hot_squared_error, batch_size: int | None = None
) -> MemorizationReport:
    """Measure what a model learnt of the rule, and what of the wrong labels (Doshi et al. 2024, arXiv 2310.13061).

    Parameters
    ----------
    model : any classifier: ``model(data.x)`` are logits [n, classes]; evaluated in evaluation mode, left as it was
    data : see :class:`CorruptedData`
    loss : of (logits, labels), a value a row, such as ``partial(F.cross_entropy, reduction="none")``
    batch_size : rows at a time; all at once where None

    Raises
    ------
    ValueError
        If the model does not give one row of logits a sample, or the loss not one value a row.
    """
    logits = all_logits(model, data.x, batch_size)
    if logits.dim() != 2 or len(logits) != len(data.y):
        raise ValueError(f"model must give logits [{len(data.y)}, classes], got shape {tuple(logits.shape)}")
    return report_of_logits(logits, data, loss)


@torch.no_grad()
def report_of_logits(
    logits: Float[Tensor, "rows classes"], data: CorruptedData, loss: Loss = one_hot_squared_error
) -> MemorizationReport:
    """The report for logits at hand, a row for each row of the data; parameters are those of the function above."""
    train, corrupt, test = data.idx_train, data.idx_corrupt, data.idx_test
    is_corrupt = torch.zeros(len(data.y), dtype=torch.bool, device=train.device)
    is_corrupt[corrupt] = True
    clean = train[~is_corrupt[train]]
    labels = data.y.clone()
    labels[test] = data.y_true[test]
    losses = loss(logits, labels)
    if losses.shape != labels.shape:
        raise ValueError(f"loss must give a value a row, [{len(labels)}], got shape {tuple(losses.shape)}")
    answer = logits.argmax(dim=-1)
    given, true, losses = (answer == data.y).double(), (answer == data.y_true).double(), losses.double()
    means = [
        *(given[train], given[corrupt], true[corrupt], given[clean], true[test]),
        *(losses[train], losses[corrupt], losses[clean], losses[test]),
    ]
    return MemorizationReport(*torch.stack([values.mean() for values in means]).tolist())
