"""Networks and full-batch training loops of the StableMax study; each returns curves, one value a measured step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.naive_loss import nlm_alignment
from surefoot.analysis.softmax import softmax_collapse
from surefoot.losses import stablemax_cross_entropy
from surefoot.optim import OrthogonalGrad
from surefoot.studies.frame import Scale
from surefoot.studies.problems.modular import modular_dataset
from surefoot.studies.problems.parity import sparse_parity

Loss = Callable[[Tensor, Tensor], Tensor]
Split = tuple[Tensor, Tensor, Tensor, Tensor]
Curves = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """What is trained, and for how long, at one scale."""

    modulus: int
    fraction: float
    width: int
    steps: int
    parity_noise: int
    parity_samples: int
    parity_width: int
    parity_steps: int
    hard_noise: int
    hard_width: int
    hard_steps: int
    precision_modulus: int
    precision_width: int
    precision_steps: int


SIZES: dict[Scale, Sizes] = {
    "smoke": Sizes(17, 0.6, 64, 60, 17, 1200, 64, 200, 17, 48, 40, 11, 48, 200),
    "small": Sizes(59, 0.5, 128, 300, 30, 2000, 128, 1200, 40, 200, 2400, 47, 128, 4000),
    "paper": Sizes(113, 0.4, 200, 300, 40, 2000, 200, 5000, 40, 200, 5000, 113, 200, 20_000),
}


class PairNetwork(nn.Module):
    """A ReLU network without biases on two one-hot inputs, whose first product is two look-ups and a sum."""

    def __init__(self, modulus: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.offset = torch.tensor([0, modulus])
        shapes = ((2 * modulus, width), (width, width), (width, modulus))
        self.weights = nn.ParameterList(_uniform(shape, shape[0], generator) for shape in shapes)

    def forward(self, pairs: Tensor) -> Tensor:
        hidden = F.embedding(pairs + self.offset, self.weights[0]).sum(dim=1)
        for weight in self.weights[1:]:
            hidden = hidden.relu() @ weight
        return hidden


class BitNetwork(nn.Module):
    """A ReLU network of two hidden layers on bits, with biases."""

    def __init__(self, bits: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        shapes = ((bits, width), (width, width), (width, 2))
        self.weights = nn.ParameterList(_uniform(shape, shape[0], generator) for shape in shapes)
        self.biases = nn.ParameterList(_uniform(shape[1:], shape[0], generator) for shape in shapes)

    def forward(self, bits: Tensor) -> Tensor:
        hidden = torch.addmm(self.biases[0], bits, self.weights[0])
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = torch.addmm(bias, hidden.relu(), weight)
        return hidden


def modular_split(modulus: int, fraction: float, seed: int) -> Split:
    """Pairs and their sums mod p: training inputs and labels, then those of the test."""
    data = modular_dataset(modulus, "add", fraction, seed=seed)
    train, test = data.idx_train, data.idx_test
    return data.x[train], data.y[train], data.x[test], data.y[test]


def parity_split(noise_bits: int, samples: int, seed: int) -> Split:
    """Bits and their parity, half for training."""
    x, y = sparse_parity(samples, noise_bits, seed=seed)
    half = samples // 2
    return x[:half], y[:half], x[half:], y[half:]


def loss_in(dtype: torch.dtype) -> Loss:
    """Softmax cross-entropy whose softmax is computed in a precision, whatever that of the network.

    The sum over the batch, not the mean: a factor of 1/batch would underflow float16, and Adam with so small an eps
    does not see the scale.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        z = logits.to(dtype)
        z = z - z.detach().amax(dim=1, keepdim=True)
        each = z.exp().sum(dim=1).log() - z.gather(1, targets[:, None])[:, 0]
        return each.to(torch.promote_types(dtype, torch.float32)).sum()

    return loss


