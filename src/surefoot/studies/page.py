"""A study as one HTML file, and the atlas of all papers; both work offline and look like the report of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from surefoot import __version__, plots
from surefoot.report import wording
from surefoot.report.html import ASSETS, POLICY
from surefoot.studies.frame import Study
from surefoot.studies.store import standing

TONES = {"holds": "healthy", "does not hold": "warning"}
# The atlas leaves a study's plots to the study's own page once this many bytes of plots are in it.
MAX_PLOTS = 3_000_000
STYLE = """
.claims td { min-width: 7em; } .claims .pill, .claims .measured { white-space: nowrap; }
.card > summary { list-style: none; color: var(--ink); margin: 0; font-size: 15px; }
.card > summary::-webkit-details-marker { display: none; }
"""

Plots = Sequence[Mapping[str, Any]]


def study_page(result: Mapping[str, Any], figures: Plots) -> str:
    """The page of one study.

    Parameters
    ----------
    result : what ``result.json`` holds
    figures : its plots, from :func:`surefoot.studies.store.plots_of`
    """
    drawn: list[Any] = []
    word = "smoke run" if result["scale"] == "smoke" else standing(result)
    facts = {
        "Claims that hold": "not judged" if result["scale"] == "smoke" else _score(result),
        "Scale": str(result["scale"]),
        "Seeds": str(len(result["seeds"])),
        "Time of a seed": wording.seconds(max(result["seconds"])),
        "Finished": str(result["finished"])[:16].replace("T", " "),
    }
    lead = escape(str(result["paper"]))
    if result["scale"] == "smoke":
        lead += ". A smoke run shows that the study works; it judges no claim."
    body = f'<section><h2>Claims</h2><div class="panel">{_claims(result)}</div></section>'
    body += f"<section><h2>Plots</h2>{_plots(figures, drawn)}</section>" if figures else ""
    body += f'<section><h2>Remarks</h2><div class="panel">{_notes(result)}</div></section>'
    head = _head(word, str(result["title"]), lead, facts)
    return _page(f"{result['study']}: {word}", TONES.get(word, "none"), head, body, drawn)


def atlas(studies: Sequence[Study], results: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Plots]) -> str:
    """The page of all papers: whether their claims hold, do not hold, or were not run; each row opens.

    Parameters
    ----------
    studies : all studies, in the order of the rows
    results : slug to what its ``result.json`` holds, for those that were run
    figures : slug to its plots
    """
    drawn: list[Any] = []
    room = MAX_PLOTS
    rows = []
    tally = dict.fromkeys(("holds", "does not hold", "not run"), 0)
    for study in studies:
        result = results.get(study.slug)
        word = standing(result)
        tally[word] += 1
        tone = TONES.get(word, "none")
        if result is None:
            inside = f"<p>{escape(study.paper)}</p><p>Not run yet: <code>surefoot study run {study.slug}</code></p>"
            score = f"{len(study.claims)} claims"
        else:
            score = f"{_score(result)} claims, {result['scale']}, {wording.count(len(result['seeds']), 'seed')}"
            cost = len(json.dumps(figures.get(study.slug, ())))
            room -= cost
            place = f"<p>Plots: <code>{study.slug}/{result['scale']}/report.html</code></p>"
            pictures = _plots(figures.get(study.slug, ()), drawn) if room >= 0 else place
            inside = f"<p>{escape(study.paper)}</p>{_claims(result)}{pictures}<h4>Remarks</h4>{_notes(result)}"
        rows.append(
            f'<details class="card {tone}" id="{escape(study.slug)}"><summary class="title">'
            f'<h3>{escape(study.slug)}</h3><span class="pill">{word}</span><span>{escape(study.title)}</span>'
            f'<span class="muted">{score}</span></summary>{inside}</details>'
        )
    facts = {word.capitalize(): str(count) for word, count in tally.items()}
    head = _head(
        "Atlas", "of the papers", "What each paper claims, and what came out when it was measured here.", facts
    )
    tone = "none" if not results else "warning" if tally["does not hold"] else "healthy"
    return _page("Atlas of the papers", tone, head, f"<section>{''.join(rows)}</section>", drawn)


def measured(claim: Mapping[str, Any]) -> list[str]:
    """What was measured for a claim, a line a value: mean and spread (one standard deviation) over seeds."""
    lines = []
    for key, value in claim["measured"].items():
        text = f"{key.replace('_', ' ')}: {wording.number(float(value['mean']))}"
        lines.append(text if value["spread"] is None else f"{text} ± {wording.number(float(value['spread']), 2)}")
    return lines


def _score(result: Mapping[str, Any]) -> str:
    verdicts = [verdict(result, claim) for claim in result["claims"]]
    return f"{verdicts.count('holds')} of {len(verdicts)}"


def verdict(result: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    """``holds`` or ``does not hold``; ``not judged`` after a smoke run, whose sizes are too small for it."""
    if result["scale"] == "smoke":
        return "not judged"
    return "holds" if claim["holds"] else "does not hold"


def _claims(result: Mapping[str, Any]) -> str:
    rows = []
    for claim in result["claims"]:
        word = verdict(result, claim)
        tone = TONES.get(word, "none")
        values = "<br>".join(map(escape, measured(claim)))
        rows.append(
            f"<tr><td>{escape(claim['name'])}</td><td>{escape(claim['paper'])}</td><td>{escape(claim['expected'])}</td>"
            f'<td class="measured">{values}</td>'
            f'<td class="{tone}"><span class="pill">{word}</span></td></tr>'
            f'<tr><td colspan="5"><details><summary>Comparator and seeds</summary><pre><code>'
            f"{escape(claim['comparator'])}\n{escape(_seeds(claim))}</code></pre></details></td></tr>"
        )
    heads = "".join(f"<th>{name}</th>" for name in ("Claim", "Paper", "Expected here", "Measured", "Verdict"))
    return (
        f'<div class="scroll"><table class="claims"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )


def _seeds(claim: Mapping[str, Any]) -> str:
    shown = {key: value["values"] for key, value in claim["measured"].items()}
    return "\n".join(f"{key}: {', '.join(wording.number(float(v), 4) for v in seeds)}" for key, seeds in shown.items())


def _plots(figures: Plots, drawn: list[Any]) -> str:
    places = []
    for figure in figures:
        layout = {"yaxis": {}, **figure["plot"]["layout"]}
        layout.setdefault("height", 360)
        layout.pop("title", None)  # the caption says it
        layout["margin"] = {"l": 56, "r": 16, "t": 24, "b": 40}
        drawn.append({"data": figure["plot"]["data"], "layout": layout})
        places.append(
            f'<figure class="figure panel"><figcaption>{escape(figure["title"])}</figcaption><div class="chart" '
            f'data-figure="{len(drawn) - 1}" style="height:{int(layout["height"])}px"></div></figure>'
        )
    return "".join(places)


def _notes(result: Mapping[str, Any]) -> str:
    items = [*result["notes"]]
    items += [
        f"Comparator changed on {change['when'][:10]}: {change['name']}: {change['from']} → {change['to']}"
        for change in result["changed_claims"]
    ]
    machine, versions = result["machine"], result["versions"]
    where = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    items.append(f"{where}; {machine.get('processor') or machine['platform']}, {machine['cpus']} CPUs.")
    items.append("Measured: mean ± one standard deviation over seeds.")
    return f"<ul>{''.join(f'<li>{escape(str(item))}</li>' for item in items)}</ul>"


def _head(word: str, subject: str, lead: str, facts: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items())
    return (
        f'<h1><span class="word">{word}</span> <span class="script">{escape(subject)}</span></h1>'
        f'<p class="lead wrap">{lead}</p><dl class="facts">{items}</dl>'
    )


def _page(title: str, tone: str, head: str, body: str, drawn: Sequence[Any]) -> str:
    def variables(colours: Mapping[str, str]) -> str:
        return "".join(f"--{role}:{colour};" for role, colour in colours.items())

    def data(name: str, value: Any) -> str:
        # Strict JSON that cannot end the script element it stands in.
        text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return f'<script type="application/json" id="{name}">{text}</script>'

    style = (
        f":root{{{variables(plots.LIGHT)}--sans:{plots.SANS};--mono:{plots.MONO}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not(.printing){{{variables(plots.DARK)}}}}}"
        f"{(ASSETS / 'page.css').read_text(encoding='utf-8')}{STYLE}"
    )
    template = plots.template({role: f"var(--{role})" for role in plots.LIGHT})
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · surefoot</title><style>{style}</style></head><body>"
        f'<header class="verdict {tone}"><div class="head"><div class="bar"><span class="brand">surefoot</span></div>'
        f"{head}</div></header><main>{body}</main><footer>Written by surefoot {__version__}.</footer>"
        f"{data('figures', drawn)}{data('template', template)}"
        + (f"<script>{plots.javascript()}</script>" if drawn else "")
        + f"<script>{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )
