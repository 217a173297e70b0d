"""Per-sample loss changes over the last steps, kept in bounded memory: ``state = update(state, losses)``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LossChanges:
    """The state: a ring of ``window`` rows of changes, and the losses the next change is taken from.

    Memory is ``(window + 1) · n`` numbers, whatever the length of the run.
    """

    ring: Float[Tensor, "window n"]
    previous: Float[Tensor, " n"] | None
    ids: Int[Tensor, " n"]
    """Which samples are followed: row i of every loss vector is sample ``ids[i]``."""
    count: int
    """How many changes were seen in all."""


def loss_changes(
    n: int,
    window: int = 60,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    ids: Int[Tensor, " n"] | None = None,
) -> LossChanges:
    """An empty state for ``n`` samples.

    Parameters
    ----------
    n : samples followed: all of a small training set, or a fixed probe subset of a large one
    window : how many changes are kept; 60 shows some thirty swings at the edge of stability
    dtype : of the kept changes; differences are taken in the dtype of the losses
    ids : the samples' numbers in the data set, each once; 0 … n − 1 by default

    Raises
    ------
    ValueError
        For n below 2, a window below 2, a dtype that is not floating point, ids that repeat or are not n.
    """
    if n < 2:
        raise ValueError(f"n: got {n}; must be at least 2 samples, since groups are told apart by comparison")
    if window < 2:
        raise ValueError(f"window: got {window}; must be at least 2 changes, since oscillation shows over two steps")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype: got {dtype}; must be a floating-point type")
    ids = torch.arange(n) if ids is None else ids.detach().cpu().long()
    if ids.shape != (n,) or len(ids.unique()) != n:
        raise ValueError(f"ids: got shape {tuple(ids.shape)}, {len(ids.unique())} distinct; must be {n} distinct ids")
    return LossChanges(torch.zeros(window, n, dtype=dtype, device=device), None, ids, 0)


def update(
    state: LossChanges,
    losses: Float[Tensor, " n"],
    ids: Int[Tensor, " n"] | None = None,
) -> LossChanges:
    """The state after one more step. The state passed in is used up: its buffer goes on in the new one.

    Parameters
    ----------
    losses : each followed sample's loss at this step, in one mode of the model throughout (eval mode is best:
        dropout and batch-norm statistics add noise to the changes)
    ids : the samples' numbers where they don't come in the state's order (a shuffled loader)

    Raises
    ------
    ValueError
        If other samples than those followed come, or another number of them.
    """
    n = len(state.ids)
    if losses.shape != (n,):
        raise ValueError(
            f"losses: got shape {tuple(losses.shape)}; must be ({n},), one loss a followed sample, unreduced"
        )
    losses = losses.detach().to(state.ring.device)
    if ids is not None:
        losses = losses[_places(state.ids, ids).to(losses.device)]
    if state.previous is None:
        return replace(state, previous=losses.clone())
    state.ring[state.count % len(state.ring)] = losses - state.previous
    return replace(state, previous=losses.clone(), count=state.count + 1)


def compute(state: LossChanges) -> Float[Tensor, "steps n"]:
    """The changes of the last steps, oldest first: at most ``window`` rows, none before the second update."""
    window = len(state.ring)
    if state.count <= window:
        return state.ring[: state.count].clone()
    return state.ring.roll(-(state.count % window), dims=0)


def _places(followed: Tensor, ids: Tensor) -> Tensor:
    """Where in ``ids`` each followed sample is."""
    ids = ids.detach().cpu().long()
    if ids.shape != followed.shape:
        raise ValueError(f"ids: got shape {tuple(ids.shape)}; must be {tuple(followed.shape)}, one id a loss")
    order_ids, order_followed = torch.argsort(ids), torch.argsort(followed)
    if not torch.equal(ids[order_ids], followed[order_followed]):
        raise ValueError("ids: are not those of the followed samples; pass the losses of exactly these at every step")
    places = torch.empty_like(order_ids)
    places[order_followed] = order_ids
    return places
