"""How large a record grows, and how long its report takes: many modules, many steps, every family there is.

python benchmarks/record_size.py [--modules 300] [--steps 100000] [--every 50] [--out DIR]

Rows are written as the observer writes them: scalars of every step, the other families at the steps looked at (one in
--every, which is far more often than the budget allows at this size). Prints the size of the record and of the page in
MB, and the seconds that writing, the rules and the page take. Limits of the house: 200 MB for the record, 8 MB for the
page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from surefoot.findings import diagnose
from surefoot.monitor import diagnosis
from surefoot.observe import rows
from surefoot.report import html
from surefoot.runs import RunWriter, open_run
from surefoot.runs.schema import Family

# What else a value may belong to; an attention or a recurrent layer where it is not said.
PLACES = {
    "game": ("generator",),
    "inputs": ("blocks.0", "blocks.1"),
    "latent": ("latent",),
    "logits": ("cross_entropy",),
    "mode": ("model",),
    "schedule": ("StepLR",),
    "terms": ("term 1", "term 2", "term 3"),
    "validation": ("cross_entropy",),
}
ATTENTIONS = 48


def layout(modules: list[str]) -> dict[str, Family]:
    """Every family with its columns, as observe lays them out."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for name, group in vars(rows).items():
        if name.startswith("PER_"):
            for family, signals in group.items():
                wheres = {
                    "PER_LAYER": modules,
                    "PER_PLACE": PLACES.get(family, [f"blocks.{i}" for i in range(ATTENTIONS)]),
                }.get(name, [""])
                columns.setdefault(family, []).extend((signal, where) for signal in signals for where in wheres)
    return {name: Family(name, tuple(pairs)) for name, pairs in sorted(columns.items())}


def write(folder: Path, modules: int, steps: int, every: int) -> RunWriter:
    """A run of noise around plausible levels; shares are in [0, 1]."""
    rng = np.random.default_rng(0)
    names = [f"blocks.{i // 6}.{('norm', 'qkv', 'out', 'norm2', 'up', 'down')[i % 6]}" for i in range(modules)]
    families = layout(names)
    writer = RunWriter(folder)
    writer.meta(script="train.py", argv=[], started="2026-01-01T00:00:00+00:00", budget=0.02)
    writer.event(1, "modules", root="GPT", modules=[
        {"name": n, "type": "Linear", "parameters": 1000, "depth": i, "activation": None} for i, n in enumerate(names)
    ])  # fmt: skip
    levels = {
        name: np.where(
            [signal.endswith(("share", "nonfinite")) for signal, _ in family.columns],
            0.0,
            10 ** rng.uniform(-4, 0, len(family.columns)),
        )
        for name, family in families.items()
    }
    place = {column: i for i, column in enumerate(families["step"].columns)}
    for step in range(1, steps + 1):
        looking = step % every == 0 or step & (step - 1) == 0
        for name, family in families.items():
            if name == "step":
                values = np.full(len(family.columns), np.nan, np.float32)
                loss = 0.5 + 4 * np.exp(-step / steps * 5) + 0.02 * rng.standard_normal()
                for signal, value in (("loss", loss), ("learning_rate", 3e-4), ("step_time", 0.1)):
                    values[place[signal, ""]] = value
                writer.row(step, family, values)
            elif looking:
                noise = rng.standard_normal(len(family.columns), dtype=np.float32)
                writer.row(step, family, (levels[name] * np.exp(0.1 * noise)).astype(np.float32))
        if step % 1000 == 0:
            writer.flush()
    writer.event(steps, "exit", code=0, exception=None)
    writer.close()
    return writer


def main() -> None:
    """Make the record, judge it, write its page, print what that takes."""
    parser = argparse.ArgumentParser(description="Size of a long run's record, and time to render its report.")
    parser.add_argument("--modules", type=int, default=300)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=50, help="look at every N-th step")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.out or Path(scratch) / "run"
        begin = time.perf_counter()
        write(folder, given.modules, given.steps, given.every)
        written = time.perf_counter()
        run = open_run(folder)
        findings = diagnose(run)
        judged = time.perf_counter()
        diagnosis.write(folder, diagnosis.build(script="train.py", argv=[], steps=given.steps, code=0, exception=None,
                                                overhead={"budget": 0.02}, findings=findings))  # fmt: skip
        page = html.write(run, folder / "report.html")
        rendered = time.perf_counter()
        record = sum(path.stat().st_size for path in folder.glob("run.sqlite*")) / 1e6
        size = page.stat().st_size / 1e6
        print(f"{given.modules} modules, {given.steps:,} steps, a look each {given.every}")
        print(f"record {record:.0f} MB (limit 200)   written in {written - begin:.0f} s")
        print(f"rules  {judged - written:.1f} s, {len(findings)} findings")
        print(f"page   {size:.2f} MB (limit 8)      rendered in {rendered - judged:.1f} s")


if __name__ == "__main__":
    main()
