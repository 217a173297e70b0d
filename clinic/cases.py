"""The corpus: which scripts there are, what each header says of them, and which third of them is held out.

``faulty/NAME.py`` has a known fault, ``twins/NAME.py`` is the same script repaired, ``healthy/NAME.py`` never had one.
The header is the module's docstring: a sentence or two, a blank line, then ``key: value`` lines (see README.md).
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

from surefoot.findings.catalogue import explanations

Kind = Literal["faulty", "twins", "healthy"]
Split = Literal["tuned", "held-out", "all"]
KINDS: tuple[Kind, ...] = ("faulty", "twins", "healthy")
SPLITS: tuple[Split, ...] = ("tuned", "held-out", "all")
CORPUS = Path(__file__).parent
KEYS = {
    "condition": "the id of what is wrong, or healthy",
    "accepts": "ids that are right at rank 1",
    "allows": "ids that may follow below rank 1",
    "infos": "ids of infos that are right in a healthy script",
    "metric": "the name of a number that the script prints, and min or max",
    "harm": "latent, where the metric does not show the fault",
    "ranks": "how many processes torchrun starts",
}
_LINE = re.compile(r"([a-z]+):\s*(\S.*)")


@dataclass(frozen=True)
class Case:
    """One script of the corpus, as its header tells of it.

    Attributes
    ----------
    kind, name, path : which script it is
    about : what is trained
    condition : the finding that is right, or ``healthy``
    accepts : ids that are right at rank 1, the condition first; none where it is healthy
    allows : ids that may be told at warning or above below rank 1
    infos : info-only ids that are right in a healthy script
    metric, better : the number that the script prints, and which way it gets better
    latent : the fault does no harm that the metric shows
    ranks : processes that train it together
    """

    kind: Kind
    name: str
    path: Path
    about: str
    condition: str
    metric: str
    better: Literal["min", "max"]
    accepts: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    latent: bool = False
    ranks: int = 1

    @property
    def held_out(self) -> bool:
        """Whether the script is of the third that nobody looks at while rules are tuned."""
        return held_out(self.name)


def held_out(name: str) -> bool:
    """Whether a script of this name is held out: a hash decides, the same for a script and its twin.

    What was held out once and has been looked at since is listed in ``opened.txt``, and is no blind test any more.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0 and name not in _opened()


