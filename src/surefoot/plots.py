"""The one figure template: colours, type and axes of every figure that surefoot draws.

Results' ``.plot()`` methods call :func:`figure`. The HTML report draws with the same template, but with CSS variables
in place of colours, so that its figures follow the reader's light or dark theme. plotly is imported inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go

# One role, one colour. The contrast of ink, muted ink and the severities on their surface is at least 4.5 : 1.
LIGHT: Mapping[str, str] = {
    "page": "#f6f7f9",
    "surface": "#ffffff",
    "sunken": "#f1f3f6",
    "ink": "#1a1f29",
    "muted": "#5b6472",
    "line": "#dde1e7",
    "accent": "#2662b8",
    "critical": "#c02f26",
    "warning": "#96600a",
    "info": "#2662b8",
    "healthy": "#1f7a4d",
    "context": "#c3c8d0",
}
DARK: Mapping[str, str] = {
    "page": "#12151b",
    "surface": "#1a1e26",
    "sunken": "#222731",
    "ink": "#e7eaf0",
    "muted": "#9aa4b4",
    "line": "#303743",
    "accent": "#7fb0f5",
    "critical": "#ff7d72",
    "warning": "#eab04a",
    "info": "#7fb0f5",
    "healthy": "#5fcf98",
    "context": "#4a5261",
}
# Told apart by readers with any colour vision, on either surface.
SERIES: tuple[str, ...] = ("#3f7fd0", "#e07b28", "#1d9a80", "#c2568f", "#8b6fd1", "#a88a14", "#45a5bd", "#8a7060")
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def template(colours: Mapping[str, str] = LIGHT) -> dict[str, Any]:
    """The layout that every figure starts from, as plotly's ``layout.template``.

    Parameters
    ----------
    colours
        Role to colour: :data:`LIGHT`, :data:`DARK`, or CSS variables that the page resolves.
    """
    axis = {
        "gridcolor": colours["line"],
        "linecolor": colours["line"],
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": colours["line"],
        "automargin": True,
        "exponentformat": "power",
        "title": {"font": {"size": 12, "color": colours["muted"]}, "standoff": 8},
    }
    bar = {"thickness": 10, "outlinewidth": 0, "ticklen": 3, "tickcolor": colours["line"]}
    return {
        "layout": {
            "font": {"family": SANS, "size": 12, "color": colours["ink"]},
            "title": {"font": {"size": 15}, "x": 0, "xanchor": "left", "xref": "paper"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(SERIES),
            "margin": {"l": 56, "r": 16, "t": 24, "b": 40},
            "xaxis": axis | {"showgrid": False},
            "yaxis": axis,
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": colours["surface"],
                "bordercolor": colours["line"],
                "font": {"family": SANS, "size": 12, "color": colours["ink"]},
                "namelength": 48,
            },
            "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top", "font": {"size": 11}},
        },
        "data": {"heatmap": [{"colorbar": bar}], "scatter": [{"line": {"width": 1.6}}]},
    }


def figure(
    traces: Sequence[Any],
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> go.Figure:
    """A figure in the house's template.

    Parameters
    ----------
    traces
        plotly traces, or dictionaries such as those of :func:`line`.
    title, x, y
        What the figure shows, and what its axes are (with units).
    log_x, log_y
        Logarithmic axes.
    """
    import plotly.graph_objects as go

    result = go.Figure(data=list(traces))
    # plotly's own template object would validate the same keys again; updating the layout is enough and quicker.
    result.update_layout(template=template())
    result.update_layout(title={"text": title})
    if title:
        result.update_layout(margin={"t": 52})
    result.update_xaxes(title={"text": x}, type="log" if log_x else None)
    result.update_yaxes(title={"text": y}, type="log" if log_y else None)
    return result


def line(name: str, x: Iterable[Any], y: Iterable[Any], mode: str = "lines") -> dict[str, Any]:
    """A trace of :func:`figure`: y over x, with its name in the legend; ``mode`` as in plotly."""
    return {"type": "scatter", "mode": mode, "name": name, "x": list(x), "y": list(y)}


def javascript() -> str:
    """The source of plotly.js as it comes with the plotly package, to be put into a page that works offline."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def density_traces(grid: np.ndarray, density: np.ndarray, atoms: np.ndarray, name: str) -> list[dict[str, Any]]:
    """A density as a line for a logarithmic axis, and what was found exactly as marks near its foot."""
    floor = float(density.max()) * 1e-7
    smooth = line("density", grid.tolist(), np.maximum(density, floor).tolist())
    marks = line(name, atoms.tolist(), [floor * 3] * len(atoms), "markers")
    marks |= {"marker": {"symbol": "line-ns-open", "size": 12}}
    return [smooth, marks] if len(atoms) else [smooth]
