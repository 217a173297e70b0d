"""``surefoot.nn.plstm`` on grids against the authors' layer, a plain loop, and attention; forwards and backwards.

* Gates from the input, on growing grids. Peers: the authors' torch function (``pLSTM2D_fwbw``: one block, backward by
  recomputation), and a loop over the grid's nodes. Differences of outputs and gradients in float64
  are printed first.
* Gates that are equal everywhere, closed form, a whole layer's core. Floor:
  ``F.scaled_dot_product_attention`` of the same size.

Arms alternate in one process, on one core. ``--memory`` prints what a forward keeps for the backward instead.

    git clone https://github.com/ml-jku/plstm && pip install compoconf einops networkx
    PYTHONPATH=plstm/src python benchmarks/plstm.py
    python benchmarks/plstm.py --sides 8 16 --rounds 3
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from racing import kept_bytes, race
from surefoot.nn.plstm import GridGates, PLSTM2d, plstm_2d
from surefoot.nn.plstm.layers import _attend


def loop(q: Tensor, k: Tensor, v: Tensor, gates: GridGates) -> Tensor:
    """The recurrence a node at a time."""
    batch, width, height, heads, keys = q.shape
    none = q.new_zeros(batch, heads, keys, v.shape[-1])
    right: dict[tuple[int, int], Tensor] = {}
    down: dict[tuple[int, int], Tensor] = {}
    rows = []
    for x in range(width):
        for y in range(height):
            g = {name: gate[:, x, y, :, None, None] for name, gate in vars(gates).items()}
            left, up = right.get((x - 1, y), none), down.get((x, y - 1), none)
            outer = k[:, x, y, :, :, None] * v[:, x, y, :, None]
            right[x, y] = g["right_left"] * left + g["right_up"] * up + g["source_right"] * outer
            down[x, y] = g["down_left"] * left + g["down_up"] * up + g["source_down"] * outer
            state = g["mark_left"] * left + g["mark_up"] * up + g["direct"] * outer
            rows.append((keys**-0.5 * q[:, x, y, :, None] @ state).squeeze(-2))
    return torch.stack(rows, 1).unflatten(1, (width, height))


def authors(q: Tensor, k: Tensor, v: Tensor, gates: GridGates, levels: int) -> Tensor:
    """The authors' function with our arguments."""
    from plstm.torch.plstm_2d import pLSTM2D_fwbw

    def fold(x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2, *range(4, x.dim())).flatten(0, 1)

    def gate(name: str, ones: int) -> Tensor:
        return fold(getattr(gates, name))[(..., *(None,) * ones)].contiguous()

    out = pLSTM2D_fwbw(
        *(fold(t)[..., None].contiguous() for t in (q, k, v)),
        *(gate(name, 3) for name in ("source_right", "source_down")),
        *(gate(name, 2) for name in ("right_left", "down_up", "down_left", "right_up")),
        *(gate(name, 3) for name in ("mark_left", "mark_up")),
        gate("direct", 4),
        levels=levels,
    )
    return out.squeeze(-1).unflatten(0, (q.shape[0], q.shape[3])).permute(0, 2, 3, 1, 4)


def equal_gates(qkv: list[Tensor], dim: int) -> dict[str, Callable[[], object]]:
    """Closed form and product of P-mode gates in four directions, and attention."""
    q, k, v = qkv
    side, heads = q.shape[1], q.shape[3]
    layer = PLSTM2d(dim, heads, "P", "bias")
    wanted = [*qkv, layer.gate_bias]
    flat = [t.flatten(1, 2).transpose(1, 2) for t in qkv]

    def ours() -> Tensor:
        return _attend(q, k, v, layer._constant(side, side))

    return {
        "ours": lambda: torch.autograd.grad(ours().sum(), wanted),
        "attention": lambda: torch.autograd.grad(F.scaled_dot_product_attention(*flat).sum(), qkv),
    }


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    here = Path(__file__).resolve().parent  # this file has the name of the authors' package
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != here]
    try:
        import plstm.torch.plstm_2d  # noqa: F401

        there = True
    except ImportError as error:
        there = False
        print(f"the authors' function is left out: {error}")
    heads, keys = 2, 16
    for side in options.sides:
        torch.manual_seed(0)
        shape = (options.batch, side, side, heads)
        levels = (side - 1).bit_length()

        def leaves(dtype: torch.dtype, shape: tuple[int, ...] = shape) -> list[Tensor]:
            values = [torch.randn(*shape, keys) for _ in range(3)] + [torch.rand(shape) / 2 for _ in range(9)]
            return [t.to(dtype).requires_grad_() for t in values]

        def forms(t: list[Tensor], levels: int = levels) -> dict[str, Callable[[], Tensor]]:
            gates = GridGates(*t[3:])
            made: dict[str, Callable[[], Tensor]] = {
                "chunkwise": lambda: plstm_2d(*t[:3], gates),
                "parallel": lambda: plstm_2d(*t[:3], gates, method="parallel"),
                "recurrent": lambda: plstm_2d(*t[:3], gates, method="recurrent"),
                "loop": lambda: loop(*t[:3], gates),
            }
            if there:
                made["authors"] = lambda: authors(*t[:3], gates, levels)
            return made

        if side <= 16:
            double = leaves(torch.float64)
            outs = {name: form() for name, form in forms(double).items()}
            slopes = {name: torch.autograd.grad(out.square().sum(), double) for name, out in outs.items()}
            for name, out in outs.items():
                worst = float((out - outs["loop"]).detach().abs().max())
                pairs = zip(slopes[name], slopes["loop"], strict=True)
                slope = max(float((a - b).detach().abs().max()) for a, b in pairs)
                assert worst < 1e-8, (name, worst)
                print(
                    f"{side} × {side}: {name} differs from the loop by {worst:.1e} in float64, gradients by {slope:.1e}"
                )
        single = leaves(torch.float32)
        made = forms(single)
        if options.memory:
            sizes = {name: kept_bytes(form) / 1e6 for name, form in made.items()}
            print(f"{side} × {side}: " + "   ".join(f"{name} {size:.1f} MB" for name, size in sizes.items()))
            continue

        def backward(form: Callable[[], Tensor], single: list[Tensor] = single) -> Callable[[], object]:
            return lambda: torch.autograd.grad(form().sum(), single)

        race(f"{side} × {side}", {name: backward(form) for name, form in made.items()}, options.rounds)

        race("equal gates", equal_gates(single[:3], heads * keys), options.rounds)


if __name__ == "__main__":
    main()
