"""Two players whose gradients turn: rotation of a game's gradient field, told from a way downhill and from noise.

Near an equilibrium a game moves as ż = J z. The symmetric part of J draws in or drives out; the antisymmetric part, all
that a zero-sum bilinear game has, turns: the players' gradients go round in a plane that both have a share in, a
quarter of a turn apart, and no step comes nearer (Rosca, Wu, Dherin and Barrett 2021, arXiv 2105.13922; steps of finite
length even lead outward: the interaction term of the drift makes |1 + h·iω| > 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Rotation:
    """How the joint gradient of two players went.

    Attributes
    ----------
    turns : full turns in the plane of most movement, without sign; steps of more than half a turn are not seen as such
    coherence : |Σ Δφ| / Σ |Δφ|: 1 where it only ever turned one way
    plane_share : share of the gradients' energy in that plane: 1 for a pure rotation, about 2/n for n looks of noise
    growth : largest length in the newest half over that in the first half: below 1 it spirals in
    balance : smaller of the two players' shares in the plane, ½ for a pure rotation
    """

    turns: float
    coherence: float
    plane_share: float
    growth: float
    balance: float


def rotation(first: Float[np.ndarray, "looks p"], second: Float[np.ndarray, "looks q"]) -> Rotation:
    """Rotation of the joint gradient over a series of looks.

    Parameters
    ----------
    first, second : gradients of the two players (or the same sample of their elements), one row a look, oldest first;
        each player is brought to unit size over the series, so that rates and scales of losses do not matter

    Raises
    ------
    ValueError
        With fewer than 3 looks, or where the players have not as many.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < 3:
        raise ValueError(
            f"first, second: got shapes {first.shape} and {second.shape}; must be two matrices with a row for each of "
            "the same looks, three at least"
        )
    sizes = [float(np.sqrt(np.square(player).sum(1).mean())) for player in (first, second)]
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        return Rotation(0.0, 0.0, 0.0, float("nan"), 0.0)
    joint = np.concatenate([first / sizes[0], second / sizes[1]], axis=1)
    _, lengths, axes = np.linalg.svd(joint, full_matrices=False)
    plane = axes[:2]
    at = joint @ plane.T
    turn = np.diff(np.unwrap(np.arctan2(at[:, 1], at[:, 0]))) if len(plane) == 2 else np.zeros(len(joint) - 1)
    walked = float(np.abs(turn).sum())
    half = len(joint) // 2
    size = np.linalg.norm(joint, axis=1)
    one = float(np.square(joint[:, : first.shape[1]] @ plane[:, : first.shape[1]].T).sum())
    two = float(np.square(joint[:, first.shape[1] :] @ plane[:, first.shape[1] :].T).sum())
    return Rotation(
        turns=abs(float(turn.sum())) / (2 * np.pi),
        coherence=abs(float(turn.sum())) / walked if walked > 0 else 0.0,
        plane_share=float(np.square(lengths[:2]).sum() / np.square(lengths).sum()),
        growth=float(size[half:].max() / max(size[:half].max(), 1e-300)),
        balance=min(one, two) / (one + two),
    )
