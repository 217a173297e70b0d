"""Training on corrupted labels with reports along the way: an ordinary loop with AdamW and the squared error."""

from __future__ import annotations

import torch
from torch import nn

from surefoot.analysis.memorisation import MemorizationReport, memorization_report, one_hot_squared_error
from surefoot.studies.problems.modular import ModularData

History = dict[int, MemorizationReport]


def fit_corrupted(
    model: nn.Module,
    data: ModularData,
    steps: int,
    *,
    lr: float = 1e-2,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    report_every: int | None = None,
    seed: int = 0,
) -> History:
    """Train on the given labels of the training rows; reports by step (0: before training; the last one always).

    The loss is the mean over all batch × p entries, and the decay is decoupled: a step shrinks the weights by
    1 − lr · weight_decay, so that 5 to 20 are sensible values here (Doshi et al. 2024, arXiv 2310.13061).

    Parameters
    ----------
    steps : number of optimiser steps
    lr, weight_decay : of ``torch.optim.AdamW`` with betas (0.9, 0.98)
    batch_size : rows drawn without replacement each step; all of them where None
    report_every : steps between reports; only the first and last where None
    seed : of batches and dropout; the global random state is put back afterwards

    Raises
    ------
    ValueError
        If steps or batch_size is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 or None, got {batch_size}")
    x, y = data.x[data.idx_train], data.y[data.idx_train]
    optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.98), weight_decay=weight_decay)
    history = {0: memorization_report(model, data)}
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model.train()
        for step in range(1, steps + 1):
            rows: torch.Tensor | slice = slice(None)
            if batch_size is not None:
                rows = torch.randperm(len(x), generator=generator)[:batch_size].to(x.device)
            optimizer.zero_grad()
            one_hot_squared_error(model(x[rows]), y[rows]).mean().backward()
            optimizer.step()
            if step == steps or (report_every and step % report_every == 0):
                history[step] = memorization_report(model, data)
    return history
