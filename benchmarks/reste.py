"""1-bit training and inference of ``surefoot.nn.binary`` against the plain ways and brevitas.

* sign with ReSTE's slope, forward and backward on 10⁷ numbers. Peer: the same function composed of torch operations
  (the detach trick). Floor: a clone forwards, a product backwards.
* sign with the straight-through slope, cut at 1. Peer: brevitas' ``ClampedBinaryQuant``, a clamp and its
  ``binary_sign_ste``.
* A training step of a convolution with 1-bit weights and inputs. Peer: brevitas' ``QuantConv2d``. Floor: ``nn.Conv2d``.
* Inference of a linear layer from packed bits. Peer: the same layer with its signs as float32. Floor: the bare product.

Pairs do the same work, are checked to give the same numbers where they should, and alternate in one process.

    pip install brevitas       # the peer; left out where it isn't there
    python benchmarks/reste.py
    python benchmarks/reste.py --numbers 1000000 --rounds 3
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from racing import race
from surefoot.nn.binary import STE, BinaryConv2d, BinaryLinear, PackedLinear, binarize


def composed(z: Tensor, o: float = 3.0, clip: float = 1.5, knee: float = 0.1) -> Tensor:
    """ReSTE from torch operations: a function with its slope, and sign in place of its value."""
    f = torch.where(z.abs() <= knee, z * knee ** (1 / o - 1), z.sign() * z.abs().clamp_min(knee) ** (1 / o))
    f = torch.where(z.abs() > clip, f.detach(), f)
    return (z.sign() - f).detach() + f


def backward(function: Callable[[Tensor], Tensor], z: Tensor, g: Tensor) -> Tensor:
    """Forward and backward; the gradient of ``z``."""
    return torch.autograd.grad(function(z), z, g)[0]


def step(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward and backward of a layer."""
    parameters = [x, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x).square().sum(), parameters, allow_unused=True)


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=10**7)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        from brevitas.function.ops_ste import binary_sign_ste
        from brevitas.nn import QuantConv2d
        from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
    except ImportError as error:
        binary_sign_ste = None
        print(f"brevitas is left out: {error}")

    def clamped(z: Tensor) -> Tensor:
        return binary_sign_ste(z.clamp(-1, 1))

    z, g = torch.randn(options.numbers).requires_grad_(), torch.randn(options.numbers)
    near = torch.allclose(backward(binarize, z, g), backward(composed, z, g), rtol=1e-5, atol=1e-6)
    assert near and torch.equal(binarize(z), composed(z).round())
    race(
        "ReSTE",
        {
            "ours": lambda: backward(binarize, z, g),
            "composed": lambda: backward(composed, z, g),
            "floor": lambda: (z.detach().clone(), g * g),
        },
        options.rounds,
    )
    arms = {"ours": lambda: backward(lambda z: binarize(z, STE()), z, g)}
    if binary_sign_ste is not None:
        wide = z.detach()[:10_000].double().requires_grad_()
        pair = [backward(f, wide, g[:10_000].double()) for f in (lambda z: binarize(z, STE()), clamped)]
        print(f"straight through: differs from brevitas by {float((pair[0] - pair[1]).abs().max()):.1e} in float64")
        arms["brevitas"] = lambda: backward(clamped, z, g)
    race("straight through", arms, options.rounds)

    x = torch.randn(32, 64, 16, 16).requires_grad_()
    ours = BinaryConv2d(64, 64, 3, padding=1, bias=False)
    arms = {"ours": step(ours, x)}
    if binary_sign_ste is not None:
        quantised = {"weight_quant": SignedBinaryWeightPerTensorConst, "input_quant": SignedBinaryActPerTensorConst}
        arms["brevitas"] = step(QuantConv2d(64, 64, 3, padding=1, bias=False, **quantised), x)
    arms["nn.Conv2d"] = step(nn.Conv2d(64, 64, 3, padding=1, bias=False), x)
    race("step of a convolution", arms, options.rounds)

    layer = BinaryLinear(2048, 2048, bias=False).eval()
    packed, dense = PackedLinear(layer), layer.binary_weight().detach()
    for rows in (1, 64):
        x = torch.randn(rows, 2048)
        with torch.no_grad():
            assert torch.allclose(packed(x), layer(x), atol=1e-3)
            race(
                f"packed bits, {rows} rows",
                {
                    "ours": lambda x=x: packed(x),
                    "signs as floats": lambda x=x: binarize(x) @ dense.T,
                    "bare product": lambda x=x: x @ dense.T,
                },
                options.rounds,
            )
    print(f"weights of the packed layer: {packed.words.nbytes:,} bytes, as float32 {4 * dense.numel():,} bytes")


if __name__ == "__main__":
    main()