def train(
    model: nn.Module,
    split: Split,
    loss: Loss,
    steps: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-18,
    weight_decay: float = 0.0,
    orthogonal: bool = False,
    every: int = 25,
    precision: torch.dtype = torch.float32,
    told: Callable[[], None] = lambda: None,
) -> Curves:
    """Train on the full batch with AdamW.

    Returns
    -------
    dict
        ``step``, ``train`` and ``test`` accuracy, ``loss`` (mean), ``collapse`` (share of training rows, in
        ``precision``), ``largest`` (|logit|), ``alignment`` (naive loss minimisation, before any projection), each
        measured before the step of that number; and ``headroom``, of the last training logits.
    """
    x, y, x_test, y_test = split
    plain = torch.optim.AdamW(model.parameters(), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    optimizer: torch.optim.Optimizer = OrthogonalGrad(plain) if orthogonal else plain
    rows: list[dict[str, float]] = []
    for step in range(steps + 1):
        optimizer.zero_grad()
        logits = model(x)
        value = loss(logits, y)
        value.backward()
        if step % every == 0 or step == steps:
            collapse = softmax_collapse(logits, y, dtype=precision)
            with torch.no_grad():
                test = float((model(x_test).argmax(dim=1) == y_test).float().mean())
            rows.append(
                {
                    "step": step,
                    "train": float((logits.argmax(dim=1) == y).float().mean()),
                    "test": test,
                    "loss": float(value.detach()),
                    "collapse": collapse.rate,
                    "largest": float(logits.detach().abs().max()),
                    "alignment": nlm_alignment(dict(model.named_parameters())).total,
                }
            )
            told()
        if step < steps:
            optimizer.step()
    curves = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    curves["headroom"] = np.percentile(collapse.headroom_nats.numpy(), np.arange(101))
    return curves


def modular_runs(size: Sizes, seed: int, told: Callable[[], None]) -> dict[str, Curves]:
    """Part A: AdamW on addition mod p, bare, with weight decay, and with projected gradients."""
    split = modular_split(size.modulus, size.fraction, seed)
    options: dict[str, dict[str, Any]] = {"plain": {}, "decay": {"weight_decay": 4.0}, "perp": {"orthogonal": True}}
    curves = {}
    for name, more in options.items():
        model = _pairs(size.modulus, size.width, seed)
        settings = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-25, "every": 5, **more}
        curves[name] = train(model, split, F.cross_entropy, size.steps, told=told, **settings)
    return curves


def parity_runs(size: Sizes, seed: int, told: Callable[[], None]) -> dict[str, Curves]:
    """Part B: sparse parity with cross-entropy and StableMax, each also with projected gradients; and a harder one."""
    split = parity_split(size.parity_noise, size.parity_samples, seed)
    hard = parity_split(size.hard_noise, size.parity_samples, seed)
    curves = {}
    for name, loss in (("ce", F.cross_entropy), ("stable", stablemax_cross_entropy)):
        for suffix, orthogonal in (("", False), ("_perp", True)):
            model = _bits(split, size.parity_width, seed)
            curves[name + suffix] = train(
                model, split, loss, size.parity_steps, lr=1e-2, orthogonal=orthogonal, every=10, told=told
            )
        curves[f"{name}_hard"] = train(
            _bits(hard, size.hard_width, seed), hard, loss, size.hard_steps, lr=1e-2, every=30, told=told
        )
    return curves


def precision_runs(size: Sizes, seed: int, told: Callable[[], None]) -> dict[str, Curves]:
    """Part C: one network, with the softmax in float16, float32 and float64."""
    split = modular_split(size.precision_modulus, 0.7, seed)
    curves = {}
    for name, dtype in (("fp16", torch.float16), ("fp32", torch.float32), ("fp64", torch.float64)):
        model = _pairs(size.precision_modulus, size.precision_width, seed)
        curves[name] = train(
            model,
            split,
            loss_in(dtype),
            size.precision_steps,
            lr=3e-3,
            betas=(0.9, 0.99),
            eps=1e-30,
            precision=dtype,
            told=told,
        )
        curves[name]["loss"] = curves[name]["loss"] / len(split[1])
    return curves


def _pairs(modulus: int, width: int, seed: int) -> PairNetwork:
    return PairNetwork(modulus, width, torch.Generator().manual_seed(seed))


def _bits(split: Split, width: int, seed: int) -> BitNetwork:
    return BitNetwork(split[0].shape[1], width, torch.Generator().manual_seed(seed))


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    """The initialisation of ``torch.nn.Linear``."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
