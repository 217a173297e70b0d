"""A phase diagram: one measurement a point of a grid, kept in a file as it grows, so that it can be resumed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.analysis.memorisation.phases import PHASES

if TYPE_CHECKING:
    import plotly.graph_objects as go

Cell = Mapping[str, float | str]


@dataclass(frozen=True)
class PhaseDiagram:
    """Values over a grid.

    Attributes
    ----------
    axes : name to grid values, in the order of the arrays' dimensions
    values : name to array over the grid: floats, or the names of phases
    """

    axes: dict[str, tuple[float, ...]]
    values: dict[str, np.ndarray]

    def plot(self, name: str = "phase", x: str | None = None, y: str | None = None, **fixed: float) -> go.Figure:
        """A map of one value over two axes, the others held at the grid values given in ``fixed``.

        Raises
        ------
        ValueError
            If a name or a fixed value is not in the diagram.
        """
        from surefoot.plots import SERIES, figure

        if name not in self.values:
            raise ValueError(f"name must be one of {sorted(self.values)}, got {name!r}")
        free = [axis for axis in self.axes if axis not in fixed]
        x, y = x or free[0], y or next((axis for axis in free if axis != (x or free[0])), free[-1])
        if {x, y} != set(free) or len(free) != 2:
            raise ValueError(f"give all axes but two as fixed values; free are {free}, x and y {x!r}, {y!r}")
        for axis, value in fixed.items():
            if axis not in self.axes or value not in self.axes[axis]:
                raise ValueError(f"{axis} must be one of {self.axes.get(axis)}, got {value}")
        where = tuple(self.axes[axis].index(fixed[axis]) if axis in fixed else slice(None) for axis in self.axes)
        grid = self.values[name][where]
        grid = grid if free[0] == y else grid.T
        axes = {"type": "heatmap", "x": [str(v) for v in self.axes[x]], "y": [str(v) for v in self.axes[y]]}
        title = ", ".join([name, *(f"{axis} = {value:g}" for axis, value in fixed.items())])
        if grid.dtype.kind == "f":
            return figure([axes | {"z": grid, "colorscale": "Viridis"}], title=title, x=x, y=y)
        kinds = [phase for phase in PHASES if phase in grid] + sorted(set(grid.flat) - set(PHASES))
        colours = [SERIES[(PHASES.index(k) if k in PHASES else i) % len(SERIES)] for i, k in enumerate(kinds)]
        edges = np.arange(len(kinds) + 1) / len(kinds)
        scale = [[edges[i + j], colour] for i, colour in enumerate(colours) for j in (0, 1)]
        named: dict[str, Any] = {"tickvals": list(range(len(kinds))), "ticktext": kinds}
        codes = np.array([[kinds.index(cell) for cell in row] for row in grid])
        trace = axes | {
            "z": codes,
            "text": grid,
            "hovertemplate": f"{x} %{{x}}, {y} %{{y}}: %{{text}}<extra></extra>",
            "colorscale": scale,
            "zmin": -0.5,
            "zmax": len(kinds) - 0.5,
            "colorbar": named,
            "xgap": 2,
            "ygap": 2,
        }
        if len(self.axes[x]) <= 6:
            trace["texttemplate"] = "%{text}"
        return figure([trace], title=title, x=x, y=y)


def phase_diagram(
    measure: Callable[..., Cell],
    axes: Mapping[str, Sequence[float]],
    file: str | Path | None = None,
    settings: Mapping[str, float | str | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PhaseDiagram:
    """Measure every point of a grid, for instance data fraction × corruption × weight decay.

    Parameters
    ----------
    measure : called with the axes' names as keywords; trains and returns a mapping of names to numbers or to a phase.
        Every point must return the same names
    axes : name to values
    file : where finished points are kept, a JSON line each; points in it are not measured again
    settings : what else the measurement depends on; a file made with other settings is refused
    progress : called with (points done, points in all) after each point

    Raises
    ------
    ValueError
        If there is no axis, an axis is empty or repeats a value, the file was made with other settings, or a point
        returns other names.
    """
    grid = {name: tuple(float(value) for value in values) for name, values in axes.items()}
    if not grid or any(not values or len(set(values)) < len(values) for values in grid.values()):
        raise ValueError(f"axes must be non-empty lists of distinct values, got {dict(axes)}")
    path = None if file is None else Path(file)
    head = {"axes": list(grid), "settings": dict(settings or {})}
    done = _finished(path, head)
    points = list(itertools.product(*grid.values()))
    for number, point in enumerate(points, 1):
        if point not in done:
            done[point] = dict(measure(**dict(zip(grid, point, strict=True))))
            if path is not None:
                with path.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"point": point, "values": done[point]}) + "\n")
        if set(done[point]) != set(done[points[0]]):
            raise ValueError(f"measure returned {sorted(done[point])} at {point}, but {sorted(done[points[0]])} before")
        if progress is not None:
            progress(number, len(points))
    shape = tuple(len(values) for values in grid.values())
    values = {name: np.array([done[point][name] for point in points]).reshape(shape) for name in done[points[0]]}
    return PhaseDiagram(grid, values)


def _finished(path: Path | None, head: dict[str, Any]) -> dict[tuple[float, ...], dict[str, float | str]]:
    """The points in the file; writes the head line of a new one. A half-written last line is cut off."""
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    lines = whole.splitlines()
    if not lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(head) + "\n", encoding="utf-8")
        return {}
    if json.loads(lines[0]) != json.loads(json.dumps(head)):
        raise ValueError(f"file {path} was made with {lines[0]}, not with {json.dumps(head)}; take another file")
    rows = [json.loads(line) for line in lines[1:]]
    return {tuple(row["point"]): row["values"] for row in rows}
