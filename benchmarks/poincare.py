"""Layers of ``surefoot.nn.hyperbolic``, forward and backward, against HypLL, the unfolding composite and nn.Conv2d.

Pairs do the same work from the same weights and alternate in one process. The floor is torch's Euclidean layer.

    pip install hypll geoopt    # the peers; left out where they aren't there
    python benchmarks/poincare.py --rounds 7
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surefoot.nn.hyperbolic import PoincareBall, PoincareBatchNorm2d, PoincareConv2d, PoincareLinear, mobius_add


def race(name: str, arms: dict[str, Callable[[], object]], rounds: int) -> None:
    """Alternate the arms (the first is ours); print medians, and each of the others' ratio to ours."""
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for call in arms.values():
        call()
    for turn in range(rounds):
        for arm in list(arms) if turn % 2 == 0 else reversed(arms):
            begin = time.perf_counter()
            arms[arm]()
            times[arm].append(time.perf_counter() - begin)
    ours = statistics.median(times["ours"])
    shown = [
        f"{arm} {1e3 * statistics.median(t):8.2f} ms ({statistics.median(t) / ours:.2f})" for arm, t in times.items()
    ]
    print(f"{name:16} " + "   ".join(shown), flush=True)


def step(layer: Callable[[Tensor], Tensor], x: Tensor, parameters: list[Tensor]) -> Callable[[], object]:
    """Forward and backward of a layer."""
    wanted = [x, *(p for p in parameters if p.requires_grad)]
    return lambda: torch.autograd.grad(layer(x).square().sum(), wanted, allow_unused=True)


def hypll_layers(c: float) -> dict[str, Callable[[Tensor], Tensor]] | None:
    """The peer's convolution and linear layer, tangent vectors in and out."""
    try:
        from hypll.manifolds.poincare_ball import Curvature
        from hypll.manifolds.poincare_ball import PoincareBall as Peer
        from hypll.nn import HConvolution2d, HLinear
        from hypll.tensors import TangentTensor
    except ImportError as error:
        print(f"HypLL is left out: {error}")
        return None
    # its curvature is the softplus of what it is given
    peer = Peer(Curvature(torch.tensor(c).expm1().log().item()))
    made = {"conv": HConvolution2d(16, 16, 3, peer, padding=1), "linear": HLinear(256, 256, peer)}

    def around(layer: nn.Module, dim: int) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            y = layer(peer.expmap(TangentTensor(x, None, peer, dim)))
            return peer.logmap(None, y).tensor

        call.parameters = [getattr(p, "tensor", p) for p in layer.parameters()]  # type: ignore[attr-defined]
        return call

    return {"conv": around(made["conv"], 1), "linear": around(made["linear"], 1)}


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ball = PoincareBall(0.1)
    peers = hypll_layers(0.1)

    x = (0.3 * torch.randn(16, 16, 32, 32)).requires_grad_()
    ours = PoincareConv2d(16, 16, 3, ball, padding=1, init="hnn++")
    unfolded = PoincareConv2d(16, 16, 3, ball, padding=1, fused=False)
    unfolded.load_state_dict(ours.state_dict())
    assert torch.allclose(ours(x), unfolded(x), atol=1e-5)
    plain = nn.Conv2d(16, 16, 3, padding=1)
    arms = {name: step(layer, x, list(layer.parameters())) for name, layer in (("ours", ours), ("unfolded", unfolded))}
    if peers:
        arms["HypLL"] = step(peers["conv"], x, peers["conv"].parameters)  # type: ignore[attr-defined]
    race("convolution", arms | {"nn.Conv2d": step(plain, x, list(plain.parameters()))}, options.rounds)

    rows = (0.1 * torch.randn(512, 256)).requires_grad_()
    linear, flat = PoincareLinear(256, 256, ball), nn.Linear(256, 256)
    arms = {"ours": step(linear, rows, list(linear.parameters()))}
    if peers:
        arms["HypLL"] = step(peers["linear"], rows, peers["linear"].parameters)  # type: ignore[attr-defined]
    race("linear", arms | {"nn.Linear": step(flat, rows, list(flat.parameters()))}, options.rounds)

    norm, euclidean = PoincareBatchNorm2d(16, ball), nn.BatchNorm2d(16)
    frechet = PoincareBatchNorm2d(16, ball, "frechet")
    arms = {"ours": norm, "Fréchet": frechet, "nn.BatchNorm2d": euclidean}
    race("batch norm", {n: step(m, x, list(m.parameters())) for n, m in arms.items()}, options.rounds)

    a, b = ((0.05 * torch.randn(8192, 64)).requires_grad_() for _ in range(2))
    arms = {"ours": lambda: torch.autograd.grad(mobius_add(a, b, 0.1).square().sum(), (a, b))}
    try:
        import geoopt

        peer = geoopt.PoincareBall(c=0.1)
        arms["geoopt"] = lambda: torch.autograd.grad(peer.mobius_add(a, b).square().sum(), (a, b))
    except ImportError as error:
        print(f"geoopt is left out: {error}")
    race("Möbius addition", arms, options.rounds)


if __name__ == "__main__":
    main()
