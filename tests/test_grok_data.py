"""Modular data with corrupted labels, and the quadratic network on it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from surefoot.analysis.memorisation import hidden_layer, memorization_report, neuron_ipr, prune_neurons
from surefoot.studies.problems.corrupted_training import fit_corrupted
from surefoot.studies.problems.modular import modular_dataset, one_hot_pairs
from surefoot.studies.problems.quadratic_mlp import QuadraticMLP, solve_addition_


@pytest.mark.parametrize(("alpha", "xi"), [(0.5, 0.3), (0.37, 0.0), (1.0, 1.0), (0.6, 0.35)])
def test_bookkeeping(alpha, xi):
    data = modular_dataset(23, "add", alpha, xi, seed=3)
    train = math.floor(alpha * 23**2 + 1e-9)
    assert data.idx_train.numel() == train
    assert data.idx_corrupt.numel() == math.floor(xi * train + 1e-9)
    assert torch.equal(torch.cat([data.idx_corrupt, data.idx_clean]), data.idx_train)
    every = torch.cat([data.idx_train, data.idx_test])
    assert torch.equal(every.sort().values, torch.arange(23**2))
    assert len({tuple(pair) for pair in data.x.tolist()}) == 23**2
    untouched = torch.cat([data.idx_clean, data.idx_test])
    assert torch.equal(data.y[untouched], data.y_true[untouched])


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_rule(op):
    data = modular_dataset(7, op, 1.0)
    rule = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}[op]
    assert all(label == rule(a, b) % 7 for (a, b), label in zip(data.x.tolist(), data.y.tolist(), strict=True))
    if op == "mul":
        assert int((data.y == 0).sum()) == 2 * 7 - 1


def test_corrupted_labels_are_uniform():
    p = 11
    right = drawn = 0
    counts = torch.zeros(p)
    for seed in range(60):
        data = modular_dataset(p, "add", 1.0, 1.0, seed)
        right += int((data.y == data.y_true).sum())
        drawn += data.y.numel()
        counts += torch.bincount(data.y, minlength=p)
    assert right / drawn == pytest.approx(1 / p, abs=5 * math.sqrt((1 / p) * (1 - 1 / p) / drawn))
    expected = drawn / p
    assert float(((counts - expected) ** 2 / expected).sum()) < 35  # chi-squared of 10 degrees: 35 is p = 1e-4


def test_seed_or_generator():
    a, b, c = (modular_dataset(11, "add", 0.5, 0.5, seed) for seed in (4, 4, 5))
    d = modular_dataset(11, "add", 0.5, 0.5, torch.Generator().manual_seed(4))
    assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and torch.equal(a.y, d.y)
    assert not torch.equal(a.x, c.x)
    assert a.to("cpu").p == 11


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"p": 2}, "p must be"),
        ({"p": 7, "op": "div"}, "op must be"),
        ({"p": 7, "data_fraction": 0}, "data_fraction must be"),
        ({"p": 7, "data_fraction": 1.1}, "data_fraction must be"),
        ({"p": 7, "data_fraction": 0.01}, "leaves none"),
        ({"p": 7, "corruption": -0.1}, "corruption must be"),
        ({"p": 7, "corruption": 1.5}, "corruption must be"),
    ],
)
def test_bad_data(arguments, words):
    with pytest.raises(ValueError, match=words):
        modular_dataset(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"p": 2, "width": 4}, "p must be"),
        ({"p": 5, "width": 0}, "width must be"),
        ({"p": 5, "width": 4, "dropout": 1.0}, "dropout must be"),
        ({"p": 5, "width": 4, "norm": "batch"}, "norm must be"),
    ],
)
def test_bad_model(arguments, words):
    with pytest.raises(ValueError, match=words):
        QuadraticMLP(**arguments)


def test_lookup_equals_one_hot_product():
    model = QuadraticMLP(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = modular_dataset(5, "add", 1.0).x

    def dense(u, v, w):
        h = one_hot_pairs(x, 5, torch.float64) @ torch.cat([u, v], dim=1).T
        return h.square() @ w.T

    def lookup(u, v, w):
        return torch.func.functional_call(model, {"U": u, "V": v, "readout.weight": w}, (x,))

    weights = (model.U, model.V, model.readout.weight)
    assert torch.allclose(lookup(*weights), dense(*weights), atol=1e-12)
    target = torch.randn(25, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = torch.autograd.grad((lookup(*weights) * target).sum(), weights)
    theirs = torch.autograd.grad((dense(*weights) * target).sum(), weights)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))
    assert torch.autograd.gradcheck(lookup, tuple(w.detach().requires_grad_() for w in weights))


def test_initial_scale_dropout_and_normalisation():
    model = QuadraticMLP(31, 400, generator=torch.Generator().manual_seed(0))
    assert model.U.std().item() == pytest.approx(0.5 / 800 ** (1 / 3), rel=0.02)
    assert model.W is model.readout.weight and "width=400" in repr(model)
    x = modular_dataset(31, "add", 1.0).x
    seen: list[torch.Tensor] = []
    for norm in (None, "bn", "ln"):
        model = QuadraticMLP(31, 40, 0.5, norm, generator=torch.Generator().manual_seed(0))
        model.readout.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach()))
        model.train()(x)
    dropped, batch, layer = seen
    assert 0.45 < (dropped == 0).float().mean() < 0.55
    kept = dropped[dropped != 0]
    assert kept.min() > 0  # dropout before the square: what is kept is a square of a doubled value
    assert batch.mean(dim=0).abs().max() < 1e-5 and layer.mean(dim=1).abs().max() < 1e-5


def test_exact_solution_of_addition():
    p = 97
    data = modular_dataset(p, "add", 0.5)
    model = solve_addition_(QuadraticMLP(p, 500), torch.Generator().manual_seed(0))
    report = memorization_report(model, data)
    assert report.train == report.test == 1.0
    assert torch.allclose(neuron_ipr(model), torch.ones(500), atol=1e-5)
    assert hidden_layer(model).incoming == ("U", "V")


def test_half_of_a_wide_exact_solution_is_still_exact():
    data = modular_dataset(97, "add", 0.5)
    generator = torch.Generator().manual_seed(1)
    model = solve_addition_(QuadraticMLP(97, 1000), generator)
    half = prune_neurons(model, torch.randperm(1000, generator=generator)[:500])
    assert memorization_report(half, data).test == 1.0


def test_training_fits_and_leaves_the_random_state_alone():
    data = modular_dataset(11, "add", 0.8, 0.2, seed=1)
    before = torch.random.get_rng_state()
    runs = []
    for _ in range(2):
        model = QuadraticMLP(11, 64, 0.1, generator=torch.Generator().manual_seed(1))
        runs.append(fit_corrupted(model, data, 60, batch_size=32, report_every=20, seed=2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert runs[0] == runs[1] and list(runs[0]) == [0, 20, 40, 60]
    assert runs[0][60].train_loss < runs[0][0].train_loss


@pytest.mark.parametrize(
    ("arguments", "words"), [({"steps": 0}, "steps"), ({"steps": 1, "batch_size": 0}, "batch_size")]
)
def test_bad_training(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit_corrupted(QuadraticMLP(5, 4), modular_dataset(5), **arguments)


def test_the_lines_in_the_docs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "grok_corruption.md").read_text(encoding="utf-8")
    for block in page.split("```python\n")[1:]:
        exec(compile(block.split("```")[0], "docs/grok_corruption.md", "exec"), {})
    assert "coexistence" in capsys.readouterr().out
    assert (tmp_path / "pruning.html").exists()
