"""Curvature operators against closed forms, dense matrices of torch, and each other."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from surefoot.autodiff import (
    CallableOperator,
    FisherOperator,
    GGNOperator,
    GradientCovarianceOperator,
    HessianOperator,
    PreconditionedOperator,
    SymmetricOperator,
)

torch.manual_seed(0)
KINDS = (HessianOperator, GGNOperator, FisherOperator, GradientCovarianceOperator)


def small_net(outputs=3, activation=nn.Tanh, dtype=torch.float64):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, outputs)).to(dtype)


def classes(n=12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 4, generator=generator, dtype=dtype), torch.randint(3, (n,), generator=generator)


def flat_loss(model, loss_fn, data):
    """The loss as a function of one vector, and that vector."""
    names = [n for n, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def loss(w):
        pieces = w.split([s.numel() for s in shapes])
        values = {n: v.reshape(s) for n, v, s in zip(names, pieces, shapes, strict=True)}
        return loss_fn(torch.func.functional_call(model, values, (data[0],)), data[1])

    return loss, torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def rows_of_jacobian(model, inputs):
    """d outputs / d parameters, as (samples, outputs, parameters)."""
    names = [n for n, _ in model.named_parameters()]

    def outputs(values):
        return torch.func.functional_call(model, values, (inputs,))

    found = torch.func.jacrev(outputs)(dict(model.named_parameters()))
    return torch.cat([found[n].flatten(2) for n in names], dim=2).detach()


@pytest.mark.parametrize("form", ["reverse", "forward"])
@pytest.mark.parametrize("cache", [True, False, "auto"])
def test_hessian_is_that_of_torch(form, cache):
    model, data = small_net(), classes()
    loss, w = flat_loss(model, F.cross_entropy, data)
    exact = torch.autograd.functional.hessian(loss, w)
    operator = HessianOperator(model, F.cross_entropy, data, form=form, cache_graph=cache)
    torch.testing.assert_close(operator.dense(), exact, rtol=0, atol=1e-13)
    torch.testing.assert_close(operator.gradient(), torch.autograd.functional.jacobian(loss, w), rtol=0, atol=1e-14)


def test_hessian_agrees_with_central_differences():
    model, data = small_net(), classes()
    loss, w = flat_loss(model, F.cross_entropy, data)
    v = torch.randn(len(w), dtype=w.dtype)
    eps = torch.finfo(w.dtype).eps ** (1 / 3) * (1 + w.norm()) / v.norm()
    slope = torch.func.grad(loss)
    difference = (slope(w + eps * v) - slope(w - eps * v)) / (2 * eps)
    found = HessianOperator(model, F.cross_entropy, data)(v)
    assert (found - difference).norm() < 1e-7 * found.norm()


def test_a_quadratic_gives_its_matrix():
    a = torch.randn(6, 6, dtype=torch.float64)
    a = a + a.T
    w = nn.Parameter(torch.randn(6, dtype=torch.float64))
    operator = HessianOperator(lambda x: w, lambda z, y: 0.5 * z @ a @ z, (torch.zeros(1, 1), torch.zeros(1)), [w])
    v = torch.randn(6, dtype=torch.float64)
    torch.testing.assert_close(operator(v), a @ v, rtol=0, atol=1e-12)


def test_linear_regression_has_the_gram_matrix():
    """Mean over rows, sum over outputs, no half: H = G = 2 I ⊗ XᵀX / N in the layout of a Linear's weight."""
    x, _ = classes()
    y = torch.randn(len(x), 2, dtype=torch.float64)
    model = nn.Linear(4, 2, bias=False).double()

    def loss_fn(z, t):
        return (z - t).square().sum(dim=1).mean()

    exact = 2 * torch.kron(torch.eye(2, dtype=torch.float64), x.T @ x / len(x))
    for kind in (HessianOperator, GGNOperator):
        torch.testing.assert_close(kind(model, loss_fn, (x, y)).dense(), exact, rtol=0, atol=1e-12)


