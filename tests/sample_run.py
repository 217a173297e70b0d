"""Deterministic run folders for the tests of the report: plausible numbers, no training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.runs.schema import Evidence, Family, Finding, Remedy, json_safe, verdict

META: dict[str, Any] = {
    "schema": 1,
    "script": "examples/char_gpt.py",
    "argv": ["--lr", "0.3", "--steps", "400"],
    "started": "2026-03-02T14:21:07+00:00",
    "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6", "surefoot": "0.1.0"},
    "machine": {"cpus": 2, "device": "cpu", "platform": "Linux-6.1-x86_64"},
    "commit": "4f2c9e1",
    "budget": 0.02,
    "pid": 4711,
    "rank": 0,
    "world_size": 1,
    "environment": {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""},
}
OVERHEAD: dict[str, Any] = {
    "budget": 0.02,
    "startup_s": 0.41,
    "credit_s": 0.28,
    "steady": 0.0136,
    "closing_s": 0.52,
    "looks": {"hooks": 38, "borrow": 0, "replay": 3},
}


@dataclass
class Sample:
    """Everything a run folder is made of."""

    meta: dict[str, Any] = field(default_factory=lambda: dict(META))
    rows: list[tuple[int, Family, np.ndarray]] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    exit: dict[str, Any] | None = field(default_factory=lambda: {"code": 0, "exception": None})

    def add(self, step: int, family: Family, *parts: Any) -> None:
        """Append a row made of scalars and vectors in the order of the family's columns."""
        values = np.concatenate([np.atleast_1d(np.asarray(part, dtype=np.float32)) for part in parts])
        assert len(values) == len(family.columns), (family.name, len(values), len(family.columns))
        self.rows.append((step, family, values))

    def diagnosis(self) -> dict[str, Any] | None:
        """What the monitor would have left; None for a run that was killed."""
        if self.exit is None:
            return None
        return {
            "schema": 1,
            "script": self.meta["script"],
            "argv": self.meta["argv"],
            "steps": max((step for step, _, _ in self.rows), default=0),
            "exit": self.exit,
            "verdict": verdict(self.findings),
            "overhead": OVERHEAD,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def write(self, folder: Path) -> Path:
        """Write the run folder through the same writer that a live run uses."""
        from surefoot.runs.writer import RunWriter

        folder.mkdir(parents=True, exist_ok=True)
        writer = RunWriter(folder)
        writer.meta(**self.meta)
        for step, kind, data in self.events:
            writer.event(step, kind, **data)
        for step, family, values in sorted(self.rows, key=lambda row: (row[0], row[1].name)):
            writer.row(step, family, values)
        writer.close()
        diagnosis = self.diagnosis()
        if diagnosis is not None:
            (folder / "diagnosis.json").write_text(json.dumps(json_safe(diagnosis), indent=1, allow_nan=False))
        return folder


def columns(layered: Sequence[str], layers: Sequence[str], single: Iterable[tuple[str, str]] = ()) -> tuple:
    """Columns of a family: each layered signal over all layers, then the single ones."""
    return (*((signal, layer) for signal in layered for layer in layers), *single)


def gpt_layers(blocks: int) -> list[tuple[str, str, int, str | None]]:
    """(name, type, parameters, activation) of a small GPT in depth order."""
    layers: list[tuple[str, str, int, str | None]] = [
        ("token_embedding", "Embedding", 8320, None),
        ("position_embedding", "Embedding", 16384, None),
    ]
    for i in range(blocks):
        layers += [
            (f"blocks.{i}.ln_1", "LayerNorm", 256, None),
            (f"blocks.{i}.attention.qkv", "Linear", 49536, None),
            (f"blocks.{i}.attention.projection", "Linear", 16512, None),
            (f"blocks.{i}.ln_2", "LayerNorm", 256, None),
            (f"blocks.{i}.mlp.up", "Linear", 66048, "relu"),
            (f"blocks.{i}.mlp.down", "Linear", 65664, None),
        ]
    return [*layers, ("ln_final", "LayerNorm", 256, None), ("head", "Linear", 8385, None)]


def looks(steps: int, every: int) -> set[int]:
    """Steps looked at: the opening credit at powers of two, then one in ``every``."""
    return {2**i for i in range(8) if 2**i <= steps} | set(range(every, steps + 1, every))


def training(
    sample: Sample,
    layers: Sequence[tuple[str, str, int, str | None]],
    losses: np.ndarray,
    *,
    lr: float = 3e-4,
    every: int = 10,
    growth: Callable[[int], float] = lambda step: 1.0,
    dead: Callable[[int], float] = lambda step: 0.0,
    optimizers: Sequence[str] = ("",),
    seed: int = 0,
) -> Sample:
    """Fill the families of a run whose loss is given, with gradients that fade towards the input."""
    rng = np.random.default_rng(seed)
    names = [name for name, *_ in layers]
    depth = np.arange(len(layers)) / max(len(layers) - 1, 1)
    relu = np.array([activation == "relu" for *_, activation in layers])
    modules = [
        {"name": n, "type": t, "parameters": p, "depth": i, "activation": a} for i, (n, t, p, a) in enumerate(layers)
    ]
    sample.events.append((1, "modules", {"modules": modules, "root": "GPT"}))
    sample.events.append(
        (
            1,
            "optimizers",
            {
                "optimizers": [
                    {
                        "name": o,
                        "type": "AdamW",
                        "parameters": sum(p for _, _, p, _ in layers),
                        "defaults": {"lr": lr, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
                    }
                    for o in optimizers
                ]
            },
        )
    )
    step_family = Family(
        "step",
        columns(
            (),
            (),
            [(s, o) for s in ("loss", "learning_rate", "constant_loss") for o in optimizers] + [("step_time", "")],
        ),
    )
    gradients = Family(
        "gradients",
        columns(
            ("gradient_rms", "gradient_share", "gradient_nonfinite"), names, [("gradient_norm", o) for o in optimizers]
        ),
    )
    weights = Family(
        "weights",
        columns(
            ("weight_rms", "update_rms"),
            names,
            [(s, o) for s in ("weight_norm", "update_norm", "predicted_decrease") for o in optimizers],
        ),
    )
    activations = Family(
        "activations", columns(("activation_mean", "activation_rms", "dead_share", "saturated_share", "called"), names)
    )
    logits = Family("logits", columns(("softmax_collapse_share", "logit_max", "logit_rms"), ("cross_entropy",)))
    many = len(optimizers)
    taken = looks(len(losses), every)
    weight = 0.02 + 0.06 * rng.random(len(layers))
    for step, loss in enumerate(losses, start=1):
        now = np.broadcast_to(loss, many)
        warm = min(1.0, step / 20)
        sample.add(
            step,
            step_family,
            now,
            [lr * warm] * many,
            [4.17 if step in taken else np.nan] * many,
            0.118 + 0.01 * rng.standard_normal(),
        )
        if step not in taken:
            continue
        factor = growth(step)
        rms = 2e-3 * factor * 10 ** (0.8 * (depth - 1) + 0.12 * rng.standard_normal(len(layers)))
        sample.add(
            step,
            gradients,
            rms,
            np.ones(len(layers)),
            np.zeros(len(layers)),
            [float(np.sqrt(np.sum(rms**2)) * 90)] * many,
        )
        update = lr * warm * (0.4 + 0.2 * rng.random(len(layers)))
        weight = np.sqrt(weight**2 + update**2)
        sample.add(step, weights, weight, update, [41.0] * many, [0.9 * warm] * many, [0.01] * many)
        share = np.where(relu, np.clip(dead(step) * (0.5 + depth) + 0.02 * rng.random(len(layers)), 0, 1), np.nan)
        sample.add(
            step,
            activations,
            0.02 * rng.standard_normal(len(layers)),
            0.8 + 0.3 * depth * factor**0.2,
            share,
            np.full(len(layers), np.nan),
            np.ones(len(layers)),
        )
        sample.add(step, logits, 0.0, 6.0 * factor**0.5, 1.4 * factor**0.5)
        sample.events.append(
            (step, "look", {"means": "hooks", "families": ["gradients", "weights", "activations"], "cost_s": 0.011})
        )
    return sample


def failing() -> Sample:
    """A GPT with a learning rate that ruins it: one root cause and two consequences."""
    rng = np.random.default_rng(7)
    steps = np.arange(1, 401)
    losses = 2.3 + 1.9 * np.exp(-steps / 14) + 0.05 * rng.standard_normal(400)
    losses[43:] += np.minimum((steps[43:] - 43) * 0.09, 3.4) * (1 + 0.35 * rng.random(357))
    losses[[61, 62, 118]] += [6.0, 3.1, 9.4]
    sample = training(
        Sample(),
        gpt_layers(6),
        losses,
        lr=0.3,
        growth=lambda step: 1.0 if step < 40 else min(1 + (step - 40) ** 1.6 / 10, 60.0),
        dead=lambda step: 0.0 if step < 60 else min((step - 60) / 120, 0.72),
    )
    sample.events += [
        (
            1,
            "note",
            {
                "text": "replay is off: the model's output differs between two passes over the same input "
                "(dropout draws from its own generator)"
            },
        ),
        (400, "exit", {"code": 1, "exception": "KeyboardInterrupt"}),
    ]
    ups = tuple(f"blocks.{i}.mlp.up" for i in range(6))
    sample.findings = [
        Finding(
            "learning-rate-too-high",
            "critical",
            1,
            40,
            46,
            400,
            ("",),
            "The steps are longer than the loss surface allows: for 12 of the last 16 steps the loss rose although "
            "the gradient promised a decrease.",
            None,
            (
                Evidence(
                    "update_norm",
                    "",
                    40,
                    0.9,
                    0.31,
                    "2/λ: the largest step that a quadratic with this curvature survives",
                ),
                Evidence("loss", "", 46, 2.871, 2.61, "best level so far plus four times the run's own noise"),
                Evidence("gradient_rms", "head", 50, 9.1e-3, 2.4e-3, "median of the 20 looks before"),
            ),
            (
                Remedy(
                    "lower learning rate",
                    "A tenth of this rate stays below 2/λ with room to spare.",
                    '# after: optimizer\nfor group in optimizer.param_groups:\n    group["lr"] *= 0.1',
                    "lr-scale",
                ),
                Remedy(
                    "surefoot.optim.SafeStep",
                    "Caps each step at the radius within which the gradient can be trusted.",
                    "# after: optimizer\nfrom surefoot.optim import SafeStep\n\noptimizer = SafeStep(optimizer, model)",
                    "safe-step",
                ),
            ),
            0.97,
        ),
        Finding(
            "divergence",
            "critical",
            2,
            58,
            61,
            400,
            ("",),
            "The loss left its best level of 2.31 and has not come back for 339 steps.",
            "learning-rate-too-high",
            (Evidence("loss", "", 61, 4.02, 3.1, "best level so far plus ten times the run's own noise"),),
            (
                Remedy(
                    "go back to a checkpoint",
                    "Weights from before step 58 are still good.",
                    '# after: model\nmodel.load_state_dict(torch.load("before.pt", weights_only=True))',
                    None,
                ),
            ),
            None,
        ),
        Finding(
            "dead-units",
            "warning",
            3,
            80,
            110,
            400,
            ups,
            "Up to 72 % of the units of these layers give 0 for every input, so that no gradient reaches their "
            "weights.",
            "learning-rate-too-high",
            tuple(
                Evidence(
                    "dead_share",
                    where,
                    110,
                    0.42 + 0.01 * i,
                    0.4,
                    "share above which a layer's width no longer recovers in the run's own history",
                )
                for i, where in enumerate(ups)
            ),
            (
                Remedy(
                    "torch.nn.GELU", "Has a gradient on both sides of zero.", "# replace: nn.ReLU()\nnn.GELU()", None
                ),
            ),
            0.91,
        ),
    ]
    sample.exit = {"code": 1, "exception": "KeyboardInterrupt"}
    return sample


def healthy() -> Sample:
    """A run with nothing above info."""
    rng = np.random.default_rng(3)
    steps = np.arange(1, 1001)
    losses = 1.5 + 2.7 * np.exp(-steps / 120) + 0.03 * rng.standard_normal(1000)
    sample = training(Sample(), gpt_layers(2), losses, every=20)
    sample.meta = META | {"script": "train.py", "argv": []}
    sample.findings = [
        Finding(
            "edge-of-stability",
            "info",
            1,
            400,
            420,
            1000,
            ("",),
            "The sharpness hovers at 2/lr, as it does in most healthy runs.",
            None,
            (Evidence("loss", "", 420, 1.58, float("nan"), "no threshold: for information"),),
            (),
        )
    ]
    return sample


def empty() -> Sample:
    """A script that ended before its first step."""
    return Sample(exit={"code": 1, "exception": "FileNotFoundError: no data/train.bin"})


def killed() -> Sample:
    """A run that left no last words."""
    sample = failing()
    sample.rows = [row for row in sample.rows if row[0] <= 150]
    sample.events = [event for event in sample.events if event[0] <= 150]
    sample.exit = None
    return sample


def gan() -> Sample:
    """Two optimisers, one of which wins."""
    rng = np.random.default_rng(5)
    steps = np.arange(1, 501)
    losses = np.stack(
        [0.7 + 3e-3 * steps + 0.1 * rng.random(500), 0.7 * np.exp(-steps / 90) + 0.02 * rng.random(500)], axis=1
    )
    layers = [(f"{net}.{i}", "Linear", 4160, "leaky_relu") for net in ("generator", "discriminator") for i in range(4)]
    return training(
        Sample(meta=META | {"script": "gan.py", "argv": ["--latent", "64"]}),
        layers,
        losses,
        optimizers=("generator", "discriminator"),
    )


def large(layers: int = 300, steps: int = 2000) -> Sample:
    """300 modules and 2000 steps, looked at every second step."""
    rng = np.random.default_rng(11)
    losses = 1.5 + 2.7 * np.exp(-np.arange(1, steps + 1) / 220) + 0.05 * rng.standard_normal(steps)
    shapes = gpt_layers((layers - 4) // 6 + 1)[:layers]
    sample = training(Sample(meta=META | {"script": "pretrain.py"}), shapes, losses, every=2)
    sample.findings = failing().findings
    return sample


def nonfinite() -> Sample:
    """The loss turns to NaN, some values to infinity, and whole columns were never measured."""
    losses = 2.0 + 2.0 * np.exp(-np.arange(1, 121) / 20)
    losses[90] = np.inf
    losses[91:] = np.nan
    sample = training(
        Sample(meta=META | {"script": "overflow.py"}),
        gpt_layers(2),
        losses,
        growth=lambda step: 1.0 if step < 60 else 10.0 ** min((step - 60) / 2, 36),
    )
    for step, family, values in sample.rows:
        if step > 90 and family.name in ("gradients", "weights"):
            values[::3] = np.nan
            values[1::3] = np.inf
    sample.events.append(
        (91, "nonfinite", {"kind": "loss", "where": "blocks.1.mlp.up", "operation": "exp", "value": "inf"})
    )
    sample.findings = [
        Finding(
            "non-finite",
            "critical",
            1,
            91,
            91,
            120,
            ("blocks.1.mlp.up",),
            "exp in blocks.1.mlp.up overflowed: its input reached 93.",
            None,
            (
                Evidence("loss", "", 91, float("inf"), 3.4e38, "largest float32"),
                Evidence("gradient_rms", "blocks.1.mlp.up", 100, float("nan"), float("nan"), ""),
            ),
            (
                Remedy(
                    "torch.logsumexp",
                    "Computes the same without the overflow.",
                    "# replace: torch.log(torch.exp(x).sum(-1))\ntorch.logsumexp(x, -1)",
                    None,
                ),
            ),
            None,
        )
    ]
    sample.exit = {"code": 1, "exception": "ValueError: loss is nan"}
    return sample


NASTY = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>&\"'"


def nasty() -> Sample:
    """HTML, markup of rich and terminal escapes wherever a user's text can go."""
    layers = [(f"net.{NASTY}.{i}", f"Linear{NASTY}", 100, "relu") for i in range(3)] + [
        ("[red]net[/red].\x1b[31mred\x1b[0m", "[bold]Mod", 7, None)
    ]
    losses = 1.0 + np.exp(-np.arange(1, 61) / 9)
    meta = META | {"script": f"dir/{NASTY}.py", "argv": [NASTY, "[/bold]", "\x1b[2J"], "environment": {NASTY: NASTY}}
    sample = training(Sample(meta=meta), layers, losses, dead=lambda step: 0.5)
    where = tuple(name for name, *_ in layers)
    sample.events.append((3, "note", {"text": NASTY}))
    sample.findings = [
        Finding(
            f"user-rule{NASTY}",
            "warning",
            1,
            5,
            8,
            60,
            where,
            f"{NASTY} [red]is[/red] wrong \x1b[31m",
            None,
            (Evidence("dead_share", where[0], 8, 0.5, 0.4, NASTY), Evidence(NASTY, where[3], 8, 0.5, 0.4, NASTY)),
            (Remedy(NASTY, NASTY, f"# after: model\nprint({NASTY!r})", "x;[bold]"),),
            0.5,
        )
    ]
    sample.exit = {"code": 1, "exception": f"RuntimeError: {NASTY}"}
    return sample


SAMPLES: dict[str, Callable[[], Sample]] = {
    maker.__name__: maker for maker in (failing, healthy, empty, killed, gan, large, nonfinite, nasty)
}
