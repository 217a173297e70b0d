"""Generated samples against real ones: how diverse they are, how much of the data they cover, how true they are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NEIGHBOURS = 5
ROWS = 128  # that are compared, of a batch
_FEATURES = 1024


def comparable(samples: Float[Tensor, "batch ..."]) -> Float[Tensor, "rows numbers"]:
    """The first 128 samples as rows of 1,024 numbers at most, evenly taken, in float32: enough to compare batches."""
    flat = samples[:ROWS].reshape(min(len(samples), ROWS), -1)
    return flat[:, :: -(-flat.shape[1] // _FEATURES)].float()


def spread(samples: Float[Tensor, "batch features"]) -> Float[Tensor, ""]:
    """Root of the total variance over the batch, √tr Cov: how far the samples lie from their mean."""
    return samples.var(0, unbiased=False).sum().sqrt()


def coverage_and_precision(
    real: Float[Tensor, "n features"], generated: Float[Tensor, "m features"], neighbours: int = NEIGHBOURS
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Share of the real samples that generated ones come near to, and share of generated ones near real ones.

    Around each real sample lies a ball that reaches to its k-th nearest real neighbour. Coverage is the share of balls
    with a generated sample inside (Naeem et al. 2020, eq. 9), precision the share of generated samples inside a ball
    (Kynkäänniemi et al. 2019). Where both come from one distribution and n = m, the expected coverage is
    1 − (n−1)…(n−k)/((2n−1)…(2n−k)), about 1 − 2⁻ᵏ; it does not depend on the distribution.

    Parameters
    ----------
    real, generated : samples as rows
    neighbours : k; at most n − 1

    Raises
    ------
    ValueError
        If there are not more real samples than ``neighbours``.
    """
    if len(real) <= neighbours:
        raise ValueError(f"real has {len(real)} rows; more than neighbours={neighbours} are needed")
    radii = torch.cdist(real, real).kthvalue(neighbours + 1, dim=1).values  # the nearest is the sample itself
    inside = torch.cdist(real, generated) <= radii[:, None]
    return inside.any(1).float().mean(), inside.any(0).float().mean()


def separation(real: Float[Tensor, " n"], generated: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """P(score of a real sample > score of a generated one), ties counted half: the area under the ROC curve.

    ½ for a discriminator that can't tell them apart, 1 for one that always can, whatever the scale of its scores.
    """
    above = torch.gt(real[:, None], generated[None]).float()
    return (above + 0.5 * torch.eq(real[:, None], generated[None]).float()).mean()


def energy_distance(generated: Float[Tensor, "m features"], real: Float[Tensor, "n features"]) -> Float[Tensor, ""]:
    """The energy distance of two samples in units of the real ones' own mean distance (Székely and Rizzo 2013).

    0 in the mean where one distribution makes both, whatever it is. Of both as many rows are compared as both have.
    """
    count = min(len(generated), len(real))
    generated, real = generated[:count], real[:count]
    apart = count / max(1, count - 1)  # a point's distance to itself does not count
    own = torch.cdist(real, real).mean() * apart
    return (2 * torch.cdist(generated, real).mean() - torch.cdist(generated, generated).mean() * apart - own) / own