def test_softmax_regression_has_no_rest():
    model, data = nn.Linear(4, 3).double(), classes()
    h, g = (kind(model, F.cross_entropy, data).dense() for kind in (HessianOperator, GGNOperator))
    torch.testing.assert_close(h, g, rtol=0, atol=1e-13)


def test_a_deep_linear_net_at_a_global_minimum_has_no_rest():
    x = torch.randn(10, 4, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)).double()
    y = model(x).detach()
    h, g = (kind(model, F.mse_loss, (x, y)).dense() for kind in (HessianOperator, GGNOperator))
    torch.testing.assert_close(h, g, rtol=0, atol=1e-13)


def test_ggn_is_the_sandwich_is_positive_and_of_the_rank_that_the_softmax_leaves():
    model, data = small_net(), classes(4)
    jacobian = rows_of_jacobian(model, data[0])
    p = model(data[0]).softmax(dim=1).detach()
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    exact = torch.einsum("ncp,ncd,ndq->pq", jacobian, middle, jacobian) / len(p)
    g = GGNOperator(model, F.cross_entropy, data).dense()
    torch.testing.assert_close(g, exact, rtol=0, atol=1e-14)
    values = torch.linalg.eigvalsh(g)
    assert values.min() > -1e-14
    assert int((values > 1e-12 * values.max()).sum()) <= 4 * (3 - 1)


def test_fisher_of_three_kinds():
    model, data = small_net(), classes()
    g = GGNOperator(model, F.cross_entropy, data).dense()
    torch.testing.assert_close(FisherOperator(model, F.cross_entropy, data).dense(), g, rtol=0, atol=1e-14)
    jacobian = rows_of_jacobian(model, data[0])
    p = model(data[0]).softmax(dim=1).detach()
    each = torch.einsum("nc,ncp->np", p - F.one_hot(data[1], 3), jacobian)
    empirical = each.T @ each / len(each)
    found = FisherOperator(model, F.cross_entropy, data, kind="empirical").dense()
    torch.testing.assert_close(found, empirical, rtol=0, atol=1e-14)
    assert (found - g).norm() > 0.1 * g.norm()
    centred = each - each.mean(dim=0)
    covariance = GradientCovarianceOperator(model, F.cross_entropy, data).dense()
    torch.testing.assert_close(covariance, centred.T @ centred / len(each), rtol=0, atol=1e-14)


TASKS = {
    "classes": (3, F.cross_entropy, lambda z: torch.randint(3, (12,))),
    "bernoulli, mean over outputs": (3, nn.BCEWithLogitsLoss(), lambda z: torch.rand_like(z).round()),
    "squares, mean over outputs": (3, F.mse_loss, torch.randn_like),
}


@pytest.mark.parametrize("task", TASKS)
def test_drawn_labels_approach_the_ggn(task):
    outputs, loss_fn, labels = TASKS[task]
    model, (x, _) = small_net(outputs), classes()
    torch.manual_seed(3)
    data = (x, labels(model(x).detach()))
    g = GGNOperator(model, loss_fn, data).dense()
    errors = []
    for samples in (5, 500):
        f = FisherOperator(model, loss_fn, data, kind="mc", mc_samples=samples)
        torch.testing.assert_close(f(torch.ones(f.size).double()), f(torch.ones(f.size).double()), rtol=0, atol=0)
        errors.append(float((f.dense() - g).norm() / g.norm()))
    assert errors[1] < 0.12
    assert 4 < errors[0] / errors[1] < 25  # the square root of a hundred times the samples


def test_drawn_labels_of_sequences_approach_the_ggn():
    torch.manual_seed(4)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5)).double()
    tokens, targets = torch.randint(5, (6, 7)), torch.randint(5, (6, 7))

    def loss_fn(z, t):
        return F.cross_entropy(z.flatten(0, 1), t.flatten())

    g = GGNOperator(model, loss_fn, (tokens, targets)).dense()
    f = FisherOperator(model, loss_fn, (tokens, targets), kind="mc", mc_samples=500, likelihood="categorical").dense()
    assert (f - g).norm() < 0.2 * g.norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cache", [True, False])
