"""Fashion-MNIST (28 × 28 grey pictures of clothes, Xiao et al. 2017, arXiv 1708.07747), or a synthetic stand-in."""

from __future__ import annotations

import gzip
import hashlib
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
ADDRESS = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FILES = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
"""File name to the SHA-256 of what it holds when unpacked: the packing differs between mirrors."""


@dataclass(frozen=True)
class Clothes:
    """Pictures as rows of 784 values in [0, 1], labels, the names of the labels, and whether they are synthetic."""

    images: Float[Tensor, "n 784"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    synthetic: bool


def fetch(folder: Path) -> None:
    """Download the training set (31 MB) into a folder; files that are there and whole are left alone.

    Raises
    ------
    OSError
        If the server can't be reached, or sends something else than the known file.
    """
    for name, digest in FILES.items():
        path = folder / name
        if path.exists() and _digest(path.read_bytes()) == digest:
            continue
        with urllib.request.urlopen(ADDRESS + name, timeout=60) as answer:
            content = answer.read()
        if _digest(content) != digest:
            raise OSError(f"{ADDRESS + name} is not the file that was expected (SHA-256 differs); nothing was kept")
        path.write_bytes(content)


def _digest(packed: bytes) -> str:
    try:
        return hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (OSError, EOFError, zlib.error):  # not packed, cut short, damaged
        return ""


def clothes(n: int, folder: Path | None, seed: int = 0) -> Clothes:
    """The first n training pictures from a folder that :func:`fetch` filled; synthetic ones where there are none.

    Parameters
    ----------
    n : how many
    folder : where to look; None for synthetic pictures
    seed : of the synthetic ones

    Raises
    ------
    ValueError
        For n below 1 or above the 60,000 that there are.
    """
    if not 1 <= n <= 60_000:
        raise ValueError(f"n: got {n}; must be between 1 and 60000")
    if folder is None or not all((folder / name).exists() for name in FILES):
        return _synthetic(n, seed)
    images_name, labels_name = FILES
    images, labels = _content(folder / images_name, 16, n * 784), _content(folder / labels_name, 8, n)
    rows = torch.tensor(images.reshape(n, 784) / 255, dtype=torch.float32)
    return Clothes(rows, torch.tensor(labels.astype(np.int64)), NAMES, synthetic=False)


def _content(path: Path, header: int, size: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(header + size), np.uint8, offset=header)


def _synthetic(n: int, seed: int) -> Clothes:
    """Ten smooth random shapes; a bright block shared by two of them, and by a few pictures only, opposes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(10, 1, 5, 5, generator=generator)
    shapes = torch.nn.functional.interpolate(coarse, size=28, mode="bicubic", align_corners=False).squeeze(1)
    labels = torch.randint(10, (n,), generator=generator)
    pictures = 0.6 * shapes[labels].clamp(0, 1) + 0.15 * torch.rand(n, 28, 28, generator=generator)
    marked = ((labels == 2) | (labels == 6)) & (torch.rand(n, generator=generator) < 0.25)
    pictures[marked, :8, :] += 1.0
    names = tuple(f"shape {i}" for i in range(10))
    return Clothes(pictures.clamp(0, 1).reshape(n, 784), labels, names, synthetic=True)
