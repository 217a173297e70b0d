"""What watching costs: the same training script bare and under ``surefoot run``, measured from outside.

Each arm is a process of its own; arms alternate, and the ratio is taken pair by pair. The script times its own loop, so
start-up and closing are not in the ratio: they are told apart, as is the opening credit. A third arm, bare again, shows
what the machine's noise alone makes of a ratio.

    python benchmarks/overhead.py                       # about 25 minutes
    python benchmarks/overhead.py --seconds 5 --pairs 3 --models mlp
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 1.02


def build(kind: str):
    """Model, optimiser and a function that draws a batch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if kind == "mlp":
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
        data = torch.randn(4096, 64)
    elif kind == "cnn":
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(32 * 49, 10),
        )
        data = torch.randn(4096, 1, 28, 28)
    else:
        model, data = GPT(), torch.randint(96, (64, 512))
    targets = torch.randint(10, (4096,))

    def draw():
        if kind == "gpt":
            row = torch.randint(64, (16,))
            start = int(torch.randint(400, ()))
            return data[row, start : start + 64], data[row, start + 1 : start + 65].flatten()
        index = torch.randint(4096, (64,))
        return data[index], targets[index]

    return model, torch.optim.AdamW(model.parameters(), 3e-4), draw


def GPT(width: int = 128, depth: int = 5, heads: int = 4, vocabulary: int = 96):
    """A decoder of 1.0 M parameters."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, heads, -1).permute(2, 0, 3, 1, 4)
            x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, -1))
            return x + self.mlp(self.norm2(x))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.position = nn.Embedding(vocabulary, width), nn.Parameter(torch.zeros(64, width))
            self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(depth))), nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.embed(x) + self.position))).flatten(0, 1)

    return Decoder()


def work(kind: str, steps: int) -> None:
    """The training script; prints how long all steps together took."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    model, optimizer, draw = build(kind)
    begin = time.perf_counter()
    for _ in range(steps):
        x, y = draw()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    print(
        json.dumps({"seconds": time.perf_counter() - begin, "parameters": sum(p.numel() for p in model.parameters())})
    )


def arm(kind: str, steps: int, folder: Path | None) -> tuple[float, dict]:
    """Run one arm; its loop's seconds (opening credit taken off) and what surefoot says of itself."""
    watch = [] if folder is None else ["-m", "surefoot", "run", "--quiet", "--out", str(folder)]
    command = [sys.executable, *watch, __file__, "--worker", kind, "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout.strip().splitlines()[-1])["seconds"]
    if folder is None:
        return seconds, {}
    overhead = json.loads((folder / "diagnosis.json").read_text())["overhead"]
    return seconds - overhead["credit_s"], overhead


def race(kind: str, seconds: float, pairs: int, with_control: bool) -> None:
    """Bare, watched, bare again; prints a table."""
    steps = 200
    while (probe := arm(kind, steps, None)[0]) < min(2.0, seconds / 4):
        steps *= 4
    steps = max(steps, round(steps * seconds / probe))
    print(f"\n{kind}: {steps} steps of {1e3 * seconds / steps:.2f} ms, {pairs} pairs")
    ratios, control, told = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        for pair in range(pairs):
            folder = Path(scratch) / str(pair)
            order = [None, folder] if pair % 2 == 0 else [folder, None]
            order += [None] * with_control
            times: dict[bool, list[float]] = {True: [], False: []}
            for where in order:
                taken, overhead = arm(kind, steps, where)
                times[where is not None].append(taken)
                if overhead:
                    told.append(overhead)
            bare = times[False]
            ratios.append(times[True][0] / bare[0])
            control += [second / bare[0] for second in bare[1:]]
            watched = times[True][0]
            print(
                f"  pair {pair + 1}: watched {watched:.2f} s, bare {' and '.join(f'{b:.2f}' for b in bare)} s",
                flush=True,
            )
        signals = _signals(Path(scratch) / "0")
    once = [t["startup_s"] + t["credit_s"] + t["closing_s"] for t in told]
    looks = {means: round(statistics.median(t["looks"][means] for t in told)) for means in told[0]["looks"]}
    print(f"  watched / bare   {_spread(ratios)}   goal {GOAL}")
    if control:
        print(f"  bare / bare      {_spread(control)}   (noise)")
    print(f"  of itself it says {statistics.median(t['steady'] for t in told):.4f}; looks {looks}")
    print(f"  once: start-up, credit and closing {statistics.median(once):.2f} s (goal 2)")
    print(f"  signals: {', '.join(signals)}")


def _spread(ratios: list[float]) -> str:
    return f"median {statistics.median(ratios):.4f}   {min(ratios):.4f} … {max(ratios):.4f}"


def _signals(folder: Path) -> list[str]:
    from surefoot.runs import open_run

    return list(open_run(folder).signals())


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp", "cnn", "gpt"], choices=["mlp", "cnn", "gpt"])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of one arm")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--no-control", action="store_true", help="leave out the third arm, bare again")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.steps)
        return
    for kind in options.models:
        race(kind, options.seconds, options.pairs, not options.no_control)


if __name__ == "__main__":
    main()
