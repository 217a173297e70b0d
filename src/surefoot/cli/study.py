"""``surefoot study``: what the papers claim, measured here."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from surefoot.studies.frame import Study

HOME = Path("surefoot-studies")

_SLUG = typer.Argument(..., metavar="SLUG", help="A study, such as stablemax.")
_SLUGS = typer.Argument(..., metavar="SLUG…|all", help="Studies, or all of them.")
_JSON = typer.Option(False, "--json", help="Print JSON.")
_SCALE = typer.Option("small", "--scale", metavar="smoke|small|paper", help="Seconds, minutes, or the paper's sizes.")
_SEEDS = typer.Option(3, "--seeds", min=1, help="How many seeds.")
_WHERE = typer.Option(HOME, "--out", metavar="DIR", help="The folder for results.")
_FROM = typer.Option(HOME, "--from", metavar="DIR", help="The folder that holds the results.")
_FILE = typer.Option(None, "--out", metavar="FILE", help="The page to write; by default atlas.html beside the results.")

study = typer.Typer(
    help="Measure what each paper claims, and show claims, numbers, verdicts and plots.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@study.command("list")
def list_studies(as_json: bool = _JSON, results: Path = _FROM) -> None:
    """List the studies, and whether their claims held when they were last run."""
    from surefoot.studies.frame import every
    from surefoot.studies.store import best, standing

    rows = []
    for slug, item in every().items():
        result = best(results, slug)
        row = {"slug": slug, "title": item.title, "paper": item.paper, "claims": len(item.claims)}
        rows.append({**row, "standing": standing(result), "scale": None if result is None else result["scale"]})
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = _table("study", "title", "claims", "standing")
    for row in rows:
        table.add_row(str(row["slug"]), str(row["title"]), str(row["claims"]), str(row["standing"]))
    _print(table)


@study.command("show")
def show(slug: str = _SLUG, as_json: bool = _JSON, results: Path = _FROM) -> None:
    """Show a study's claims and, once it has been run, what was measured."""
    from surefoot.studies.frame import find
    from surefoot.studies.store import best

    item, result = find(slug), best(results, slug)
    if as_json:
        claims = [{"name": claim.name, "paper": claim.paper, "expected": claim.expected} for claim in item.claims]
        value = {"slug": slug, "title": item.title, "paper": item.paper, "claims": claims, "result": result}
        print(json.dumps(value, indent=1, ensure_ascii=False))
    elif result is not None:
        _show(result)
    else:
        print(f"{slug}: {item.title}\n{item.paper}\n")
        table = _table("claim", "paper", "expected here")
        for claim in item.claims:
            table.add_row(claim.name, claim.paper, claim.expected)
        _print(table)
        print(f"Not run yet: surefoot study run {slug}   ({_prediction([item], 'small', 3)})")


@study.command("run")
def run(slugs: list[str] = _SLUGS, scale: str = _SCALE, seeds: int = _SEEDS, out: Path = _WHERE) -> None:
    """Run studies. A seed that is finished is kept and not run again: a stopped run goes on where it was.

    \b
    examples:
      surefoot study run stablemax
      surefoot study run all --scale smoke --seeds 1
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from surefoot.report.wording import seconds
    from surefoot.studies import runner
    from surefoot.studies.frame import SCALES, every, find

    if scale not in SCALES:
        raise ValueError(f"--scale: got {scale!r}; use one of {', '.join(SCALES)}")
    chosen = list(every().values()) if "all" in slugs else [find(slug) for slug in dict.fromkeys(slugs)]
    console = Console(stderr=True)
    console.print(_prediction(chosen, scale, seeds))
    columns = (TextColumn("{task.percentage:3.0f} %"), BarColumn(), TextColumn("{task.fields[left]}"))
    begun = time.monotonic()
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        task = progress.add_task("", total=1.0, left="")

        def listener(share: float, what: str) -> None:
            left = (time.monotonic() - begun) * (1 - share) / share if share > 0.02 else None
            text = "" if left is None else f"{seconds(left)} left"
            progress.update(task, completed=share, description=what, left=text)

        results = runner.run(chosen, scale=scale, seeds=seeds, out=out, listener=listener)
        progress.update(task, completed=1.0, description="done", left="")
    for result in results:
        _show(result)
        print(f"{out / result['study'] / result['scale'] / 'report.html'}\n")


@study.command("report")
def report(out: Path | None = _FILE, results: Path = _FROM) -> None:
    """Write the atlas: one page with all papers, whether their claims hold, and the plots."""
    from surefoot.studies import page
    from surefoot.studies.frame import every
    from surefoot.studies.store import best, plots_of, write

    out = out or results / "atlas.html"
    if out.is_dir():
        raise ValueError(f"--out: {str(out)!r} is a folder; name a file, such as {str(out / 'atlas.html')!r}")
    known = {slug: result for slug in every() if (result := best(results, slug)) is not None}
    figures = {slug: plots_of(result, results) for slug, result in known.items()}
    write(out, page.atlas(list(every().values()), known, figures))
    print(out)


@study.command("setup")
def setup(slug: str = _SLUG) -> None:
    """Fetch the data that a study can use; without it the study uses a labelled synthetic stand-in."""
    from surefoot.studies.frame import data_folder, find

    item = find(slug)
    if item.setup is None:
        print(f"{slug}: nothing to fetch")
        return
    folder = data_folder(slug)
    os.makedirs(folder, exist_ok=True)
    item.setup(folder)
    print(folder)


def _prediction(studies: Sequence[Study], scale: Any, seeds: int) -> str:
    from surefoot.report.wording import count, seconds
    from surefoot.studies.runner import cores, minutes

    jobs = [minutes(item, scale) for item in studies for _ in range(seeds)]
    # No schedule is shorter than its longest job.
    time = 60 * max(sum(jobs) / min(cores(), len(jobs)), max(jobs))
    names = ", ".join(item.slug for item in studies)
    return f"{names}: {scale}, {count(seeds, 'seed')}, about {seconds(time)} on {count(cores(), 'core')}"


def _show(result: Mapping[str, Any]) -> None:
    from surefoot.report.wording import count
    from surefoot.studies.page import measured, verdict

    size = f"{result['scale']}, {count(len(result['seeds']), 'seed')}"
    print(f"{result['study']}: {result['title']} ({size})\n{result['paper']}\n")
    table = _table("claim", "paper", "expected here", "measured", "verdict")
    for claim in result["claims"]:
        shown = "\n".join(measured(claim))
        table.add_row(claim["name"], claim["paper"], claim["expected"], shown, verdict(result, claim))
    _print(table)


def _table(*heads: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 1, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    Console(highlight=False, markup=False).print(table)
