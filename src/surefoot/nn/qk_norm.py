"""qk-layernorm: queries and keys of a fixed length, so that attention logits cannot grow with the weights.

A logit ⟨q, k⟩/√d is quadratic in the weights while every other feature of a Transformer is linear in them: at a high
learning rate it outgrows all else and the softmax becomes a maximum. With each head's query and key normalised,
|logit| ≤ √d · max|g_q g_k| whatever the projections do.

Source: Wortsman et al. 2024, "Small-scale proxies for large-scale Transformer training instabilities", arXiv
2309.14322, §3.1.1 (after Dehghani et al. 2023, arXiv 2302.05442, and Gilmer et al. 2023).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

_KINDS = ("layernorm", "rms")


class QKNorm(nn.Module):
    """Normalises queries and keys over the width of a head, in front of their product.

    Put it where the heads are split already, in front of rotary positions (which keep lengths).

    Parameters
    ----------
    head_dim
        Width of a head.
    kind
        ``"layernorm"`` (the paper's: centred, no bias) or ``"rms"``.
    eps
        Added to the variance.
    elementwise_affine
        One learnable gain a position of the head for queries and one for keys, shared by the heads.
    device, dtype
        Of the gains.

    Raises
    ------
    ValueError
        If ``head_dim`` is below 1 (2 for ``"layernorm"``: a single number less its mean is 0) or ``kind`` is unknown.

    Source: arXiv 2309.14322, §3.1.1; normalising over the heads together is slightly worse there.

    Examples
    --------
    >>> norm = QKNorm(16)
    >>> q, k = norm(torch.randn(2, 4, 8, 16), torch.randn(2, 4, 8, 16))  # batch, heads, tokens, width
    >>> bool((q @ k.mT / 4).abs().max() <= 4.001)
    True
    """

    def __init__(
        self,
        head_dim: int,
        kind: Literal["layernorm", "rms"] = "layernorm",
        eps: float = 1e-6,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"kind: got {kind!r}; use 'layernorm' or 'rms'")
        if head_dim < (2 if kind == "layernorm" else 1):
            raise ValueError(f"head_dim: got {head_dim}; use the width of one head, 2 or more")
        self.head_dim, self.kind, self.eps = head_dim, kind, eps
        options: dict[str, Any] = {"eps": eps, "elementwise_affine": elementwise_affine}
        options |= {"device": device, "dtype": dtype}
        self.query: nn.LayerNorm | nn.RMSNorm
        self.key: nn.LayerNorm | nn.RMSNorm
        if kind == "rms":
            self.query, self.key = nn.RMSNorm(head_dim, **options), nn.RMSNorm(head_dim, **options)
        else:
            self.query, self.key = (nn.LayerNorm(head_dim, bias=False, **options) for _ in range(2))

    def forward(
        self, query: Float[Tensor, "*batch queries width"], key: Float[Tensor, "*batch2 keys width"]
    ) -> tuple[Float[Tensor, "*batch queries width"], Float[Tensor, "*batch2 keys width"]]:
        return self.query(query), self.key(key)
