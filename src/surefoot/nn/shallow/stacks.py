"""A residual stack, and the same branches in parallel: its expansion to first order.

Source: Bermeitinger, Hrycej, Handschuh, "Make Deep Networks Shallow Again", KDIR 2023, arXiv 2309.08414.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn


class _Stack(nn.Module):
    def __init__(self, branches: Sequence[nn.Module], scale: float = 1.0) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.scale = scale

    def extra_repr(self) -> str:
        return f"scale={self.scale}"

    def branch_output(self, index: int, x: Tensor) -> Tensor:
        """``scale`` times what a branch gives.

        Raises
        ------
        ValueError
            If it changes the shape.
        """
        out: Tensor = self.branches[index](x)
        if out.shape != x.shape:
            raise ValueError(f"branches: number {index} turns {tuple(x.shape)} into {tuple(out.shape)}; must keep the "
                             "shape")  # fmt: skip
        return out if self.scale == 1 else self.scale * out


class ParallelStack(_Stack):
    """x + scale · Σ F_i(x): every branch sees the input, and the gradient of none goes through another.

    Parameters
    ----------
    branches : modules that keep the shape
    scale : of each branch. The variance of the sum grows with the number of branches L: 1/√L keeps it, 1/L is one Euler
        step of the mean branch

    Source: arXiv 2309.08414, the parallel network.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not len(self.branches):
            return x
        total = self.branch_output(0, x)
        for i in range(1, len(self.branches)):
            total = total + self.branch_output(i, x)
        return x + total


class ResidualStack(_Stack):
    """x_i = x_{i−1} + scale · F_i(x_{i−1}).

    Parameters
    ----------
    branches : modules that keep the shape
    scale : of each branch

    Source: arXiv 2309.08414, the sequential network.
    """

    @classmethod
    def of_blocks(cls, blocks: Iterable[nn.Module]) -> ResidualStack:
        """Of blocks that add to their input themselves: each branch is block(x) − x. Weights are shared, not copied."""
        return cls([_Difference(block) for block in blocks])

    def parallel(self) -> ParallelStack:
        """The same branches in parallel: the very modules, so that what trains one trains the other."""
        return ParallelStack(list(self.branches), self.scale)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(len(self.branches)):
            x = x + self.branch_output(i, x)
        return x


class _Difference(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) - x
