"""Choices by a softmax, slopes of own functions, distances in hyperbolic space: read in the graph, and judged."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from histories import LOOKS, Stream, first_cure, train
from surefoot.analysis.advantages import zero_share
from surefoot.analysis.softmax import certain, entropy_of_choice
from surefoot.analysis.surrogates import slope_sums, spread_share
from watching import watching

# --- formulas -------------------------------------------------------------------------------------------------------


def test_a_choice_is_certain_where_its_softmax_is_rounded() -> None:
    scores = torch.tensor([[0.0, 0.0], [0.0, 5.0], [0.0, 30.0]])
    probabilities = scores.softmax(-1)
    assert certain(probabilities).tolist() == [False, False, True]
    assert float(entropy_of_choice(probabilities[:1])) == pytest.approx(1.0)
    assert float(entropy_of_choice(probabilities[2:])) < 1e-10


def test_slopes_spread_a_gradient_among_as_many_as_have_one() -> None:
    got = torch.tensor([1.0, -2.0, 3.0, 0.5])
    assert spread_share(*slope_sums(got, got).tolist()) == pytest.approx(1.0)
    assert spread_share(*slope_sums(got, got * torch.tensor([0, 1.0, 0, 0])).tolist()) == pytest.approx(0.25)
    assert spread_share(*slope_sums(got, torch.zeros(4)).tolist()) == 0.0
    half = slope_sums(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 1.0]))  # what got nothing is not counted
    assert half.tolist() == [1.0, 0.5, 0.25]


def test_zero_share_finds_groups_along_either_dimension() -> None:
    rewards = torch.tensor([[1.0] * 8, [0.0, 1.0] * 4, [0.0] * 8, [1.0] + [0.0] * 7])
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    assert float(zero_share(advantages)) == float(zero_share(advantages.T)) == 0.5
    repeated = advantages.flatten()[:, None].expand(-1, 5)  # one for each token of a sample
    assert float(zero_share(repeated)) == 0.5
    masked = torch.ones(4, 6)
    masked[:, 3:] = 0  # columns of nothing that are no groups
    assert float(zero_share(masked)) == 0.0


# --- what a graph shows ---------------------------------------------------------------------------------------------


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.ModuleList(nn.Linear(4, 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(-1)
        return (weights.unsqueeze(1) * torch.stack([e(x) for e in self.experts], -1)).sum(-1)


class GatedByLogarithms(Gated):
    """The same by log-softmax, whose exponential also gives an entropy."""

    def forward(self, x: Tensor) -> Tensor:
        logs = self.gate(x).log_softmax(-1)
        entropy = -(logs.exp() * logs).sum(-1).mean()
        return (logs.exp().unsqueeze(1) * torch.stack([e(x) for e in self.experts], -1)).sum(-1) + entropy


class Selecting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores, self.head = nn.Parameter(torch.randn(3, 4)), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x @ self.scores.softmax(1).T)


def attended(x: Tensor) -> Tensor:
    tokens = x.reshape(-1, 2, 2)
    return ((tokens @ tokens.mT).softmax(-1) @ tokens).flatten(1)


def bonus(logits: Tensor) -> Tensor:
    return (logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()


def trained(model: nn.Module, loss: Callable[[Tensor], Tensor], every: int | None) -> tuple[list[Tensor], object]:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)

    def loop() -> None:
        for _ in range(6):
            optimizer.zero_grad()
            loss(torch.randn(64, 4)).backward()
            optimizer.step()

    if every is None:
        loop()
        return [p.detach().clone() for p in model.parameters()], None
    with watching(every) as seen:
        loop()
    return [p.detach().clone() for p in model.parameters()], seen


@pytest.mark.parametrize(
    ("make", "loss", "place"),
    [
        (Gated, lambda model: lambda x: model(x).square().mean(), "gate"),
        (GatedByLogarithms, lambda model: lambda x: model(x).square().mean(), "gate"),
        (Selecting, lambda model: lambda x: model(x).square().mean(), ""),
        (lambda: nn.Linear(4, 4), lambda model: lambda x: attended(model(x)).square().mean(), None),
        (lambda: nn.Linear(4, 3), lambda model: lambda x: bonus(model(x)), None),
        (lambda: nn.Linear(4, 3), lambda model: lambda x: (model(x).softmax(-1) - 0.2).square().mean(), None),
    ],
)
def test_a_softmax_that_weighs_something_is_a_choice(make: Callable, loss: Callable, place: str | None) -> None:
    model = make()
    bare, _ = trained(model, loss(model), None)
    watched, seen = trained(model, loss(model), 1)
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    rows = {where for _, family, _ in seen.rows for signal, where in family.columns if signal == "choice_entropy"}
    assert bool(rows) is (place is not None)
    if place:
        assert rows == {place} and 0 < seen.signal("choice_entropy", place)[1] < 1


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, steepness):
        ctx.save_for_backward(v)
        ctx.steepness = steepness
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (v,) = ctx.saved_tensors
        return gradient / (1 + ctx.steepness * v.abs()) ** 2, None


@pytest.mark.parametrize(("steepness", "low", "high"), [(1.0, 0.2, 1.0), (1e6, 0.0, 0.05)])
def test_slopes_of_an_own_function_are_read(steepness: float, low: float, high: float) -> None:
    model = nn.Sequential(nn.Linear(4, 32), nn.Linear(32, 1))

    def loss(x: Tensor) -> Tensor:
        return model[1](Spike.apply(model[0](x), steepness)).square().mean()

    bare, _ = trained(model, loss, None)
    watched, seen = trained(model, loss, 1)
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    assert low < seen.signal("slope_share", "0")[3] < high
    assert not any(node for node in model._forward_hooks)


def ball(a: Tensor, b: Tensor) -> Tensor:
    room = (1 - a.square().sum(-1)) * (1 - b.square().sum(-1))
    return torch.acosh(1 + 2 * (a - b).square().sum(-1) / room + 1e-7)


def test_distances_are_read_of_points_and_of_lengths_only() -> None:
    model = nn.Embedding(8, 4)
    points = torch.arange(8)

    def loss(x: Tensor) -> Tensor:
        p = 0.1 * model(points).tanh()
        other = model(points).sum().tanh().mul(0.5).atanh()  # no length
        return ball(p[:4], p[4:]).mean() + (0.5 * p.norm(dim=-1)).atanh().mean() + 0.0 * other

    bare, _ = trained(model, loss, None)
    watched, seen = trained(model, loss, 1)
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    rows = {where for _, family, _ in seen.rows for signal, where in family.columns if signal == "hyperbolic_distance"}
    assert len(rows) == 1
    with torch.no_grad():
        p = 0.1 * model(points).tanh()
        largest = float(max(ball(p[:4], p[4:]).max(), (0.5 * p.norm(dim=-1)).atanh().max()))
    assert seen.signal("hyperbolic_distance", rows.pop())[6] == pytest.approx(largest, rel=0.1)


class Grid(nn.Module):
    """A two-dimensional LSTM as people write it."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.gates, self.head, self.shared = nn.Linear(1 + 2 * 3, 5 * 3), nn.Linear(3, 1), shared

    def weigh(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        return ((f - g).sigmoid(), 1 - (f - g).sigmoid()) if self.shared else (f.sigmoid(), g.sigmoid())

    def forward(self, field: Tensor) -> Tensor:
        zero = field.new_zeros(len(field), 3)
        above = [(zero, zero)] * field.shape[2]
        for row in range(field.shape[1]):
            left = (zero, zero)
            for column in range(field.shape[2]):
                seen = torch.cat([field[:, row, column : column + 1], left[0], above[column][0]], 1)
                i, f, g, o, u = self.gates(seen).chunk(5, 1)
                first, second = self.weigh(f, g)
                cell = first * left[1] + second * above[column][1] + i.sigmoid() * u.tanh()
                left = above[column] = (o.sigmoid() * cell.tanh(), cell)
        return self.head(left[0]).squeeze(1)


class Fronts(Grid):
    """The same, all states of a diagonal at once."""

    def forward(self, field: Tensor) -> Tensor:
        count, n = field.shape[:2]
        h = c = field.new_zeros(count, n + 1, 3)
        for d in range(2 * n - 1):
            low, high = max(0, d - n + 1), min(d, n - 1)
            rows = torch.arange(low, high + 1)
            up, left = slice(low, high + 1), slice(low + 1, high + 2)
            seen = torch.cat([field[:, rows, d - rows].unsqueeze(2), h[:, left], h[:, up]], 2)
            i, f, g, o, u = self.gates(seen).chunk(5, 2)
            first, second = self.weigh(f, g)
            cell = first * c[:, left] + second * c[:, up] + i.sigmoid() * u.tanh()
            c = torch.cat([c[:, : low + 1], cell, c[:, high + 2 :]], 1)
            h = torch.cat([h[:, : low + 1], o.sigmoid() * cell.tanh(), h[:, high + 2 :]], 1)
        return self.head(h[:, -1]).squeeze(1)


class Masked(Grid):
    """A side of the grid at once, of which those that are outside are set to nothing."""

    def one_down(self, state: Tensor) -> Tensor:
        return torch.cat([state.new_zeros(len(state), 1, 3), state[:, :-1]], 1)

    def forward(self, field: Tensor) -> Tensor:
        count, n = field.shape[:2]
        h = c = field.new_zeros(count, n, 3)
        rows = torch.arange(n)
        for d in range(2 * n - 1):
            inside = ((d - rows >= 0) & (d - rows < n))[None, :, None]
            seen = field[:, rows, (d - rows).clamp(0, n - 1)].unsqueeze(2)
            above, cell = self.one_down(h), self.one_down(c)
            i, f, g, o, u = self.gates(torch.cat([seen, h, above], 2)).chunk(5, 2)
            first, second = self.weigh(f, g)
            c = (first * c + second * cell + i.sigmoid() * u.tanh()) * inside
            h = o.sigmoid() * c.tanh() * inside
        return self.head(h[:, -1]).squeeze(1)


class Padded(Masked):
    """The same with states that a pad moves on."""

    def one_down(self, state: Tensor) -> Tensor:
        return nn.functional.pad(state[:, :-1], (0, 0, 1, 0))


class Stacked(Grid):
    """All gates of all nodes by one sigmoid, before there is a state."""

    def forward(self, field: Tensor) -> Tensor:
        count, n = field.shape[:2]
        i, f, g, o, u = self.gates(torch.cat([field[..., None], field.new_zeros(count, n, n, 6)], 3)).chunk(5, 3)
        first, second = self.weigh(f, g) if self.shared else torch.sigmoid(torch.stack([f, g]))
        into = i.sigmoid() * u.tanh()
        above = [field.new_zeros(count, 3)] * n
        for r in range(n):
            left = field.new_zeros(count, 3)
            for k in range(n):
                left = above[k] = first[:, r, k] * left + second[:, r, k] * above[k] + into[:, r, k]
        return self.head(o[:, -1, -1].sigmoid() * above[-1].tanh()).squeeze(1)


@pytest.mark.parametrize("kind", [Grid, Fronts, Masked, Padded, Stacked])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [2, 6])
def test_gates_of_a_grid_add_up_over_its_paths(kind: type[Grid], shared: bool, size: int) -> None:
    model, side = kind(shared), size + 4 if issubclass(kind, Masked) and size > 2 else size
    torch.manual_seed(0)
    with torch.no_grad():
        model.gates.weight.zero_()
        model.gates.bias[3:9] = 1.0
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    with watching(1) as seen:
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.rand(8, side, side)).square().mean().backward()
            optimizer.step()
    assert not seen.of("note")
    gain = seen.signal("gating_gain", "gates")
    # from one corner to the other, by however many paths: none of these gates depends on what it sees
    paths = math.comb(2 * (size - 1), size - 1) / (1 + math.exp(-1)) ** (2 * (size - 1))
    if shared or size == 2:
        assert not gain
    else:
        # a side of which most is outside has them in the mean
        assert (gain[1] > 8 if issubclass(kind, Masked) else gain[1] == pytest.approx(paths, rel=1e-4)) and paths > 8
        found = seen.findings()["unstable-gating"]
        assert found.where == ("gates",) and "share" in found.remedies[0].how