def test_batches_make_up_the_full_data(kind, cache):
    model, (x, y) = small_net(), classes(13)
    whole = kind(model, F.cross_entropy, (x, y))
    v = torch.randn(whole.size, dtype=torch.float64)
    loader = DataLoader(TensorDataset(x, y), batch_size=5)
    for operator in (
        kind(model, F.cross_entropy, (x, y), batch_size=5, cache_graph=cache),
        kind(model, F.cross_entropy, loader, cache_graph=cache),
    ):
        torch.testing.assert_close(operator(v), whole(v), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_sums_are_sums(kind):
    model, data = small_net(), classes()
    v = torch.randn(kind(model, F.cross_entropy, data).size, dtype=torch.float64)
    total = kind(model, nn.CrossEntropyLoss(reduction="sum"), data, reduction="sum", batch_size=5)
    torch.testing.assert_close(total(v) / 12, kind(model, F.cross_entropy, data)(v), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_and_linear(kind):
    operator = kind(small_net(activation=nn.ReLU), F.cross_entropy, classes())
    u, v = torch.randn(2, operator.size, dtype=torch.float64)
    assert u @ operator(v) == pytest.approx(float(v @ operator(u)), abs=1e-13)
    torch.testing.assert_close(operator(2 * u - v), 2 * operator(u) - operator(v), rtol=0, atol=1e-13)
    torch.testing.assert_close(operator @ torch.stack([u, v], dim=1), torch.stack([operator(u), operator(v)], dim=1))


class Odd(nn.Module):
    """A tied, a frozen, a 0-d and an unused parameter."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)
        self.b = nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.scale * self.b(torch.tanh(self.a(x)) * self.frozen)[:, :3]


@pytest.mark.parametrize("kind", KINDS[:2])
def test_tied_frozen_scalar_and_unused_parameters(kind):
    torch.manual_seed(5)
    model, data = Odd().double(), classes()
    assert kind(model, F.cross_entropy, data).size == 16 + 1 + 2
    operator = kind(model, F.cross_entropy, data, [model.a.weight, model.scale, model.unused])
    with pytest.warns(UserWarning, match="does not depend on 1"):
        dense = operator.dense()
    assert not dense[17:].any()
    if kind is GGNOperator:
        assert torch.linalg.eigvalsh(dense).min() > -1e-14
        return

    def loss(weight, scale):
        values = {"a.weight": weight, "scale": scale}
        return F.cross_entropy(torch.func.functional_call(model, values, (data[0],)), data[1])

    (ww, ws), (_, ss) = torch.autograd.functional.hessian(loss, (model.a.weight.detach(), model.scale.detach()))
    torch.testing.assert_close(dense[:16, :16], ww.reshape(16, 16), rtol=0, atol=1e-13)
    torch.testing.assert_close(dense[:16, 16], ws.reshape(16), rtol=0, atol=1e-13)
    torch.testing.assert_close(dense[16, 16], ss, rtol=0, atol=1e-13)


def test_float32_is_float64_to_its_digits():
    model, data = small_net(dtype=torch.float32), classes(dtype=torch.float32)
    operator = HessianOperator(model, F.cross_entropy, data)
    assert operator.dtype is torch.float32
    exact = HessianOperator(small_net(), F.cross_entropy, (data[0].double(), data[1])).dense()
    torch.testing.assert_close(operator.dense().double(), exact, rtol=0, atol=1e-5)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    for mode in ("eval", "train"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            operator = HessianOperator(model, F.cross_entropy, classes(), mode=mode, cache_graph=False)
            u, v = torch.randn(2, operator.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            assert u @ operator(v) == pytest.approx(float(v @ operator(u)), abs=1e-12)  # the same dropout mask
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training and model[1].training
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[3].weight.grad is None


def test_batch_norm_in_training_is_warned_of():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    with pytest.warns(UserWarning, match="batch norm"):
        HessianOperator(model, F.cross_entropy, classes())


def test_memory_does_not_grow():
    """A reference cycle or a kept graph a product would hold thousands of tensors."""
    import gc

    for cache in (True, False):
        operator = HessianOperator(small_net(), F.cross_entropy, classes(), cache_graph=cache)
        v = torch.randn(operator.size, dtype=torch.float64)
        operator(v)
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
            for _ in range(20):
                operator(v)
            after = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
        finally:
            gc.enable()
        assert after - before < 10


def test_attention_has_second_derivatives_here():
    torch.manual_seed(6)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    operator = HessianOperator(model, F.mse_loss, (x, torch.zeros_like(x)))
    u, v = torch.randn(2, operator.size, dtype=torch.float64)
    assert u @ operator(v) == pytest.approx(float(v @ operator(u)), rel=1e-9)


def test_preconditioned_and_scipy():
    scipy_linalg = pytest.importorskip("scipy.sparse.linalg")
    a = torch.randn(7, 7, dtype=torch.float64)
    a = a + a.T
    p = torch.rand(7, dtype=torch.float64) + 0.5
    operator = PreconditionedOperator(CallableOperator(lambda v: a @ v, 7, torch.float64), p)
    values = torch.linalg.eigvals(torch.diag(1 / p) @ a).real.sort().values
    torch.testing.assert_close(torch.linalg.eigvalsh(operator.dense()), values)
    top = scipy_linalg.eigsh(operator.to_scipy(), k=1, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(top[0], float(values[-1]))


def _operator(**options):
    return HessianOperator(small_net(), F.cross_entropy, options.pop("data", classes()), **options)


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: _operator(params=[]), ValueError, "params"),
        (lambda: _operator(params=[torch.ones(2)]), ValueError, "params"),
        (lambda: _operator(params=[torch.ones(2, dtype=torch.long)]), ValueError, "params"),
        (lambda: HessianOperator(lambda x: x, F.mse_loss, classes()), ValueError, "params"),
        (lambda: HessianOperator(nn.ReLU(), F.mse_loss, classes()), ValueError, "model"),
        (lambda: _operator(reduction="none"), ValueError, "reduction"),
        (lambda: _operator(batch_size=0), ValueError, "batch_size"),
        (lambda: _operator(cache_graph="yes"), ValueError, "cache_graph"),
        (lambda: _operator(form="both"), ValueError, "form"),
        (lambda: _operator(data=(torch.ones(3, 4), torch.ones(2))), ValueError, "data"),
        (lambda: _operator(data=[]), ValueError, "data"),
        (lambda: _operator().matvec(torch.ones(3)), ValueError, "vector"),
        (lambda: _operator().matmat(torch.ones(3, 2)), ValueError, "matrix"),
        (lambda: HessianOperator(small_net(), lambda z, y: z, classes()).gradient(), ValueError, "loss_fn"),
        (lambda: FisherOperator(small_net(), F.cross_entropy, classes(), kind="true"), ValueError, "kind"),
        (lambda: FisherOperator(small_net(), F.l1_loss, classes()), ValueError, "likelihood"),
        (lambda: FisherOperator(small_net(), F.cross_entropy, classes(), mc_samples=0), ValueError, "mc_samples"),
        (lambda: CallableOperator(lambda v: v, 0), ValueError, "size"),
        (lambda: CallableOperator(lambda v: v, 6001).dense(), ValueError, "size"),
        (
            lambda: PreconditionedOperator(CallableOperator(lambda v: v, 2), torch.tensor([1.0, 0.0])),
            ValueError,
            "preconditioner",
        ),
    ],
)
def test_bad_input_is_named(make, error, name):
    with pytest.raises(error, match=rf"^{re.escape(name)}:"):
        make()


def test_outputs_that_are_no_tensor_are_named():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), None

    operator = GGNOperator(Pair(4, 3).double(), lambda z, y: F.cross_entropy(z[0], y), classes())
    with pytest.raises(ValueError, match="model: gives tuple"):
        operator(torch.ones(operator.size))


def test_a_subclass_says_its_product():
    with pytest.raises(NotImplementedError):
        SymmetricOperator(2, torch.float32).matvec(torch.ones(2))
