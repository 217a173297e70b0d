"""``surefoot inspect``: look at a model without training it."""

from __future__ import annotations

from pathlib import Path

import typer

_TARGET = typer.Argument(
    ..., metavar="FILE.py:FUNCTION", help="A function that returns model or (model, inputs[, targets[, loss_fn]])."
)
_AT_INIT = typer.Option(
    False, "--at-init", help="Run the script that follows, with its arguments, up to its first optimizer step."
)
_CURVATURE = typer.Option(False, "--curvature", help="Measure the Hessian of the loss, too.")
_CHECKPOINT = typer.Option(None, "--checkpoint", metavar="FILE", help="Load this state dict into the model.")
_OUT = typer.Option(None, "--out", metavar="DIR", help="The folder for record and report.  [default: surefoot-runs/…]")
_SEED = typer.Option(0, "--seed", help="Of weights, synthetic inputs, dropout and random vectors.")


def inspect(
    target: str = _TARGET,
    at_init: bool = _AT_INIT,
    curvature: bool = _CURVATURE,
    checkpoint: Path | None = _CHECKPOINT,
    out: Path | None = _OUT,
    seed: int = _SEED,
) -> None:
    """Look at a model before it is trained: a watched run of no steps.

    \b
    examples:
      surefoot inspect model.py:build
      surefoot inspect --at-init train.py --lr 3e-4
      surefoot inspect --curvature model.py:build --checkpoint last.pt

    Tells how signal and gradient change from layer to layer, and how they should;
    whether the weights are critical for the activation, and the depth right for
    the width; and finds what surefoot run finds at a first step. Without inputs
    it draws some, if the first layer tells their shape; without targets the
    backward starts from random numbers.

    --at-init comes first: what follows the script belongs to the script.

    --curvature: the ends of the Hessian's spectrum with their residuals, trace,
    outliers, flat and downward directions, and how much of the gradient lies in
    the sharp ones. Takes some 400 products, each about two gradients dear.
    """
    import torch
    from rich.console import Console

    from surefoot.monitor import inspect as monitor
    from surefoot.monitor import look_once
    from surefoot.monitor.session import free_folder
    from surefoot.report import terminal
    from surefoot.runs import open_run

    folder = out if out is not None else free_folder(Path("surefoot-runs"), target.partition(":")[0])
    if (folder / "run.sqlite").exists():
        raise ValueError(f"--out: {str(folder)!r} holds a record already; name a new folder")
    torch.manual_seed(seed)
    subject = monitor.build(target, checkpoint)
    spectrum = monitor.curvature(subject, seed=seed) if curvature else None
    options = ["--curvature"] * curvature + (["--checkpoint", str(checkpoint)] if checkpoint is not None else [])
    session = look_once.look(subject, folder, target, options, seed)
    if spectrum is not None:
        look_once.add_curvature(session, spectrum)
    session.close()
    terminal.render(open_run(folder), Console(highlight=False))
    if spectrum is not None:
        print(f"\n{spectrum}")
