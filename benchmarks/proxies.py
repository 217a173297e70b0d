"""A sweep over learning rates of tiny decoders: stacked into one model against a loop of models; one step of all runs.

* Peer: a loop over nanoGPT models of the same size with ``torch.optim.AdamW`` (``--nanogpt`` names its model.py).
* Ours: a loop over ``TinyDecoder``, as the study has it, and the same models stacked along a first axis by ``vmap``
  with one learning rate a run. Loop and stack give the same weights (checked). nanoGPT learns its positions.
* Floor: the matrix products alone, 6 N multiplications and additions a token.

And the largest attention logit, from queries and keys 128 queries at a time, against the dense product; memory beside.

    python benchmarks/proxies.py
    python benchmarks/proxies.py --nanogpt nanoGPT/model.py --rates 10 --device cuda
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from racing import race
from surefoot.analysis.attention import attention_logits, logit_max, max_attention_logit
from surefoot.studies.problems.decoder import TinyDecoder

VOCAB, WIDTH, LAYERS, HEADS, ROWS, LENGTH = 103, 32, 2, 2, 16, 48
BETAS, EPS = (0.9, 0.95), 1e-8


def loop_of(
    models: Sequence[nn.Module], rates: Sequence[float], loss: Callable[[nn.Module], Tensor]
) -> Callable[[], None]:
    """One step of each model, one after the other."""
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=rate, betas=BETAS, eps=EPS, weight_decay=0.0)
        for model, rate in zip(models, rates, strict=True)
    ]

    def step() -> None:
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()

    return step


class Stack:
    """The same models as one, with Adam written out for a learning rate a run."""

    def __init__(self, models: Sequence[TinyDecoder], rates: Sequence[float], tokens: Tensor, targets: Tensor) -> None:
        self.weights, _ = stack_module_state(list(models))  # type: ignore[arg-type]
        self.weights = {name: weight.detach() for name, weight in self.weights.items()}
        base = copy.deepcopy(models[0]).to("meta")

        def loss(weights: dict[str, Tensor]) -> Tensor:
            return F.cross_entropy(functional_call(base, weights, (tokens,)).flatten(0, 1), targets.flatten())

        self.gradients = vmap(grad(loss))
        self.rates = torch.tensor(rates, device=tokens.device)
        self.means = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.squares = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.steps = 0

    def step(self) -> None:
        """One step of all runs."""
        self.steps += 1
        first, second = (1 - beta**self.steps for beta in BETAS)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels know no stack
            gradients = self.gradients(self.weights)
        for name, gradient in gradients.items():
            mean, square = self.means[name], self.squares[name]
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            update = (mean / first) / ((square / second).sqrt() + EPS)
            self.weights[name].sub_(self.rates.view(-1, *[1] * (mean.dim() - 1)) * update)


def products(runs: int, device: str) -> Callable[[], None]:
    """Forward and both backward products of every matrix of every run."""
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)] * LAYERS + [(WIDTH, VOCAB)]
    rows = ROWS * LENGTH
    pairs = [(torch.randn(rows, a, device=device), torch.randn(a, b, device=device)) for a, b in shapes]

    def work() -> None:
        for _ in range(runs):
            for x, weight in pairs:
                y = x @ weight
                y @ weight.T, x.T @ y

    return work


def nanogpt(file: str, runs: int, device: str) -> list[nn.Module]:
    """Models of the same size from nanoGPT's own file."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", file)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.GPTConfig(
        block_size=LENGTH, vocab_size=VOCAB, n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, dropout=0.0, bias=False
    )
    return [module.GPT(config).to(device) for _ in range(runs)]


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", help="nanoGPT's model.py, the peer; left out where it isn't given")
    parser.add_argument("--rates", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, runs = options.device, options.rates
    generator = torch.Generator().manual_seed(0)
    tokens, targets = (torch.randint(VOCAB, (ROWS, LENGTH), generator=generator).to(device) for _ in range(2))
    rates = torch.logspace(-3, -1, runs).tolist()

    def models() -> list[TinyDecoder]:
        return [TinyDecoder(VOCAB, WIDTH, LAYERS, HEADS).to(device) for _ in range(runs)]

    def loss(model: nn.Module) -> Tensor:
        return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())

    looped, stacked = models(), Stack(models(), rates, tokens, targets)
    step = loop_of(looped, rates, loss)
    for _ in range(3):
        step(), stacked.step()
    for name, weight in stacked.weights.items():
        same = torch.stack([model.get_parameter(name) for model in looped])
        assert torch.allclose(weight, same, rtol=1e-2, atol=1e-3), name
    arms: dict[str, Callable[[], object]] = {"loop": step, "stacked": stacked.step}
    if options.nanogpt and Path(options.nanogpt).exists():
        peers = nanogpt(options.nanogpt, runs, device)
        arms["nanoGPT loop"] = loop_of(peers, rates, lambda model: model(tokens, targets)[1])
    arms["products alone"] = products(runs, device)
    race(f"{runs} runs, one step", arms, options.rounds)

    q, k = (torch.randn(1, 4, 2048, 64, device=device) for _ in range(2))
    mask = torch.ones(2048, 2048, dtype=torch.bool, device=device).tril()
    race(
        "largest logit, T = 2048",
        {
            "chunks": lambda: max_attention_logit(q, k, causal=True),
            "dense": lambda: logit_max(attention_logits(q, k, mask=mask)),
            "product alone": lambda: q @ k.mT,
        },
        options.rounds,
    )
    print(f"its logits: {4 * 128 * 2048 * 4 / 2**20:.0f} MiB in chunks, {4 * 2048**2 * 4 / 2**20:.0f} MiB dense")


if __name__ == "__main__":
    main()
