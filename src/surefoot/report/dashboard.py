"""A run that is still going on: read piece by piece as it grows, judged as it is read, shown in one frame."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group
from rich.text import Text

from surefoot.report import wording
from surefoot.report.record import finished
from surefoot.report.terminal import ASCII, STYLES, sparkline
from surefoot.runs.schema import Finding, verdict

if TYPE_CHECKING:
    from surefoot.runs.reader import Run

MAX_POINTS = 4096
FINDINGS_SHOWN = 8
SPARK_WIDTH = 48


class Dashboard:
    """What is known of a growing run. :meth:`update` reads what is new and judges only that.

    Parameters
    ----------
    run : a run opened with :func:`surefoot.open_run`
    """

    def __init__(self, run: Run) -> None:
        from surefoot.findings import Engine

        self.run = run
        self.meta = run.meta
        self.ended = False
        self.step = 0  # the newest that was judged
        self._engine = Engine(ignored=self.meta.get("ignore") or ())
        self._events_read = 0
        self._waiting: list[Any] = []
        self._losses: dict[str, tuple[list[int], list[float]]] = {}
        self._times: deque[tuple[float, int]] = deque(maxlen=256)  # (when, step) of the updates
        self._looks: deque[Any] = deque(maxlen=3)
        self._look_count = 0
        self._look_seconds = 0.0
        self._step_times: deque[float] = deque(maxlen=64)
        self._diagnosis: dict[str, Any] | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far; once the run has ended, what it left."""
        if self.ended and self._diagnosis is not None:
            return tuple(sorted(map(Finding.from_json, self._diagnosis["findings"]), key=lambda f: f.rank))
        return self._engine.findings

    def update(self) -> None:
        """Read and judge what was recorded since the last time."""
        # First whether it has ended, then the rows: what comes between is read, and nothing comes after.
        if finished(self.run):
            self.ended, self._diagnosis = True, self.run.diagnosis
        # The newest step may still get rows of other families: it is left for the next time.
        newest = self.run.newest_row()
        until = newest if self.ended else newest - 1
        rows = list(self.run.rows(after=self.step, until=until)) if until > self.step else []
        events = self.run.events()
        fresh, self._events_read = events[self._events_read :], len(events)
        self._waiting += fresh
        for step, family, values in rows:
            if family.name == "step":
                self._scalars(step, family.columns, values)
        for event in fresh:
            if event.kind == "look":
                self._looks.append(event)
                self._look_count += 1
                self._look_seconds += float(event.data.get("cost_s") or 0.0)
        # Events of steps that are not complete wait, so that findings are those of the whole record.
        due = [event for event in self._waiting if self.ended or event.step <= until]
        self._waiting = [] if self.ended else [event for event in self._waiting if event.step > until]
        self._engine.feed_all(rows, due)
        self.step = max(self.step, until)
        self._times.append((time.monotonic(), self.step))

    def _scalars(self, step: int, columns: tuple[tuple[str, str], ...], values: np.ndarray) -> None:
        row = dict(zip(columns, values.tolist(), strict=True))
        for (signal, where), value in row.items():
            # NaN is "not measured", but where the optimizer's step was measured it is the script's own.
            stepped = row.get(("learning_rate", where), math.nan) == row.get(("learning_rate", where))
            if signal == "loss" and (value == value or (stepped and where in self._losses)):
                steps, losses = self._losses.setdefault(where, ([], []))
                steps.append(step)
                losses.append(value)
                if len(losses) > MAX_POINTS:  # every second one tells the same picture
                    self._losses[where] = (steps[::2], losses[::2])
            elif signal == "step_time" and value == value:
                self._step_times.append(value)

    def pace(self) -> float | None:
        """Steps a second, from the newest steps that were timed; None if none was."""
        middle = float(np.median(self._step_times)) if self._step_times else 0.0
        return 1 / middle if middle > 0 else None

    def quiet_for(self) -> float:
        """Seconds since the record last grew, as far as this was seen."""
        now, newest = time.monotonic(), self.step
        grown = next((when for when, step in self._times if step == newest), now)
        return now - grown

    # -- what is shown -----------------------------------------------------------------------------------------------

    def line(self) -> str:
        """The run in one line."""
        parts = [f"step {self.step:,}"]
        for where, (_, losses) in self._losses.items():
            parts.append(f"loss{f' {where}' if where else ''} {wording.number(losses[-1])}")
        pace = self.pace()
        if pace is not None:
            parts.append(f"{wording.number(pace)} steps/s")
        found = [finding.id for finding in self.findings if finding.severity != "info"]
        parts.append(f"{verdict(self.findings)}{': ' + ', '.join(found) if found else ''}")
        if self.ended:
            parts.append("ended")
        return " · ".join(parts)

    def frame(self, console: Console) -> Group:
        """All that there is to see, as wide as the console allows."""
        ascii_only = console.options.ascii_only
        width = min(console.width, 96)
        lines: list[Text] = []

        def add(label: str, *parts: tuple[str, str] | str, style: str = "dim") -> None:
            text = Text(f"{label:<9}", style=style)
            for part in parts:
                content, how = part if isinstance(part, tuple) else (part, "")
                content = "".join(c if c.isprintable() else "?" for c in content)
                text.append(content.translate(ASCII) if ascii_only else content, style=how or "none")
            text.truncate(width, overflow="ellipsis" if not ascii_only else "crop")
            lines.append(text)

        word = verdict(self.findings) if self.step or self.findings else "no steps"
        state = self._state()
        facts = [str(self.meta.get("script") or "unknown script"), wording.count(self.step, "step")]
        pace = self.pace()
        if pace is not None:
            facts.append(f"{wording.number(pace)} steps/s")
        add(word, " · ".join(facts), style=STYLES.get(word, "bold"))
        add("", (state, "dim"))
        for where, (_, losses) in self._losses.items():
            shown = np.asarray(losses)
            finite = np.isfinite(shown)
            best = f", best {wording.number(shown[finite].min())}" if finite.any() else ""
            bars = "" if ascii_only else f"{sparkline(shown, min(SPARK_WIDTH, max(width - 48, 8)))}  "
            ends = f"{wording.number(losses[0])} → {wording.number(losses[-1])}"
            add("loss", f"{where} " if where else "", bars, ends, (best, "dim"))
        for look in self._looks:
            cost = wording.seconds(float(look.data.get("cost_s") or 0.0))
            means = wording.MEANS.get(str(look.data.get("means")), str(look.data.get("means") or "at the loss only"))
            add("look", f"step {look.step:,}", (f"  {means}, {cost}", "dim"))
        add("watching", f"{wording.count(self._look_count, 'look')}", (self._overhead(), "dim"))
        lines.append(Text())
        if not self.findings:
            add("found", "nothing so far" if not self.ended else "nothing")
        for finding in self.findings[:FINDINGS_SHOWN]:
            lines.append(
                Text.assemble(
                    (f"{finding.rank:<3}", "bold"), (finding.severity, STYLES[finding.severity]),
                    (f"  {finding.id}", "bold"),
                    (f"  {wording.places(finding.where)} · since step {finding.first_step:,}", "dim"),
                )
            )  # fmt: skip
            lines[-1].truncate(width, overflow="ellipsis" if not ascii_only else "crop")
            cause = Text(wording.sentence(finding.cause).translate(ASCII) if ascii_only else
                         wording.sentence(finding.cause))  # fmt: skip
            lines += [Text("   ") + wrapped for wrapped in cause.wrap(console, width - 3)]
        if len(self.findings) > FINDINGS_SHOWN:
            lines.append(Text(f"and {len(self.findings) - FINDINGS_SHOWN} more: surefoot show", style="dim"))
        return Group(*lines)

    def _state(self) -> str:
        if self.ended:
            words = (self._diagnosis or {}).get("exit") or {}
            if words.get("exception"):
                return f"ended by {' '.join(str(words['exception']).split())}"
            return "ended normally" if words.get("code") == 0 else f"ended with exit code {words.get('code')}"
        quiet = self.quiet_for()
        return "running" if quiet < 10 else f"nothing new for {wording.seconds(quiet)}: a long step, or it was killed"

    def _overhead(self) -> str:
        overhead = (self._diagnosis or {}).get("overhead") or {}
        if overhead.get("steady") is not None:
            share = f"{100 * float(overhead['steady']):.1f} % of step time"
        else:
            share = f"{wording.seconds(self._look_seconds)} in all" if self._look_count else ""
        budget = self.meta.get("budget")
        told = f" (budget {100 * float(budget):g} %)" if budget else ""
        return f" · {share}{told}" if share else told