def load(
    split: Split = "all", only: Sequence[str] = (), corpus: Path = CORPUS
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Read the headers of a part of the corpus.

    Parameters
    ----------
    split : which part
    only : names or globs such as ``gan*``; empty for all
    corpus : the folder with ``faulty``, ``twins`` and ``healthy``

    Returns
    -------
    cases, problems
        Those that can be run, faulty ones first; and a line for each file that cannot, saying why.

    Raises
    ------
    ValueError
        For a name that no script has, or that is of the other part.
    """
    paths = {
        kind: {path.stem: path for path in sorted((corpus / kind).glob("*.py")) if path.stem != "__init__"}
        for kind in KINDS
    }
    names = sorted({name for found in paths.values() for name in found})
    for pattern in only:
        _known(pattern, names, split)
    chosen = [
        name
        for name in names
        if (not only or any(fnmatchcase(name, pattern) for pattern in only)) and _within(name, split)
    ]
    cases, problems = [], []
    for kind in KINDS:
        for name in chosen:
            if name in paths[kind]:
                try:
                    cases.append(read(paths[kind][name], kind))
                except ValueError as error:
                    problems.append(str(error))
    kept, alone = _paired(cases, paths)
    return kept, (*problems, *alone)


def read(path: Path, kind: Kind) -> Case:
    """The case in a file.

    Raises
    ------
    ValueError
        The file is no script of the corpus; the message says what is missing or wrong in its header.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise ValueError(f"{where}: line {error.lineno} is no Python: {error.msg}") from error
    if _imports_surefoot(tree):
        raise ValueError(f"{where}: imports surefoot; scripts of the clinic are run as if they had never heard of it")
    about, keys = _header(ast.get_docstring(tree), where)
    condition = keys["condition"]
    healthy = condition == "healthy"
    if healthy == (kind == "faulty"):
        want = "the id of its fault" if kind == "faulty" else "healthy"
        raise ValueError(f"{where}: condition: got {condition!r}; a script in {kind}/ wants {want}")
    for key in ("accepts", "allows") if healthy else ("infos",):
        if key in keys:
            raise ValueError(f"{where}: {key}: is for {'faulty' if healthy else 'healthy'} scripts only; leave it away")
    ids = {key: _ids(keys.get(key, ""), key, where) for key in ("accepts", "allows", "infos")}
    if not healthy:
        _ids(condition, "condition", where)
        if condition in info_only():
            raise ValueError(f"{where}: condition: {condition} is never more than an info; it fits no faulty script")
        ids["accepts"] = tuple(dict.fromkeys((condition, *ids["accepts"])))
    metric, better = _metric(keys["metric"], where)
    return Case(
        kind=kind,
        name=path.stem,
        path=path,
        about=about,
        condition=condition,
        metric=metric,
        better=better,
        latent=_latent(keys.get("harm"), where),
        ranks=_ranks(keys.get("ranks", "1"), where),
        **ids,
    )


@cache
def info_only() -> frozenset[str]:
    """The ids that are never more than an info: they are scored apart."""
    return frozenset(id for id, entry in explanations().items() if entry.severities.startswith("info only"))


@cache
def _opened() -> frozenset[str]:
    lines = (CORPUS / "opened.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _within(name: str, split: Split) -> bool:
    return split == "all" or held_out(name) == (split == "held-out")


def _known(pattern: str, names: Sequence[str], split: Split) -> None:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        close = difflib.get_close_matches(pattern, names, 3)
        raise ValueError(f"--only: no script is named {pattern!r}{_perhaps(close)}")
    if not any(_within(name, split) for name in found):
        other = "all" if split == "tuned" else "tuned"
        part = "held out, and not looked at while rules are tuned" if split == "tuned" else "not held out"
        raise ValueError(f"--only: {pattern!r} is {part}; add --split {other} to run it all the same")


def _paired(cases: Sequence[Case], paths: dict[Kind, dict[str, Path]]) -> tuple[tuple[Case, ...], list[str]]:
    """The cases less faulty ones that have no twin and twins of nothing, and what was wrong with those."""
    there = {(case.kind, case.name): case for case in cases}
    other: dict[Kind, Kind] = {"faulty": "twins", "twins": "faulty"}
    kept, problems = [], []
    for case in cases:
        partner = there.get((other.get(case.kind, case.kind), case.name))
        if partner is None:
            missing = other[case.kind]
            if case.name not in paths[missing]:
                problems.append(f"{case.kind}/{case.name}.py: has no {missing}/{case.name}.py")
        elif (partner.metric, partner.better) != (case.metric, case.better):
            if case.kind == "twins":
                problems.append(
                    f"twins/{case.name}.py: metric: got '{case.metric} {case.better}', and faulty/{case.name}.py has "
                    f"'{partner.metric} {partner.better}'; they are compared by it, so it must be the same"
                )
        else:
            kept.append(case)
    return tuple(kept), problems


def _header(text: str | None, where: str) -> tuple[str, dict[str, str]]:
    form = "a sentence on what is trained, a blank line, then lines such as 'condition: dead-units'"
    blocks = re.split(r"\n\s*\n", (text or "").strip())
    if len(blocks) < 2:
        raise ValueError(f"{where}: the docstring at its top is no header; it wants {form}")
    keys: dict[str, str] = {}
    for line in re.sub(r"\n\s+", " ", blocks[-1]).splitlines():  # a line that is set in continues the one above
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{where}: header: cannot read {line.strip()!r}; it wants {form}")
        key, value = match.groups()
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, 1)
            raise ValueError(f"{where}: header: there is no key {key!r}{_perhaps(close or KEYS)}")
        if key in keys:
            raise ValueError(f"{where}: header: {key} is there twice; keep one")
        keys[key] = value.strip()
    for key in ("condition", "metric"):
        if key not in keys:
            raise ValueError(f"{where}: header: {key} is missing; it is {KEYS[key]}")
    return " ".join(" ".join(blocks[:-1]).split()), keys


def _ids(text: str, key: str, where: str) -> tuple[str, ...]:
    ids = tuple(filter(None, (part.strip() for part in text.split(","))))
    for id in ids:
        if id not in explanations():
            close = difflib.get_close_matches(id, explanations(), 3)
            raise ValueError(f"{where}: {key}: no finding is named {id!r}{_perhaps(close)}")
    return ids


def _metric(text: str, where: str) -> tuple[str, Literal["min", "max"]]:
    name, _, better = text.rpartition(" ")
    if not name.strip() or better not in ("min", "max"):
        raise ValueError(f"{where}: metric: got {text!r}; it wants a name and min or max, such as 'loss min'")
    return name.strip(), "min" if better == "min" else "max"


def _latent(text: str | None, where: str) -> bool:
    if text not in (None, "latent"):
        raise ValueError(f"{where}: harm: got {text!r}; it is 'latent' where the metric shows none, else left away")
    return text is not None


def _ranks(text: str, where: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{where}: ranks: got {text!r}; it wants a number of processes, 1 or more")
    return int(text)


def _perhaps(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"; did you mean {listed}?" if listed else ""


def _imports_surefoot(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] == "surefoot" for name in names):
            return True
    return False
