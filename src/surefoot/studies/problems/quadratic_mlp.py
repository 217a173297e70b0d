"""A two-layer network with a quadratic activation on pairs of residues, and its exact solution of addition mod p."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.memorisation import HiddenLayer


class QuadraticMLP(nn.Module):
    """f(m, n) = W (U e_m + V e_n)², without biases (Gromov 2023, arXiv 2301.02679; Doshi et al. 2024).

    Dropout acts on the hidden layer before the square, the normalisation after it. The input is the pair of indices:
    rows of Uᵀ and Vᵀ are looked up, which equals the product with concatenated one-hot vectors.

    Parameters
    ----------
    p : number of residues and of classes, at least 3
    width : N, number of hidden neurons
    dropout : probability in [0, 1)
    norm : "bn" (batch normalisation), "ln" (layer normalisation) or None, of the squares
    generator : draws the initial weights
    device, dtype : as usual

    Attributes
    ----------
    U, V : [N, p] incoming weights; W : [p, N] outgoing weights, a view of ``readout.weight``
    """

    hidden_layer = HiddenLayer(("U", "V"), "readout")

    def __init__(
        self,
        p: int,
        width: int,
        dropout: float = 0.0,
        norm: Literal["bn", "ln"] | None = None,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if p < 3:
            raise ValueError(f"p must be an integer of at least 3, got {p}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if norm not in (None, "bn", "ln"):
            raise ValueError(f"norm must be 'bn', 'ln' or None, got {norm!r}")
        self.p, self.width, self.dropout = p, width, dropout
        self.U = nn.Parameter(torch.empty(width, p, device=device, dtype=dtype))
        self.V = nn.Parameter(torch.empty(width, p, device=device, dtype=dtype))
        # not drawn twice: the layer's own initialisation would advance the global random state
        self.readout = nn.utils.skip_init(nn.Linear, width, p, bias=False, device=self.U.device, dtype=self.U.dtype)
        self.norm: nn.Module | None = None
        if norm is not None:
            kind = nn.BatchNorm1d if norm == "bn" else nn.LayerNorm
            self.norm = kind(width, device=device, dtype=dtype)
        self.reset_parameters(generator)

    @property
    def W(self) -> Float[Tensor, "p width"]:
        """The outgoing weights, a row a class."""
        return self.readout.weight

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight from a normal distribution of standard deviation 0.5 / (2N)^{1/3}."""
        std = 0.5 / (2 * self.width) ** (1 / 3)
        for weight in (self.U, self.V, self.readout.weight):
            nn.init.normal_(weight, std=std, generator=generator)
        if self.norm is not None:
            self.norm.reset_parameters()  # type: ignore[operator]

    def forward(self, x: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        """Logits of the pairs ``x`` of residues in 0 … p − 1."""
        h = F.embedding(x[:, 0], self.U.T.contiguous()) + F.embedding(x[:, 1], self.V.T.contiguous())
        if self.dropout:
            h = F.dropout(h, self.dropout, self.training)
        z = h.square()
        return self.readout(z if self.norm is None else self.norm(z))

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"p={self.p}, width={self.width}, dropout={self.dropout}"


@torch.no_grad()
def solve_addition_(model: QuadraticMLP, generator: torch.Generator | None = None) -> QuadraticMLP:
    """Put the exact solution of addition mod p into the weights: every neuron a wave of a random frequency and phases.

    U_{km} = cos(2π s_k m / p + φ_k), V_{kn} = cos(2π s_k n / p + ψ_k), W_{qk} = cos(2π s_k q / p + φ_k + ψ_k); the
    cross term of the square, summed over neurons, is about N/2 · [q = m + n mod p] (Gromov 2023, arXiv 2301.02679).
    """
    p, width = model.p, model.width
    frequency = torch.randint(1, (p - 1) // 2 + 1, (width, 1), generator=generator).double()
    phase = 2 * math.pi * torch.rand(2, width, 1, generator=generator, dtype=torch.float64)
    angle = 2 * math.pi * frequency * torch.arange(p, dtype=torch.float64) / p
    model.U.copy_(torch.cos(angle + phase[0]))
    model.V.copy_(torch.cos(angle + phase[1]))
    model.readout.weight.copy_(torch.cos(angle + phase[0] + phase[1]).T)
    return model
