"""pLSTM-Vis: a vision transformer whose attention is replaced with P- and D-mode recurrences in turn."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.plstm.layers import Mode, PLSTM2d

SIZES = {"T": (192, 3), "S": (384, 6), "B": (768, 12)}


class PLSTMBlock(nn.Module):
    """x + PLSTM2d(norm x), then x + MLP(norm x), over ``[batch, width, height, dim]``. Options are those of
    :class:`PLSTM2d`."""

    def __init__(self, dim: int, heads: int, mode: Mode, **options: Any) -> None:
        super().__init__()
        factory: dict[str, Any] = {key: options.get(key) for key in ("device", "dtype")}
        self.norm1 = nn.RMSNorm(dim, eps=1e-5, **factory)
        self.mixer = PLSTM2d(dim, heads, mode, **options)
        self.norm2 = nn.RMSNorm(dim, eps=1e-5, **factory)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim, **factory), nn.GELU(), nn.Linear(4 * dim, dim, **factory))

    def forward(self, x: Float[Tensor, "batch width height dim"]) -> Float[Tensor, "batch width height dim"]:
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PLSTMVis(nn.Module):
    """Images, ``[batch, channels, rows, columns]``, to class scores.

    Parameters
    ----------
    num_classes, in_channels, image_size, patch_size : of the images; other sizes that are whole patches do as well
    dim, heads : width, and into how many heads it is split
    modes : the modes of the blocks, in turn
    position : a learnt embedding of places (resized bicubically for other image sizes), or none
    options : of :class:`PLSTM2d`: ``gates``, ``variant``, ``chirality``, ``method``, ``levels``

    Notes
    -----
    The head sees the four corners side by side: each is where one direction ends. Directions are all four.

    Source: arXiv 2506.11997, section 4 and appendix; ``PLSTMVis.sized("T")`` and so on are the paper's.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 192,
        heads: int = 3,
        modes: str = "PD" * 6,
        position: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"patch_size: {patch_size} doesn't divide image_size {image_size}; give a divisor")
        if not modes or set(modes) - set("PD"):
            raise ValueError(f"modes: got {modes!r}; give a letter a block, P or D")
        factory: dict[str, Any] = {key: options.get(key) for key in ("device", "dtype")}
        self.patches = nn.Conv2d(in_channels, dim, patch_size, patch_size, **factory)
        side = image_size // patch_size
        start = 0.02 * torch.randn(dim, side, side, **factory) if position else None
        self.position: nn.Parameter | None
        self.register_parameter("position", None if start is None else nn.Parameter(start))
        self.blocks = nn.Sequential(*(PLSTMBlock(dim, heads, cast(Mode, mode), **options) for mode in modes))
        self.norm = nn.RMSNorm(dim, eps=1e-5, **factory)
        self.head = nn.Linear(4 * dim, num_classes, **factory)

    @classmethod
    def sized(cls, size: Literal["T", "S", "B"], num_classes: int, **options: Any) -> PLSTMVis:
        """The paper's tiny, small and base: 6 pairs of blocks of width 192, 384 or 768."""
        if size not in SIZES:
            raise ValueError(f"size: got {size!r}; use 'T', 'S' or 'B'")
        dim, heads = SIZES[size]
        return cls(num_classes, dim=dim, heads=heads, **options)

    def forward(self, images: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch classes"]:
        x = self.patches(images)
        if self.position is not None:
            place: Tensor = self.position
            if place.shape[1:] != x.shape[2:]:
                place = nn.functional.interpolate(place[None], x.shape[2:], mode="bicubic", align_corners=False)[0]
            x = x + place
        x = self.norm(self.blocks(x.permute(0, 3, 2, 1)))  # the grid's x is the image's column
        return self.head(torch.cat([x[:, i, j] for i in (0, -1) for j in (0, -1)], -1))
