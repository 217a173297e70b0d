"""Training runs of the proxies study: a tiny decoder on help texts, and what is read of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from surefoot.analysis.attention import attention_entropy, attention_logits, max_attention_logit
from surefoot.analysis.scaling import extrapolate, lr_sweep
from surefoot.losses import cross_entropy_with_z_loss
from surefoot.optim import independent_weight_decay, warmup_cosine
from surefoot.studies.frame import Measured, Scale
from surefoot.studies.problems.decoder import TinyDecoder
from surefoot.studies.problems.text import Text, bigram_cross_entropy, help_topics

RATES = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
KAPPAS = (1.0, 10.0, 100.0, 1e3, 1e4)
EPSILONS = (1e-15, 1e-8, 1e-4, 1e-2, 1e-1)
Z_COEFFICIENTS = (0.0, 1e-4, 1e-2)
LADDER = ((16, 1), (24, 2), (32, 2), (48, 3), (64, 4), (96, 6))  # width, blocks; the last is held back
PAPER_LADDER = ((256, 3), (384, 4), (512, 6), (768, 8), (1024, 12), (2048, 24))
DECAY = 3e-3  # λ of the comparison of decays: the paper's 1e-4 is nothing over so few steps
MEETING = 1e-2  # the rate at which both decays are the same
VALID_ROWS = 256
LAST = 0.2  # of the steps: gradients and updates are averaged over them


@dataclass(frozen=True)
class Sizes:
    """What is trained, and for how long, at one scale."""

    width: int
    layers: int
    rows: int
    length: int
    steps: int  # of the sweep, the transplant and, 3/5 of them, the sweep of ε
    small_rows: int
    small_length: int
    small_steps: int  # of the sweeps of decay and warm-up
    z_steps: int
    ladder_steps: int
    ladder: tuple[tuple[int, int], ...]


SIZES: dict[Scale, Sizes] = {
    "smoke": Sizes(16, 1, 4, 16, 10, 4, 16, 10, 10, 8, ((16, 1), (16, 2), (24, 2), (32, 2))),
    "small": Sizes(32, 2, 16, 48, 250, 8, 32, 200, 900, 80, LADDER),
    "paper": Sizes(256, 3, 256, 512, 100_000, 256, 512, 100_000, 100_000, 2_000, PAPER_LADDER),
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What is read of one run: losses in nats, first-block attention, log Z, first MLP matrix of the first block."""

    first_loss: float
    valid_loss: float
    logit: float
    entropy: float
    log_z: float
    log_z_max: float
    gradient_rms: float
    update_rms: float  # in units of the rate