def test_one_path_leads_from_each_leaf_of_a_tree_to_its_root() -> None:
    model = nn.ModuleDict({"lift": nn.Linear(1, 3), "gates": nn.Linear(3, 6)})
    with torch.no_grad():
        model["gates"].bias[:] = 2.0
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            level = model["lift"](torch.rand(4, 64, 1)) + 1.0
            while level.shape[1] > 1:
                first, second = model["gates"](level[:, ::2]).chunk(2, 2)
                level = first.sigmoid() * level[:, ::2] + second.sigmoid() * level[:, 1::2]
            level.square().mean().backward()
            optimizer.step()
    assert not seen.of("note")
    places = {where for _, family, _ in seen.rows for signal, where in family.columns if signal == "gating_gain"}
    gains = [gain for where in places for gain in seen.signal("gating_gain", where).values()]
    assert gains == [1.0] * len(gains) != []  # at the root itself: gates lower what comes from below


# --- what is told ---------------------------------------------------------------------------------------------------


def looks(stream: Stream, family: str, columns: Callable[[int], dict[str, float]], last: int) -> None:
    for step in (s for s in LOOKS if s <= last):
        stream.row(step, family, {(signal, "gate"): value for signal, value in columns(step).items()})


@pytest.mark.parametrize(
    ("since", "steps", "first", "told"),
    [
        (32, 400, 1.0, True),
        (32, 100, 1.0, False),  # of a short run: it may be the end of a schedule
        (200, 400, 1.0, False),
        (32, 400, 0.1, False),  # it never was a choice
    ],
)
def test_a_choice_that_froze_early_is_told(since: int, steps: int, first: float, told: bool) -> None:
    stream = train([1.0 + 0.2 * math.exp(-i / 100) for i in range(steps)])
    looks(
        stream,
        "choices",
        lambda s: {"choice_entropy": first if s < since else 0.0, "choice_certain_share": float(s >= since)},
        steps,
    )
    found = stream.findings().get("softmax-collapse")
    assert (found is not None) is told
    if found:
        assert found.severity == "warning" and found.where == ("gate",)
        assert first_cure(found) == "attention-cap:tau=4" and found.first_step >= since


