"""Signal propagation of ``surefoot.init`` against neural-tangents and ensembles of real networks.

* Kernel and tangent kernel of one input through 32 layers. Peer: neural-tangents' ``kernel_fn``, compiled before: in
  closed form for ReLU and erf, by its own quadrature for an activation that it has no closed form of. Ours gives
  susceptibilities, vertex and the first correction of the kernel with them. Floor: the activation and its slope at as
  many points. Checked to agree.
* Mean and variance of the mean squared preactivation over networks of width 64, 16 layers. Peer: as many networks with
  their weights, one batched product a layer; the law is the same, so the error is. Floor: the chain's random numbers.
* Theory instead of networks: how many of them, and how long, until their mean is as near as K + G₁/n is.

    pip install neural-tangents "jax==0.4.23" "jaxlib==0.4.23" "scipy<1.13" "numpy<2"    # the peer; left out otherwise
    python benchmarks/criticality.py
    python benchmarks/criticality.py --nets 200 --rounds 3
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
from torch import Tensor

from racing import race
from surefoot.init import critical_point, kernel_flow, variance_chain
from surefoot.init.activations import as_function
from surefoot.init.moments import nodes

WIDTH, LAYERS = 64, 16


@torch.no_grad()
def networks(act: str, count: int, generator: torch.Generator) -> Tensor:
    """q of every layer over networks with weight matrices, at the critical point and K1 = 1."""
    function, C_W = as_function(act), critical_point(act).C_W
    z = torch.randn(count, WIDTH, 1, generator=generator)
    layers = [z.square().mean((1, 2))]
    for _ in range(LAYERS - 1):
        weight = torch.randn(count, WIDTH, WIDTH, generator=generator).mul_(math.sqrt(C_W / WIDTH))
        z = weight @ function(z)
        layers.append(z.square().mean((1, 2)))
    return torch.stack(layers, dim=1).double()


def against_neural_tangents(depth: int, rounds: int) -> None:
    """K and Θ of the last layer."""
    try:
        import jax
        from neural_tangents import stax
    except ImportError as error:
        print(f"neural-tangents is left out: {error}")
        stax = None
    t = nodes()[0]
    for act in ("relu", "erf", "gelu"):
        point = critical_point(act)
        function = as_function(act)

        def ours(act: str = act, point: object = point) -> object:
            return kernel_flow(act, 0.0, point.C_W, depth, point.C_W, lambda_b=0.0, lambda_W=point.C_W)

        def floor(function: object = function) -> None:
            z = t.clone().requires_grad_()
            for _ in range(depth):
                torch.autograd.grad(function(z).sum(), z)

        arms = {"ours": ours}
        if stax is not None:
            jax.config.update("jax_enable_x64", True)
            middle = {"relu": stax.Relu, "erf": stax.Erf}.get(act)
            layer = middle() if middle else stax.ElementwiseNumerical(jax.nn.gelu, deg=25)
            dense = stax.Dense(1, W_std=math.sqrt(point.C_W), b_std=None)
            kernel_fn = stax.serial(*[part for _ in range(depth - 1) for part in (dense, layer)], dense)[2]
            x = np.ones((1, 8))
            compiled = jax.jit(lambda x, kernel_fn=kernel_fn: kernel_fn(x, None, ("nngp", "ntk")))

            def theirs(compiled: object = compiled, x: np.ndarray = x) -> object:
                return jax.block_until_ready(compiled(x))

            begin = time.perf_counter()
            found, flow = theirs(), ours()
            print(
                f"{act}: neural-tangents compiled in {time.perf_counter() - begin:.1f} s; relative differences "
                f"K {abs(float(found.nngp[0, 0]) / flow.K[-1] - 1):.1e}, "
                f"Θ {abs(float(found.ntk[0, 0]) / flow.theta[-1] - 1):.1e}",
                flush=True,
            )
            arms["neural-tangents"] = theirs
        race(f"{act}, {depth} layers", arms | {"floor": floor}, rounds)


def against_ensembles(nets: int, rounds: int) -> None:
    """Chains against networks with weights; then theory against networks."""
    generator = torch.Generator().manual_seed(0)
    for act in ("relu", "tanh"):
        q = networks(act, nets, generator)
        chains = variance_chain(act, WIDTH, LAYERS, 20 * nets, generator=generator)
        error = float(q[:, -1].std() / math.sqrt(nets) / chains[:, -1].mean())
        apart = float(abs(q[:, -1].mean() / chains[:, -1].mean() - 1))
        print(f"{act}: mean of q at layer {LAYERS}, networks against chains: {apart:.1%} apart, one σ is {error:.1%}")
        race(
            f"{act}, {nets} networks",
            {
                "chain": lambda act=act: variance_chain(act, WIDTH, LAYERS, nets, generator=generator),
                "with weights": lambda act=act: networks(act, nets, generator),
                "floor": lambda: torch.randn(nets, WIDTH, LAYERS, dtype=torch.float64, generator=generator),
            },
            rounds,
        )
    flow = kernel_flow("tanh", 0.0, 1.0, LAYERS, 1.0)
    q = variance_chain("tanh", WIDTH, LAYERS, 400 * nets, generator=generator)[:, -1]
    predicted = float(flow.K[-1] + flow.G1[-1] / WIDTH)
    error = abs(predicted / float(q.mean()) - 1)
    needed = math.ceil(float(q.var() / q.mean() ** 2) / error**2)
    begin = time.perf_counter()
    networks("tanh", nets, generator)
    each = (time.perf_counter() - begin) / nets
    begin = time.perf_counter()
    kernel_flow("tanh", 0.0, 1.0, LAYERS, 1.0)
    seconds = time.perf_counter() - begin
    print(
        f"tanh: K + G₁/n is {error:.2%} from the mean over {400 * nets:,} networks, in {1e3 * seconds:.1f} ms; "
        f"{needed:,} networks are as near, in {1e3 * each * needed:,.0f} ms: {each * needed / seconds:,.0f} ×"
    )


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--nets", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    against_neural_tangents(options.depth, options.rounds)
    against_ensembles(options.nets, options.rounds)


if __name__ == "__main__":
    main()
