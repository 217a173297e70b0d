"""``surefoot sweep``: one script at many learning rates and sizes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from surefoot.sweeps import Plan

_COMMAND = typer.Argument(..., metavar="COMMAND", help="How the script is run, with a {name} for each value.")
_OUT = typer.Option(Path("surefoot-sweep"), "--out", metavar="DIR", help="The folder of the sweep.")
_ENGINE = typer.Option("local", "--engine", metavar="local|ray", help="Processes on this machine, or a Ray cluster.")
_ADDRESS = typer.Option(
    None, "--address", metavar="ADDRESS", help="Of the Ray cluster, such as auto or ray://host:10001."
)
_WORKERS = typer.Option(None, "--workers", metavar="N", help="Runs at a time on this machine.  [default: one a core]")
_BUDGET = typer.Option(None, "--budget", metavar="FRACTION", help="Share of step time to spend on watching each run.")
_TO_THE_END = typer.Option(False, "--to-the-end", help="Do not stop a run that diverges.")

# typer refuses what it does not know unless told otherwise: the values of placeholders are options of the user's own
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def sweep(
    context: typer.Context,
    command: str = _COMMAND,
    out: Path = _OUT,
    engine: str = _ENGINE,
    address: str | None = _ADDRESS,
    workers: int | None = _WORKERS,
    budget: float | None = _BUDGET,
    to_the_end: bool = _TO_THE_END,
) -> None:
    """Run a script at many learning rates and sizes, and foresee a larger one.

    \b
    examples:
      surefoot sweep "python train.py --lr {lr}" --lr 1e-4:1e-1:log7
      surefoot sweep "python train.py --lr {lr} --width {width}" \\
        --lr 1e-4:1e-1:log7 --width 64,128,256
      surefoot sweep "train.py {lr} {width} {seed}" --lr 1e-3:1e-1:log5 \\
        --width 32,64,128,256 --seed 0,1 --engine ray --address auto

    Values: 64,128,256 or first:last:logN or first:last:linN. {lr} is the learning
    rate, {seed} repeats, all other placeholders are the size. Each run is watched,
    in a process and a folder of its own. A run that fails or diverges is a result;
    one that diverges is stopped early.

    The same command again goes on where it was stopped, and runs what was added.

    Prints losses, sensitivity to the rate and forecasts; writes sweep.json and
    report.html. Four sizes or more give forecasts an interval that says something.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from surefoot.report import sweep_page
    from surefoot.sweeps import launch, plan, read, summary
    from surefoot.sweeps.read import STOPS

    laid = plan(command, _values(context.args))
    options = [] if to_the_end else ["--stop-on", ",".join(STOPS)]
    if budget is not None:
        if not 0 < budget <= 1:
            raise ValueError(f"--budget: got {budget}; use a share of step time, above 0 and at most 1")
        options += ["--budget", str(budget)]
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed}/{task.total} runs"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(laid.trials))

        def told(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, description=name)

        launch(laid, out, engine=engine, address=address, workers=workers, options=options, listener=told)
    result = summary(laid, read(laid, out))
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "sweep.json").write_text(text + "\n", encoding="utf-8")
    sweep_page.write(result, out / "report.html")
    _show(result, laid)
    print(f"\n{out / 'report.html'}")


def _values(words: Sequence[str]) -> dict[str, str]:
    """``--lr 1e-3,1e-2`` and ``--lr=1e-3,1e-2``, of names that we do not know."""
    given: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise ValueError(f"{word!r}: values are given as --NAME VALUES, after the command in quotes")
        if not equals:
            if not left:
                raise ValueError(f"{word}: wants values, such as {word} 1,2,4")
            value = left.pop(0)
        if name in given:
            raise ValueError(f"--{name}: is given twice; put commas between its values")
        given[name] = value
    return given


def _show(result: dict[str, Any], laid: Plan) -> None:
    from surefoot.cli.tables import show, table
    from surefoot.report import sweep_page
    from surefoot.report.wording import number

    print(f"{sweep_page.tally(result)}; {result['loss']} loss\n")
    curves = result["curves"]
    # one column a size: a terminal has room for six
    for begin in range(0, len(curves), 6):
        some = curves[begin : begin + 6]
        losses = table(laid.rate or "", *(curve["size"] or "loss" for curve in some), wrapped=())
        for value in [point["rate"] for point in some[0]["points"]]:
            at = [next((p for p in curve["points"] if p["rate"] == value), None) for curve in some]
            losses.add_row(value, *(_cell(point) for point in at))
        losses.add_row("S", *(_number(curve["sensitivity"]) for curve in some), style="bold")
        show(losses)
        print()
    if not result["forecasts"]:
        print("no forecast: it takes two sizes or more whose runs were looked at")
        return
    titles = {quantity["name"]: quantity for quantity in result["quantities"]}
    for name, quantity in titles.items():
        mine = [forecast for forecast in result["forecasts"] if forecast["quantity"] == name]
        if not mine:
            continue
        print(f"{quantity['title']}, limit {number(quantity['limit'])}")
        rows = table(laid.rate or "", "power", "reaches its limit", "largest size: foreseen", "measured",
                     wrapped=("reaches its limit",))  # fmt: skip
        for forecast in mine:
            held = forecast["held_back"]
            check = ("–", "–") if held is None else (_number(held["predicted"]), _number(held["measured"]))
            rows.add_row(forecast["rate"], number(forecast["exponent"], 2), sweep_page.crossing(forecast), *check)
        show(rows)
        print()
    print(f"held-back size: {sweep_page.held_back(result['held_back'])}")


def _cell(point: dict[str, Any] | None) -> str:
    if point is None:
        return "–"
    return _number(point["loss"]) if point["state"] == "finished" else str(point["state"])


def _number(value: Any) -> str:
    from surefoot.report.wording import number

    return "–" if value == "nan" else number(float(value))
