"""Inference that uses the bits: signs packed 64 to a word, products by xor and population count (on the CPU)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.binary.layers import BinaryLinear

BLOCK = 1 << 21  # words of an intermediate result: 16 MiB


def pack_signs(z: Float[Tensor, "rows features"]) -> np.ndarray:
    """One bit a number, 1 where z ≥ 0: ``(rows, ⌈features/64⌉)`` of uint64, the rest of the last word zero.

    Raises
    ------
    ValueError
        If ``z`` is not a matrix.
    """
    if z.dim() != 2:
        raise ValueError(f"z: got shape {tuple(z.shape)}; use a matrix (rows, features)")
    bits = np.packbits((z.detach() >= 0).cpu().numpy(), axis=1, bitorder="little")
    words = np.zeros((bits.shape[0], -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : bits.shape[1]] = bits
    return words.view(np.uint64)


def packed_matmul(a: np.ndarray, b: np.ndarray, features: int) -> np.ndarray:
    """The product of two sign matrices from their packed rows: features − 2 · popcount(a xor b).

    Parameters
    ----------
    a, b : from :func:`pack_signs`, ``(rows, words)`` and ``(columns, words)``
    features : how many signs a row holds

    Returns
    -------
    ndarray
        ``(rows, columns)`` of int32: exactly ``sign(A) @ sign(B).T``.

    Raises
    ------
    ValueError
        If the rows hold other numbers of words.
    """
    if a.shape[1] != b.shape[1] or a.shape[1] != -(-features // 64):
        raise ValueError(
            f"a, b: got {a.shape[1]} and {b.shape[1]} words a row; {features} features are {-(-features // 64)}"
        )
    out = np.empty((a.shape[0], b.shape[0]), dtype=np.int32)
    rows = max(1, BLOCK // max(1, b.size))
    for start in range(0, a.shape[0], rows):
        different = np.bitwise_count(a[start : start + rows, None] ^ b[None])
        out[start : start + rows] = features - 2 * different.sum(axis=2, dtype=np.int32)
    return out


class PackedLinear(nn.Module):
    """A trained :class:`BinaryLinear` for inference: its weights take one bit each.

    Outputs are those of the layer: the sums of ±1 exactly, then scale and bias.

    Parameters
    ----------
    layer : with ``binarize_input=True``

    Raises
    ------
    ValueError
        If the layer leaves its inputs real.
    """

    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: BinaryLinear) -> None:
        super().__init__()
        if not layer.binarize_input:
            raise ValueError("layer: its inputs are real (binarize_input=False); bits need signs on both sides")
        self.in_features = layer.in_features
        self.words = pack_signs(layer.weight)
        with torch.no_grad():
            scale = torch.ones(()) if layer.scale is None else layer.weight_scale().reshape(-1)
            self.register_buffer("weight_scale", scale.detach().clone())
            self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        rows = x.reshape(-1, self.in_features)
        sums = torch.from_numpy(packed_matmul(pack_signs(rows), self.words, self.in_features)).to(x)
        out = sums * self.weight_scale
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*x.shape[:-1], -1)
