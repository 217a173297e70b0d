"""DAL and the drift-cancelling game against what one would take instead.

* A step of DAL on a classifier of 26 thousand parameters. Floor: a step of SGD. Peer: SGD at 2/λ_max, the largest
  eigenvalue found by Lanczos from the last one's vector (Cohen et al.'s edge), which asks for more products.
* A step of the cancelling game on a GAN on a ring of eight Gaussians. Floor: simultaneous SGD.
* The same GAN, equal steps: mean discrepancy and modes of plain simultaneous SGD, alternating SGD, extragradient,
  optimistic SGD, Adam and ours.

    python benchmarks/drift.py [--rounds 9] [--steps 600] [--seeds 3]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from racing import race
from surefoot.autodiff import HessianOperator, extreme_eigenpairs
from surefoot.optim import DAL, DriftCancellingGame
from surefoot.studies._drift_runs import Ring


def classifier(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A net and 1,024 rows."""
    torch.manual_seed(seed)
    x, y = torch.randn(1024, 64), torch.randint(10, (1024,))
    x[torch.arange(1024), y] += 3
    return nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)), x, y


def sgd_step() -> Callable[[], object]:
    """A step of SGD at a fixed rate."""
    model, x, y = classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def dal_step() -> Callable[[], object]:
    """A step of DAL."""
    model, x, y = classifier()
    optimizer = DAL(model.parameters())
    return lambda: optimizer.step(lambda: F.cross_entropy(model(x), y))


def sharpness_step() -> Callable[[], object]:
    """A step of SGD at the edge, found by Lanczos."""
    model, x, y = classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    last: dict[str, Tensor | None] = {"start": None}

    def step() -> None:
        operator = HessianOperator(model, F.cross_entropy, (x, y))
        found = extreme_eigenpairs(operator, 1, "LA", 0.1, start=last["start"])
        last["start"] = found.restart
        optimizer.param_groups[0]["lr"] = 2 / float(found.values[0])
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def gradients(ring: Ring, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Of both players at once."""
    value = ring.value(batch)
    found = torch.autograd.grad(value, [*ring.first, *ring.second])
    cut = len(ring.first)
    return [*found[:cut], *(-g for g in found[cut:])]


def train(arm: str, seed: int, steps: int, lr: float) -> tuple[float, int]:
    """Discrepancy and modes after equal steps."""
    ring = Ring(seed)
    both = [*ring.first, *ring.second]
    if arm in ("ours", "simultaneous", "alternating"):
        scheme, cancel = ("alternating", 0.0) if arm == "alternating" else ("simultaneous", float(arm == "ours"))
        game = DriftCancellingGame(
            ring.value, lambda b: -ring.value(b), ring.first, ring.second, lr, lr, scheme, cancel
        )  # type: ignore[arg-type]
        for _ in range(steps):
            game.step(ring.batch())
        return ring.judged()
    adam = torch.optim.Adam(both, 1e-3, betas=(0.5, 0.9))
    before: list[Tensor] | None = None
    for _ in range(steps):
        batch = ring.batch()
        found = gradients(ring, batch)
        if arm == "Adam":
            for parameter, gradient in zip(both, found, strict=True):
                parameter.grad = gradient
            adam.step()
            continue
        with torch.no_grad():
            if arm == "extragradient":
                kept = [p.clone() for p in both]
                torch._foreach_sub_(both, found, alpha=lr)
                with torch.enable_grad():
                    found = gradients(ring, batch)
                torch._foreach_copy_(both, kept)
                torch._foreach_sub_(both, found, alpha=lr)
            else:  # optimistic: 2 g − g of the step before
                ahead = found if before is None else [2 * g - b for g, b in zip(found, before, strict=True)]
                torch._foreach_sub_(both, ahead, alpha=lr)
                before = found
    return ring.judged()


def main() -> None:
    """Race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    race("a step", {"DAL": dal_step(), "SGD": sgd_step(), "2/λ_max": sharpness_step()}, options.rounds)
    rings = {"ours": 1.0, "simultaneous SGD": 0.0}
    steps: dict[str, Callable[[], object]] = {}
    for name, cancel in rings.items():
        ring = Ring(0)
        game = DriftCancellingGame(
            ring.value, lambda b, r=ring: -r.value(b), ring.first, ring.second, 0.1, 0.1, cancel=cancel
        )
        steps[name] = lambda g=game, r=ring: g.step(r.batch())
    race("a step of two players", steps, options.rounds)
    print(f"\nring of eight after {options.steps} steps: squared discrepancy (modes), a seed each")
    for arm in ("ours", "simultaneous", "alternating", "extragradient", "optimistic", "Adam"):
        ends = [train(arm, seed, options.steps, 0.3) for seed in range(options.seeds)]
        print(f"  {arm:16}" + "   ".join(f"{mmd:.3f} ({modes})" for mmd, modes in ends), flush=True)


if __name__ == "__main__":
    main()
