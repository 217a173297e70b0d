"""A stack of equal branches, forward and backward: in sequence, in parallel by a loop, fused, and the loop compiled.

The peer of the fused layer is ``torch.compile`` of the loop; all parallel arms are checked to give the same numbers and
do the same multiplications. Floor: those multiplications as one bare convolution or product each way, without
activation, sum and skip. Where one branch alone saturates the core, nothing is gained by fusing.

    python benchmarks/shallow.py
    python benchmarks/shallow.py --rounds 3 --no-compile
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from racing import kept_bytes, race
from surefoot.nn.shallow import ParallelStack, ResidualStack, fuse_parallel


def convolutions(depth: int, channels: int) -> ResidualStack:
    """Branches of a 3 × 3 convolution and a ReLU."""
    return ResidualStack([nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(depth)])


def perceptrons(depth: int, width: int) -> ResidualStack:
    """Branches of two linear layers with a GELU between."""
    return ResidualStack(
        [nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(depth)]
    )


def step(module: Callable[[Tensor], Tensor], parameters: list[Tensor], x: Tensor) -> Callable[[], object]:
    """Forward and backward."""
    return lambda: torch.autograd.grad(module(x).square().mean(), [x, *parameters])


def bare(fused: nn.Module) -> nn.Module:
    """The products of a fused layer alone."""
    return nn.Sequential(*(layer for layer in (fused.first, fused.second) if layer is not None))


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = {
        "16 convolutions, C = 4, 8 × 8": (convolutions(16, 4), torch.randn(64, 4, 8, 8)),
        "16 convolutions, C = 8, 8 × 8": (convolutions(16, 8), torch.randn(64, 8, 8, 8)),
        "16 convolutions, C = 16, 16 × 16": (convolutions(16, 16), torch.randn(64, 16, 16, 16)),
        "16 perceptrons, d = 32": (perceptrons(16, 32), torch.randn(64, 32)),
        "16 perceptrons, d = 256": (perceptrons(16, 256), torch.randn(64, 256)),
    }
    for name, (stack, x) in cases.items():
        x.requires_grad_()
        loop = stack.parallel()
        assert isinstance(loop, ParallelStack)
        fused = fuse_parallel(loop)
        assert torch.allclose(fused(x), loop(x), atol=1e-5)
        parameters = list(stack.parameters())
        arms = {
            "fused": step(fused, list(fused.parameters()), x),
            "loop": step(loop, parameters, x),
            "sequential": step(stack, parameters, x),
        }
        if not options.no_compile:
            torch.compiler.reset()
            compiled = torch.compile(loop)
            try:
                assert torch.allclose(compiled(x), loop(x), atol=1e-5)
                arms["compiled loop"] = step(compiled, parameters, x)
            except Exception as error:  # no compiler on this machine
                print(f"torch.compile is left out: {str(error).splitlines()[0]}")
        floor = bare(fused)
        arms["bare products"] = step(floor, list(floor.parameters()), x)
        race(name, arms, options.rounds)
        modules = {"fused": fused, "loop": loop, "sequential": stack}
        kept = {arm: kept_bytes(lambda module=module, x=x: module(x)) / 2**20 for arm, module in modules.items()}
        print("  kept for the backward: " + ", ".join(f"{arm} {size:.1f} MiB" for arm, size in kept.items()))


if __name__ == "__main__":
    main()
