"""Neurons of any model, pruning, reports, phases and phase diagrams."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.analysis.memorisation import (
    HiddenLayer,
    MemorizationReport,
    PhaseThresholds,
    classify_phase,
    hidden_layer,
    inverse_participation_ratio,
    memorization_report,
    neuron_frequency,
    neuron_ipr,
    neuron_rows,
    norm_weight_correlation,
    one_hot_squared_error,
    phase_diagram,
    prune_neurons,
    pruning_sweep,
)
from surefoot.studies.problems.modular import modular_dataset, one_hot_pairs
from surefoot.studies.problems.quadratic_mlp import QuadraticMLP, solve_addition_

P, N = 11, 24
DATA = modular_dataset(P, "add", 0.7, 0.3, seed=0)


def network(norm=None, seed=0) -> QuadraticMLP:
    return QuadraticMLP(P, N, 0.0, norm, generator=torch.Generator().manual_seed(seed))


class OneHot(nn.Module):
    """A user's own model: one-hot input, biases, ReLU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(2 * P, 16), nn.ReLU(), nn.Linear(16, N), nn.ReLU(), nn.Linear(N, P))

    def forward(self, x):
        return self.body(one_hot_pairs(x, P, self.body[0].weight.dtype))


# ---- where neurons are ----


def test_neuron_ipr_is_the_mean_over_rows():
    model = network()
    k = 5
    rows = (model.U[k], model.V[k], model.W[:, k])
    expected = sum(inverse_participation_ratio(row.detach()).item() for row in rows) / 3
    assert neuron_ipr(model)[k].item() == pytest.approx(expected, abs=1e-6)
    assert neuron_ipr(model).shape == (N,)


def test_neurons_of_another_model():
    model = nn.Sequential(nn.Linear(2 * P, N), nn.ReLU(), nn.Linear(N, P))
    layer = hidden_layer(model)
    assert layer == HiddenLayer(("0.weight",), "2", P)
    first, second, out = neuron_rows(model)
    assert torch.equal(torch.cat([first, second], dim=1), model[0].weight) and torch.equal(out, model[2].weight.T)
    uneven = nn.Sequential(nn.Linear(P + 1, N), nn.ReLU(), nn.Linear(N, P))
    assert hidden_layer(uneven).period is None and neuron_ipr(uneven).shape == (N,)
    exact = solve_addition_(network())
    assert torch.equal(neuron_frequency(exact), torch.fft.rfft(exact.U.detach()).abs().argmax(dim=1))
    assert neuron_ipr(network().double()).dtype == torch.float64


