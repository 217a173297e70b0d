"""Watching changes no bit: losses, weights, buffers and random states are those of the bare run."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import processes
from identity import STEPS, WAYS
from loops import LOOPS, train
from watching import watching


@pytest.fixture(scope="module")
def compared():
    """Every loop under every means, in a process of its own: the type checker of the tests draws random numbers."""
    done = processes.run([sys.executable, Path(__file__).with_name("identity.py")])
    assert done.returncode == 0, done.stderr
    return {(c["loop"], c["every"], c["means"]): c for c in json.loads(done.stdout)}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("every", "means"), WAYS, ids=str)
def test_a_watched_run_is_the_bare_run(loop, every, means, compared):
    case = compared[loop, every, means]
    assert case["bare runs agree"], "two bare runs must agree for this test to mean anything"
    assert case["identical"]
    assert not case["notes"]
    looks = sum(case["looks"].values())
    if means == "borrow" and loop in ("checkpoint", "lstm"):
        # a checkpointed graph saved nothing that could be read without running its forward again; the fused LSTM
        # kernel keeps its activations inside
        assert looks == 0
    elif every == 1:
        # the first step has no known model to put hooks on
        assert case["looks"][means or "hooks"] >= STEPS - 1
    else:
        assert 1 <= looks <= 4  # steps 1, 2, 4, 8, as far as the opening credit lasts


@pytest.mark.parametrize("means", ["hooks", "borrow", "replay"])
def test_the_means_agree_on_what_they_see(means):
    with watching(1, means) as seen:
        train("mlp", 5)
    with watching(1, "hooks") as reference:
        train("mlp", 5)
    for signal, where in (("dead_share", "0"), ("saturated_share", "2")):
        got, expected = seen.signal(signal, where), reference.signal(signal, where)
        assert got
        # dead units are judged over several looks, and borrowing has one more: step 1
        common = sorted(got.keys() & expected.keys())[-1:]
        assert [got[s] for s in common] == pytest.approx([expected[s] for s in common], abs=1e-6)


def test_replay_is_refused_where_it_is_not_exact():
    class Moody(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            Moody.calls += 1  # state that no module holds
            return self.fc(x) * Moody.calls

    model = Moody()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1, "replay") as seen:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).sum().backward()
            optimizer.step()
    assert seen.observer.looks["replay"] == 0
    assert [n for n in seen.of("note") if "replay is off" in n["text"]]


def test_replay_puts_back_attributes_and_buffers():
    class Stateful(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.register_buffer("seen", torch.zeros(()))
            self.count, self.memory = 0, []

        def forward(self, x):
            self.seen += 1
            self.count += 1
            self.memory.append(float(x.sum()))
            return self.fc(x) + self.seen

    model = Stateful()
    buffer = model.seen
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1, "replay") as seen:
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).sum().backward()
            optimizer.step()
    assert seen.observer.looks["replay"] == 4
    assert (model.count, len(model.memory), float(model.seen)) == (5, 5, 5.0)
    assert model.seen is buffer


def test_nothing_is_left_on_the_model_or_in_torch():
    before = (torch.autograd.backward, nn.utils.clip_grad_norm_, torch.amp.GradScaler.step)
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 3)).sum().backward()
            optimizer.step()
    assert (torch.autograd.backward, nn.utils.clip_grad_norm_, torch.amp.GradScaler.step) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    hooks = sys.modules["torch.optim.optimizer"]
    assert not hooks._global_optimizer_pre_hooks
    assert not hooks._global_optimizer_post_hooks


@pytest.mark.parametrize("means", ["hooks", "borrow", "replay"])
def test_a_model_is_copied_and_saved_whole_between_any_two_steps(means: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.GRU(8, 8), *[nn.LayerNorm(8) for _ in range(4)])
    optimizer = torch.optim.SGD(model[:3].parameters(), 0.05)
    x = torch.randn(5, 3, 4)
    with watching(1, means=means):
        for _ in range(12):
            optimizer.zero_grad()
            hidden = model[2](model[:2](x))[0]
            model[3:](hidden).square().mean().backward()
            optimizer.step()
            kept = pickle.dumps(model)
            assert b"surefoot" not in kept
            for again in (pickle.loads(kept), copy.deepcopy(model)):
                with torch.no_grad():
                    again[3:](again[2](again[:2](x))[0])
