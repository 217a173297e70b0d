"""Derivative passes of watched runs: against dense references, and unnoticed by the script."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.steps import edge_scale, principal_flow_rate, ratio_summary, step_ratios
from surefoot.autodiff.composite import composite_hessian, graph_hessian
from surefoot.autodiff.lanczos import krylov, largest_ritz
from surefoot.optim.step_report import step_report
from watching import watching


def small(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)
    return model, torch.randn(20, 5, dtype=dtype), torch.randint(3, (20,))


def dense(model, loss_of):
    """The Hessian, entry by entry."""
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(loss_of(), parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in slopes])
    rows = [torch.autograd.grad(g, parameters, retain_graph=True, allow_unused=True) for g in flat]
    filled = [[torch.zeros_like(p) if r is None else r for r, p in zip(row, parameters, strict=True)] for row in rows]
    return torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in filled])


def test_krylov_finds_the_largest_eigenvalue_and_says_how_well():
    torch.manual_seed(1)
    matrix = torch.randn(60, 60, dtype=torch.float64)
    matrix = matrix + matrix.T
    found = krylov(lambda v: matrix @ v, torch.randn(60, dtype=torch.float64), 25)
    value, residual, weights = largest_ritz(found.diagonal.numpy(), found.offdiagonal.numpy())
    vector = torch.from_numpy(weights) @ found.basis
    top = float(torch.linalg.eigvalsh(matrix)[-1])
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(25, dtype=torch.float64), atol=1e-12)
    assert value <= top + 1e-9 and abs(value - top) <= residual + 1e-9
    assert float((matrix @ vector - value * vector).norm()) == pytest.approx(residual, abs=1e-9)
    few = krylov(lambda v: matrix @ v, torch.randn(60, dtype=torch.float64), 4)
    assert largest_ritz(few.diagonal.numpy(), few.offdiagonal.numpy())[0] <= top


def test_krylov_in_an_invariant_subspace():
    matrix = torch.diag(torch.tensor([3.0, 1.0, -5.0, 2.0]))
    found = krylov(lambda v: matrix @ v, torch.tensor([1.0, 1.0, 0.0, 0.0]), 4)
    value, residual, _ = largest_ritz(found.diagonal.numpy(), found.offdiagonal.numpy())
    assert value == pytest.approx(3.0) and residual == 0
    with pytest.raises(ValueError, match="steps"):
        krylov(lambda v: v, torch.ones(3), 0)
    with pytest.raises(ValueError, match="start"):
        krylov(lambda v: v, torch.ones(3, 3), 2)


def test_hessian_products_through_either_graph_are_dense_ones():
    model, x, y = small(dtype=torch.float64)
    expected = dense(model, lambda: F.cross_entropy(model(x), y))
    outputs = model(x)
    loss = F.cross_entropy(outputs, y)
    parameters = list(model.parameters())
    again = model(x)
    vector = torch.randn(len(expected), dtype=torch.float64)
    for gradient, product in (
        graph_hessian(loss, parameters),
        composite_hessian(loss, [outputs], [again], parameters),
    ):
        slopes = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters, retain_graph=True)])
        assert torch.allclose(gradient, slopes)
        assert torch.allclose(product(vector), expected @ vector, atol=1e-12)
    loss.backward()  # the script's own graph is still whole


def test_step_ratios_in_closed_form():
    two = step_ratios(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    assert float(two) == pytest.approx(1 / 3.724191778237173)
    three = step_ratios(torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]]))
    assert three.tolist() == pytest.approx([2 / math.pi, 0.0])
    assert float(step_ratios(torch.tensor([[0.0]]), torch.tensor([[math.pi]]), "sigmoid")) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="sigmoid"):
        step_ratios(torch.zeros(4, 1), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="shape"):
        step_ratios(torch.zeros(4, 3), torch.zeros(4, 2))
    rows = torch.tensor([1.0, 2.0, 50.0])
    largest, median = ratio_summary(rows, torch.tensor([True, True, False]))
    assert (float(largest), float(median)) == (2.0, 1.0)
    assert ratio_summary(torch.tensor([1.0, float("nan")]))[0].isnan()


def test_the_edge_of_each_optimizer():
    model, x, y = small()
    parameters = list(model.parameters())
    for optimizer, limit in (
        (torch.optim.SGD(parameters, 0.1), 20.0),
        (torch.optim.SGD(parameters, 0.1, momentum=0.9), 38.0),
        (torch.optim.Adam(parameters, 0.1), 380.0),
    ):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        scale, most, preconditioned = edge_scale(optimizer, parameters)
        assert most == pytest.approx(limit)
        if not preconditioned:
            assert torch.allclose(scale, torch.full_like(scale, 1 / limit))
    first = next(iter(parameters))
    second = optimizer.state[first]["exp_avg_sq"] / (1 - 0.999)
    expected = 1 / (380 * (second.sqrt() + 1e-8)).reshape(-1)
    assert torch.allclose(scale[: first.numel()], expected)
    assert edge_scale(torch.optim.Adadelta(parameters), parameters) is None


def test_the_principal_flow_turns_at_two():
    assert principal_flow_rate(0.0, 0.5) == pytest.approx(-0.25)
    assert principal_flow_rate(1.9, 1.0) < 0 < principal_flow_rate(2.1, 1.0)
    assert principal_flow_rate(3.0, 1.0) == pytest.approx(0.231049, abs=1e-6)


# -- in a watched run --------------------------------------------------------------------------------------------------


def test_the_safe_ratio_is_that_of_the_step_that_was_taken():
    model, x, y = small()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    reports = {}
    with watching(1) as seen:
        for step in range(1, 6):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            update = {name: p.detach() - before[name] for name, p in model.named_parameters()}
            reports[step] = step_report(model, before, update, x)
    ratios, lengths = seen.signal("safe_ratio"), seen.signal("step_length")
    assert set(ratios) == {2, 3, 4, 5}  # at the first step no model is known
    for step, ratio in ratios.items():
        assert ratio == pytest.approx(reports[step].r, rel=1e-4)
        assert lengths[step] == pytest.approx(reports[step].tau, rel=1e-4)
        assert seen.signal("safe_radius")[step] == pytest.approx(reports[step].radius, rel=1e-3)
    assert not any(seen.signal("finite_difference").values()) and not seen.of("note")


def test_sequences_leave_padding_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 9))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    tokens, targets = torch.randint(8, (4, 6)), torch.randint(8, (4, 6))
    targets[:, 3:] = -100
    tokens[:, 3:] = 8
    model[0].weight.data[8] = 50.0  # logits of padding would move most
    expected = {}
    with watching(1) as seen:
        for step in range(1, 4):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            optimizer.zero_grad()
            F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).backward()
            optimizer.step()
            update = {name: p.detach() - before[name] for name, p in model.named_parameters()}
            expected[step] = step_report(model, before, update, tokens, mask=targets != -100).r
    ratios = seen.signal("safe_ratio")
    assert len(ratios) == 2 and all(r == pytest.approx(expected[step], rel=1e-4) for step, r in ratios.items())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_stability_coefficient_is_that_of_the_dense_hessian(momentum):
    model, x, y = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.3, momentum=momentum)
    expected = {}
    with watching(1) as seen:
        for step in range(1, 13):
            top = float(torch.linalg.eigvalsh(dense(model, lambda: F.cross_entropy(model(x), y)))[-1])
            expected[step] = top
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    limit = (2 + 2 * momentum) / 0.3
    coefficients, sharpness = seen.signal("stability_coefficient"), seen.signal("sharpness")
    residual = seen.signal("sharpness_residual")
    assert 12 in coefficients
    for step, value in sharpness.items():
        assert value <= expected[step] * (1 + 1e-4)
        assert value >= expected[step] * (1 - residual[step]) * (1 - 1e-4)
        assert coefficients[step] == pytest.approx(value / limit, rel=1e-5)
    assert sharpness[12] == pytest.approx(expected[12], rel=0.02)
    assert all(0 <= share <= 1 + 1e-6 for share in seen.signal("sharpest_share").values())
    assert bool(seen.signal("principal_flow_rate")) == (momentum == 0)


class Physics(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))

    def forward(self, x):
        return self.net(x)


def solve(steps, listen=False):
    torch.manual_seed(0)
    model = Physics()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    kept = []
    for _ in range(steps):
        x = torch.rand(16, 1).requires_grad_()
        u = model(x)
        if listen:
            u.retain_grad()
        loss = (torch.autograd.grad(u.sum(), x, create_graph=True)[0] + u).square().mean() + model(
            x * 0
        ).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept.append((loss.item(), None if u.grad is None else u.grad.clone()) if listen else loss.item())
    return kept, [p.detach().clone() for p in model.parameters()]


def test_a_loss_with_derivatives_in_it_is_read_on_its_own_graph():
    bare, weights = solve(8)
    with watching(1) as seen:
        watched, others = solve(8)
    assert bare == watched and all(map(torch.equal, weights, others))
    assert len(seen.signal("sharpness")) >= 6 and not seen.signal("safe_ratio")


def test_a_graph_that_somebody_listens_to_is_left_alone():
    bare, _ = solve(4, listen=True)
    with watching(1) as seen:
        watched, _ = solve(4, listen=True)
    for (loss, gradient), (other, theirs) in zip(bare, watched, strict=True):
        assert loss == other and torch.equal(gradient, theirs)
    assert not seen.signal("sharpness")


class Twice(torch.autograd.Function):
    """Has no forward-mode formula."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return Twice.apply(self.fc(x))


