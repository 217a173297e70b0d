"""A study on disk: one file a finished seed, so that a stopped run goes on, and ``result.json`` over all of them.

``OUT/SLUG/SCALE/`` holds ``seeds/*.json``, ``figures/*.json`` (plotly), ``result.json`` and ``report.html``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.studies.frame import Figure, Measured, Scale, Study, StudyResult, Verdict, comparator, judge, stack

SCHEMA = 1


def folder(out: str | Path, slug: str, scale: Scale) -> Path:
    """Where a study of a scale is kept."""
    return Path(out) / slug / scale


def fingerprint(study: Study) -> dict[str, str]:
    """What a kept seed depends on: the study's code (its claims and its layout apart), surefoot and torch.

    The study's code is its module and those beside it named ``_SLUG_….py``.
    """
    import torch

    import surefoot

    file = Path(sys.modules[study.run.__module__].__file__ or "")
    trees = [
        ast.parse(part.read_text(encoding="utf-8")) for part in [file, *sorted(file.parent.glob(f"_{file.stem}_*.py"))]
    ]
    statements = [ast.dump(statement) for tree in trees for statement in tree.body]
    dumps = [dump for dump in statements if "'STUDY'" not in dump and "'CLAIMS'" not in dump]
    code = hashlib.sha256("\n".join(dumps).encode()).hexdigest()[:16]
    return {"code": code, "surefoot": surefoot.__version__, "torch": torch.__version__}


def write_seed(path: Path, study: Study, result: StudyResult, seconds: float, machine: Mapping[str, Any]) -> None:
    """Keep what one seed gave, how long it took, and where."""
    value = {
        "fingerprint": fingerprint(study),
        "seconds": seconds,
        **machine,
        "measured": {key: np.asarray(value, dtype=float).tolist() for key, value in result.measured.items()},
        "figures": [figure_json(figure) for figure in result.figures],
        "notes": list(result.notes),
    }
    write(path, value)


def read_seed(path: Path, study: Study) -> dict[str, Any] | None:
    """What a kept seed gave; None if there is none, or if study, surefoot or torch have changed since."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept.get("fingerprint") != fingerprint(study):
        return None
    kept["measured"] = {key: np.asarray(value, dtype=float) for key, value in kept["measured"].items()}
    return kept


def conclude(study: Study, scale: Scale, seeds: Mapping[int, dict[str, Any]], out: str | Path) -> dict[str, Any]:
    """Judge the claims over the seeds, and write ``result.json`` and the figures; returns the result."""
    home = folder(out, study.slug, scale)
    kept = [seeds[seed] for seed in sorted(seeds)]
    measured = stack([seed["measured"] for seed in kept])
    verdicts = judge(study, measured)
    drawn = [figure_json(figure) for figure in (study.figures(measured) if study.figures else ())] + kept[0]["figures"]
    notes = list(dict.fromkeys([*study.notes, *(note for seed in kept for note in seed["notes"])]))
    result = {
        "schema": SCHEMA,
        "study": study.slug,
        "title": study.title,
        "paper": study.paper,
        "scale": scale,
        "seeds": sorted(seeds),
        "claims": [_claim(verdict) for verdict in verdicts],
        "changed_claims": _changes(read(out, study.slug, scale), verdicts) if scale != "smoke" else [],
        "notes": notes,
        "figures": [{"name": item["name"], "title": item["title"]} for item in drawn],
        "measured": _listed(measured),
        "seconds": [seed["seconds"] for seed in kept],
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": kept[0]["versions"],
        "machine": kept[0]["machine"],
    }
    for item in drawn:
        write(home / "figures" / f"{item['name']}.json", item["plot"])
    write(home / "result.json", result)
    return result


def read(out: str | Path, slug: str, scale: Scale) -> dict[str, Any] | None:
    """The ``result.json`` of a study, None if it has not been run."""
    try:
        return json.loads((folder(out, slug, scale) / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def best(out: str | Path, slug: str) -> dict[str, Any] | None:
    """The result at the largest scale that has one."""
    scales: tuple[Scale, ...] = ("paper", "small", "smoke")
    return next((result for scale in scales if (result := read(out, slug, scale)) is not None), None)


def plots_of(result: Mapping[str, Any], out: str | Path) -> list[dict[str, Any]]:
    """The figures of a result: name, title and plotly's data and layout."""
    home = folder(out, result["study"], result["scale"]) / "figures"
    return [
        {**item, "plot": json.loads((home / f"{item['name']}.json").read_text(encoding="utf-8"))}
        for item in result["figures"]
    ]


def standing(result: Mapping[str, Any] | None) -> str:
    """``holds`` if every claim does, ``does not hold``, or ``not run``: a smoke run proves nothing."""
    if result is None or result["scale"] == "smoke":
        return "not run"
    return "holds" if all(claim["holds"] for claim in result["claims"]) else "does not hold"


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure as JSON; without its template, which the page that shows it has."""
    plot = json.loads(figure.plot.to_json())
    plot["layout"].pop("template", None)
    return {"name": figure.name, "title": figure.title, "plot": {"data": plot["data"], "layout": plot["layout"]}}


def write(path: Path, value: Mapping[str, Any] | str) -> None:
    """Write JSON, or text, in one go: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = value if isinstance(value, str) else json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def _claim(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    shown = {}
    for key, values in verdict.values.items():
        finite = all(map(math.isfinite, values))
        spread = float(np.std(values, ddof=1)) if finite and len(values) > 1 else None
        shown[key] = {"mean": float(np.mean(values)), "spread": spread, "values": list(values)}
    return {
        "name": claim.name,
        "paper": claim.paper,
        "expected": claim.expected,
        "comparator": comparator(claim),
        "measured": shown,
        "holds": verdict.holds,
    }


def _changes(before: Mapping[str, Any] | None, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Comparators that differ from those of the result before, after the changes that it listed itself."""
    if before is None:
        return []
    now = {verdict.claim.name: comparator(verdict.claim) for verdict in verdicts}
    was = {claim["name"]: claim["comparator"] for claim in before["claims"]}
    changed = [
        {"name": name, "from": was.get(name), "to": now.get(name), "when": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        for name in {**was, **now}
        if was.get(name) != now.get(name)
    ]
    return [*before["changed_claims"], *changed]


def _listed(measured: Measured) -> dict[str, Any]:
    return {key: value.tolist() for key, value in measured.items()}


def _plain(value: Any) -> Any:
    """With non-finite numbers as the strings "nan", "inf" and "-inf", which ``float`` reads again."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
