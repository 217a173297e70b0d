"""A chain of layers at its start, measured and as theory has it: signal forward, gradient backward, criticality.

Between two layers with one activation and nothing else K' = C_b + C_W ⟨σ²⟩_K, and the squared gradient is multiplied by
χ_⊥ = C_W ⟨σ'²⟩_K on its way back. Weights enter by what they are, not by how they were meant to be drawn.

Source: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022,
arXiv 2106.10165, chapters 3 to 5 (kernel, criticality), appendix A (optimal aspect ratio).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from surefoot.init import CriticalPoint, critical_point, gaussian_moments, optimal_aspect_ratio
from surefoot.init.activations import NAMED, Activation

_LEAST = 3  # layers; two say little of what compounds


@dataclass
class DenseLayer:
    """One Linear or convolution layer of a network that has run forward and backward once.

    Attributes
    ----------
    name : module path
    C_W, C_b : second moment of the weights times the fan-in, and of the biases
    width : units or channels
    forward : root mean square of the output
    backward : norm of the loss's gradient at the output, over the whole batch; NaN if it did not come
    source, activation : the layer whose output, through this activation ("" for none), is its input; None if unknown
    boost : by what dropout before it multiplies the mean square of its input, 1/(1 − p)
    """

    name: str
    C_W: float
    C_b: float
    width: int
    forward: float
    backward: float = math.nan
    source: str | None = None
    activation: str = ""
    boost: float = 1.0


@dataclass(frozen=True)
class Chain:
    """Layers that follow each other with one activation between, and what theory predicts for them.

    Attributes
    ----------
    names, activation : layers in order, and the activation between them
    forward, forward_theory : root mean square of the preactivations; theory starts from the first measured one
    backward, backward_theory : norm of the gradient at them; theory starts from the last measured one
    chi_par, chi_perp : susceptibilities from each layer to the next, at the measured variance
    C_W, C_b : of the layers, the former times what dropout adds; those of the second to the last make the chain
    point : where the activation would be critical; of kind ``"none"`` if nowhere
    ratio, optimum : Σ 1/width over the hidden layers, and the ratio that is best (NaN if unknown)
    log_gradient_std : predicted standard deviation, over seeds, of ln of the squared gradient
    """

    names: tuple[str, ...]
    activation: str
    forward: Float[np.ndarray, " depth"]
    forward_theory: Float[np.ndarray, " depth"]
    backward: Float[np.ndarray, " depth"]
    backward_theory: Float[np.ndarray, " depth"]
    chi_par: Float[np.ndarray, " steps"]
    chi_perp: Float[np.ndarray, " steps"]
    C_W: Float[np.ndarray, " depth"]
    C_b: Float[np.ndarray, " depth"]
    point: CriticalPoint = field(default_factory=lambda: CriticalPoint("none"))
    ratio: float = math.nan
    optimum: float = math.nan
    log_gradient_std: float = math.nan


def longest_chain(layers: Sequence[DenseLayer]) -> list[DenseLayer]:
    """The longest run of layers each of which takes the one before through the same activation."""
    by_name = {layer.name: layer for layer in layers}
    best: list[DenseLayer] = []
    for layer in layers:
        chain = [layer]
        while (source := by_name.get(chain[0].source or "")) is not None and source not in chain:
            if len(chain) > 1 and chain[0].activation != chain[1].activation:
                break
            chain.insert(0, source)
        if len(chain) > 2 and chain[1].activation != chain[2].activation:
            chain = chain[1:]
        if len(chain) > len(best):
            best = chain
    return best if len(best) >= _LEAST else []


def chain_report(layers: Sequence[DenseLayer], activations: Mapping[str, Activation] | None = None) -> Chain | None:
    """What theory says of the longest chain; None where no three layers follow each other so.

    ``activations`` are those that the layers have by a name of their own.

    Source: arXiv 2106.10165, chapters 3 to 5, appendix A.
    """
    chain = longest_chain(layers)
    if not chain:
        return None
    name = chain[1].activation or "linear"
    act: Activation = NAMED[name] if name in NAMED else (activations or {})[name]
    depth = len(chain)
    C_W, C_b = np.array([x.C_W * x.boost for x in chain]), np.array([x.C_b for x in chain])
    forward = np.array([x.forward for x in chain])
    backward = np.array([x.backward for x in chain])
    variance = np.full(depth, np.nan)
    variance[0] = forward[0] ** 2
    for i in range(1, depth):
        variance[i] = C_b[i] + C_W[i] * float(_moments(act, variance[i - 1 : i])[0][0])
    _, slope, radial = _moments(act, forward[:-1] ** 2)
    chi_par, chi_perp = C_W[1:] * radial, C_W[1:] * slope
    with np.errstate(divide="ignore", invalid="ignore"):
        passed = np.append(np.cumsum(np.log(_moments(act, variance[:-1])[1] * C_W[1:])[::-1])[::-1], 0.0)
        backward_theory = backward[-1] * np.exp(passed / 2)
    try:
        point = critical_point(name if name in NAMED else act)
    except ValueError:  # it overflows at the large variances that are searched
        point = CriticalPoint("none")
    ratio = float(sum(1 / x.width for x in chain[:-1]))
    known = math.isfinite(point.nu)
    optimum = optimal_aspect_ratio(act, chain[-1].width) if known else math.nan
    spread = math.sqrt(point.nu * ratio) if known else math.nan
    return Chain(
        tuple(x.name for x in chain), name, forward, np.sqrt(variance), backward, backward_theory, chi_par, chi_perp,
        C_W, C_b, point, ratio, optimum, spread,
    )  # fmt: skip


def _moments(act: Activation, K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """⟨σ²⟩, ⟨σ'²⟩ and d⟨σ²⟩/dK; NaN where the variance is none, or too large for the quadrature."""
    found = np.full((3, len(K)), np.nan)
    good = np.isfinite(K) & (K > 1e-30) & (K < 1e8)
    if good.any():
        try:
            moments = gaussian_moments(act, K[good])
        except ValueError:  # the activation overflows at one of them
            return found[0], found[1], found[2]
        found[:, good] = moments.square, moments.slope_square, moments.radial
    return found[0], found[1], found[2]