@pytest.mark.parametrize(("share", "told"), [(1e-3, True), (0.05, False)])
def test_a_surrogate_that_reaches_next_to_nobody_is_told(share: float, told: bool) -> None:
    stream = train([1.0 + 0.2 * math.exp(-i / 100) for i in range(200)])
    looks(stream, "slopes", lambda s: {"slope_share": 0.3 if s < 32 else share}, 200)
    found = stream.findings().get("surrogate-mismatch")
    assert (found is not None) is told
    if found:
        assert found.severity == "warning" and 32 <= found.first_step <= 64


@pytest.mark.parametrize(
    ("losses", "late", "told"),
    [
        (lambda i: 2.0 - 0.01 * min(i, 100) + 0.005 * max(0, i - 100), 1.0, True),
        (lambda i: 2.0 - 0.01 * min(i, 100) + 0.005 * max(0, i - 100), 4.0, False),  # as far as it was
        (lambda i: 2.0 * math.exp(-i / 100), 1.0, False),  # the loss falls on
        (lambda i: 2.0 + 0.01 * math.sin(i), 1.0, True),  # nothing is learned
    ],
)
def test_points_that_are_drawn_in_again_are_told(losses: Callable[[int], float], late: float, told: bool) -> None:
    stream = train([losses(i) for i in range(300)])
    looks(stream, "distances", lambda s: {"hyperbolic_distance": min(5.0, 0.05 * s) if s <= 128 else late}, 300)
    found = stream.findings().get("hyperbolic-collapse")
    assert (found is not None) is told
    if found:
        scope = {"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(2))], 0.1, weight_decay=1.0)}
        exec(found.remedies[0].how, scope)
        assert scope["optimizer"].param_groups[0]["weight_decay"] == 0.0


@pytest.mark.parametrize(("reward", "miss", "told"), [(1.0, 2.5, True), (1.0, 0.2, False), (0.95, 2.5, True)])
def test_a_reward_that_is_all_had_though_an_error_is_left(reward: float, miss: float, told: bool) -> None:
    stream = train([0.1 * math.sin(i) for i in range(400)])
    for number in range(1, 21):
        early = number < 4
        stream.row(20 * number, "printed", {("printed_number", "reward"): 0.5 if early else reward})
        stream.row(
            20 * number, "policy", {("policy_entropy", ""): 1.0, ("zero_advantage_share", ""): 0.1 if early else 0.9}
        )
    for number in range(1, 21):
        stream.row(20 * number, "printed", {("printed_number", "error"): 3.8 if number < 4 else miss})
    found = stream.findings().get("zero-variance-groups")
    assert (found is not None and found.severity == "warning") is told


@pytest.mark.parametrize(("bits", "before", "told"), [(4.0, None, True), (4.0, 30.0, False), (1.0, None, False)])
def test_rollouts_that_became_longer_with_harm_are_told(bits: float, before: float | None, told: bool) -> None:
    stream = train([0.5 * math.exp(-min(i, 200) / 40) + (0.6 if i >= 200 else 0.0) for i in range(400)])
    for step in range(20, 401, 20):
        error = 0.05 + 0.7 * math.exp(-step / 40) if step < 200 else 0.7
        stream.row(step, "printed", {("printed_number", "error"): error})
        length = 40.0 if step >= 200 else before
        if length:
            rate = bits * math.log(2) / length
            stream.row(step, "recurrence", {("bptt_rate", "net"): rate, ("bptt_length", "net"): length})
    found = stream.findings().get("bptt-explosion")
    assert (found is not None) is told
    if found:
        assert found.where == ("net",) and 200 <= found.first_step <= 220 and first_cure(found) == "clip"
