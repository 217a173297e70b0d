"""Report, outliers and straight paths against dense spectra and losses that are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surefoot.analysis.curvature import hessian_report, linear_path, outliers, sharpness
from surefoot.autodiff import HessianOperator


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    x, y = torch.randn(90, 6, dtype=torch.float64), torch.randint(3, (90,))
    x[torch.arange(90), y] += 4
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    optimizer = torch.optim.SGD(model.parameters(), 0.2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, (x, y)


def test_report_against_the_dense_spectrum(trained):
    model, data = trained
    dense = HessianOperator(model, F.cross_entropy, data).dense()
    values = np.sort(torch.linalg.eigvalsh(dense).numpy())[::-1]
    report = hessian_report(model, F.cross_entropy, data, k=6, tol=1e-6)
    assert sharpness(model, F.cross_entropy, data, tol=1e-6) == pytest.approx(values[0], rel=1e-6)
    np.testing.assert_allclose(report.largest.values.numpy(), values[:6], rtol=1e-5)
    assert float(report.smallest.values[0]) == pytest.approx(values[-1], rel=1e-4)
    assert abs(report.trace.value - values.sum()) < 4 * report.trace.stderr
    assert abs(report.norm.value - float(dense.norm())) < 4 * report.norm.stderr
    assert report.effective_rank == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=0.5)
    edge = 1e-3 * values[0]
    assert report.flat == pytest.approx((np.abs(values) < edge).mean(), abs=0.06)
    assert report.negative == pytest.approx((values < -edge).mean(), abs=0.06)
    assert 0 < report.gradient_overlap <= 1 + 1e-12
    assert report.outliers == outliers(values[:6])[0]
    text = str(report)
    assert f"{values[0]:.4g}" in text and f"{2 / values[0]:.3g}" in text
    assert max(map(len, text.splitlines())) <= 80
    assert report.plot().data


def test_outliers_are_before_the_greatest_ratio():
    assert outliers([0.1, 9, 8, 7, 0.05, -3]) == (3, pytest.approx(70))
    assert outliers(torch.tensor([5.0, 1.0, 0.9])) == (1, pytest.approx(5))
    assert outliers([9, 8, 7, 0.1, 1e-6], most=3)[0] == 3
    assert outliers([-1.0, 2.0]) == (0, 1.0)
    with pytest.raises(ValueError, match=r"^most:"):
        outliers([1.0, 2.0], most=0)


def test_a_path_to_itself_and_over_a_convex_loss_has_no_barrier(trained):
    model, data = trained
    state = model.state_dict()
    same = linear_path(model, state, state, F.cross_entropy, data, n=5)
    assert same.barrier == pytest.approx(0, abs=1e-14) and same.distance == 0
    linear = nn.Linear(6, 3).double()
    a = {k: v.clone() for k, v in linear.state_dict().items()}
    b = {k: torch.randn_like(v) for k, v in a.items()}
    path = linear_path(linear, a, b, F.cross_entropy, data, batch_size=40)
    assert path.barrier <= 1e-12
    expected = F.cross_entropy(F.linear(data[0], *(0.3 * a[k] + 0.7 * b[k] for k in ("weight", "bias"))), data[1])
    assert path.loss[14] == pytest.approx(float(expected))
    assert path.distance == pytest.approx(float(sum((b[k] - a[k]).square().sum() for k in a)) ** 0.5)


def test_permuted_units_are_the_same_net_behind_a_barrier(trained):
    model, data = trained
    state = model.state_dict()
    order = torch.arange(7, -1, -1)
    other = {**state, "0.weight": state["0.weight"][order], "0.bias": state["0.bias"][order],
             "2.weight": state["2.weight"][:, order]}  # fmt: skip
    path = linear_path(model, state, other, F.cross_entropy, data)
    assert path.loss[0] == pytest.approx(path.loss[-1])
    assert path.barrier > 0.1
    assert path.above_ends == pytest.approx(path.barrier)
    assert path.accuracy[0] == float((model(data[0]).argmax(dim=1) == data[1]).double().mean())
    assert len(path.plot().data) == 2


def test_batch_norm_can_take_the_batchs_statistics(trained):
    _, data = trained
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
        net(data[0])
        nets.append(net)
    a, b = (net.state_dict() for net in nets)
    before = {k: v.clone() for k, v in a.items()}
    own, batch = (
        linear_path(nets[0], a, b, F.cross_entropy, data, n=3, batch_statistics=s).loss for s in (False, True)
    )
    assert own[1] != pytest.approx(batch[1])
    assert batch[0] == pytest.approx(float(F.cross_entropy(nets[0].train()(data[0]), data[1])))
    assert all(torch.equal(a[k], before[k]) for k in before if "running" not in k and "tracked" not in k)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"n": 1}, "n"),
        ({"batch_size": 0}, "batch_size"),
        ({"state_a": {}}, "state_a"),
        ({"state_b": {"0.weight": torch.ones(1)}}, "state_b"),
    ],
)
def test_bad_input_is_named(trained, change, name):
    model, data = trained
    state = model.state_dict()
    given = {"state_a": state, "state_b": state, "loss_fn": F.cross_entropy, "data": data} | change
    with pytest.raises(ValueError, match=rf"^{name}:"):
        linear_path(model, **given)
