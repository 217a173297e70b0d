"""Symmetric operators that are known by their products with vectors; everything about spectra takes one of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_DENSE = 6000  # rows: 288 MB in float64


class SymmetricOperator:
    """A symmetric n × n matrix by its products; subclasses say what a product with one vector is.

    Calling it with a vector is :meth:`matvec`, so that it serves wherever a function v → A v does.

    Parameters
    ----------
    size : n
    dtype, device : of the vectors that it takes and gives
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        if size < 1:
            raise ValueError(f"size: got {size}; must be at least 1")
        if not dtype.is_floating_point:
            raise ValueError(f"dtype: got {dtype}; must be a floating dtype")
        self.size = size
        self.dtype = dtype
        self.device = torch.device(device)

    def _product(self, vector: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self.size, self.size)

    def matvec(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A v.

        Raises
        ------
        ValueError
            For a vector of another length.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"vector: got shape {tuple(vector.shape)}; must be ({self.size},)")
        return self._product(vector.to(self.device, self.dtype)).detach()

    __call__ = matvec

    def matmat(self, matrix: Float[Tensor, "n b"]) -> Float[Tensor, "n b"]:
        """A V, for vectors as columns.

        Raises
        ------
        ValueError
            For columns of another length.
        """
        if matrix.dim() != 2 or len(matrix) != self.size:
            raise ValueError(f"matrix: got shape {tuple(matrix.shape)}; must be ({self.size}, any)")
        columns = [self.matvec(column) for column in matrix.T]
        return torch.stack(columns, dim=1) if columns else matrix.new_zeros(self.size, 0)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.matvec(other) if other.dim() == 1 else self.matmat(other)

    def dense(self, force: bool = False) -> Float[Tensor, "n n"]:
        """The matrix, by n products, with what rounding left of asymmetry averaged away.

        Raises
        ------
        ValueError
            For more than 6,000 rows, unless forced.
        """
        if self.size > LARGEST_DENSE and not force:
            raise ValueError(
                f"size: {self.size} rows make a matrix of {8e-9 * self.size**2:.1f} GB in float64; pass force=True, "
                "or use lanczos() or spectral_density(), which need products alone"
            )
        rows = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        unit = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for i in range(self.size):
            unit[i] = 1
            rows[i] = self.matvec(unit)
            unit[i] = 0
        return (rows + rows.T) / 2

    def diag(self, force: bool = False) -> Float[Tensor, " n"]:
        """The diagonal, exactly, by n products; :func:`surefoot.autodiff.diagonal` estimates it by fewer.

        Raises
        ------
        ValueError
            As :meth:`dense`.
        """
        return self.dense(force).diagonal().clone()

    def to_scipy(self) -> Any:
        """The same as a ``scipy.sparse.linalg.LinearOperator``, for what scipy has and this package has not.

        Raises
        ------
        ImportError
            Where scipy is not installed.
        """
        try:
            from scipy.sparse.linalg import LinearOperator
        except ImportError as error:
            raise ImportError("to_scipy() needs scipy: pip install scipy") from error

        def product(vector: Any) -> Any:
            return self.matvec(torch.as_tensor(vector).reshape(-1)).cpu().numpy()

        some = torch.zeros((), dtype=self.dtype).numpy()
        return LinearOperator(self.shape, matvec=product, rmatvec=product, dtype=some.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size} × {self.size}, {self.dtype})"


class CallableOperator(SymmetricOperator):
    """A function v → A v as an operator; that A is symmetric is the caller's word."""

    def __init__(
        self,
        function: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]],
        size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(size, dtype, device)
        self._function = function

    def _product(self, vector: Tensor) -> Tensor:
        return self._function(vector)


class PreconditionedOperator(SymmetricOperator):
    """P^(−½) A P^(−½) for a positive diagonal P: its eigenvalues are those of P⁻¹A.

    The curvature that an adaptive optimiser meets is that of its preconditioned Hessian (Cohen et al., "Adaptive
    gradient methods at the edge of stability", arXiv 2207.14484); P of an optimiser is
    :func:`surefoot.optim.preconditioner`.

    Raises
    ------
    ValueError
        If P has another length, or an entry that is not positive.
    """

    def __init__(self, operator: SymmetricOperator, preconditioner: Float[Tensor, " n"]) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        if preconditioner.shape != (operator.size,) or not bool((preconditioner > 0).all()):
            shape = tuple(preconditioner.shape)
            raise ValueError(f"preconditioner: got shape {shape}; must be ({operator.size},), positive in every entry")
        self._operator = operator
        self._root = preconditioner.to(self.device, self.dtype).rsqrt()

    def _product(self, vector: Tensor) -> Tensor:
        return self._root * self._operator.matvec(self._root * vector)
