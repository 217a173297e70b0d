"""``surefoot inspect``: look at a model without training it."""

from __future__ import annotations

from pathlib import Path

import typer

_TARGET = typer.Argument(
    ..., metavar="FILE.py:FUNCTION", help="A function that returns (model, inputs, targets[, loss_fn])."
)
_CURVATURE = typer.Option(False, "--curvature", help="Measure the Hessian of the loss.")
_CHECKPOINT = typer.Option(None, "--checkpoint", metavar="FILE", help="Load this state dict into the model.")
_OUT = typer.Option(None, "--out", metavar="DIR", help="The folder for record and report.  [default: surefoot-runs/…]")
_SEED = typer.Option(0, "--seed", help="Of the random vectors.")


def inspect(
    target: str = _TARGET,
    curvature: bool = _CURVATURE,
    checkpoint: Path | None = _CHECKPOINT,
    out: Path | None = _OUT,
    seed: int = _SEED,
) -> None:
    """Look at a model without training it.

    \b
    examples:
      surefoot inspect --curvature model.py:build
      surefoot inspect --curvature model.py:build --checkpoint last.pt

    --curvature: the ends of the Hessian's spectrum with their residuals, trace,
    outliers, flat and downward directions, and how much of the gradient lies in
    the sharp ones. Takes some 400 products, each about two gradients dear.
    """
    if not curvature:
        raise ValueError("inspect: say what to look at; there is --curvature")
    from surefoot.monitor import inspect as monitor
    from surefoot.monitor.session import free_folder
    from surefoot.report import html
    from surefoot.runs import open_run

    subject = monitor.build(target, checkpoint)
    folder = out if out is not None else free_folder(Path("surefoot-runs"), target.partition(":")[0])
    if (folder / "run.sqlite").exists():
        raise ValueError(f"--out: {str(folder)!r} holds a record already; name a new folder")
    print(monitor.curvature(subject, folder, target, seed=seed))
    print(f"report    {html.write(open_run(folder), folder / 'report.html')}")
