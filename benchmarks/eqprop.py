"""Equilibrium propagation of ``surefoot.nn.eqprop`` against automatic differentiation in the loop, on digits.

* Same steps: 30 free and 10 nudged steps of s ← clip(∂Φ/∂s, 0, 1), and the gradient. Peers: the authors' public PyTorch
  implementation (``P_MLP``), and a loop in its style that does nothing else. Floor: the matrix products alone.
* Same residual: both phases until no unit moves by more than 1e-5. Ours alternates between layers.
* Same accuracy: epochs of training from the same weights, seconds and test accuracy. The loop takes 30 and 10 steps, as
  the public implementation does; ours the same, or up to 30 and 10 sweeps until no unit moves by more than 1e-3.
* Memory: what backpropagation through the free phase keeps for its backward, and what a contrast holds.

All arms are checked to give the same gradient, and alternate in one process on one core.

    git clone https://github.com/Laborieux-Axel/Equilibrium-Propagation && pip install torchvision matplotlib
    PYTHONPATH=Equilibrium-Propagation python benchmarks/eqprop.py     # the peer; left out where it isn't there
    python benchmarks/eqprop.py --batches 20 --rounds 3 --epochs 1
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from racing import kept_bytes, race
from surefoot.nn.eqprop import LayeredHopfield, Settling, SquaredError, bptt_grad, eqprop_grad, settle
from surefoot.studies.problems.digits import digits

FREE, NUDGED, BETA, RESIDUAL = 30, 10, 0.5, 1e-5
LIMIT = 2000


def phi(model: LayeredHopfield, x: Tensor, state: list[Tensor], d: Tensor, beta: float) -> Tensor:
    """The primitive function of the dynamics: Σ s_{k+1} · (W_k s_k + b_k) − β C, of each sample."""
    layers = [x, *state]
    total = sum(
        ((below @ w + b) * above).sum(1)
        for below, above, w, b in zip(layers, state, model.weights, model.biases, strict=False)
    )
    return total - beta * 0.5 * (state[-1] - d).square().sum(1)


def loop(
    model: LayeredHopfield, x: Tensor, state: list[Tensor], d: Tensor, beta: float, steps: int, residual: float = 0.0
) -> list[Tensor]:
    """s ← clip(∂Φ/∂s, 0, 1), the derivative by autograd in every step."""
    for _ in range(steps):
        state = [s.detach().requires_grad_() for s in state]
        new = [g.clamp(0, 1) for g in torch.autograd.grad(phi(model, x, state, d, beta).sum(), state)]
        if residual and max(float((n - s).detach().abs().max()) for n, s in zip(new, state, strict=True)) <= residual:
            return new
        state = new
    return state


def by_autograd(model: LayeredHopfield, x: Tensor, d: Tensor, residual: float = 0.0) -> list[Tensor]:
    """Both phases and the contrast, in the style of the public implementation."""
    steps = (LIMIT, LIMIT) if residual else (FREE, NUDGED)
    free = loop(model, x, model.initial(x), d, 0.0, steps[0], residual)
    pulled = loop(model, x, free, d, BETA, steps[1], residual)
    both = (phi(model, x, pulled, d, BETA).mean() - phi(model, x, free, d, 0.0).mean()) / -BETA
    return list(torch.autograd.grad(both, [*model.weights, *model.biases]))


def ours(
    model: LayeredHopfield, x: Tensor, d: Tensor, residual: float = 0.0, limits: tuple[int, int] = (LIMIT, LIMIT)
) -> list[Tensor]:
    """The same."""
    if residual:
        free, nudged = (Settling(limit, 1.0, residual, "alternate") for limit in limits)
    else:
        free, nudged = Settling(FREE, 1.0), Settling(NUDGED, 1.0)
    model.zero_grad()
    eqprop_grad(model, x, d, SquaredError(), beta=BETA, scheme="one-sided", free=free, nudged=nudged)
    return [p.grad for p in (*model.weights, *model.biases) if p.grad is not None]


def authors(model: LayeredHopfield, x: Tensor, y: Tensor) -> Callable[[], list[Tensor]] | None:
    """The public implementation's network with our weights: both phases, the contrast."""
    try:
        import model_utils
    except ImportError as error:
        print(f"the public implementation is left out: {error}")
        return None
    peer = model_utils.P_MLP(list(model.sizes), activation=lambda s: s.clamp(0, 1))
    with torch.no_grad():
        for synapse, w, b in zip(peer.synapses, model.weights, model.biases, strict=True):
            synapse.weight.copy_(w.T)
            synapse.bias.copy_(b)
    criterion = torch.nn.MSELoss(reduction="none")

    def call() -> list[Tensor]:
        free = peer(x, y, peer.init_neurons(len(x), x.device), FREE, beta=0.0, criterion=criterion)
        first = model_utils.copy(free)
        pulled = peer(x, y, free, NUDGED, beta=BETA, criterion=criterion)
        peer.compute_syn_grads(x, y, first, model_utils.copy(pulled), (0.0, BETA), criterion)
        return [s.weight.grad.T for s in peer.synapses] + [s.bias.grad for s in peer.synapses]

    return call


