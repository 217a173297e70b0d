"""What a variational encoder still says of its input: divergence from the prior by dimension, active dimensions."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

# A dimension whose mean varies less than this over the data is inactive (Burda, Grosse, Salakhutdinov 2016, §5.2,
# where the distribution of the variances has a gap of orders of magnitude around it; the prior's variance is 1).
ACTIVE = 0.01


def gaussian_kl(mean: Float[Tensor, "batch latent"], std: Float[Tensor, "batch latent"]) -> Float[Tensor, " latent"]:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each dimension, averaged over the batch, in nats: ½(μ² + σ² − 1 − ln σ²)."""
    tiny = 1e-12 if std.element_size() > 2 else 1e-4
    return (0.5 * (mean.square() + std.square() - 1) - std.clamp_min(tiny).log()).mean(0)


def active_share(mean: Float[Tensor, "batch latent"]) -> Float[Tensor, ""]:
    """Share of the dimensions whose mean varies over the batch by more than :data:`ACTIVE`."""
    return (mean.var(0, unbiased=False) > ACTIVE).float().mean()
