"""Pruning sweep, spectra and training step of ``surefoot.analysis.memorisation`` against the plain ways.

* The sweep: all five accuracies and the losses for every number of pruned neurons 0 … N. Peer: as the paper's notebook
  does, N + 1 forward passes through masked weights. Floor: one forward pass and N + 1 reports on logits at hand.
* The spectra: IPR of every neuron. Peer: a Python loop over neurons, as in the paper's code. Floor: the bare transform.
* The step: forward and backward with looked-up rows. Peer: the same with concatenated one-hot inputs, as in the paper's
  code. Floor: the three products of the outgoing layer alone.

Each pair does the same work, is checked to give the same numbers, and alternates in one process.

    python benchmarks/grok_corruption.py            # about a minute
    python benchmarks/grok_corruption.py --p 31 --width 160 --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from surefoot.analysis.memorisation import neuron_ipr, pruning_sweep
from surefoot.analysis.memorisation.report import all_logits, report_of_logits
from surefoot.studies.problems.modular import ModularData, modular_dataset, one_hot_pairs
from surefoot.studies.problems.quadratic_mlp import QuadraticMLP


@torch.no_grad()
def sweep_by_forward_passes(model: QuadraticMLP, data: ModularData, neurons: torch.Tensor) -> np.ndarray:
    """A forward pass a point, with the weights of the pruned neurons masked."""
    mask = torch.ones(model.width, 1)
    rows = []
    for count in range(model.width + 1):
        mask[neurons[:count]] = 0
        u, v, w = (model.U * mask).T, (model.V * mask).T, (model.W.T * mask).T
        h = u[data.x[:, 0]] + v[data.x[:, 1]]
        rows.append(list(report_of_logits(h.square() @ w.T, data).as_dict().values()))
    return np.array(rows)


def ipr_by_loop(model: QuadraticMLP) -> torch.Tensor:
    """A transform a row, neuron by neuron."""

    def one(row: torch.Tensor) -> torch.Tensor:
        magnitude = torch.fft.rfft(row).abs()
        return (magnitude / magnitude.norm()).pow(4).sum()

    u, v, w = model.U.detach(), model.V.detach(), model.W.detach()
    return torch.stack([(one(u[k]) + one(v[k]) + one(w[:, k])) / 3 for k in range(model.width)])


def race(name: str, ours: Callable[[], object], peer: Callable[[], object], floor: Callable[[], object], rounds: int):
    """Alternate the three; print medians and ratios."""
    times: dict[str, list[float]] = {"ours": [], "peer": [], "floor": []}
    for call in (ours, peer, floor):
        call()
    for turn in range(rounds):
        arms = [("ours", ours), ("peer", peer), ("floor", floor)]
        for arm, call in arms if turn % 2 == 0 else arms[::-1]:
            begin = time.perf_counter()
            call()
            times[arm].append(time.perf_counter() - begin)
    ratios = [p / o for p, o in zip(times["peer"], times["ours"], strict=True)]
    above = [o / f for o, f in zip(times["ours"], times["floor"], strict=True)]
    print(
        f"{name:22} ours {1e3 * statistics.median(times['ours']):9.2f} ms"
        f"   peer {1e3 * statistics.median(times['peer']):9.2f} ms"
        f"   floor {1e3 * statistics.median(times['floor']):9.2f} ms"
        f"   peer / ours {statistics.median(ratios):6.2f}  ({min(ratios):.2f} … {max(ratios):.2f})"
        f"   ours / floor {statistics.median(above):5.2f}",
        flush=True,
    )


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, default=59)
    parser.add_argument("--width", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    p, width = options.p, options.width
    data = modular_dataset(p, "add", 0.6, 0.3, seed=1)
    model = QuadraticMLP(p, width, generator=torch.Generator().manual_seed(1))
    print(f"p {p}, width {width}, {p * p} pairs, {data.idx_train.numel()} of them for training, one thread")

    swept = pruning_sweep(model, data)
    peer = sweep_by_forward_passes(model, data, swept.neurons)
    worst = np.abs(swept.table.to_numpy()[:, 2:] - peer).max()
    assert worst < 2e-3, worst  # an argmax on the brink may flip between two orders of summation
    logits = all_logits(model, data.x)
    race(
        "pruning sweep",
        lambda: pruning_sweep(model, data),
        lambda: sweep_by_forward_passes(model, data, swept.neurons),
        lambda: (all_logits(model, data.x), [report_of_logits(logits, data) for _ in range(width + 1)]),
        options.rounds,
    )

    assert torch.allclose(neuron_ipr(model), ipr_by_loop(model), atol=1e-5)
    rows = torch.randn(3, width, p)
    race(
        "IPR of all neurons",
        lambda: neuron_ipr(model),
        lambda: ipr_by_loop(model),
        lambda: torch.fft.rfft(rows),
        20 * options.rounds,
    )

    x, y = data.x[data.idx_train], data.y[data.idx_train]
    one_hot, target = one_hot_pairs(x, p), F.one_hot(y, p).float()
    weights = (model.U, model.V, model.readout.weight)
    hidden = torch.randn(len(x), width, requires_grad=True)

    def lookup():
        return torch.autograd.grad(F.mse_loss(model(x), target), weights)

    def dense():
        h = one_hot @ torch.cat([model.U, model.V], dim=1).T
        return torch.autograd.grad(F.mse_loss(model.readout(h.square()), target), weights)

    def outgoing():
        return torch.autograd.grad(model.readout(hidden).sum(), (hidden, model.readout.weight))

    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(lookup(), dense(), strict=True))
    race("training step", lookup, dense, outgoing, 10 * options.rounds)


if __name__ == "__main__":
    main()
