"""Real loops on real digits, read by the reference recorder: the right first rank, and silence on healthy runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer

from reference_recorder import LossCall, Recorder
from surefoot.findings import Engine
from surefoot.runs import Event, Finding

SEEDS = (0,)  # more seeds, and many more scripts, are the clinic's
Make = Callable[[Iterator[nn.Parameter]], Optimizer]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


def mlp(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, out: int = 10) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(64, 64), activation()]
    return nn.Sequential(*layers, nn.Linear(64, out))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 32, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.view(-1, 8, 8))[0][:, -1])


class Cut(nn.Module):
    """Its first layer is detached from the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)).detach())


def recorder(model: nn.Module, optimizers: dict[str, Optimizer]) -> tuple[Recorder, Engine]:
    engine = Engine()
    told = lambda step, kind, data: engine.feed_event(Event(step, kind, data))  # noqa: E731
    return Recorder(model, optimizers, engine.feed, told, engine.end_step), engine


def train(
    digits: tuple[Tensor, Tensor],
    model: nn.Module,
    optimizer: Optimizer,
    seed: int,
    steps: int = 120,
    *,
    zero_grad: bool = True,
    softmax: bool = False,
    micro_batches: int = 1,
    rate: Callable[[int], float] | None = None,
) -> tuple[Finding, ...]:
    inputs, targets = digits
    draw = torch.Generator().manual_seed(seed)
    record, engine = recorder(model, {"": optimizer})
    for step in range(steps):
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate(step)
        if zero_grad:
            optimizer.zero_grad()
        for _ in range(micro_batches):
            batch = torch.randint(len(inputs), (64,), generator=draw)
            with record.looking():
                logits = model(inputs[batch])
                logits = logits.softmax(-1) if softmax else logits
                loss = F.cross_entropy(logits, targets[batch]) / micro_batches
            record.backward(loss, LossCall("cross_entropy", logits, targets[batch]))
        record.step()
    assert engine.notes == []
    return engine.findings


def loud(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(f.id, f.cause) for f in findings if f.severity != "info"]


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Make, dict]] = {
    "mlp-adam": (mlp, lambda p: Adam(p, 3e-3), {}),
    "mlp-adam-fast": (mlp, lambda p: Adam(p, 1e-2), {}),
    "mlp-adam-slow": (mlp, lambda p: Adam(p, 3e-4), {}),
    "mlp-sgd": (mlp, lambda p: SGD(p, 0.2), {}),
    "mlp-sgd-slow": (mlp, lambda p: SGD(p, 0.02), {}),
    "mlp-momentum": (mlp, lambda p: SGD(p, 0.05, momentum=0.9), {}),
    "cnn-sgd": (cnn, lambda p: SGD(p, 0.1), {"steps": 80}),
    "lstm-adamw": (Recurrent, lambda p: AdamW(p, 5e-3), {}),
    "tanh-adam": (lambda: mlp(nn.Tanh, 4), lambda p: Adam(p, 3e-3), {}),
    "sigmoid-adam": (lambda: mlp(nn.Sigmoid, 3), lambda p: Adam(p, 3e-3), {"steps": 200}),
    "warm-up": (mlp, lambda p: Adam(p, 0.0), {"rate": lambda s: 3e-3 * s / 120}),
    "cyclical": (mlp, lambda p: SGD(p, 0.1, momentum=0.9), {"rate": lambda s: 1e-3 + 0.1 * abs(s / 25 % 2 - 1)}),
    "accumulation": (mlp, lambda p: SGD(p, 0.2), {"micro_batches": 3}),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_runs_are_clean(digits: tuple[Tensor, Tensor], name: str, seed: int) -> None:
    build, make, how = HEALTHY[name]
    torch.manual_seed(seed)
    model = build()
    assert loud(train(digits, model, make(model.parameters()), seed, **how)) == []


def dead() -> nn.Module:
    model = mlp(depth=3)
    for layer in (model[0], model[2], model[4]):
        nn.init.constant_(layer.bias, -10.0)
    return model


def saturated() -> nn.Module:
    model = mlp(nn.Tanh, 3)
    for layer in (model[0], model[2], model[4]):
        nn.init.normal_(layer.weight, std=1.0)
    return model


def exploding() -> nn.Module:
    model = mlp(depth=10)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=1.0)
    return model


