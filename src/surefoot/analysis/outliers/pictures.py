"""The samples of opposing groups as pictures: what one sees there is the shared feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    import plotly.graph_objects as go


def montage(images: Float[Tensor, "n height width"], columns: int = 10, gap: int = 1) -> Float[Tensor, "rows columns"]:
    """Many pictures in one: tiles from left to right, NaN between them and where there is none.

    Raises
    ------
    ValueError
        For no image, another number of dimensions, fewer than one column.
    """
    if images.dim() != 3 or len(images) == 0:
        raise ValueError(f"images: got shape {tuple(images.shape)}; must be (n, height, width) with n ≥ 1")
    if columns < 1:
        raise ValueError(f"columns: got {columns}; must be at least 1")
    n, height, width = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = images.new_full((rows * (height + gap) - gap, columns * (width + gap) - gap), float("nan"))
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def picture_groups(
    images: Float[Tensor, "n height width"],
    up: Int[Tensor, " up"],
    down: Int[Tensor, " down"],
    labels: Sequence[str] | None = None,
    count: int = 20,
    columns: int = 10,
    title: str = "",
) -> go.Figure:
    """Both groups' strongest samples in one figure: rising losses above, falling ones below.

    Parameters
    ----------
    images : all samples, one grey value a pixel
    up, down : positions, strongest first (from :func:`opposing_groups`)
    labels : of all samples; how often each occurs in a group is written beside it
    count : pictures a group at most

    Raises
    ------
    ValueError
        If both groups are empty.
    """
    from surefoot.plots import figure

    shown = [(name, index[:count].cpu()) for name, index in (("loss rose", up), ("loss fell", down)) if len(index)]
    if not shown:
        raise ValueError("up, down: both groups are empty; there is nothing to show")
    pixels = images.reshape(-1)
    # not to the extremes, which may be the outliers' own: the other pixels would all look alike
    pixels = pixels[:: max(1, pixels.numel() // 1_000_000)].float()
    low, high = (float(pixels.quantile(level)) for level in (0.005, 0.98))
    sheets = [montage(images[index.to(images.device)].cpu().float(), columns) for _, index in shown]
    width = max(sheet.shape[1] for sheet in sheets)
    gap, ticks, rows = images.shape[1] // 2 + 2, [], 0
    padded: list[Tensor] = []
    for (name, index), sheet in zip(shown, sheets, strict=True):
        if padded:
            padded.append(sheet.new_full((gap, width), float("nan")))
            rows += gap
        ticks.append((rows + sheet.shape[0] / 2, f"{name}<br>{_summary(index, labels)}"))
        padded.append(torch.nn.functional.pad(sheet, (0, width - sheet.shape[1]), value=float("nan")))
        rows += sheet.shape[0]
    heatmap: dict[str, Any] = {
        "type": "heatmap",
        "z": torch.cat(padded).tolist(),
        "colorscale": "Greys",
        "reversescale": True,
        "zmin": low,
        "zmax": high,
        "showscale": False,
        "hoverinfo": "skip",
    }
    plot = figure([heatmap], title=title)
    plot.update_xaxes(visible=False, constrain="domain")
    plot.update_yaxes(
        autorange="reversed",
        scaleanchor="x",
        showgrid=False,
        showline=False,
        ticks="",
        tickvals=[at for at, _ in ticks],
        ticktext=[text for _, text in ticks],
    )
    return plot


def _summary(index: Tensor, labels: Sequence[str] | None) -> str:
    if labels is None:
        return f"{len(index)} samples"
    names = [labels[i] for i in index.tolist()]
    counts = sorted({name: names.count(name) for name in names}.items(), key=lambda item: (-item[1], item[0]))
    return "<br>".join(f"{number} × {name}" for name, number in counts[:4])
