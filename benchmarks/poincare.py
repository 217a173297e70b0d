"""Layers of ``surefoot.nn.hyperbolic``, forward and backward, against HypLL, geoopt and torch's Euclidean layers.

* Convolution and linear layer. Peer: HypLL's, with the same weights; its layers map points to points, so its arm has
  the maps from and to the tangent space around it, as ours has inside. The convolution also against our own composite,
  which unfolds. Floor: ``nn.Conv2d``, ``nn.Linear``.
* Batch norm by the midpoint. Peer: HypLL's by the midpoint; and ours by the Fréchet mean. Floor: ``nn.BatchNorm2d``.
* Möbius addition. Peer: geoopt's.

Before anything is timed, outputs and gradients are compared in float64 and the largest difference is printed. Arms
alternate in one process, on one core. ``--memory`` prints what a forward keeps for the backward instead.

    pip install hypll geoopt    # the peers; left out where they aren't there
    python benchmarks/poincare.py --rounds 7
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from racing import kept_bytes, race
from surefoot.nn.hyperbolic import PoincareBall, PoincareBatchNorm2d, PoincareConv2d, PoincareLinear, mobius_add

Layer = Callable[[Tensor], Tensor]
CURVATURE = 0.1


def agree(name: str, ours: Layer, other: Layer, x: Tensor) -> None:
    """Print the largest difference of outputs and of gradients by the input."""
    outs = [layer(x) for layer in (ours, other)]
    slopes = [torch.autograd.grad(out.square().sum(), x)[0] for out in outs]
    apart = [float((a - b).detach().abs().max()) for a, b in (outs, slopes)]
    print(f"{name}: differs in float64 by {apart[0]:.1e}, its gradient by {apart[1]:.1e}", flush=True)


def hypll_layers(dtype: torch.dtype, conv: PoincareConv2d, linear: PoincareLinear) -> dict[str, nn.Module] | None:
    """The peer's layers with our weights, tangent vectors in and out."""
    try:
        from hypll.manifolds.poincare_ball import Curvature
        from hypll.manifolds.poincare_ball import PoincareBall as Peer
        from hypll.nn import HBatchNorm2d, HConvolution2d, HLinear
        from hypll.tensors import TangentTensor
    except ImportError as error:
        print(f"HypLL is left out: {error}")
        return None
    # its curvature is a function of a float32 number, softplus if none is given
    peer = Peer(
        Curvature(CURVATURE, constraining_strategy=lambda value: torch.full_like(value, CURVATURE, dtype=dtype))
    )

    class Around(nn.Module):
        def __init__(self, layer: nn.Module, dim: int) -> None:
            super().__init__()
            self.layer, self.dim = layer.to(dtype), dim

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(peer.expmap(TangentTensor(x, None, peer, self.dim)))
            return peer.logmap(None, y).tensor

    made = {
        "convolution": Around(HConvolution2d(16, 16, 3, peer, padding=1), 1),
        "linear": Around(HLinear(256, 256, peer), -1),
        "batch norm": Around(HBatchNorm2d(16, peer, use_midpoint=True), 1),
    }
    with torch.no_grad():
        for name, weights, layer in (("convolution", "weights", conv), ("linear", "z", linear)):
            theirs = made[name].layer
            getattr(theirs, weights).tensor.copy_(layer.weight.flatten(1).T)
            theirs.bias.copy_(layer.bias)
    return made


def backward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward and backward of a layer."""
    wanted = [x, *(getattr(p, "tensor", p) for p in layer.parameters() if p.requires_grad)]
    return lambda: torch.autograd.grad(layer(x).square().sum(), wanted, allow_unused=True)


def layers(dtype: torch.dtype) -> dict[str, dict[str, nn.Module]]:
    """Ours first, then peers and floor, for each kind; of one dtype and with the same weights."""
    ball, made = PoincareBall(CURVATURE), {"dtype": dtype}
    torch.manual_seed(0)
    conv = PoincareConv2d(16, 16, 3, ball, padding=1, init="hnn++", **made)
    unfolding = PoincareConv2d(16, 16, 3, ball, padding=1, fused=False, **made)
    linear = PoincareLinear(256, 256, ball, **made)
    with torch.no_grad():
        for layer in (conv, linear):
            layer.weight.add_(0.02 * torch.randn_like(layer.weight))
            layer.bias.normal_(std=0.05)
    unfolding.load_state_dict(conv.state_dict())
    peers = hypll_layers(dtype, conv, linear)
    found: dict[str, dict[str, nn.Module]] = {
        "convolution": {"ours": conv, "unfolding": unfolding},
        "linear": {"ours": linear},
        "batch norm": {"ours": PoincareBatchNorm2d(16, ball, **made)},
    }
    for name, peer in (peers or {}).items():
        found[name]["HypLL"] = peer
    found["convolution"]["nn.Conv2d"] = nn.Conv2d(16, 16, 3, padding=1, **made)
    found["linear"]["nn.Linear"] = nn.Linear(256, 256, **made)
    found["batch norm"] |= {
        "Fréchet": PoincareBatchNorm2d(16, ball, "frechet", **made),
        "nn.BatchNorm2d": nn.BatchNorm2d(16, **made),
    }
    return found


def main() -> None:
    """Parse, compare and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    maps, rows = 0.3 * torch.randn(16, 16, 32, 32), 0.1 * torch.randn(512, 256)
    for name, arms in layers(torch.float64).items():
        x = (rows if name == "linear" else maps[:2]).double().requires_grad_()
        for arm in ("unfolding", "HypLL"):
            if arm in arms:
                agree(f"{name}, {arm}", arms["ours"], arms[arm], x)
    for name, arms in layers(torch.float32).items():
        x = (rows if name == "linear" else maps).requires_grad_()
        if options.memory:
            units = {arm: kept_bytes(lambda layer=layer, x=x: layer(x)) / x.nbytes for arm, layer in arms.items()}
            print(f"{name}, kept over the input: " + "   ".join(f"{arm} {n:.1f}" for arm, n in units.items()))
        else:
            race(name, {arm: backward(layer, x) for arm, layer in arms.items()}, options.rounds)

    a, b = ((0.05 * torch.randn(8192, 64)).requires_grad_() for _ in range(2))
    sums: dict[str, Layer] = {"ours": lambda a: mobius_add(a, b.to(a.dtype), CURVATURE)}
    try:
        import geoopt

        peer = geoopt.PoincareBall(c=torch.tensor(CURVATURE, dtype=torch.float64))
        sums["geoopt"] = lambda a: peer.mobius_add(a, b.to(a.dtype))
        agree("Möbius addition, geoopt", sums["ours"], sums["geoopt"], a.detach().double().requires_grad_())
    except ImportError as error:
        print(f"geoopt is left out: {error}")
    if options.memory:
        units = {arm: kept_bytes(lambda add=add: add(a)) / a.nbytes for arm, add in sums.items()}
        print("Möbius addition, kept over an input: " + "   ".join(f"{arm} {n:.1f}" for arm, n in units.items()))
        return

    def both(add: Layer) -> Callable[[], object]:
        return lambda: torch.autograd.grad(add(a).square().sum(), (a, b))

    race("Möbius addition", {arm: both(add) for arm, add in sums.items()}, options.rounds)


if __name__ == "__main__":
    main()
