"""What SafeStep costs a training step, against clipping the gradient and against a sharpness clip.

All arms train the same MLP 784-512-512-10 with Adam on batches of 256, in one process; rounds of a few steps alternate
between the arms, and the median over rounds is told. The peers: ``clip_grad_norm_`` (cheap, and blind to the model) and
a clip to 2/λ_max by ten Hessian-vector products a step (what else would measure the direction). The floor is one more
forward pass.

    python benchmarks/ghosts.py                # about half a minute on one core
    python benchmarks/ghosts.py --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.optim import SafeStep

BATCH, PRODUCTS = 256, 10


def build() -> nn.Sequential:
    """The model, the same for each arm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def sharpness(loss: Tensor, parameters: list[nn.Parameter], products: int) -> tuple[float, tuple[Tensor, ...]]:
    """Largest Hessian eigenvalue by power iteration, and the gradient."""
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    vector = [g.detach().clone() for g in gradients]
    value = 0.0
    for _ in range(products):
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(vector))).clamp_min(1e-12)
        vector = list(torch._foreach_div(vector, norm))
        product = torch.autograd.grad(gradients, parameters, grad_outputs=vector, retain_graph=True)
        value = float(sum((v * p).sum() for v, p in zip(vector, product, strict=True)))
        vector = [p.detach() for p in product]
    return value, tuple(g.detach() for g in gradients)


def arms() -> dict[str, Callable[[Tensor, Tensor], None]]:
    """Name to a function that takes one training step."""
    made: dict[str, Callable[[Tensor, Tensor], None]] = {}

    def ordinary(name: str, clip: bool = False, subset: int | None = None, **options: object) -> None:
        model = build()
        held: list[Tensor] = []
        inner: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        if subset is not None:
            options["sample"] = lambda: held[0][:subset]
        optimizer = SafeStep(inner, model, **options) if options else inner

        def step(x: Tensor, y: Tensor) -> None:
            held[:] = [x]
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        made[name] = step

    ordinary("plain Adam")
    ordinary("clip_grad_norm_", clip=True)
    ordinary("SafeStep, exact", r_max=1.0)
    ordinary("SafeStep, finite difference", derivative="finite-difference", mode="train")
    ordinary("SafeStep, 64 samples", subset=64, r_max=1.0)
    ordinary("SafeStep, every 10 steps", every=10)

    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    parameters = list(model.parameters())

    def by_sharpness(x: Tensor, y: Tensor) -> None:
        value, gradients = sharpness(F.cross_entropy(model(x), y), parameters, PRODUCTS)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.param_groups[0]["lr"] = min(1e-3, 2 / max(value, 1e-12))
        optimizer.step()

    made[f"sharpness clip, {PRODUCTS} products"] = by_sharpness

    alone = build()

    def forward(x: Tensor, y: Tensor) -> None:
        with torch.no_grad():
            alone(x)

    made["one forward (floor of the extra)"] = forward
    return made


def main() -> None:
    """Race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds over all arms (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="steps of an arm a round (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.randn(BATCH, 784), torch.randint(10, (BATCH,))
    raced = arms()
    taken: dict[str, list[float]] = {name: [] for name in raced}
    for number in range(options.rounds + 1):
        for name, step in raced.items():
            begin = time.perf_counter()
            for _ in range(options.steps):
                step(x, y)
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - begin) / options.steps)
    # Ratios are taken round by round: what slows the machine slows all arms of a round.
    base = taken["plain Adam"]
    print(f"MLP 784-512-512-10, batch {BATCH}, Adam, one thread, torch {torch.__version__}, {options.rounds} rounds")
    print(f"{'':34}{'ms a step':>10}{'/ plain':>9}{'extra':>8}")
    for name, seconds in taken.items():
        ratio = statistics.median(s / b for s, b in zip(seconds, base, strict=True))
        extra = f"{100 * (ratio - 1):+.0f} %" if not name.startswith("one forward") else f"{100 * ratio:.0f} %"
        print(f"{name:34}{1e3 * statistics.median(seconds):10.2f}{ratio:9.2f}{extra:>8}")
    safe, peer = taken["SafeStep, exact"], taken[f"sharpness clip, {PRODUCTS} products"]
    print(f"SafeStep exact / sharpness clip: {statistics.median(s / p for s, p in zip(safe, peer, strict=True)):.3f}")


if __name__ == "__main__":
    main()
