"""How much the loss minds the learning rate: one number for a sweep, and the sweep itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import plotly.graph_objects as go

_EVEN = 0.15  # of the mean step between rates, in log: 3e-4, 1e-3, 3e-3, … are as even as that


def lr_sensitivity(
    losses: Float[np.ndarray, " rates"] | Sequence[float],
    loss_at_init: float,
    *,
    lrs: Float[np.ndarray, " rates"] | Sequence[float] | None = None,
    window: tuple[float, float] | None = None,
) -> float:
    """LR sensitivity S = mean over rates of min(ℓ(η), ℓ₀) − min ℓ: the loss that a wrong rate costs on average.

    Read it beside the curve: a model that is stuck at its first loss for every rate has S = 0. It means nothing where
    what is compared changes what a rate is (steps scaled by the size of the weights).

    Parameters
    ----------
    losses
        Final loss at each rate, validation loss if there is one. NaN, ±∞ and anything above ``loss_at_init`` count as
        ``loss_at_init``: a run that diverged has lost what it had gained.
    loss_at_init
        ℓ₀, the loss before the first step.
    lrs
        The rates, evenly spaced in their logarithm (checked), in any order. They are needed for a ``window``.
    window
        Smallest and largest rate that count, both ends included. The paper uses three decades around the best rate.

    Raises
    ------
    ValueError
        If no loss is a finite number, ``loss_at_init`` is none, the rates do not fit the losses, are not positive or
        not evenly spaced, or none of them is in the window.

    Source: arXiv 2309.14322, §2.2.
    """
    values = np.asarray(losses, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"losses: got shape {values.shape}; pass one loss a learning rate, at least one")
    if not math.isfinite(loss_at_init):
        raise ValueError(f"loss_at_init: got {loss_at_init}; pass the loss before the first step")
    if lrs is not None:
        rates = np.asarray(lrs, dtype=float)
        if rates.shape != values.shape:
            raise ValueError(f"lrs: got shape {rates.shape}; the losses have {values.shape}")
        if window is not None:
            low, high = window
            inside = (rates >= low * (1 - 1e-9)) & (rates <= high * (1 + 1e-9))
            if not inside.any():
                raise ValueError(f"window: no rate lies in {low:g} … {high:g}; there are {_listed(rates)}")
            values, rates = values[inside], rates[inside]
        _check_even(rates)
    elif window is not None:
        raise ValueError("window: which losses lie in it is only known with lrs; pass both")
    if not np.isfinite(values).any():
        raise ValueError("losses: none of them is a finite number, so that there is no best one to compare with")
    # −∞ is no loss that was reached
    clipped = np.minimum(np.where(np.isfinite(values), values, loss_at_init), loss_at_init)
    return float(clipped.mean() - clipped.min())


@dataclass(frozen=True)
class LRSweep:
    """Losses over learning rates and seeds.

    Attributes
    ----------
    lrs : the rates
    seeds : the seeds
    losses : final losses
    losses_at_init : losses before the first step, by seed
    """

    lrs: Float[np.ndarray, " rates"]
    seeds: tuple[int, ...]
    losses: Float[np.ndarray, "seeds rates"]
    losses_at_init: Float[np.ndarray, " seeds"]

    def sensitivity(self, window: tuple[float, float] | None = None) -> Float[np.ndarray, " seeds"]:
        """:func:`lr_sensitivity` of each seed."""
        return np.array(
            [
                lr_sensitivity(row, start, lrs=self.lrs, window=window)
                for row, start in zip(self.losses, self.losses_at_init.tolist(), strict=True)
            ]
        )

    def plot(self) -> go.Figure:
        """Loss over learning rate, one line a seed; what diverged is drawn at the loss before the first step."""
        from surefoot.plots import figure, line

        lines = [
            line(
                f"seed {seed}, S = {s:.3g}",
                self.lrs,
                np.minimum(np.where(np.isfinite(row), row, start), start),
                "lines+markers",
            )
            for row, start, seed, s in zip(
                self.losses, self.losses_at_init, self.seeds, self.sensitivity(), strict=True
            )
        ]
        return figure(lines, x="learning rate", y="final loss", log_x=True)


def lr_sweep(
    train: Callable[[float, int], tuple[float, float]], lrs: Sequence[float], seeds: Sequence[int] = (0,)
) -> LRSweep:
    """Train at each learning rate, with each seed, one after the other.

    Parameters
    ----------
    train
        Called with a rate and a seed; returns the loss before the first step and the final loss, NaN or ∞ where it
        diverged. Same seed, same first weights and batches: else the curves of two models cannot be compared.
    lrs
        Peak learning rates, evenly spaced in their logarithm.
    seeds
        Seeds.

    Raises
    ------
    ValueError
        If there is no rate or no seed, or the rates are not positive and evenly spaced.

    See Also
    --------
    ``surefoot sweep``, for scripts: in processes of their own, watched, and resumable.

    Source: arXiv 2309.14322, §2.2.
    """
    rates = np.asarray(lrs, dtype=float)
    if rates.ndim != 1 or not len(rates) or not len(seeds):
        raise ValueError(f"lrs, seeds: got {len(rates)} rates and {len(seeds)} seeds; at least one of each is needed")
    _check_even(rates)
    runs = np.array([[train(rate, seed) for rate in rates.tolist()] for seed in seeds], dtype=float)
    # the loss at init does not depend on the rate
    return LRSweep(rates, tuple(seeds), runs[:, :, 1], runs[:, 0, 0])


def _check_even(rates: np.ndarray) -> None:
    if not (np.isfinite(rates) & (rates > 0)).all():
        raise ValueError(f"lrs: got {_listed(rates)}; learning rates are positive numbers")
    steps = np.diff(np.sort(np.log(rates)))
    if len(steps) and not (np.abs(steps - steps.mean()) <= _EVEN * steps.mean()).all():
        raise ValueError(
            f"lrs: got {_listed(rates)}; they have to be evenly spaced in their logarithm, as 1e-3, 1e-2, 1e-1, "
            "for the mean over them to weigh all decades alike"
        )


def _listed(rates: np.ndarray) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)
