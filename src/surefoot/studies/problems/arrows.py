"""Arrow pointing: does the arrow point at the disc? As images, and as symbols on a small grid.

Source: arXiv 2506.11997, section 5.1 and appendix; built from its description.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

MARGIN = 1.2  # no arrow points between the disc's radius over this and times this
PADDING = 30


def arrow_pointing(
    n: int, size: int = 192, seed: int = 0, *, radius: tuple[float, float] = (15.0, 30.0), clear: bool = True
) -> tuple[Float[Tensor, "n 1 size size"], Int[Tensor, " n"]]:
    """White images with a black disc and an arrow; label 1 where the arrow points at the disc.

    Parameters
    ----------
    n, size, seed : how many, their side in pixels (at least 192 for the default radii), of which randomness
    radius : range of the disc's radius; lengths and places go with it
    clear : leave out angles that miss the disc's rim by less than a factor of 1.2

    Raises
    ------
    ValueError
        If the images are too small for the largest disc and a distance of two radii.
    """
    if size - 2 * PADDING < 4 * radius[1]:
        raise ValueError(f"size: {size} pixels is too small; give {int(2 * PADDING + 4 * radius[1])} or more")
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: Tensor | float, high: Tensor | float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape or (n,), generator=generator)

    r = uniform(*radius)
    length = torch.randint(int(radius[0]), int(radius[1]), (n,), generator=generator).float()
    width = torch.randint(2, 4, (n,), generator=generator).float()
    area = float(size - 2 * PADDING)
    arrow = uniform(0.0, area, n, 2)
    # at least two radii away along each axis, round the edges of the area
    target = arrow + 2 * r[:, None] + (area - 4 * r[:, None]) * uniform(0.0, 1.0, n, 2)
    target = torch.where(target > area, target - area, target)
    offset = target - arrow
    hit = torch.rand(n, generator=generator) < 0.5
    factor = torch.where(hit, torch.tensor(1 / MARGIN), torch.tensor(MARGIN)) if clear else torch.ones(n)
    half = torch.asin((factor * r / offset.norm(dim=1)).clamp_max(1.0))
    spread = torch.rand(n, generator=generator)
    turn = torch.where(hit, half * (2 * spread - 1), half + (2 * math.pi - 2 * half) * spread)
    angle = torch.atan2(offset[:, 1], offset[:, 0]) + turn
    images = torch.ones(n, 1, size, size)
    pixel = torch.arange(size) + 0.5 - PADDING
    for i in range(n):
        rows, columns = pixel[:, None], pixel[None]
        inside = (columns - target[i, 0]) ** 2 + (rows - target[i, 1]) ** 2 <= r[i] ** 2
        way = torch.stack([angle[i].cos(), angle[i].sin()])
        tip, tail = arrow[i] + way * length[i] / 2, arrow[i] - way * length[i] / 2
        ends = [tail]
        for bend in (math.pi - 0.5, math.pi + 0.5):
            side = torch.stack([(angle[i] + bend).cos(), (angle[i] + bend).sin()])
            ends.append(tip + side * (length[i] // 2.5))
        for end in ends:
            inside |= _distance(columns, rows, tip, end) <= width[i] / 2
        images[i, 0][inside] = 0.0
    return images, hit.long()


def symbolic_arrow_pointing(n: int, grid: int, seed: int) -> tuple[Float[Tensor, "n grid grid 4"], Int[Tensor, " n"]]:
    """Grids with an arrow's cell and a target's, at least three cells apart; label 1 where the arrow's ray passes the
    target within 1.2 cells. Features: is the arrow, cosine and sine of its angle, is the target.

    Angles that miss the rim by less than a factor of 1.2 are left out, as in the images.

    Raises
    ------
    ValueError
        If the grid is too small for a distance of three.
    """
    if grid < 4:
        raise ValueError(f"grid: got {grid}; arrow and target are three cells apart, so give 4 or more")
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(0, grid, (2, n, 2), generator=generator)
    while True:
        near = (places[0] - places[1]).float().norm(dim=1) < 3
        if not near.any():
            break
        places[:, near] = torch.randint(0, grid, (2, int(near.sum()), 2), generator=generator)
    arrow, target = places
    offset = (target - arrow).float()
    hit = torch.rand(n, generator=generator) < 0.5
    reach = torch.where(hit, torch.tensor(1.2 / MARGIN), torch.tensor(1.2 * MARGIN))
    half = torch.asin(reach / offset.norm(dim=1))
    spread = torch.rand(n, generator=generator)
    turn = torch.where(hit, half * (2 * spread - 1), half + (2 * math.pi - 2 * half) * spread)
    angle = torch.atan2(offset[:, 1], offset[:, 0]) + turn
    features, sample = torch.zeros(n, grid, grid, 4), torch.arange(n)
    at = torch.stack([torch.ones(n), angle.cos(), angle.sin()], 1)
    features[sample, arrow[:, 0], arrow[:, 1], :3] = at
    features[sample, target[:, 0], target[:, 1], 3] = 1.0
    return features, hit.long()


def _distance(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """From each pixel to the line between two points."""
    along = b - a
    t = (((x - a[0]) * along[0] + (y - a[1]) * along[1]) / along.square().sum()).clamp(0, 1)
    return ((x - a[0] - t * along[0]) ** 2 + (y - a[1] - t * along[1]) ** 2).sqrt()
