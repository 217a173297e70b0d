"""Curvature: Hessian-vector products, Lanczos, gradients of groups, slopes of samples; against dense references."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.outliers import (
    eigen_alignment,
    feature_probe,
    group_gradient,
    group_gradient_cosine,
    outlier_report,
    sample_slopes,
    top_hessian_eig,
)
from surefoot.autodiff.curvature import HessianOperator
from surefoot.autodiff.lanczos import lanczos
from surefoot.autodiff.parameters import flatten, trainable, unflatten


def network(seed=0, scale=1.0, dtype=torch.float64):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p *= scale
    generator = torch.Generator().manual_seed(seed)
    return model, (torch.randn(30, 6, generator=generator, dtype=dtype), torch.randint(3, (30,), generator=generator))


def dense(model, loss_fn, data):
    names, parameters = zip(*trainable(model).items(), strict=True)

    def loss(vector):
        pieces = dict(zip(names, unflatten(vector, parameters), strict=True))
        return loss_fn(torch.func.functional_call(model, pieces, (data[0],)), data[1])

    return torch.autograd.functional.hessian(loss, flatten(parameters, parameters).detach())


@pytest.mark.parametrize("batch_size", [None, 7, 30])
def test_products_are_those_of_the_dense_hessian(batch_size):
    model, data = network()
    hessian = dense(model, F.cross_entropy, data)
    assert hessian.shape[0] == 215
    product = HessianOperator(model, F.cross_entropy, data, batch_size=batch_size, mode="train")
    vector = torch.randn(len(hessian), dtype=torch.float64)
    for _ in range(2):
        assert torch.allclose(product(vector), hessian @ vector, atol=1e-10)


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
def test_eigenpairs_are_those_of_the_dense_hessian(which):
    model, data = network()
    values = torch.linalg.eigvalsh(dense(model, F.cross_entropy, data))
    found = top_hessian_eig(model, F.cross_entropy, data, k=2, which=which, tol=1e-7, max_products=1000)
    assert found.converged
    order = {"LA": values.argsort(descending=True), "SA": values.argsort(), "LM": values.abs().argsort(descending=True)}
    assert torch.allclose(found.values, values[order[which][:2]], atol=1e-6)
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(2, dtype=torch.float64), atol=1e-8)


def test_the_largest_algebraic_eigenvalue_is_found_where_the_most_negative_one_dominates():
    model, (inputs, targets) = network(seed=1, scale=2.0)
    data = (inputs, targets)
    hessian = dense(model, lambda z, y: -F.cross_entropy(z, y), data)
    values = torch.linalg.eigvalsh(hessian)
    assert -values[0] > 2 * values[-1] > 0
    found = top_hessian_eig(model, lambda z, y: -F.cross_entropy(z, y), data, tol=1e-7, max_products=1000)
    assert float(found.values[0]) == pytest.approx(float(values[-1]), abs=1e-6)
    # what plain power iteration ends at
    vector = torch.randn(len(hessian), dtype=torch.float64)
    for _ in range(500):
        vector = hessian @ vector / (hessian @ vector).norm()
    assert float(vector @ hessian @ vector) < 0


def test_a_restart_needs_no_more_products_and_still_finds_a_direction_that_has_overtaken():
    model, data = network(seed=2)
    cold = top_hessian_eig(model, F.cross_entropy, data, tol=1e-3)
    warm = top_hessian_eig(model, F.cross_entropy, data, tol=1e-3, start=cold.restart)
    assert warm.products <= cold.products and torch.allclose(warm.values, cold.values, rtol=1e-3)
    lowest = top_hessian_eig(model, F.cross_entropy, data, which="SA", tol=1e-6, max_products=1000)
    other = top_hessian_eig(model, F.cross_entropy, data, tol=1e-3, start=lowest.restart)
    assert torch.allclose(other.values, cold.values, rtol=1e-3)


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize("n", [1, 2, 5, 90])
def test_lanczos_on_given_spectra(n, which):
    generator = torch.Generator().manual_seed(n)
    basis = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator)).Q
    for spectrum in (
        torch.linspace(-1.5, 1, n, dtype=torch.float64),
        torch.arange(n).div(2, rounding_mode="floor").double(),
    ):
        matrix = basis @ torch.diag(spectrum) @ basis.T
        start = torch.randn(n, dtype=torch.float64, generator=generator)
        found = lanczos(matrix.__matmul__, start, 1, which, tol=1e-9, max_products=3000)
        key = {"LA": spectrum, "SA": -spectrum, "LM": spectrum.abs()}[which]
        assert found.converged and found.products <= 3000
        assert float(found.values[0]) == pytest.approx(float(spectrum[key.argmax()]), abs=1e-7)


def test_lanczos_gets_out_of_an_invariant_subspace_and_tells_when_it_gives_up():
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0, 50.0], dtype=torch.float64))
    start = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    assert float(lanczos(matrix.__matmul__, start).values[0]) == pytest.approx(50)
    large = torch.diag(torch.linspace(0, 1, 500, dtype=torch.float64))
    start = torch.ones(500, dtype=torch.float64)
    assert not lanczos(large.__matmul__, start, tol=1e-12, max_products=5).converged
    zero = lanczos(torch.zeros(3, 3).__matmul__, torch.ones(3))
    assert float(zero.values[0]) == 0


def test_a_restart_finds_the_pair_that_has_overtaken():
    rest = torch.linspace(-3, 5, 1998, dtype=torch.float64)
    before, after = (torch.cat([torch.tensor(top, dtype=torch.float64), rest]) for top in ([7.0, 7.8], [9.7, 7.8]))
    start = torch.randn(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = lanczos(lambda v: before * v, start, tol=1e-2)
    assert float(first.values[0]) == pytest.approx(7.8, rel=1e-2)
    second = lanczos(lambda v: after * v, first.restart, tol=1e-2)
    assert float(second.values[0]) == pytest.approx(9.7, rel=1e-3)
    third = lanczos(lambda v: after * v, second.restart, tol=1e-2)
    cold = lanczos(lambda v: after * v, start, tol=1e-2)
    assert float(third.values[0]) == pytest.approx(9.7, rel=1e-3)
    assert third.products <= cold.products


def test_a_preconditioner_gives_the_eigenvalues_of_the_preconditioned_hessian():
    model, data = network(seed=3)
    hessian = dense(model, F.cross_entropy, data)
    diagonal = 0.1 + torch.rand(len(hessian), dtype=torch.float64)
    values = torch.linalg.eigvals(hessian / diagonal[:, None]).real
    found = top_hessian_eig(model, F.cross_entropy, data, tol=1e-7, max_products=1000, preconditioner=diagonal)
    assert float(found.values[0]) == pytest.approx(float(values.max()), abs=1e-6)


def test_group_gradients_cosines_and_alignments():
    model, data = network(seed=4)
    rows = torch.tensor([1, 5, 7])
    F.cross_entropy(model(data[0][rows]), data[1][rows]).backward()
    expected = flatten([p.grad for p in model.parameters()], list(model.parameters()))
    model.zero_grad(set_to_none=True)
    gradient = group_gradient(model, F.cross_entropy, data, rows)
    assert torch.allclose(gradient, expected) and all(p.grad is None for p in model.parameters())
    assert group_gradient_cosine(model, F.cross_entropy, data, rows, rows.tolist()) == pytest.approx(1)
    assert eigen_alignment(model, F.cross_entropy, data, (rows, rows), -gradient) == pytest.approx((-1, -1))


@pytest.mark.parametrize("batch_size", [None, 11])
def test_slopes_of_samples_are_their_gradients_along_the_direction(batch_size):
    model, data = network(seed=5)
    vector = torch.randn(215, dtype=torch.float64)
    slopes = sample_slopes(
        model, lambda z, y: F.cross_entropy(z, y, reduction="none"), data, vector, batch_size=batch_size
    )
    expected = [group_gradient(model, F.cross_entropy, data, [i]) @ vector for i in range(30)]
    assert torch.allclose(slopes, torch.stack(expected), atol=1e-12)


class Everything(nn.Module):
    """Batch norm, dropout, attention, a recurrent layer, and a weight that two layers share."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.attention, self.rnn = nn.MultiheadAttention(8, 2, batch_first=True), nn.LSTM(8, 8, batch_first=True)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Linear(8, 3).requires_grad_(False)

    def forward(self, x):
        x = self.drop(self.norm(x.transpose(1, 2)).transpose(1, 2))
        x = x + self.attention(x, x, x)[0]
        x = self.rnn(x)[0][:, -1]
        return self.frozen(self.second(torch.tanh(self.first(x))))


