"""Whether a watched run is the run it would have been: every example bare, bare again, and watched in two ways.

Compared are the exit code, what the script prints, the final weights of every optimiser that stepped, and where the
random generators of PyTorch, NumPy and Python stand at the end. What two bare runs do not agree on is not compared.
Watched is at the default budget, and with a look at every step.

    python benchmarks/identity.py                     # some minutes
    python benchmarks/identity.py digits_mlp gan      # these examples only
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WAYS: dict[str, list[str] | None] = {
    "bare": None,
    "bare again": None,
    "budget": [],
    "every step": ["--look-every", "1"],
}


def digest(chunks: list[bytes]) -> str:
    """A short hash of all bytes in order."""
    return hashlib.sha256(b"".join(chunks)).hexdigest()[:16]


def worker(script: Path, end: Path, arguments: list[str]) -> None:
    """Run the script as ``python`` would, then write down in which state it ended."""
    import numpy
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    stepped: dict[int, torch.optim.Optimizer] = {}
    register_optimizer_step_post_hook(lambda optimizer, *_: stepped.setdefault(id(optimizer), optimizer) and None)
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        weights = [p.detach() for o in stepped.values() for group in o.param_groups for p in group["params"]]
        name, keys, *rest = numpy.random.get_state()
        state = {
            "weights": digest([w.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes() for w in weights]),
            "torch generator": digest([torch.get_rng_state().numpy().tobytes()]),
            "numpy generator": digest([keys.tobytes(), repr((name, *rest)).encode()]),
            "python generator": digest([repr(random.getstate()).encode()]),
        }
        end.write_text(json.dumps(state))


def outcome(script: Path, way: str, folder: Path) -> dict[str, object]:
    """Run the script one way, and say what came out."""
    options = WAYS[way]
    end = folder / f"{script.stem} {way}.json"
    record = folder / f"{script.stem} {way}"
    watch = [] if options is None else ["-m", "surefoot", "run", "--quiet", "--no-report", "--out", record, *options]
    command = [sys.executable, *watch, __file__, "--worker", script, end]
    env = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=folder, env=env)
    state = json.loads(end.read_text()) if end.exists() else {}
    return {"exit": done.returncode, "stdout": done.stdout, **state}


def compare(script: Path, folder: Path) -> tuple[int, int]:
    """Print one line; how many watched runs were tried, and how many were identical."""
    outcomes = {way: outcome(script, way, folder) for way in WAYS}
    bare = outcomes["bare"]
    agreed = [aspect for aspect in bare if bare[aspect] == outcomes["bare again"].get(aspect)]
    watched = [way for way, options in WAYS.items() if options is not None]
    different = {way: [aspect for aspect in agreed if bare[aspect] != outcomes[way].get(aspect)] for way in watched}
    unlike = [aspect for aspect in bare if aspect not in agreed]
    told = [f"{way}: {'identical' if not d else 'DIFFERENT in ' + ', '.join(d)}" for way, d in different.items()]
    remark = f"; bare runs disagree on {', '.join(unlike)}" if unlike else ""
    print(
        f"{script.stem:12} exit {bare['exit']}  {'  '.join(told)}  ({len(agreed)} aspects compared{remark})", flush=True
    )
    return len(watched), sum(not d for d in different.values())


def main() -> None:
    """Parse, run, and add up."""
    if sys.argv[1:2] == ["--worker"]:
        worker(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
        return
    every = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", default=every, help="names of examples (default: all)")
    with tempfile.TemporaryDirectory() as scratch:
        counts = [compare(EXAMPLES / f"{name}.py", Path(scratch)) for name in parser.parse_args().examples]
    print(f"tried {sum(tried for tried, _ in counts)}, identical {sum(same for _, same in counts)}")


if __name__ == "__main__":
    main()
