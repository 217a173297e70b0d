"""How periodic a weight row is: its one-sided Fourier spectrum and the inverse participation ratio of it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fourier_spectrum(w: Float[Tensor, "*rows"], dim: int = -1, drop_dc: bool = False) -> Float[Tensor, "*spectrum"]:
    """Magnitudes of the one-sided discrete Fourier transform, normalised to unit Euclidean norm.

    A pure cosine has one entry 1; white noise spreads over all ⌊p/2⌋ + 1 of them. A two-sided transform would split
    every cosine in two, so the one-sided one is the definition here. A row without any signal (all zeros, or constant
    where the constant is dropped) gives zeros.

    Parameters
    ----------
    w : real, p entries along ``dim``; p at least 3
    dim : the dimension that is indexed by the residues 0 … p − 1 in their natural order
    drop_dc : leave out the zero frequency (its entry stays, as 0)

    Returns
    -------
    The shape of ``w`` with ⌊p/2⌋ + 1 entries along ``dim``, in the dtype of ``w`` (half precision is transformed in
    float32).

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If there are fewer than 3 entries along ``dim``.
    """
    if not isinstance(w, Tensor) or not w.is_floating_point():
        raise TypeError(f"w must be a real floating-point tensor, got {getattr(w, 'dtype', type(w).__name__)}")
    if w.dim() == 0 or w.shape[dim] < 3:
        raise ValueError(f"w must have at least 3 entries along dim {dim}, got shape {tuple(w.shape)}")
    wide = w if w.dtype in (torch.float32, torch.float64) else w.float()
    # the largest entry is taken out first, so that squares of tiny or huge rows neither vanish nor overflow
    largest = wide.abs().amax(dim=dim, keepdim=True)
    magnitude = torch.fft.rfft(wide / torch.where(largest == 0, 1, largest), dim=dim).abs()
    whole = torch.linalg.vector_norm(magnitude, dim=dim, keepdim=True)
    if drop_dc:
        magnitude.select(dim, 0).zero_()
    norm = torch.linalg.vector_norm(magnitude, dim=dim, keepdim=True)
    # what is left of a constant row without its constant is rounding error, not a spectrum
    silent = norm <= 16 * torch.finfo(wide.dtype).eps * whole
    return torch.where(silent, 0, magnitude / torch.where(silent, 1, norm)).to(w.dtype)


def inverse_participation_ratio(
    w: Float[Tensor, "*rows"], r: int = 2, dim: int = -1, drop_dc: bool = False
) -> Float[Tensor, "*reduced"]:
    """IPR_r = Σ_f (|F_f| / ‖F‖₂)^{2r} of the one-sided Fourier transform F: 1 for a pure wave, small for noise.

    Equal cosines at k frequencies give 1/k (r = 2), amplitudes A and B give (A⁴ + B⁴) / (A² + B²)², a Gaussian row
    about 2 / (number of frequencies), a delta the lower bound 1 / (⌊p/2⌋ + 1). Scale and cyclic shift do not matter.
    A row without signal gets exactly 0, which no other row can have: ``ipr == 0`` is the mask of dead rows.

    Parameters
    ----------
    w : weight rows, [..., p]; every other dimension is batched
    r : the exponent, at least 2 (at 1 every row gives 1)
    dim : dimension of the residues. What was learnt from multiplication is periodic in the order of discrete
        logarithms: index with :func:`discrete_log_order` first.
    drop_dc : leave out the zero frequency

    Returns
    -------
    [...], in the dtype of ``w``

    Raises
    ------
    TypeError, ValueError
        As :func:`fourier_spectrum`; also if r < 2.

    Source: Doshi et al. 2024 (arXiv 2310.13061); Gromov 2023 (arXiv 2301.02679).
    """
    if r < 2:
        raise ValueError(f"r must be at least 2, got {r}: at r = 1 every row gives 1")
    return fourier_spectrum(w, dim, drop_dc).pow(2 * r).sum(dim=dim)


def fourier_frequency(w: Float[Tensor, "*rows"], dim: int = -1, drop_dc: bool = True) -> Int[Tensor, "*reduced"]:
    """The strongest frequency of each row, an int in 0 … ⌊p/2⌋; 0 for a row without signal.

    Parameters and errors are those of :func:`fourier_spectrum`; the zero frequency is left out unless asked for.
    """
    return fourier_spectrum(w, dim, drop_dc).argmax(dim=dim)


def discrete_log_order(p: int) -> Int[Tensor, " units"]:
    """The residues 1 … p − 1 as successive powers g⁰, g¹, … of the smallest primitive root g of the prime p.

    Multiplication mod p is addition of exponents, so weights learnt from it are periodic over ``w[..., order]``.

    Raises
    ------
    ValueError
        If p is not a prime of at least 3.
    """
    if p < 3 or any(p % d == 0 for d in range(2, int(p**0.5) + 1)):
        raise ValueError(f"p must be a prime of at least 3, got {p}")
    for root in range(2, p):
        powers = [1]
        while (following := powers[-1] * root % p) != 1:
            powers.append(following)
        if len(powers) == p - 1:
            break
    return torch.tensor(powers)