def test_without_forward_mode_a_finite_difference_serves_and_is_recorded():
    torch.manual_seed(0)
    model, x, y = Custom(), torch.randn(20, 5), torch.randint(3, (20,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = {}
    with watching(1) as seen:
        for step in range(1, 5):
            before = model.fc.weight.detach().clone(), model.fc.bias.detach().clone()
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            moved = 2 * F.linear(x, model.fc.weight.detach() - before[0], model.fc.bias.detach() - before[1])
            expected[step] = float((moved.amax(1) - moved.amin(1)).amax()) / math.pi
    told = [data for data in seen.of("derivative") if data["reading"] == "safe step"]
    assert [data["means"] for data in told] == ["finite-difference"]
    assert all(seen.signal("finite_difference").values())
    for step, ratio in seen.signal("safe_ratio").items():
        assert ratio == pytest.approx(expected[step], rel=0.02)
    assert not seen.of("note")


noise = np.random.default_rng(3)


class Moody(nn.Module):
    """Draws from generators of its own and of its file, counts, and has a buffer."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(5, 3), nn.BatchNorm1d(3)
        self.generator = torch.Generator().manual_seed(5)
        self.count, self.seen = 0, []

    def forward(self, x):
        self.count += 1
        self.seen.append(self.count)
        shift = torch.randn(3, generator=self.generator) + float(noise.random())
        return self.norm(F.dropout(self.fc(x), 0.2, self.training)) + shift


def moody(steps):
    noise.bit_generator.state = np.random.default_rng(3).bit_generator.state
    torch.manual_seed(0)
    model = Moody()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    losses = []
    for _ in range(steps):
        x = torch.randn(16, 5)
        loss = F.cross_entropy(model(x), x[:, :3].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    state = [*model.state_dict().values(), model.generator.get_state(), torch.get_rng_state()]
    return losses, model.count, model.seen, state, noise.random()


def test_a_replayed_model_keeps_its_counters_buffers_and_generators():
    bare = moody(6)
    with watching(1) as seen:
        watched = moody(6)
    assert bare[:3] == watched[:3] and bare[4] == watched[4]
    assert all(map(torch.equal, bare[3], watched[3]))
    assert len(seen.signal("safe_ratio")) == 5 and seen.signal("stability_coefficient")


def test_a_model_with_hooks_of_the_scripts_own_is_not_run_twice():
    model, x, y = small()
    called = []
    model[0].register_forward_hook(lambda *_: called.append(1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert len(called) == 4 and not seen.signal("safe_ratio")
    assert {d["means"] for d in seen.of("derivative") if d["reading"] == "safe step"} == {"none"}


def test_numbers_that_come_late_are_the_same():
    def train():
        model, x, y = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.3)
        for _ in range(6):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    with watching(1) as now:
        train()
    with watching(1, delayed=True) as late:
        train()
    assert late.signal("safe_ratio") == now.signal("safe_ratio")
    # the start vector of a reading comes late too, so that only the first reading is the same
    assert late.signal("sharpness").keys() == now.signal("sharpness").keys()
    first = min(now.signal("sharpness"))
    assert late.signal("sharpness")[first] == now.signal("sharpness")[first]


@pytest.mark.parametrize("shared", ["module", "tensor"])
def test_parameters_are_lent_and_given_back_where_they_are_shared(shared):
    from surefoot.autodiff.parameters import call_with

    class Scaled(nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.linear, self.gain = nn.Linear(3, 3), gain

        def forward(self, x):
            return self.linear(x) * self.gain.weight.sum()

    gains = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    if shared == "module":
        gains[1] = gains[0]
    else:
        gains[1].weight = gains[0].weight
    model = nn.Sequential(Scaled(gains[0]), Scaled(gains[1]))
    before = dict(model.named_parameters(remove_duplicate=False))
    x, expected = torch.ones(2, 3), model(torch.ones(2, 3))
    doubled = {name: 2 * p.detach() for name, p in model.named_parameters() if "gain" in name}
    assert torch.allclose(call_with(model, {}, (x,)), expected)
    assert not torch.allclose(call_with(model, doubled, (x,)), expected)
    after = dict(model.named_parameters(remove_duplicate=False))
    assert all(after[name] is p for name, p in before.items()) and after.keys() == before.keys()
    assert torch.equal(model(x), expected)