def train(
    model: TinyDecoder,
    text: Text,
    *,
    lr: float,
    steps: int,
    rows: int,
    length: int,
    seed: int,
    total: int | None = None,
    warmup: float = 0.05,
    decay: float = 1e-4,
    decay_kind: Literal["independent", "coupled"] = "independent",
    eps: float = 1e-8,
    z_coef: float = 1e-4,
) -> Trained:
    """AdamW with clipping at 1, linear warm-up over a share of ``total`` steps, and half a cosine; stops at ``steps``.

    ``decay`` is λ a step; ``"coupled"`` multiplies it with the rate, so that both are the same at :data:`MEETING`.
    """
    total = total or steps
    if decay_kind == "independent":
        groups = independent_weight_decay(model.parameters(), decay, lr)
    else:
        groups = [{"params": list(model.parameters()), "lr": lr, "weight_decay": decay / MEETING}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=eps)
    generator = torch.Generator().manual_seed(seed)
    watched = model.blocks[0].fc1.weight  # type: ignore[union-attr]
    assert isinstance(watched, torch.nn.Parameter)
    first, gradients, updates = math.nan, [], []
    for step in range(1, steps + 1):
        rate = warmup_cosine(step, lr, warmup=max(1, round(warmup * total)), total=total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, following = text.batch(rows, length, generator)
        loss = cross_entropy_with_z_loss(model(tokens).flatten(0, 1), following.flatten(), coef=z_coef)
        optimizer.zero_grad()
        loss.total.backward()
        first = float(loss.cross_entropy.detach()) if step == 1 else first
        late = step > (1 - LAST) * steps
        before = watched.detach().clone() if late else None
        if late and watched.grad is not None:
            gradients.append(float(watched.grad.square().mean().sqrt()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if before is not None:
            updates.append(float((watched.detach() - before).square().mean().sqrt()) / rate)
    return _read(model, text, length, first, float(np.mean(gradients)), float(np.mean(updates)))


@torch.no_grad()
def _read(model: TinyDecoder, text: Text, length: int, first: float, gradient: float, update: float) -> Trained:
    same = torch.Generator().manual_seed(12345)  # the same passages for every run
    tokens, following = text.batch(VALID_ROWS, length, same, valid=True)
    logits = model(tokens).flatten(0, 1)
    log_z = logits.logsumexp(-1)
    valid = float((log_z - logits.gather(1, following.reshape(-1, 1))[:, 0]).mean())
    query, key = model.first_attention(tokens[:64])
    visible = torch.ones(length, length, dtype=torch.bool).tril()
    return Trained(
        first,
        valid,
        float(max_attention_logit(query, key, scale=1.0, causal=True)),
        float(attention_entropy(attention_logits(query, key, scale=1.0, mask=visible))),
        float(log_z.mean()),
        float(log_z.abs().max()),
        gradient,
        update,
    )


def measure(size: Sizes, seed: int, told: Callable[[], None]) -> Measured:
    """All parts of the study for one seed."""
    text = help_topics()
    parts = (sweep, ladder, transplant, z_losses, epsilons, decays, warmups)
    measured: Measured = {"bigram": np.array(bigram_cross_entropy(text))}
    for part in parts:
        measured |= part(size, text, seed, told)
    return measured


def sweep(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """A: with and without qk-layernorm over learning rates; same weights, same batches."""
    measured: Measured = {}
    for name, norm in (("plain", None), ("qk", "layernorm")):
        runs: list[Trained] = []

        def one(lr: float, seed: int, norm: Any = norm, runs: list[Trained] = runs) -> tuple[float, float]:
            model = _decoder(size, text, seed, qk_norm=norm)
            run = train(model, text, lr=lr, steps=size.steps, rows=size.rows, length=size.length, seed=seed)
            runs.append(run)
            told()
            return run.first_loss, run.valid_loss

        found = lr_sweep(one, RATES, (seed,))
        measured |= {
            f"sensitivity.{name}": found.sensitivity()[0],
            f"loss.{name}": found.losses[0],
            f"first-loss.{name}": found.losses_at_init[0],
            f"best-loss.{name}": found.losses.min(),
            f"logit.{name}": _column(runs, "logit"),
            f"entropy.{name}": _column(runs, "entropy"),
            f"gradient.{name}": _column(runs, "gradient_rms"),
        }
    measured["sensitivity-ratio"] = measured["sensitivity.plain"] / measured["sensitivity.qk"]
    measured["logit-ratio-at-top"] = measured["logit.plain"][-1] / measured["logit.qk"][-1]
    measured["best-loss-difference"] = measured["best-loss.plain"] - measured["best-loss.qk"]
    measured["entropy-at-top.plain"] = measured["entropy.plain"][-1]
    measured["entropy-at-top.qk"] = measured["entropy.qk"][-1]
    measured["gradient-over-rates"] = measured["gradient.plain"][-1] / measured["gradient.plain"][0]
    return measured


def ladder(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """B: the largest logit of the first block at one early step, over sizes; the largest size foreseen.

    Two runs a size, with weights and batches of their own, as the largest logit of a single one scatters.
    """
    rungs = []
    for width, layers in size.ladder:
        runs = []
        for own in (2 * seed, 2 * seed + 1):
            model = TinyDecoder(text.vocab, width, layers, width // 8, seed=own)
            steps, total = size.ladder_steps, round(3.75 * size.ladder_steps)
            rows, length = size.small_rows, size.small_length
            runs.append(train(model, text, lr=3e-2, steps=steps, total=total, rows=rows, length=length, seed=own))
            told()
        rungs.append((float(model.size), _column(runs, "logit"), _column(runs, "gradient_rms")))
    numbers = np.array([number for number, _, _ in rungs])
    measured: Measured = {"ladder.size": numbers}
    for what, values in (("logit", [x for _, x, _ in rungs]), ("gradient", [x for _, _, x in rungs])):
        means = np.exp(np.log(values).mean(axis=1))
        measured[f"ladder.{what}"] = means
        for name, degree in (("linear", 1), ("quadratic", 2)):
            expected = extrapolate(np.repeat(numbers[:-1], 2), np.concatenate(values[:-1]), degree).predict(numbers[-1])
            measured[f"{what}.{name}"] = np.array(expected.value)
            measured[f"{what}.{name}.factor"] = np.array(_factor(means[-1], expected.value))
            measured[f"{what}.{name}.inside"] = np.array(float(expected.low <= means[-1] <= expected.high))
    measured["logit.measured"] = measured["ladder.logit"][-1]
    measured["gradient-over-sizes"] = measured["ladder.gradient"][-1] / measured["ladder.gradient"][0]
    return measured


def transplant(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """C: queries and keys of a fixed mean square κ."""
    runs = []
    for kappa in KAPPAS:
        model = _decoder(size, text, seed, kappa=kappa)
        runs.append(train(model, text, lr=1e-2, steps=size.steps, rows=size.rows, length=size.length, seed=seed))
        told()
    return {"transplant.loss": _column(runs, "valid_loss"), "transplant.logit": _column(runs, "logit")}


def z_losses(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """D: z-loss of three weights, with qk-layernorm, without decay, at a high rate."""
    runs = []
    for coef in Z_COEFFICIENTS:
        model = _decoder(size, text, seed, qk_norm="layernorm")
        runs.append(
            train(model, text, lr=1e-1, steps=size.z_steps, rows=size.small_rows, length=size.small_length, seed=seed,
                  decay=0.0, z_coef=coef)
        )  # fmt: skip
        told()
    losses = _column(runs, "valid_loss")
    return {
        "z.loss": losses,
        "z.cost-1e-4": losses[1] - losses[0],
        "z.cost-1e-2": losses[2] - losses[0],
        "z.log-z": _column(runs, "log_z"),
        "z.log-z-max": _column(runs, "log_z_max"),
        "z.log-z-1e-2": np.array(abs(runs[2].log_z)),
    }


def epsilons(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """E: Adam's ε below and above the gradient's RMS."""
    runs = []
    for eps in EPSILONS:
        model = _decoder(size, text, seed)
        steps = 3 * size.steps // 5
        runs.append(
            train(model, text, lr=1e-2, steps=steps, rows=size.rows, length=size.length, seed=seed, decay=0.0, eps=eps)
        )
        told()
    update, gradient = _column(runs, "update_rms"), runs[0].gradient_rms
    share = gradient / (gradient + np.array(EPSILONS))
    return {
        "eps.loss": _column(runs, "valid_loss"),
        "eps.update": update,
        "eps.gradient": np.array(gradient),
        "eps.share": share,
        "eps.off-theory": np.exp(np.abs(np.log(update / update[0] / share)).max()),
    }


def decays(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """F: decay that is multiplied with the rate, and decay that is not."""
    return _small_sweeps(
        "decay",
        size,
        text,
        seed,
        told,
        {kind: {"decay": DECAY, "decay_kind": kind} for kind in ("independent", "coupled")},
    )


def warmups(size: Sizes, text: Text, seed: int, told: Callable[[], None]) -> Measured:
    """G: warm-up over a hundredth and over a fifth of the steps."""
    return _small_sweeps("warmup", size, text, seed, told, {"short": {"warmup": 0.01}, "long": {"warmup": 0.2}})


def _small_sweeps(
    part: str, size: Sizes, text: Text, seed: int, told: Callable[[], None], arms: dict[str, dict[str, Any]]
) -> Measured:
    measured: Measured = {}
    for name, options in arms.items():

        def one(lr: float, seed: int, options: dict[str, Any] = options) -> tuple[float, float]:
            model = _decoder(size, text, seed)
            run = train(model, text, lr=lr, steps=size.small_steps, rows=size.small_rows, length=size.small_length,
                        seed=seed, **options)  # fmt: skip
            told()
            return run.first_loss, run.valid_loss

        found = lr_sweep(one, RATES, (seed,))
        measured |= {f"{part}.loss.{name}": found.losses[0], f"{part}.sensitivity.{name}": found.sensitivity()[0]}
    return measured


def jobs(size: Sizes) -> int:
    """How many runs a seed has."""
    return 6 * len(RATES) + 2 * len(size.ladder) + len(KAPPAS) + len(Z_COEFFICIENTS) + len(EPSILONS)


def _decoder(size: Sizes, text: Text, seed: int, **options: Any) -> TinyDecoder:
    return TinyDecoder(text.vocab, size.width, size.layers, size.width // 16, seed=seed, **options)


def _column(runs: Sequence[Trained], name: str) -> np.ndarray:
    return np.array([getattr(run, name) for run in runs])


def _factor(a: float, b: float) -> float:
    return float(max(a / b, b / a))