def test_a_models_buffers_modes_gradients_and_random_state_are_left_alone():
    torch.manual_seed(0)
    model = Everything()
    data = (torch.randn(12, 5, 8), torch.randint(3, (12,)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    found = top_hessian_eig(model, F.cross_entropy, data, max_products=30)
    sample_slopes(model, lambda z, y: F.cross_entropy(z, y, reduction="none"), data, found.vectors[0])
    assert bool(torch.isfinite(found.values).all()) and float(found.values[0]) > 0
    assert torch.equal(torch.get_rng_state(), state) and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_half_precision_model_gets_a_float32_eigenpair():
    model, (inputs, targets) = network(seed=6, dtype=torch.bfloat16)
    data = (inputs, targets)
    found = top_hessian_eig(model, lambda z, y: F.cross_entropy(z.float(), y), data, tol=0.1, max_products=50)
    exact = dense(*(m := network(seed=6))[:1], F.cross_entropy, m[1])
    assert found.vectors.dtype == torch.float32
    assert float(found.values[0]) == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=0.2)


def test_the_probe_feeds_the_feature_alone():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]]))
    vector = torch.tensor([3.0, 0, 0, 0])
    seen = feature_probe(model, vector, torch.tensor([0.0, 2.0, -2.0]))
    expected = torch.tensor([0.0, 2.0, -2.0]).sigmoid()
    assert torch.allclose(seen[:, 0], expected) and model.training and model[0].training
    shifted = feature_probe(model, vector, torch.tensor([0.0]), base=torch.tensor([0.0, 0, 0, 1.0]))
    assert float(shifted[0, 1]) == pytest.approx(torch.tensor(1.0).sigmoid().item())


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_the_report_names_the_edge_the_samples_and_a_rate(kind):
    model, data = network(seed=7)
    swing = (-1.0) ** torch.arange(20)[:, None] * torch.tensor([1.0, -1] + [0.01, -0.01] * 14)
    edge = float(top_hessian_eig(model, F.cross_entropy, data, tol=1e-6).values[0])
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=2.2 / edge)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
        F.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    report = outlier_report(model, F.cross_entropy, data, optimizer, swing, ids=torch.arange(100, 130))
    assert report.verdict is not None and report.verdict.opposing
    assert {report.inspect[0][0], report.inspect[1][0]} == {100, 101}
    assert sum(report.classes[0].values()) == len(report.verdict.groups.up)
    assert len(report.alignment) == 2 and -1 <= report.gradient_cosine <= 1
    if kind == "sgd":
        assert report.at_edge and report.lr_factor == pytest.approx(0.9 / 1.1, rel=1e-2)
        assert "multiply the learning rate by 0.82" in str(report)
    else:
        assert report.preconditioned and not report.at_edge and report.lr_factor == 1
        assert "below the edge" in str(report)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda m, d: HessianOperator(m, F.cross_entropy, (d[0], d[1][:-1])), ValueError, "data"),
        (lambda m, d: HessianOperator(m, F.cross_entropy, d[0]), TypeError, "data"),
        (lambda m, d: HessianOperator(m, F.cross_entropy, d, batch_size=0), ValueError, "batch_size"),
        (lambda m, d: HessianOperator(m, lambda z, y: z, d).gradient(), ValueError, "loss_fn"),
        (lambda m, d: HessianOperator(m.requires_grad_(False), F.cross_entropy, d), ValueError, "model"),
        (lambda m, d: top_hessian_eig(m, F.cross_entropy, d, start=torch.ones(3)), ValueError, "start"),
        (lambda m, d: top_hessian_eig(m, F.cross_entropy, d, preconditioner=-torch.ones(215)), ValueError, "precond"),
        (lambda m, d: top_hessian_eig(m, F.cross_entropy, d, k=0), ValueError, "k"),
        (lambda m, d: top_hessian_eig(m, F.cross_entropy, d, which="top"), ValueError, "which"),
        (lambda m, d: lanczos(lambda v: v, torch.zeros(4)), ValueError, "start"),
        (lambda m, d: lanczos(lambda v: v * float("nan"), torch.ones(4)), ValueError, "operator"),
        (lambda m, d: lanczos(lambda v: v, torch.ones(9), k=3, basis=4), ValueError, "basis"),
        (lambda m, d: group_gradient(m, F.cross_entropy, d, []), ValueError, "index"),
        (lambda m, d: sample_slopes(m, F.cross_entropy, d, torch.ones(215).double()), ValueError, "sample_loss_fn"),
        (lambda m, d: unflatten(torch.ones(3), list(m.parameters())), ValueError, "vector"),
        (lambda m, d: feature_probe(m, torch.zeros(6), torch.ones(1)), ValueError, "vector"),
        (lambda m, d: feature_probe(m, torch.ones(6), torch.ones(1), base=torch.ones(2)), ValueError, "base"),
        (
            lambda m, d: outlier_report(m, F.cross_entropy, d, torch.optim.SGD(m.parameters(), 0.1), torch.ones(3, 4)),
            ValueError,
            "delta",
        ),
    ],
)
def test_bad_input_is_named(call, error, name):
    model, data = network()
    with pytest.raises(error, match=name):
        call(model, data)
