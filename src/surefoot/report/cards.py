"""A finding on the page: what, where, since when, its evidence as a figure and as a table, and the cures."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from surefoot.report import wording
from surefoot.report.evidence import evidence
from surefoot.report.figures import Figure
from surefoot.report.record import Record
from surefoot.runs.schema import Evidence, Finding, Remedy

# Puts a figure on the page and returns its place there: (figure, caption) → HTML.
Place = Callable[[Figure, str], str]

MAX_FIGURES = 2  # of one finding
MAX_CHIPS = 12
MAX_CARDS_WITH_FIGURES = 12
OPEN_ROWS = 8
CHAINED = "The most probable root cause comes first; what follows from a finding is set in below it."
SINGLE = "The most probable root cause comes first."


def section(record: Record, place: Place) -> str:
    """All findings, each chain of cause and consequences together."""
    if not record.findings:
        return ""
    cards: list[str] = []
    chains = wording.chains(record.findings)
    for root, consequences in chains:
        for finding in (root, *consequences):
            drawn = len(cards) < MAX_CARDS_WITH_FIGURES
            cards.append(card(record, finding, place if drawn else None, follows=finding is not root))
    lead = CHAINED if len(chains) < len(record.findings) else SINGLE if len(chains) > 1 else ""
    lead = f"<p>{lead}</p>" if lead else ""
    return f'<section id="findings"><h2>Findings</h2>{lead}{"".join(cards)}</section>'


def card(record: Record, finding: Finding, place: Place | None, *, follows: bool) -> str:
    """One finding as an article."""
    confidence = "" if finding.confidence is None else f'<span class="muted">confidence {finding.confidence:.2f}</span>'
    parts = [
        f'<article class="card {finding.severity}{" follows" if follows else ""}" id="finding-{finding.rank}">',
        f'<div class="title"><span class="rank">{finding.rank}</span><h3>{escape(finding.id)}</h3>'
        f'<span class="pill">{finding.severity}</span>{confidence}</div>',
        f'<p class="cause">{escape(wording.sentence(finding.cause))}</p>',
        f'<p class="when">{wording.since(finding, record.newest).capitalize()}{_because(record, finding)}</p>',
        _chips(finding),
    ]
    if place is not None and not record.inspected:  # one step makes no line
        drawn = 0
        # Where no piece of evidence is a recorded signal itself, the loss shows what happened.
        for signal in dict.fromkeys([*(proof.signal for proof in finding.evidence), "loss"]):
            enough = drawn >= (1 if signal not in {proof.signal for proof in finding.evidence} else MAX_FIGURES)
            figure = None if enough else evidence(record, finding, signal)
            if figure is not None:
                parts.append(place(figure, ""))
                drawn += 1
    if finding.evidence:
        parts.append(_table(finding.evidence))
    if finding.remedies:
        parts.append("<h4>Cure</h4>" if len(finding.remedies) == 1 else "<h4>Cures</h4>")
        parts += [_remedy(remedy) for remedy in finding.remedies]
    parts.append("</article>")
    return "".join(parts)


def _because(record: Record, finding: Finding) -> str:
    """Links to the finding's cause and to what follows from it."""
    text = ""
    cause = next((other for other in record.findings if other.id == finding.because_of), None)
    if cause is not None:
        text += f" · follows from {_link(cause)}"
    elif finding.because_of:
        text += f" · follows from {escape(finding.because_of)}"
    consequences = [other for other in record.findings if other.because_of == finding.id and other is not finding]
    if consequences:
        text += f" · leads to {', '.join(map(_link, consequences))}"
    return text


def _link(finding: Finding) -> str:
    return f'<a href="#finding-{finding.rank}">{escape(finding.id)}</a>'


def _chips(finding: Finding) -> str:
    """The modules, the rest of a long list folded away."""
    wheres = [escape(where) for where in finding.where if where]
    if not wheres:
        return ""
    items = [f"<li>{where}</li>" for where in wheres]
    chips = f'<ul class="chips">{"".join(items[:MAX_CHIPS])}</ul>'
    if len(items) > MAX_CHIPS:
        rest = f'<ul class="chips">{"".join(items[MAX_CHIPS:])}</ul>'
        chips += f"<details><summary>{len(items) - MAX_CHIPS} more</summary>{rest}</details>"
    return chips


def _table(proofs: tuple[Evidence, ...]) -> str:
    head = (
        "<thead><tr><th>Signal</th><th>Where</th><th class=n>Step</th><th class=n>Value</th>"
        "<th class=n>Threshold</th><th>Why this threshold</th></tr></thead>"
    )
    # A reason that is the row's above is not said again.
    reasons = [
        "" if i and (proof.signal, proof.source) == (proofs[i - 1].signal, proofs[i - 1].source) else proof.source
        for i, proof in enumerate(proofs)
    ]
    rows = [
        f'<tr><td class="name">{escape(proof.signal)}</td>'
        f'<td class="name">{escape(proof.where) or "whole&nbsp;run"}</td>'
        f'<td class="n" data-label="step">{proof.step:,}</td><td class="n"><b>{wording.number(proof.value)}</b></td>'
        f'<td class="n">{_threshold(proof)}</td><td class="why">{escape(reason)}</td></tr>'
        for proof, reason in zip(proofs, reasons, strict=True)
    ]

    def table(part: list[str]) -> str:
        return f'<div class="scroll"><table class="evidence">{head}<tbody>{"".join(part)}</tbody></table></div>'

    folded = ""
    if len(rows) > OPEN_ROWS:
        folded = f"<details><summary>{len(rows) - OPEN_ROWS} more</summary>{table(rows[OPEN_ROWS:])}</details>"
    return f"<h4>Evidence</h4>{table(rows[:OPEN_ROWS])}{folded}"


def _threshold(proof: Evidence) -> str:
    """The threshold with the side on which the value lies."""
    if proof.threshold != proof.threshold:
        return "–"
    sign = "&gt; " if proof.value > proof.threshold else "&lt; " if proof.value < proof.threshold else ""
    return f'<span class="muted">{sign}</span>{wording.number(proof.threshold)}'


def _remedy(remedy: Remedy) -> str:
    apply = ""
    if remedy.apply:
        line = f"surefoot run --apply {escape(remedy.apply)} …"
        apply = f'<p class="muted">Or, with the script as it is: <code>{line}</code></p>'
    return (
        f'<div class="remedy"><p><b>{escape(remedy.name)}</b>: {escape(remedy.why)}</p>{code(remedy.how)}{apply}</div>'
    )


def code(source: str) -> str:
    """Code with a button that copies it."""
    return (
        f'<div class="code"><pre><code>{escape(source)}</code></pre>'
        '<button class="copy" type="button" aria-label="Copy this code">Copy</button></div>'
    )