FAULTY: dict[str, tuple[str, Callable[[], nn.Module], Make, dict]] = {
    "adam-x300": ("learning-rate-too-high", mlp, lambda p: Adam(p, 0.9), {}),
    "sgd-x100": ("learning-rate-too-high", mlp, lambda p: SGD(p, 20.0), {}),
    "cnn-momentum-x100": ("learning-rate-too-high", cnn, lambda p: SGD(p, 3.0, momentum=0.9), {"steps": 60}),
    "adam-x1e-4": ("learning-rate-too-low", mlp, lambda p: Adam(p, 3e-7), {}),
    "sgd-x1e-4": ("learning-rate-too-low", mlp, lambda p: SGD(p, 2e-5), {}),
    "sigmoid-20": ("vanishing-gradient", lambda: mlp(nn.Sigmoid, 20), lambda p: SGD(p, 0.1), {"steps": 60}),
    "sigmoid-20-adam": ("vanishing-gradient", lambda: mlp(nn.Sigmoid, 20), lambda p: Adam(p, 1e-3), {"steps": 60}),
    "std-1": ("exploding-gradient", exploding, lambda p: SGD(p, 1e-2), {"steps": 20}),
    "bias-10": ("dead-units", dead, lambda p: Adam(p, 1e-3), {"steps": 60}),
    "tanh-std-1": ("saturated-units", saturated, lambda p: SGD(p, 0.02), {"steps": 60}),
    "no-zero-grad": ("missing-zero-grad", mlp, lambda p: SGD(p, 0.1), {"zero_grad": False}),
    "no-zero-grad-adam": ("missing-zero-grad", mlp, lambda p: Adam(p, 3e-3), {"zero_grad": False}),
    "softmax-twice": ("double-softmax", mlp, lambda p: Adam(p, 3e-3), {"softmax": True}),
    "detached": ("detached-parameters", Cut, lambda p: Adam(p, 3e-3), {}),
    "head-missed": ("optimizer-misses-parameters", mlp, lambda p: Adam(list(p)[:-2], 3e-3), {}),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_runs_name_their_root_first(digits: tuple[Tensor, Tensor], name: str, seed: int) -> None:
    id, build, make, how = FAULTY[name]
    torch.manual_seed(seed)
    model = build()
    findings = train(digits, model, make(model.parameters()), seed, **how)
    assert findings and findings[0].id == id, loud(findings)
    assert findings[0].severity != "info" and findings[0].rank == 1 and findings[0].remedies
    assert all(f.because_of is not None or f.rank == 1 for f in findings if f.severity != "info")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_that_jumps_is_told_by_its_first_step_and_then_by_itself(
    digits: tuple[Tensor, Tensor], seed: int
) -> None:
    torch.manual_seed(seed)
    model = mlp()
    findings = train(digits, model, Adam(model.parameters(), 1e-3), seed, rate=lambda s: 1.0 if s > 60 else 1e-3)
    found = {f.id: f for f in findings}
    step, rate = found["unsafe-step"], found.get("learning-rate-too-high")
    assert step.severity != "info" and 60 < step.detected_step <= 70
    if rate is None or rate.severity == "info":
        assert step.rank == 1
    else:
        assert rate.rank == 1 and step.because_of == rate.id


def play(seed: int, lr: float, zero_grad: bool = True) -> tuple[Finding, ...]:
    """A generator and a critic that trade wins, each with an optimiser of its own."""
    torch.manual_seed(seed)
    nets = nn.ModuleDict(
        {
            "generator": nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2)),
            "critic": nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)),
        }
    )
    optimizers = {n: Adam(net.parameters(), lr, betas=(0.5, 0.999)) for n, net in nets.items()}
    record, engine = recorder(nets, optimizers)
    bce, name = F.binary_cross_entropy_with_logits, "binary_cross_entropy_with_logits"
    for _ in range(200):
        angle = torch.rand(64) * 6.283
        with record.looking():
            fake = nets["generator"](torch.randn(64, 8))
            scores = nets["critic"](torch.cat([torch.stack([angle.cos(), angle.sin()], 1), fake.detach()]))
        truth = torch.cat([torch.ones(64, 1), torch.zeros(64, 1)])
        if zero_grad:
            optimizers["critic"].zero_grad()
        record.backward(bce(scores, truth), LossCall(name, scores, truth), "critic")
        record.step("critic")
        scores = nets["critic"](fake)
        if zero_grad:
            optimizers["generator"].zero_grad()
        record.backward(bce(scores, truth[:64]), LossCall(name, scores, truth[:64]), "generator")
        record.step("generator")
    assert engine.notes == []
    return engine.findings


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lr", [2e-4, 2e-3])
def test_healthy_adversaries_are_clean(seed: int, lr: float) -> None:
    assert loud(play(seed, lr)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_faulty_adversaries(seed: int) -> None:
    assert play(seed, 0.3)[0].id == "learning-rate-too-high"
    assert play(seed, 1e-3, zero_grad=False)[0].id == "missing-zero-grad"
