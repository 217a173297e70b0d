"""Batches that a loop draws anew, by the same seed: what the script's text says, what is seen, what is told."""

from __future__ import annotations

import math
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from histories import Stream
from surefoot.observe.seeded_loops import seeds_each_step
from surefoot.observe.signals import one_batch
from watching import watching

SAMPLER = """
class Points:
    def draw(self):
        g = torch.Generator().manual_seed(self.seed)
        return torch.rand(8, 1, generator=g)
"""
LOOP = """
torch.manual_seed(0)
for step in range(100):
    {draws}
    loss = f(x)
    loss.backward()
"""


@pytest.mark.parametrize(
    ("draws", "seeds"),
    [
        ("x = points.draw()", True),
        ("x = torch.rand(8, generator=torch.Generator().manual_seed(7))", True),
        ("np.random.seed(args.seed); x = np.random.rand(8)", True),
        ("x = np.random.default_rng(seed).random(8)", True),
        ("seed = 3; torch.manual_seed(seed); x = torch.rand(8)", True),  # set in the loop, but to the same
        ("rng.seed(7); x = rng.random()", True),
        ("x = torch.rand(8)", False),
        ("torch.manual_seed(step); x = torch.rand(8)", False),  # another seed at each step
        ("x = np.random.default_rng().random(8)", False),  # no seed
        ("s = seeds.pop(); torch.manual_seed(s)", False),
    ],
)
def test_the_text_tells_what_seeds_in_a_step(draws, seeds):
    assert (seeds_each_step(SAMPLER + LOOP.format(draws=draws)) is not None) == seeds


def test_seeding_around_the_innermost_loop_is_that_of_a_run_or_of_an_epoch():
    body = "        loss = f(x)\n        loss.backward()\n"
    assert seeds_each_step("for fold in range(3):\n    torch.manual_seed(0)\n    for x in data:\n" + body) is None
    assert seeds_each_step("for fold in range(3):\n    for x in data:\n        torch.manual_seed(0)\n" + body) == 3
    assert (
        seeds_each_step("def step(x):\n    f(x).backward()\nfor x in data:\n    torch.manual_seed(0)\n    step(x)") == 4
    )
    assert seeds_each_step("for x in data:\n    torch.manual_seed(0)\n    f(x)\n") is None  # nothing is trained there
    assert seeds_each_step("for x in data: (") is None


def test_where_nothing_goes_backward_the_loop_that_steps_is_meant():
    asks = "for step in range(9):\n    p.grad = slope(p, batch({seed}))\n    optimizer.step()\n"
    draws = "def batch(seed):\n    return np.random.default_rng(seed).random(8)\n"
    assert seeds_each_step(draws + asks.format(seed=0)) == 2
    assert seeds_each_step(asks.format(seed="np.random.default_rng(step)")) is None
    backward = "for x in data:\n    torch.manual_seed(0)\n    f(x).backward()\n    optimizer.step()\n"
    assert seeds_each_step(asks.format(seed="np.random.default_rng(0)") + backward) == 5


@pytest.mark.parametrize(
    ("draw", "seeded"),
    [
        (lambda g, kept: torch.rand(12, 211, generator=g.manual_seed(3)), 1.0),
        (lambda g, kept: kept.clone(), 0.0),  # chosen once
        (lambda g, kept: kept, 0.0),
    ],
)
def test_a_batch_of_nothing_that_was_there_before_was_drawn(monkeypatch, draw, seeded):
    monkeypatch.setattr(one_batch, "seeds_each_step", lambda source: 4)
    # whoever runs the tests may have no script of its own
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    generator, kept = torch.Generator(), torch.rand(12, 211)  # a width that no tensor of another test has
    model = nn.Sequential(nn.Linear(211, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watching(1) as seen:
        for _ in range(40):
            loss = F.mse_loss(model(draw(generator, kept)), torch.zeros(12, 1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert seen.signal("stale_seeded")[8] == seeded
    assert ("stale-batch" in seen.findings()) == bool(seeded)


@pytest.mark.parametrize("again", [True, False])
def test_samples_of_a_step_whose_gradient_was_asked_for_by_torch_func(monkeypatch, again):
    """No graph is left to be read: the model's input tells who they are."""
    monkeypatch.setattr(one_batch, "seeds_each_step", lambda source: 4)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    generator = torch.Generator()
    model = nn.Sequential(nn.Linear(227, 4), nn.Tanh(), nn.Linear(4, 1))  # a width that no tensor of another test has
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    params = dict(model.named_parameters())
    slope = torch.func.grad(lambda params, x: torch.func.functional_call(model, params, (x,)).square().mean())
    with watching(1) as seen:
        for step in range(40):
            x = torch.rand(12, 227, generator=generator.manual_seed(3 if again else step))
            for name, gradient in slope(params, x).items():
                params[name].grad = gradient
            optimizer.step()
    batches = seen.signal("distinct_batches")
    assert seen.signal("batch_rows")[40] == 12 and batches[40] == (1 if again else len(batches))
    found = seen.findings().get("stale-batch")
    assert (found is not None and found.severity == "warning") == again


def test_a_batch_that_the_test_data_begin_with(monkeypatch):
    """They were drawn by the same seed, as by a function that seeds."""
    monkeypatch.setattr(one_batch, "seeds_each_step", lambda source: 4)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    generator = torch.Generator()
    tested = torch.rand(60, 223, generator=generator.manual_seed(3))  # a width that no tensor of another test has
    model = nn.Linear(223, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watching(1) as seen:
        for _ in range(40):
            optimizer.zero_grad()
            x = torch.rand(12, 223, generator=generator.manual_seed(3))
            model(x).square().mean().backward()
            optimizer.step()
    assert len(tested) == 60 and seen.findings()["stale-batch"].severity == "warning"


def test_six_looks_over_32_steps():
    def drawn(looks: int, apart: int, seeded: float = 1.0, distinct: float = 1.0) -> list[str]:
        stream = Stream()
        for i in range(looks):
            row = {"batch_rows": 64.0, "distinct_batches": distinct}
            row |= {"stale_loader_batches": 0.0 if i > 2 else math.nan, "stale_seeded": seeded if i > 2 else math.nan}
            stream.row(1 + apart * i, "samples", {(signal, ""): value for signal, value in row.items()})
        return stream.loud()

    assert drawn(7, 6) == ["stale-batch"]
    assert drawn(5, 20) == drawn(9, 3) == drawn(7, 6, seeded=0.0) == drawn(7, 6, distinct=2.0) == []


@pytest.mark.parametrize(("apart", "told"), [(7, True), (40, False)])
def test_others_before(apart: int, told: bool) -> None:
    """A memory that grew has come to its bound, and the same rows of it are drawn; or the looks meet a round of 40."""
    stream = Stream()
    for i in range(40):
        row = {"batch_rows": 64.0, "distinct_batches": float(i + 1)}
        row |= {"stale_loader_batches": math.nan, "stale_seeded": math.nan}
        stream.row(1 + i, "samples", {(signal, ""): value for signal, value in row.items()})
    for i in range(9):
        row = {"batch_rows": 64.0, "distinct_batches": 40.0}
        row |= {"stale_loader_batches": 0.0 if i > 2 else math.nan, "stale_seeded": 1.0 if i > 2 else math.nan}
        stream.row(80 + apart * i, "samples", {(signal, ""): value for signal, value in row.items()})
    found = stream.findings().get("stale-batch")
    assert (found is not None) == told and (not told or found.first_step == 80)
