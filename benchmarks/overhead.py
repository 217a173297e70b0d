"""What watching costs: the same training script bare and under ``surefoot run``, measured from outside, beside peers.

Each arm is a process of its own; arms alternate, and the ratio is taken round by round. The script times its own loop,
so start-up and closing are not in the ratio: they are told apart, as is the opening credit. One arm is bare again and
shows what the machine's noise alone makes of a ratio. Peers (``overhead_peers.py``) watch the same loop in their own
way in the same rounds; one that is not installed, or can't serve a model, is left out with a line that says so.

    python benchmarks/overhead.py                                       # surefoot alone, about 50 minutes
    python benchmarks/overhead.py --peers trainscope stabilityguard wandb cockpit
    python benchmarks/overhead.py --seconds 5 --rounds 3 --models mlp
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

from overhead_peers import PEERS, plain

GOAL = 1.02
MODELS = ("mlp", "cnn", "gpt-1m", "gpt-25m")
BARE, SUREFOOT, AGAIN = "bare", "surefoot", "bare again"


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
        small = kind == "gpt-1m"
        model = GPT() if small else GPT(width=512, depth=8, heads=8)
        data = torch.randint(96, (64, 512))
    targets = torch.randint(10, (4096,))

    def draw():
        if kind.startswith("gpt"):
            row = torch.randint(64, (16 if small else 4,))
            start = int(torch.randint(400, ()))
            return data[row, start : start + 64], data[row, start + 1 : start + 65].flatten()
        index = torch.randint(4096, (64,))
        return data[index], targets[index]

    return model, torch.optim.AdamW(model.parameters(), 3e-4), draw


def GPT(width: int = 128, depth: int = 5, heads: int = 4, vocabulary: int = 96):
    """A decoder; of 1.0 M parameters as it is."""
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


def work(kind: str, arm: str, steps: int, folder: Path) -> None:
    """The training script; prints how long all steps together took."""
    import torch

    torch.set_num_threads(1)
    model, optimizer, draw = build(kind)
    step = PEERS.get(arm, plain)(model, optimizer, folder)
    begin = time.perf_counter()
    for number in range(steps):
        step(*draw(), number)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "parameters": sum(p.numel() for p in model.parameters())}))


def run(kind: str, arm: str, steps: int, folder: Path) -> tuple[float, dict]:
    """Run one arm; its loop's seconds (surefoot's opening credit taken off) and what surefoot says of itself."""
    folder.mkdir(parents=True)
    watch = ["-m", "surefoot", "run", "--quiet", "--out", str(folder)] if arm == SUREFOOT else []
    script = [__file__, "--worker", kind, arm, str(steps), str(folder)]
    done = subprocess.run([sys.executable, *watch, *script], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it failed"))
    told = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    seconds = json.loads(told[-1])["seconds"]
    if arm != SUREFOOT:
        return seconds, {}
    overhead = json.loads((folder / "diagnosis.json").read_text())["overhead"]
    return seconds - overhead["credit_s"], overhead


def race(kind: str, seconds: float, rounds: int, arms: list[str]) -> None:
    """Every arm in turn, ``rounds`` times; prints a table."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        steps = 10 if kind == "gpt-25m" else 200
        while (probe := run(kind, BARE, steps, place / f"probe{steps}")[0]) < min(2.0, seconds / 4):
            steps *= 4
        steps = max(steps, round(steps * seconds / probe))
        print(f"\n{kind}: {steps} steps of {1e3 * seconds / steps:.2f} ms, {rounds} rounds")
        arms = list(arms)
        for peer in [arm for arm in arms if arm in PEERS]:
            try:
                run(kind, peer, 2, place / f"try {peer}")
            except RuntimeError as error:
                arms.remove(peer)
                print(f"  without {peer}: {error}")
        ratios: dict[str, list[float]] = {arm: [] for arm in arms if arm != BARE}
        told = []
        for number in range(rounds):
            turn = number % len(arms)  # nobody always has the machine at its warmest
            times = {}
            for arm in arms[turn:] + arms[:turn]:
                times[arm], overhead = run(kind, arm, steps, place / f"{number} {arm}")
                if overhead:
                    told.append(overhead)
            for arm, found in ratios.items():
                found.append(times[arm] / times[BARE])
            print(
                f"  round {number + 1}: " + ", ".join(f"{arm} {taken:.2f} s" for arm, taken in times.items()),
                flush=True,
            )
        signals = _signals(place / f"0 {SUREFOOT}")
    once = [t["startup_s"] + t["credit_s"] + t["closing_s"] for t in told]
    looks = {means: round(statistics.median(t["looks"][means] for t in told)) for means in told[0]["looks"]}
    for arm, found in ratios.items():
        remark = {SUREFOOT: f"   goal {GOAL}", AGAIN: "   (noise)"}.get(arm, "")
        print(f"  {arm + ' / bare':22} {_spread(found)}{remark}")
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
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--peers", nargs="+", default=[], choices=list(PEERS))
    parser.add_argument("--seconds", type=float, default=30.0, help="length of one arm, bare")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-control", action="store_true", help="leave out the arm that is bare again")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, arm, steps, folder = options.worker
        work(kind, arm, int(steps), Path(folder))
        return
    arms = [BARE, SUREFOOT, *([] if options.no_control else [AGAIN]), *options.peers]
    for kind in options.models:
        race(kind, options.seconds, options.rounds, arms)


if __name__ == "__main__":
    main()
