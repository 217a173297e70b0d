"""The finder of opposing groups: streaming state, groups from a matrix of changes, the rule."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.analysis.outliers import (
    compute,
    concentration,
    judge,
    loss_changes,
    opposing_groups,
    plant_opposing_signal,
    samples_to_inspect,
    update,
)
from surefoot.analysis.outliers.groups import correlation, knee, lag1


def changes_of(losses, window, **options):
    state = loss_changes(losses.shape[1], window, **options)
    for row in losses:
        state = update(state, row)
    return compute(state)


def swinging(steps=40, n=400, members=12, seed=0, noise=0.01):
    """Two groups of ``members`` swing against each other at every step; all others make noise."""
    generator = torch.Generator().manual_seed(seed)
    delta = noise * torch.randn(steps, n, generator=generator)
    swing = (-1.0) ** torch.arange(steps)
    delta[:, :members] += swing[:, None]
    delta[:, members : 2 * members] -= swing[:, None]
    return delta


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 6, 17])
def test_the_state_keeps_the_last_changes_in_order(steps):
    losses = torch.randn(steps, 7, dtype=torch.float64)
    changes = changes_of(losses, window=5, dtype=torch.float64)
    assert torch.equal(changes, losses.diff(dim=0)[-5:])


def test_memory_is_bounded_and_the_dtype_is_kept():
    state = loss_changes(10, window=4, dtype=torch.bfloat16)
    ring = state.ring.data_ptr()
    for _ in range(20):
        state = update(state, torch.rand(10))
    assert state.ring.data_ptr() == ring and state.ring.shape == (4, 10) and state.ring.dtype == torch.bfloat16
    assert state.count == 19


def test_losses_are_stored_by_sample_id():
    ids = torch.tensor([3, 14, 8, 2])
    losses = torch.randn(6, 4)
    state = loss_changes(4, window=10, ids=ids)
    for row in losses:
        order = torch.randperm(4)
        state = update(state, row[order], ids[order])
    assert torch.equal(compute(state), losses.diff(dim=0))


def test_updates_do_not_hold_on_to_the_graph_or_the_callers_tensor():
    losses = torch.zeros(3, requires_grad=True)
    state = update(loss_changes(3), losses)
    with torch.no_grad():
        losses += 1
    state = update(state, losses)
    assert not compute(state).requires_grad
    assert torch.equal(compute(state), torch.ones(1, 3))


def test_constant_losses_give_no_groups():
    delta = changes_of(torch.full((9, 50), 0.3), window=8)
    assert not delta.any()
    groups = opposing_groups(delta)
    assert len(groups.up) == len(groups.down) == 0
    assert groups.energy_share == 0 and groups.concentration == (0, 0)
    assert not groups.score.any() and not groups.side.any() and all(math.isnan(v) for v in groups.lag1)
    assert judge(delta) is None


def test_a_rank_one_matrix_gives_back_its_factor():
    generator = torch.Generator().manual_seed(1)
    a, v = torch.randn(30, generator=generator), torch.randn(100, generator=generator)
    groups = opposing_groups(torch.outer(a, v).double())
    found = (groups.score * groups.side).double()
    assert abs(float(found @ v.double())) / float(v.double().norm()) == pytest.approx(1, abs=1e-9)
    assert groups.energy_share == pytest.approx(1, abs=1e-9)
    # the rising side is the one that rose in the last step
    assert bool(((found * v) * a[-1] > 0).all())


@pytest.mark.parametrize("method", ["svd", "step"])
def test_the_first_pattern_is_that_of_a_full_svd(method):
    delta = torch.randn(20, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    groups = opposing_groups(delta, k=5, method=method)
    _, values, rows = torch.linalg.svd(delta, full_matrices=False)
    assert groups.energy_share == pytest.approx(float(values[0] ** 2 / (values**2).sum()), abs=1e-10)
    if method == "svd":
        assert torch.allclose(groups.score, rows[0].abs(), atol=1e-10)
        assert set(groups.up.tolist() + groups.down.tolist()) <= set(range(60))
    else:
        assert groups.up.tolist() == delta[-1].topk(5).indices.tolist()
        assert groups.down.tolist() == (-delta[-1]).topk(5).indices.tolist()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), method=st.sampled_from(["svd", "step"]))
def test_groups_follow_a_permutation_of_the_samples(seed, method):
    generator = torch.Generator().manual_seed(seed)
    delta = torch.randn(12, 40, dtype=torch.float64, generator=generator)
    order = torch.randperm(40, generator=generator)
    one, other = opposing_groups(delta, k=4, method=method), opposing_groups(delta[:, order], k=4, method=method)
    assert order[other.up].tolist() == one.up.tolist()
    assert order[other.down].tolist() == one.down.tolist()
    assert torch.allclose(other.score, one.score[order], atol=1e-9)
    assert other.lag1 == pytest.approx(one.lag1)


def test_swinging_groups_are_found_and_judged():
    verdict = judge(swinging())
    assert verdict is not None and verdict.opposing, verdict
    groups = verdict.groups
    sides = {frozenset(groups.up.tolist()), frozenset(groups.down.tolist())}
    assert sides == {frozenset(range(12)), frozenset(range(12, 24))}
    assert max(groups.lag1) < -0.95 and groups.correlation < -0.95 and groups.energy_share > 0.9
    assert groups.concentration[1] > 0.6
    up, down = samples_to_inspect(verdict, ids=torch.arange(1000, 1400), count=3)
    assert len(up) == len(down) == 3 and min(up + down) >= 1000


def test_the_rule_is_silent_on_learning_noise_and_a_swing_of_everybody():
    generator = torch.Generator().manual_seed(3)
    learning = -torch.rand(400, generator=generator).expand(60, 400) * torch.linspace(1, 0.5, 60)[:, None]
    noise = torch.randn(61, 400, generator=generator).diff(dim=0)
    together = torch.rand(400, generator=generator) * (-1.0) ** torch.arange(60)[:, None]
    random_walk = torch.randn(60, 400, generator=generator)
    for name, delta in {"learning": learning, "noise": noise, "together": together, "walk": random_walk}.items():
        verdict = judge(delta)
        assert verdict is not None and not verdict.opposing, (name, verdict)


def test_the_rule_needs_steps_and_finite_numbers():
    assert judge(swinging(steps=7)) is None
    assert judge(swinging(steps=8)) is not None
    broken = swinging()
    broken[3, 3] = float("nan")
    assert judge(broken) is None


def test_the_rule_does_not_depend_on_the_unit_of_the_loss():
    for scale in (1e-12, 1e12):
        verdict = judge(swinging() * scale)
        assert verdict is not None and verdict.opposing


def test_closed_values_of_the_measures():
    assert lag1(torch.tensor([1.0, -1, 1, -1])) == pytest.approx(-1)
    assert lag1(torch.full((5,), -0.2)) == pytest.approx(1)
    assert math.isnan(lag1(torch.ones(1))) and math.isnan(correlation(torch.ones(4), torch.arange(4.0)))
    assert correlation(torch.arange(4.0), -2 * torch.arange(4.0) + 7) == pytest.approx(-1)
    assert concentration(torch.ones(3, 200), 0.05) == pytest.approx(0.05)
    one = torch.zeros(3, 200)
    one[:, 7] = 1
    assert concentration(one, 0.01) == 1
    # the top 5 % of half-normal movement: 2 φ(q) / √(2/π), q the 97.5 % point
    assert concentration(torch.randn(1, 200_000), 0.05) == pytest.approx(0.1465, abs=0.003)
    score = torch.cat([torch.full((8,), 1.0), torch.full((992,), 1e-3)])
    assert knee(score) == 8
    assert knee(torch.zeros(5)) == 0


def test_planting_changes_the_chosen_samples_only():
    inputs, targets = torch.randn(200, 3, 4), torch.arange(200) % 5
    vector = torch.zeros(3, 4)
    vector[0, 0] = -7
    planted, a, b = plant_opposing_signal(inputs, targets, (1, 3), 0.5, vector, amplitude=2.0, seed=4)
    assert len(a) == len(b) == 20 and set(targets[a].tolist()) == {1} and set(targets[b].tolist()) == {3}
    moved = (planted != inputs).flatten(1).any(dim=1).nonzero().flatten()
    assert set(moved.tolist()) == set(a.tolist() + b.tolist())
    assert torch.allclose((planted - inputs)[a].flatten(1).norm(dim=1), torch.tensor(2.0))
    again = plant_opposing_signal(inputs, targets, (1, 3), 0.5, vector, amplitude=2.0, seed=4)
    assert torch.equal(again[0], planted)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: loss_changes(1), "n"),
        (lambda: loss_changes(5, window=1), "window"),
        (lambda: loss_changes(5, dtype=torch.int64), "dtype"),
        (lambda: loss_changes(3, ids=torch.tensor([1, 1, 2])), "ids"),
        (lambda: update(loss_changes(3), torch.zeros(4)), "losses"),
        (lambda: update(loss_changes(3), torch.zeros(3), ids=torch.tensor([0, 1, 3])), "ids"),
        (lambda: update(loss_changes(3), torch.zeros(3), ids=torch.tensor([0, 1])), "ids"),
        (lambda: opposing_groups(torch.zeros(0, 4)), "delta"),
        (lambda: opposing_groups(torch.full((4, 4), float("inf"))), "delta"),
        (lambda: opposing_groups(torch.zeros(4, 4), k=3), "k"),
        (lambda: opposing_groups(torch.zeros(4, 4), method="pca"), "method"),
        (lambda: concentration(torch.zeros(4, 4), 0), "share"),
        (lambda: samples_to_inspect(judge(swinging()), count=0), "count"),
        (lambda: plant_opposing_signal(torch.zeros(4, 2), torch.zeros(4), (0, 0), 0.5, torch.ones(2), 1), "classes"),
        (lambda: plant_opposing_signal(torch.zeros(4, 2), torch.zeros(4), (0, 1), 0.5, torch.ones(2), 1), "classes"),
        (lambda: plant_opposing_signal(torch.zeros(4, 2), torch.zeros(4), (0, 1), 0, torch.ones(2), 1), "fraction"),
        (lambda: plant_opposing_signal(torch.zeros(4, 2), torch.zeros(4), (0, 1), 0.5, torch.zeros(2), 1), "vector"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"(^|\W){name}\W"):
        call()
