"""Activations that shut for good, rows that a graph makes alike, states kept in half: read and judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from histories import LAYERS, LOOKS, Stream, falling, flat, layered, train
from surefoot.analysis.activations import active_share
from surefoot.observe.signals.rank import mixed_rows
from watching import watching

# --- formulas and what a graph shows --------------------------------------------------------------------------------


def test_active_share_is_of_outputs_not_of_units() -> None:
    assert float(active_share(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))) == pytest.approx(1 / 3)
    assert float(active_share(torch.zeros(3))) == 0.0


_INDEX = torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("product", "rows"),
    [
        (lambda a, h, w: a @ h, [5]),
        (lambda a, h, w: a.to_sparse() @ h, [5]),
        (lambda a, h, w: torch.sparse.mm(a.to_sparse(), h), [5]),
        (lambda a, h, w: torch.zeros(5, 3).index_add(0, _INDEX, h[:3]), [5]),
        (lambda a, h, w: torch.zeros(5, 3).scatter_add(0, _INDEX[:, None].expand(3, 3), h[:3]), [5]),
        (lambda a, h, w: torch.zeros(5, 4).index_add(1, _INDEX, h), []),  # over features
        (lambda a, h, w: a @ w, []),  # as many rows of data as columns
        (lambda a, h, w: F.linear(a, w.T), []),
        (lambda a, h, w: h @ torch.ones(3, 3), []),
        (lambda a, h, w: h @ h.T, []),  # what is compared
    ],
)
def test_rows_that_are_mixed_are_found(product: Callable[..., Tensor], rows: list[int]) -> None:
    weight = torch.ones(5, 3, requires_grad=True)
    nodes, stack = [], [product(torch.ones(5, 5), 2 * weight, weight).grad_fn]
    while stack:
        node = stack.pop()
        nodes.append(node)
        stack += [below for below, _ in node.next_functions if below is not None]
    assert list(mixed_rows(nodes)) == rows


def trained(model: nn.Module, x: Tensor, y: Tensor, every: int | None, steps: int = 40, lr: float = 1e-2) -> tuple:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def loop() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    if every is None:
        loop()
        return model, None
    with watching(every) as seen:
        loop()
    return model, seen


class Hops(nn.Module):
    """Means over neighbours, one after the other; each time with what was there at first, or without."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.keep, self.enter, self.out = keep, nn.Linear(6, 16), nn.Linear(16, 3)
        self.hops = nn.ModuleList(nn.Linear(16, 16) for _ in range(10))
        edges = (torch.rand(40, 40) < 0.2).float() + torch.eye(40)
        self.register_buffer("walk", edges / edges.sum(1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        first = h = self.enter(x).relu()
        for hop in self.hops:
            h = self.keep * first + (1 - self.keep) * hop(self.walk @ h).relu()
        return self.out(h)


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_nodes_of_a_graph_that_become_one_are_told(keep: float) -> None:
    torch.manual_seed(1)
    x, y = torch.randn(40, 6), torch.arange(40) % 3
    bare, _ = trained(Hops(keep), x, y, None)
    model, seen = trained(Hops(keep), x, y, 4)
    assert all(map(torch.equal, bare.parameters(), model.parameters()))
    cosines = seen.signal("token_cosine", "hops.9")
    assert cosines and (1 - min(cosines.values()) < 1e-3) is (keep == 0)
    assert ("rank-collapse" in seen.findings()) is (keep == 0)


class Halved(nn.Module):
    """Of float32, but for a state whose squares are summed in float16."""

    def __init__(self, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.size, self.enter, self.out = size, nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = (self.size * self.enter(x)).half()
        return self.out((z * torch.rsqrt(z.square().sum(1, keepdim=True) + 1e-6)).float())


@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_a_state_in_half_that_overflows_inside_a_model_of_float32_is_told(size: float) -> None:
    x, y = torch.ones(8, 4), torch.arange(8) % 3
    bare, _ = trained(Halved(size), x, y, None, 4)
    model, seen = trained(Halved(size), x, y, 1, 4)
    assert all(map(torch.equal, bare.parameters(), model.parameters()))
    assert ("low-precision-overflow" in seen.findings()) is (size > 1)


class Bounded(nn.Module):
    """One layer that is switched by hand, its answers clamped, too."""

    def __init__(self, bound: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bound, self.enter, self.out = bound, nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bound(self.enter(x))).clamp(-30, 30)


@pytest.mark.parametrize(
    ("bound", "signal"),
    [
        (lambda z: z.clamp_min(0), "dead_share"),
        (lambda z: z.clamp(min=0), "dead_share"),
        (F.relu6, "dead_share"),
        (lambda z: z.clamp(-0.01, 0.01), "saturated_share"),
        (lambda z: F.hardtanh(z, -0.01, 0.01), "saturated_share"),
        (lambda z: z.clamp(min=-5), None),
    ],
)
def test_bounds_written_by_hand_are_activations(bound: Callable[[Tensor], Tensor], signal: str | None) -> None:
    torch.manual_seed(1)
    x, y = torch.randn(64, 4), torch.arange(64) % 3
    bare, _ = trained(Bounded(bound), x, y, None, 3)
    model, seen = trained(Bounded(bound), x, y, 1, 3)
    assert all(map(torch.equal, bare.parameters(), model.parameters()))
    for other in ("dead_share", "saturated_share", "closed_share"):
        assert bool(seen.signal(other, "enter")) is (other == signal)
        assert not seen.signal(other, "out")
    if signal == "saturated_share":
        torch.manual_seed(0)
        flat_share = (nn.Linear(4, 8)(x).abs() >= 0.01).float().mean()
        assert seen.signal(signal, "enter")[1] == pytest.approx(float(flat_share), abs=1e-6)


class Steep(nn.Module):
    def __init__(self, gate: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.enter, self.out = gate, nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.sigmoid(100 * self.enter(x))
        return self.out(x * z if self.gate else z)


@pytest.mark.parametrize("gate", [True, False])
def test_gates_are_read_apart_from_hidden_units(gate: bool) -> None:
    torch.manual_seed(1)
    _, seen = trained(Steep(gate), torch.randn(64, 4), torch.arange(64) % 3, 1, 2)
    read, other = ("closed_share", "saturated_share") if gate else ("saturated_share", "closed_share")
    assert min(seen.signal(read, "enter").values()) > 0.8
    assert not seen.signal(other, "enter")


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (lambda y: F.one_hot(y, 3).float(), True),
        (lambda y: 0.9 * F.one_hot(y, 3).float() + 0.1 / 3, False),  # of several classes none is the right one
    ],
)
def test_the_right_class_of_targets_in_one_hot_form_is_known(targets: Callable[[Tensor], Tensor], told: bool) -> None:
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(9, 4), torch.arange(9) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    right = model(x).detach().log_softmax(1)
    best = right.scatter(1, y[:, None], -torch.inf).amax(1)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            (-(targets(y) * model(x).log_softmax(1)).sum(1)).mean().backward()
            optimizer.step()
    found = {step: v for step, v in seen.signal("target_margin", "log_softmax").items() if abs(v) < torch.inf}
    assert bool(found) is told
    if told:
        assert found[1] == pytest.approx(float((right.gather(1, y[:, None])[:, 0] - best).mean()), abs=1e-5)


# --- rules ----------------------------------------------------------------------------------------------------------


def shutting(signal: str, losses: list[float], at: int, share: float = 0.95, left: float = 0.0) -> Stream:
    """One of eight layers shuts at a step, and is left so much of its gradient."""
    stream = train(losses, constant=2.3, rate=0.01)
    looks = [step for step in LOOKS if step <= len(losses)]
    layered(stream, "activations", signal, lambda s: [0.1] * 7 + [share if s >= at else 0.1], looks)
    return layered(stream, "gradients", "gradient_rms", lambda s: [1.0] * 7 + [left if s >= at else 1.0], looks)


HALVED = [*falling(100, 2.3, 1.0, 0.02), *flat(300, 1.0, 0.02)]


@pytest.mark.parametrize(
    ("signal", "losses", "how", "told"),
    [
        ("saturated_share", HALVED, {"at": 100, "left": 0.5}, True),
        ("saturated_share", HALVED, {"at": 100, "left": 0.5, "share": 0.7}, False),  # as networks that learn well
        ("saturated_share", HALVED, {"at": 250, "left": 0.5}, False),  # late, as it may be meant to
        ("saturated_share", falling(400, 2.3, 0.5, 0.02), {"at": 100, "left": 0.5}, False),  # it falls on
        ("saturated_share", [*falling(100, 2.3, 0.1, 0.01), *flat(300, 0.1, 0.01)], {"at": 100}, False),  # fit
        ("closed_share", HALVED, {"at": 100, "left": 0.5}, False),  # to be flat is its job
        ("closed_share", HALVED, {"at": 100}, True),
        ("closed_share", HALVED, {"at": 250}, False),
    ],
)
def test_what_shut_in_the_first_half_and_keeps_the_loss_is_told(
    signal: str, losses: list[float], how: dict, told: bool
) -> None:
    found = shutting(signal, losses, **how).findings().get("saturated-units")
    assert (found is not None and found.severity == "warning") is told
    if told:
        assert found.where == (LAYERS[-1],) and found.first_step == 100


def test_no_gradient_at_all_is_told_however_late() -> None:
    stream = shutting("closed_share", HALVED, at=250)
    assert "saturated-units" not in stream.findings()
    for step in LOOKS:
        if 250 <= step <= 400:
            stream.row(step, "gradients", {("gradient_norm", ""): 0.0})
    assert stream.findings()["saturated-units"].severity == "warning"


@pytest.mark.parametrize(("share", "told"), [(0.95, True), (0.7, False)])
def test_outputs_that_shut_count_where_what_was_learned_is_lost(share: float, told: bool) -> None:
    losses = [*falling(150, 2.3, 0.2), *flat(100, 1.5)]
    stream = shutting("closed_share", losses, at=100, share=share, left=1.0)
    assert ("saturated-units" in stream.loud()) is told