def test_dead_neurons_give_zero_not_nan():
    model = prune_neurons(network(), [0, 3])
    ipr = neuron_ipr(model)
    assert ipr[[0, 3]].eq(0).all() and ipr.isfinite().all() and ipr[1] > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hidden_layer(nn.Linear(3, 3)), "no two nn.Linear"),
        (lambda: neuron_ipr(network(), HiddenLayer(("X",), "readout")), "no parameter"),
        (lambda: neuron_ipr(network(), HiddenLayer(("U",), "W")), "must name an nn.Linear"),
        (lambda: neuron_ipr(network(), HiddenLayer(("U",), "readout", 4)), "does not divide"),
        (lambda: neuron_ipr(network(), HiddenLayer(("readout.weight",), "readout")), "must be"),
        (lambda: prune_neurons(network(), [N]), "neurons must be in"),
        (lambda: prune_neurons(network(), [-1]), "neurons must be in"),
        (lambda: prune_neurons(network(), torch.ones(3, dtype=torch.bool)), "mask"),
        (lambda: norm_weight_correlation(torch.ones(3), torch.ones(4)), "one length"),
        (lambda: pruning_sweep(network(), DATA, "lowest"), "order must be"),
        (lambda: pruning_sweep(network(), DATA, fractions=[0.5, 1.2]), "fractions must be"),
        (lambda: pruning_sweep(network(), DATA, fractions=[]), "fractions must be"),
        (lambda: pruning_sweep(network(), DATA, method="fast"), "method must be"),
        (lambda: pruning_sweep(network("ln"), DATA, method="cumulative"), "take 'forward'"),
        (lambda: memorization_report(network(), DATA, nn.functional.cross_entropy), "a value a row"),
        (lambda: memorization_report(nn.Sequential(nn.Flatten(0)), DATA), "model must give logits"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- pruning ----


def test_pruning_leaves_the_original_untouched():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pruned = prune_neurons(model, [2, 7])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert pruned.U[[2, 7]].eq(0).all() and pruned.V[[2, 7]].eq(0).all() and pruned.W[:, [2, 7]].eq(0).all()
    kept = [k for k in range(N) if k not in (2, 7)]
    assert torch.equal(pruned.U[kept], model.U[kept]) and torch.equal(pruned.W[:, kept], model.W[:, kept])
    mask = torch.zeros(N, dtype=torch.bool)
    mask[[2, 7]] = True
    assert torch.equal(prune_neurons(model, mask).U, pruned.U)


def test_pruning_none_and_all():
    model = network()
    assert torch.equal(prune_neurons(model, [])(DATA.x), model(DATA.x))
    empty = prune_neurons(model, torch.arange(N))
    logits = empty(DATA.x)
    assert logits.eq(logits[0]).all()
    test = DATA.y_true[DATA.idx_test]
    assert memorization_report(empty, DATA).test == pytest.approx((test == 0).double().mean().item())
    assert (neuron_ipr(empty) == 0).all()


@pytest.mark.parametrize("order", ["low", "high", "random"])
@pytest.mark.parametrize("build", [network, lambda: network("bn"), OneHot], ids=["plain", "batch-norm", "one-hot"])
def test_one_pass_equals_a_forward_a_point(order, build):
    model = build().double()
    fast = pruning_sweep(model, DATA, order, seed=1)
    slow = pruning_sweep(model, DATA, order, method="forward", seed=1)
    assert fast.method == "cumulative" and slow.method == "forward"
    assert torch.equal(fast.neurons, slow.neurons) and len(fast.table) == N + 1
    whole, other = fast.table.to_numpy(), slow.table.to_numpy()
    assert np.allclose(whole, other, atol=1e-9)
    report = memorization_report(prune_neurons(model, fast.neurons[:9]), DATA)
    assert fast.table.iloc[9]["test"] == pytest.approx(report.test)
    assert fast.table.iloc[9]["train_loss"] == pytest.approx(report.train_loss, abs=1e-9)


def test_sweep_in_single_precision_and_at_chosen_fractions():
    model = network()
    sweep = pruning_sweep(model, DATA, "low", [0.5, 0, 1])
    assert sweep.table["pruned"].tolist() == [0, 12, 24]
    ipr = neuron_ipr(model)[sweep.neurons]
    assert (ipr.diff() >= 0).all()
    assert sweep.at(0.45)["pruned"] == 12
    assert sweep.table.iloc[0]["test_loss"] == pytest.approx(memorization_report(model, DATA).test_loss, rel=1e-5)
    assert len(sweep.plot().data) == 5


def test_layer_norm_and_half_precision_fall_back_to_forward_passes():
    model = network("ln").eval()
    sweep = pruning_sweep(model, DATA, "high", [0, 0.5])
    assert sweep.method == "forward"
    assert not model.training
    half = pruning_sweep(network().bfloat16(), DATA, "low", [0, 1])
    assert half.method == "forward" and half.table["test"].between(0, 1).all()


def test_norm_weight_correlation():
    ipr = torch.linspace(0.1, 1, 20)
    assert norm_weight_correlation(ipr, -3 * ipr) == pytest.approx(1)
    assert norm_weight_correlation(ipr, 2 - ipr) == pytest.approx(-1)
    assert math.isnan(norm_weight_correlation(ipr, torch.ones(20)))


# ---- report ----


class Fixed(nn.Module):
    """Answers with given labels."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.inner = answers, nn.Dropout(0.5)

    def forward(self, x):
        assert not self.training
        return nn.functional.one_hot(self.answers, P).double()


def test_report_tells_the_rule_from_the_labels():
    memoriser, rule = memorization_report(Fixed(DATA.y), DATA), memorization_report(Fixed(DATA.y_true), DATA)
    lucky = float((DATA.y == DATA.y_true)[DATA.idx_corrupt].double().mean())
    assert (memoriser.train, memoriser.memorised, memoriser.recovered) == (1, 1, lucky)
    assert (rule.memorised, rule.recovered, rule.clean_train, rule.test) == (lucky, 1, 1, 1)
    share = DATA.idx_corrupt.numel() / DATA.idx_train.numel()
    assert rule.train == pytest.approx(1 - share + share * lucky)
    assert memoriser.train_loss == 0 and rule.corrupt_loss == pytest.approx(2 / P * (1 - lucky))


def test_report_without_corruption_and_modes_put_back():
    data = modular_dataset(P, "add", 0.7)
    model = Fixed(data.y)
    model.inner.eval()
    report = memorization_report(model, data)
    assert math.isnan(report.memorised) and math.isnan(report.corrupt_loss) and report.test == 1
    assert model.training and not model.inner.training
    whole = memorization_report(network(), data)
    assert memorization_report(network(), data, batch_size=7).train_loss == pytest.approx(whole.train_loss, rel=1e-5)


def test_one_hot_squared_error_is_the_mean_squared_error():
    logits = torch.randn(13, P, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(P, (13,))
    dense = nn.functional.mse_loss(logits, nn.functional.one_hot(labels, P).double())
    assert one_hot_squared_error(logits, labels).mean().item() == pytest.approx(dense.item(), abs=1e-12)
    assert torch.autograd.gradcheck(lambda z: one_hot_squared_error(z, labels), logits)


# ---- phases ----

ROWS = [  # the card's table: train, memorised, test, phase
    (1.000, 1.000, 0.904, "coexistence"),
    (0.982, 0.939, 1.000, "coexistence"),
    (0.803, 0.343, 1.000, "partial inversion"),
    (0.709, 0.029, 1.000, "full inversion"),
    (0.706, 0.020, 1.000, "full inversion"),
    (0.929, 0.760, 0.996, "partial inversion"),
    (0.761, 0.200, 0.999, "partial inversion"),
    (1.000, 1.000, 0.200, "memorisation"),
    (0.100, 0.050, 0.050, "confusion"),
]


@pytest.mark.parametrize(("train", "memorised", "test", "phase"), ROWS)
def test_phases(train, memorised, test, phase):
    assert classify_phase({"train": train, "memorised": memorised, "test": test}, 0.3, 59) == phase
    without = {"train": train, "test": test}
    assert classify_phase([without], 0.3, 59) == phase


def test_forgetting_needs_a_past():
    rise = {"train": 0.711, "memorised": 0.04, "test": 0.994}
    fall = {"train": 0.033, "memorised": 0.04, "test": 0.010}
    assert classify_phase([rise, fall], 0.3, 59) == "forgetting"
    assert classify_phase([fall], 0.3, 59) == "confusion"


def test_clean_data_generalises_and_thresholds_are_the_users():
    assert classify_phase({"train": 1.0, "test": 1.0}, 0.0, 59) == "generalisation"
    report = MemorizationReport(0.9, 0.7, 0.2, 1.0, 0.8, 0, 0, 0, 0)
    assert classify_phase(report, 0.3, 59) == "memorisation"
    assert classify_phase([report], 0.3, 59, PhaseThresholds(generalises=0.75, memorises=0.6)) == "coexistence"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: classify_phase([], 0.3, 59), "at least one report"),
        (lambda: classify_phase({"train": 1.0}, 0.3, 59), "lacks"),
        (lambda: classify_phase({"train": 1.0, "test": 1.0}, 1.3, 59), "corruption must be"),
        (lambda: classify_phase({"train": 1.0, "test": 1.0}, 0.3, 1), "p must be"),
        (lambda: PhaseThresholds(inverted=0.95), "inverted < memorises"),
    ],
)
def test_bad_phases(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- phase diagrams ----


def cell(data_fraction, corruption):
    cell.calls += 1
    return {"phase": "coexistence" if corruption < 0.4 else "memorisation", "test": data_fraction - corruption}


AXES = {"data_fraction": [0.3, 0.6, 0.9], "corruption": [0.1, 0.5]}


def test_diagram_is_resumed(tmp_path):
    file = tmp_path / "deep" / "grid.jsonl"
    cell.calls = 0
    seen = []
    first = phase_diagram(cell, AXES, file, {"p": 31}, progress=lambda done, total: seen.append((done, total)))
    assert cell.calls == 6 and seen[-1] == (6, 6)
    assert first.values["test"][2, 1] == pytest.approx(0.4)
    assert first.values["phase"].tolist() == [["coexistence", "memorisation"]] * 3
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4]) + lines[4][:10])  # stopped while it wrote the fourth point
    again = phase_diagram(cell, AXES, file, {"p": 31})
    assert cell.calls == 9
    assert np.array_equal(again.values["test"], first.values["test"])
    assert all(json.loads(line) for line in file.read_text().splitlines())
    wider = phase_diagram(cell, AXES | {"corruption": [0.1, 0.3, 0.5]}, file, {"p": 31})
    assert cell.calls == 12 and wider.values["test"].shape == (3, 3)
    with pytest.raises(ValueError, match="take another file"):
        phase_diagram(cell, AXES, file, {"p": 59})


def test_diagram_plots_and_refuses():
    cell.calls = 0
    diagram = phase_diagram(cell, AXES)
    plot = diagram.plot()
    assert plot.data[0].z.shape == (2, 3)  # y (corruption) by x (data fraction)
    assert list(plot.data[0].colorbar.ticktext) == ["coexistence", "memorisation"]
    assert diagram.plot("test", x="corruption", y="data_fraction").data[0].z.shape == (3, 2)
    deep = phase_diagram(lambda a, b, c: {"v": a + b + c}, {"a": [1, 2], "b": [3, 4, 5], "c": [0, 7]})
    assert np.array_equal(deep.plot("v", x="b", y="a", c=7).data[0].z, deep.values["v"][:, :, 1])
    for call, words in [
        (lambda: diagram.plot("loss"), "name must be"),
        (lambda: deep.plot("v"), "all axes but two"),
        (lambda: deep.plot("v", c=1), "must be one of"),
        (lambda: phase_diagram(cell, {}), "axes must be"),
        (lambda: phase_diagram(cell, {"corruption": [0.1, 0.1]}), "distinct"),
        (lambda: phase_diagram(lambda a: {str(a): a}, {"a": [1, 2]}), "measure returned"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