def products(model: LayeredHopfield, x: Tensor) -> Callable[[], None]:
    """The matrix products of the same steps, into memory that is there."""
    w = [p.detach() for p in model.weights]
    s = [torch.rand(len(x), n) for n in model.sizes[1:]]
    out = [torch.empty_like(t) for t in s]

    def call() -> None:
        torch.mm(x, w[0])
        for _ in range(FREE + NUDGED):
            for k in range(1, len(w)):
                torch.mm(s[k - 1], w[k], out=out[k])
                torch.mm(s[k], w[k].T, out=out[k - 1])

    return call


def agree(a: list[Tensor], b: list[Tensor]) -> float:
    """Largest difference of any gradient, against the largest of its own."""
    return max(float((p - q).abs().max() / q.abs().max().clamp_min(1e-12)) for p, q in zip(a, b, strict=True))


def early(model: LayeredHopfield, x: Tensor, d: Tensor) -> list[Tensor]:
    """Ours, stopped as soon as the states hardly move."""
    return ours(model, x, d, 1e-3, (FREE, NUDGED))


def train(model: LayeredHopfield, gradient: Callable[..., list[Tensor]], epochs: int) -> tuple[float, float]:
    """Seconds, and test accuracy."""
    data = digits(0, 0.25)
    target = F.one_hot(data.y_train, 10).float()
    parameters = [*model.weights, *model.biases]
    generator = torch.Generator().manual_seed(0)
    begin = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(target), generator=generator).split(20):
            found = gradient(model, data.x_train[rows], target[rows])
            with torch.no_grad():
                for p, g, lr in zip(parameters, found, (0.1, 0.05) * 2, strict=True):
                    p -= lr * g
    taken = time.perf_counter() - begin
    output = settle(model, data.x_test, how=Settling(60)).output
    return taken, (output.argmax(1) == data.y_test).float().mean().item()


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = digits(0, 0.25)
    # half of Glorot's weights: one resting point, which plain steps of the loop reach too
    model = LayeredHopfield((64, options.hidden, 10), gain=0.5, generator=torch.Generator().manual_seed(0))
    for batch in options.batches:
        x, y = data.x_train[:batch], data.y_train[:batch]
        d = F.one_hot(y, 10).float()
        arms: dict[str, Callable[[], list[Tensor]]] = {
            "ours": lambda x=x, d=d: ours(model, x, d),  # type: ignore[misc]
            "autograd loop": lambda x=x, d=d: by_autograd(model, x, d),  # type: ignore[misc]
        }
        peer = authors(model, x, y)
        if peer is not None:
            arms["public"] = peer
        for name, arm in arms.items():
            off = agree(arm(), arms["ours"]())
            assert off < 1e-4, (name, off)
        race(f"same steps, batch {batch}", arms | {"products alone": products(model, x)}, options.rounds)  # type: ignore[arg-type]
        settled = {
            "ours": lambda x=x, d=d: ours(model, x, d, RESIDUAL),  # type: ignore[misc]
            "autograd loop": lambda x=x, d=d: by_autograd(model, x, d, RESIDUAL),  # type: ignore[misc]
        }
        off = agree(settled["autograd loop"](), settled["ours"]())
        assert off < 1e-3, off
        race(f"same residual, {batch}", settled, options.rounds)  # type: ignore[arg-type]

    arms = {"ours, same steps": ours, "ours, sweeps": early, "autograd loop": by_autograd}  # type: ignore[dict-item]
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(3):  # in turn, so that the machine's moods hit all of them
        for name in list(arms)[turn:] + list(arms)[:turn]:
            seconds, accuracy = train(copy.deepcopy(model), arms[name], options.epochs)  # type: ignore[arg-type]
            taken[name].append(seconds)
            if turn == 0:
                print(f"{options.epochs} epochs, {name:16} test accuracy {accuracy:.3f}")
    base = min(taken["ours, sweeps"])
    print("training " + "   ".join(f"{n} {min(t):.2f} s ({min(t) / base:.2f} ×)" for n, t in taken.items()))

    x, d = data.x_train[:200], F.one_hot(data.y_train[:200], 10).float()
    held = 4 * len(x) * sum(model.sizes[1:]) * 3  # the free state, the nudged one, and the input's share
    for steps in (20, 80, 320):
        size = kept_bytes(lambda steps=steps: bptt_grad(model, x, d, SquaredError(), steps=steps))
        print(f"memory, {steps:3} free steps: contrast {held / 1e6:.1f} MB   backpropagation {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
