"""Hyper-connections: several residual streams, read, written and mixed by small matrices that depend on the token.

X' = H_res X + H_postᵀ F(H_pre X) for X of n streams. Free matrices H_res multiply up over depth (gains of thousands);
doubly stochastic ones do not: they keep the sum of the streams and never enlarge them. What they do over depth is make
streams alike.

Source: "Hyper-Connections", arXiv 2409.19606; "mHC: Manifold-Constrained Hyper-Connections", arXiv 2512.24880.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.mgt.birkhoff import birkhoff_from_permutations, project
from surefoot.nn.mgt.connections import Branch
from surefoot.nn.mgt.gates import wide_linear

Constraint = Literal["birkhoff", "permutations", "none"]
_READ = 0.7  # share of the favourite stream in what is read at the start
_STAY = 4.0  # logit of a stream for itself; 0.95 of it stays where n = 4
_GAIN = 0.01  # of the dependence on the token, at the start (arXiv 2512.24880)


class HyperConnection(nn.Module):
    """``streams = connection(streams, branch)`` for streams of shape (..., n, dim).

    Where all streams are equal, as behind :func:`expand_streams`, it is x + F(norm(x)) on each of them at the start.

    Parameters
    ----------
    dim : width of a stream
    n_streams : at least 2; for ``"permutations"`` at most 5
    constraint : of H_res: ``"birkhoff"``: doubly stochastic by 20 Sinkhorn iterations (mHC); ``"permutations"``:
        doubly stochastic exactly, a mean of all n! permutations (20 iterations leave column sums of matrices near the
        identity off by up to some percent); ``"none"``: free (hyper-connections)
    dynamic : the matrices depend on the token; else they are the same for all
    read_stream : the stream that is read most at the start; give each connection of a stack another. Streams that all
        are read alike get equal gradients and stay one stream for ever

    Raises
    ------
    ValueError
        For another constraint, a number of streams or a stream to read that cannot be.

    Notes
    -----
    H_pre = σ(·), H_post = 2σ(·), for ``"none"`` without them. Mappings and projection run in float32 at least. The
    biases at the start are not in the paper; they are chosen so that the start is the plain residual.

    Source: arXiv 2512.24880; for ``"none"`` arXiv 2409.19606.
    """

    def __init__(
        self,
        dim: int,
        n_streams: int = 4,
        constraint: Constraint = "birkhoff",
        dynamic: bool = True,
        read_stream: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        n = n_streams
        if constraint not in ("birkhoff", "permutations", "none"):
            raise ValueError(f"constraint: got {constraint!r}; must be 'birkhoff', 'permutations' or 'none'")
        most = 5 if constraint == "permutations" else math.inf
        if not 2 <= n <= most:
            raise ValueError(f"n_streams: got {n}; must be at least 2" + (f" and at most {most}" if n > 2 else ""))
        if not 0 <= read_stream < n:
            raise ValueError(f"read_stream: got {read_stream}; must be between 0 and {n - 1}")
        self.dim, self.n_streams, self.constraint, self.read_stream = dim, n, constraint, read_stream
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm = nn.LayerNorm(dim, **place)
        bias = torch.cat(_start(n, constraint, read_stream))
        self.bias = nn.Parameter(bias.to(**place))
        self._parts = (n, n, len(bias) - 2 * n)
        self.mapping: nn.Linear | None = None
        if dynamic:
            self.flat_norm = nn.RMSNorm(n * dim, eps=1e-6, elementwise_affine=False)
            self.mapping = nn.Linear(n * dim, len(bias), bias=False, **place)
            nn.init.zeros_(self.mapping.weight)
            self.gains = nn.Parameter(torch.full((3,), _GAIN, **place))

    def extra_repr(self) -> str:
        return f"{self.dim}, n_streams={self.n_streams}, constraint={self.constraint!r}, read_stream={self.read_stream}"

    def matrices(
        self, streams: Float[Tensor, "*batch n dim"]
    ) -> tuple[Float[Tensor, "*batch n"], Float[Tensor, "*batch n"], Float[Tensor, "*batch n n"]]:
        """H_pre, H_post and H_res of each token, in float32 at least."""
        wide = torch.float64 if streams.dtype == torch.float64 else torch.float32
        logits = self.bias.to(wide).expand(*streams.shape[:-2], -1)
        free = self.constraint == "none"
        if self.mapping is not None:
            told = wide_linear(self.flat_norm(streams.flatten(-2).to(wide)), self.mapping.weight)
            gains = torch.cat([g.expand(size) for g, size in zip(self.gains.to(wide), self._parts, strict=True)])
            logits = torch.addcmul(logits, gains, told.tanh() if free else told)
        pre, post, mixing = logits.split(self._parts, -1)
        if self.constraint == "permutations":
            return pre.sigmoid(), 2 * post.sigmoid(), birkhoff_from_permutations(mixing)
        mixing = mixing.unflatten(-1, (self.n_streams, self.n_streams))
        return (pre, post, mixing) if free else (pre.sigmoid(), 2 * post.sigmoid(), project(mixing))

    def forward(self, streams: Float[Tensor, "*batch n dim"], branch: Branch) -> Float[Tensor, "*batch n dim"]:
        pre, post, mixing = (m.to(streams.dtype) for m in self.matrices(streams))
        both = torch.cat([pre.unsqueeze(-2), mixing], -2) @ streams  # one pass over the streams
        read, mixed = both[..., 0, :], both[..., 1:, :]
        return torch.addcmul(mixed, post.unsqueeze(-1), branch(self.norm(read)).unsqueeze(-2))


def expand_streams(x: Float[Tensor, "*batch dim"], n_streams: int = 4) -> Float[Tensor, "*batch n dim"]:
    """n equal streams, for the first connection."""
    return x.unsqueeze(-2).repeat_interleave(n_streams, -2)


def reduce_streams(streams: Float[Tensor, "*batch n dim"]) -> Float[Tensor, "*batch dim"]:
    """The mean of the streams, behind the last connection."""
    return streams.mean(-2)


def _start(n: int, constraint: Constraint, read: int) -> tuple[Tensor, Tensor, Tensor]:
    """Biases of H_pre, H_post and H_res, flat: H_pre sums to 1, H_post is 1, rows of H_res sum to 1."""
    if constraint == "none":
        return torch.eye(n)[read], torch.ones(n), torch.eye(n).flatten()
    shares = torch.full((n,), (1 - _READ) / (n - 1))
    shares[read] = _READ
    if constraint == "permutations":
        others = math.factorial(n) - 1
        mixing = torch.zeros(others + 1)
        mixing[0] = _STAY + math.log(others / (n - 1))  # the identity then weighs what a stream's own share is below
    else:
        mixing = _STAY * torch.eye(n).flatten()
    return shares.logit(), torch.zeros(n), mixing
