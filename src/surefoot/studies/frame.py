"""What a study is: a paper's claims, each with its comparator, and a function that measures one seed."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "paper")
Measured = dict[str, np.ndarray]
"""Name to values: of one seed, numbers or arrays; over seeds, the same with the seeds as the first axis."""


@dataclass(frozen=True)
class Figure:
    """A plot of a study.

    Parameters
    ----------
    name : file name without ending, such as ``"test-accuracy"``
    title : one line, shown above the plot
    plot : a plotly figure, built with :func:`surefoot.plots.figure`
    """

    name: str
    title: str
    plot: Any


@dataclass(frozen=True)
class StudyResult:
    """What one seed gives: measured values (numbers or arrays, of one shape over seeds), figures, remarks."""

    measured: Measured
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One statement of a paper in computable form.

    Parameters
    ----------
    name : the claim in one sentence
    paper : the paper's own number, with its figure or table
    expected : what should come out at the study's size
    compare : takes the values measured over seeds and says whether the claim holds; fixed before the first full run
    measured : the key, or keys, of the measured values that are shown beside the verdict
    """

    name: str
    paper: str
    expected: str
    compare: Callable[[Measured], bool]
    measured: str | tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the values shown beside the verdict."""
        return (self.measured,) if isinstance(self.measured, str) else self.measured


@dataclass(frozen=True)
class Study:
    """A paper's study.

    Parameters
    ----------
    slug : the name on the command line, and of the module
    title : what the study is about, one line
    paper : authors, title, venue, identifier
    claims : what is judged
    run : measures ONE seed at a scale: ``run(scale, seed)``
    figures : draws plots from the values measured over all seeds; those of the first seed's result are kept beside them
    minutes : scale to the predicted minutes of ONE seed on one core
    setup : fetches data into the folder it is given, for ``surefoot study setup``; None if there is none to fetch
    notes : what is reconstructed, and other remarks that hold at any scale
    """

    slug: str
    title: str
    paper: str
    claims: tuple[Claim, ...]
    run: Callable[[Scale, int], StudyResult]
    figures: Callable[[Measured], tuple[Figure, ...]] | None = None
    minutes: Mapping[str, float] = field(default_factory=dict)
    setup: Callable[[Path], None] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A claim after measurement: the values of each seed for each shown key, and whether the claim holds."""

    claim: Claim
    values: Mapping[str, tuple[float, ...]]
    holds: bool


@cache
def every() -> Mapping[str, Study]:
    """All studies, by slug, in alphabetical order."""
    import surefoot.studies as package

    found = (_study(module.name) for module in pkgutil.iter_modules(package.__path__))
    return {study.slug: study for study in sorted(filter(None, found), key=lambda study: study.slug)}


def find(slug: str) -> Study:
    """The study of a slug.

    Raises
    ------
    ValueError
        If there is none, with the slugs that there are.
    """
    import surefoot.studies as package

    names = {module.name for module in pkgutil.iter_modules(package.__path__)}
    study = _study(slug) if slug in names else None
    if study is None:
        raise ValueError(f"SLUG: there is no study {slug!r}; there are {', '.join(every())}")
    return study


def stack(results: Sequence[Measured]) -> Measured:
    """Put the values of each seed under each other: every array gets the seeds as its first axis.

    Raises
    ------
    ValueError
        If there is no seed, or if seeds differ in their keys or in a key's shape.
    """
    if not results:
        raise ValueError("results: no seed to stack; give at least one")
    stacked = {}
    for key in results[0]:
        values = [np.asarray(result[key], dtype=float) for result in results if key in result]
        if len(values) != len(results) or len({value.shape for value in values}) > 1:
            raise ValueError(f"results: {key!r} must be there with one shape in all seeds; got {_shapes(results, key)}")
        stacked[key] = np.stack(values)
    extra = {key for result in results for key in result} - set(stacked)
    if extra:
        raise ValueError(f"results: {sorted(extra)} are missing in the first seed")
    return stacked


def judge(study: Study, measured: Measured) -> tuple[Verdict, ...]:
    """Compare the values measured over seeds with each claim.

    Raises
    ------
    ValueError
        If a claim shows a value that was not measured.
    """
    verdicts = []
    for claim in study.claims:
        missing = [key for key in claim.keys if key not in measured]
        if missing:
            raise ValueError(f"{study.slug}: claim {claim.name!r} shows {missing}; measured are {', '.join(measured)}")
        # An array a seed is shown by its mean.
        values = {key: measured[key].reshape(len(measured[key]), -1).mean(axis=1) for key in claim.keys}
        shown = {key: tuple(value.tolist()) for key, value in values.items()}
        verdicts.append(Verdict(claim, shown, bool(claim.compare(measured))))
    return tuple(verdicts)


def comparator(claim: Claim) -> str:
    """The source of a claim's comparator, independent of its layout, with the values that it closes over."""
    compare = claim.compare
    code = getattr(compare, "__code__", None)
    if code is None:
        return repr(compare)
    tree = ast.parse(Path(code.co_filename).read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda | ast.FunctionDef)]
    here = [node for node in nodes if node.lineno == code.co_firstlineno]
    closed = inspect.getclosurevars(compare).nonlocals
    return "; ".join([*map(ast.unparse, here), *(f"{name} = {value!r}" for name, value in sorted(closed.items()))])


def data_folder(slug: str) -> Path:
    """Where ``surefoot study setup`` puts a study's data: under ``$XDG_CACHE_HOME``, by default ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "surefoot" / slug


_listener: ContextVar[Callable[[float], None] | None] = ContextVar("listener", default=None)


def advance(fraction: float) -> None:
    """Tell the progress bar which share of this seed is done; a study may call it as often as it likes, or never."""
    listener = _listener.get()
    if listener is not None:
        listener(min(1.0, max(0.0, float(fraction))))


def listen(listener: Callable[[float], None] | None) -> None:
    """Have :func:`advance` call ``listener`` in this process."""
    _listener.set(listener)


def _study(module: str) -> Study | None:
    study = getattr(import_module(f"surefoot.studies.{module}"), "STUDY", None)
    return study if isinstance(study, Study) else None


def _shapes(results: Sequence[Measured], key: str) -> str:
    return ", ".join(str(np.shape(result[key])) if key in result else "none" for result in results)
