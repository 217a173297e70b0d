"""⊥Grad: what the projection leaves, and a wrapper that is otherwise the optimizer it wraps."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from surefoot.optim import OrthogonalGrad
from surefoot.optim.orthogonal_grad import orthogonalize_gradients


def parameters(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in ((4, 3), (5,), (2, 2, 2)):
        p = nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype))
        p.grad = torch.randn(shape, generator=generator, dtype=dtype)
        made.append(p)
    return made


def inner(p: Tensor) -> float:
    assert p.grad is not None
    return float((p.detach() * p.grad).sum())


def size(tensor: Tensor) -> float:
    return float(tensor.detach().norm())


@given(st.integers(0, 10_000), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=40, deadline=None)
def test_what_is_left_is_orthogonal_and_projecting_again_changes_nothing(seed: int, dtype: torch.dtype) -> None:
    held = parameters(seed, dtype)
    eps = torch.finfo(dtype).eps
    before = torch.cat([p.grad.flatten() for p in held])
    removed = orthogonalize_gradients(held)
    for p in held:
        assert abs(inner(p)) <= 8 * eps * size(p) * size(before)
    after = torch.cat([p.grad.flatten() for p in held])
    share = 1 - float(after.square().sum() / before.square().sum())
    assert float(removed) == pytest.approx(share, abs=30 * eps)
    assert float(orthogonalize_gradients(held)) <= eps
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in held]), after, rtol=0, atol=30 * eps)


def test_global_scope_projects_the_concatenated_vector() -> None:
    held = parameters(1)
    w = torch.cat([p.detach().flatten() for p in held])
    g = torch.cat([p.grad.flatten() for p in held])
    removed = orthogonalize_gradients(held, scope="global")
    expected = g - (w @ g) / (w @ w) * w
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in held]), expected)
    assert float(removed) == pytest.approx(float((w @ g) ** 2 / (w @ w) / (g @ g)))


@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_norm_restored(scope: str) -> None:
    held = parameters(2)
    before = [size(p.grad) for p in held]
    orthogonalize_gradients(held, restore_norm=True, scope=scope)  # type: ignore[arg-type]
    after = [size(p.grad) for p in held]
    if scope == "tensor":
        assert after == pytest.approx(before)
    else:
        assert sum(x**2 for x in after) == pytest.approx(sum(x**2 for x in before))
    assert sum(map(inner, held)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_a_radial_gradient_is_gone_and_not_blown_up(scope: str) -> None:
    p = nn.Parameter(torch.randn(300, generator=torch.Generator().manual_seed(0)))
    p.grad = 0.37 * p.detach()
    orthogonalize_gradients([p], scope=scope)  # type: ignore[arg-type]
    assert size(p.grad) <= 1e-6 * size(p)
    p.grad = 0.37 * p.detach()
    orthogonalize_gradients([p], restore_norm=True, scope=scope)  # type: ignore[arg-type]
    assert size(p.grad) == 0
    p.grad = p.detach().clone()
    assert float(orthogonalize_gradients([p])) == pytest.approx(1, abs=1e-6)
    assert size(p.grad) <= 1e-6 * size(p)


def test_zero_weights_and_missing_gradients() -> None:
    zero, bare = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
    zero.grad = torch.tensor([1.0, 2.0, 3.0])
    orthogonalize_gradients([zero, bare], restore_norm=True)
    assert zero.grad.tolist() == [1.0, 2.0, 3.0] and bare.grad is None
    assert float(orthogonalize_gradients([bare])) == 0
    zero.grad = torch.zeros(3)
    assert float(orthogonalize_gradients([zero], restore_norm=True)) == 0 and not bool(zero.grad.isnan().any())


def test_mixed_half_and_complex_dtypes() -> None:
    generator = torch.Generator().manual_seed(0)
    held = [nn.Parameter(torch.randn(64, generator=generator).to(t)) for t in (torch.bfloat16, torch.float32)]
    held.append(nn.Parameter(torch.randn(8, dtype=torch.complex64, generator=generator)))
    for p in held:
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    orthogonalize_gradients(held, restore_norm=True)
    for p, tolerance in zip(held, (2e-2, 1e-6, 1e-6), strict=True):
        product = (p.detach().conj() * p.grad).sum()
        assert abs(complex(product).real) <= tolerance * size(p.detach()) * size(p.grad)
        assert p.grad.dtype == p.dtype


def test_norm_grows_by_the_step_alone_under_plain_descent() -> None:
    """|θ|² after a step of ⊥SGD is |θ|² + lr² |g⊥|²."""
    (p, *_) = parameters(3)
    optimizer = OrthogonalGrad(torch.optim.SGD([p], lr=0.1))
    before = size(p)
    optimizer.step()
    assert size(p) ** 2 == pytest.approx(before**2 + 0.01 * size(p.grad) ** 2, rel=1e-14)
    assert optimizer.removed is not None and 0 < float(optimizer.removed) < 1


def adamw(held: list[nn.Parameter]) -> torch.optim.AdamW:
    return torch.optim.AdamW(held, lr=0.03, betas=(0.8, 0.97), eps=1e-12, weight_decay=0.01)


def test_gradients_already_orthogonal_step_as_bare_bit_for_bit() -> None:
    ours, bare = parameters(4), parameters(4)
    # Weights and gradients that share no entry: the products are exactly 0.
    for held in (ours, bare):
        for p in held:
            mask = torch.arange(p.numel()).reshape(p.shape) % 2
            p.data *= mask
            p.grad *= 1 - mask
    OrthogonalGrad(adamw(ours)).step()
    adamw(bare).step()
    assert all(torch.equal(a, b) for a, b in zip(ours, bare, strict=True))


def test_state_groups_and_checkpoints_are_those_of_the_wrapped() -> None:
    held = parameters(5)
    optimizer = OrthogonalGrad(adamw(held), exclude=lambda p: p.dim() < 2)
    optimizer.step()
    assert optimizer.param_groups is optimizer.optimizer.param_groups
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.97)
    kept = copy.deepcopy(optimizer.state_dict())
    other = parameters(5)
    for a, b in zip(other, held, strict=True):
        a.data.copy_(b.detach())
    again = OrthogonalGrad(adamw(other), exclude=lambda p: p.dim() < 2)
    again.load_state_dict(kept)
    for p, q in zip(held, other, strict=True):
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    optimizer.step()
    again.step()
    assert all(torch.equal(a, b) for a, b in zip(held, other, strict=True))
    assert again.param_groups is again.optimizer.param_groups and again.state is again.optimizer.state
    bare = adamw(parameters(5))
    bare.load_state_dict(again.state_dict())
    extra = nn.Parameter(torch.ones(2))
    again.add_param_group({"params": [extra], "lr": 0.5})
    assert len(again.optimizer.param_groups) == 2 and again.param_groups[1]["lr"] == 0.5
    again.zero_grad()
    assert all(p.grad is None for p in other)


def test_excluded_parameters_keep_their_gradient() -> None:
    held = [*parameters(6), nn.Parameter(torch.tensor([2.0], dtype=torch.float64))]
    held[-1].grad = torch.tensor([1.0], dtype=torch.float64)
    vector = held[1].grad.clone()
    OrthogonalGrad(torch.optim.SGD(held, lr=0.0)).step()
    assert float(held[-1].grad) == 1.0 and not torch.equal(held[1].grad, vector)
    held[1].grad = vector.clone()
    OrthogonalGrad(torch.optim.SGD(held, lr=0.0), exclude=lambda p: p.dim() < 2).step()
    assert torch.equal(held[1].grad, vector)


def test_schedulers_hooks_and_gradient_scaler() -> None:
    held = parameters(7, torch.float32)
    optimizer = OrthogonalGrad(torch.optim.SGD(held, lr=1.0))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    seen: list[str] = []
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    loss = sum(((p * p).sum() + p.sum() for p in held), torch.zeros(()))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    scheduler.step()
    assert seen == ["post"] and optimizer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    assert all(abs(inner(p)) < 1e3 for p in held)


class Twice(torch.optim.SGD):
    """Evaluates the closure twice a step, as line searches do, and looks at what it left."""

    products: list[float]

    def step(self, closure=None):  # type: ignore[no-untyped-def, override]
        assert closure is not None
        for _ in range(2):
            closure()
            self.products.append(inner(self.param_groups[0]["params"][0]))
            super().step()
        return closure()


def test_closures_are_projected_after_their_backward() -> None:
    p = nn.Parameter(torch.tensor([1.0, 0.0]))
    twice = Twice([p], lr=0.1)
    twice.products = []
    optimizer = OrthogonalGrad(twice)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p - torch.tensor([3.0, 4.0])).square().sum()
        loss.backward()
        return loss

    with torch.no_grad():  # an optimizer's step may turn gradients off around the closure
        loss = optimizer.step(closure)
    assert loss is not None and float(loss.detach()) > 0
    assert len(twice.products) == 2 and max(map(abs, twice.products)) < 1e-5
    optimizer = OrthogonalGrad(torch.optim.LBFGS([p], lr=0.1, max_iter=4))
    assert float(optimizer.step(closure).detach()) > 0


def test_copies() -> None:
    optimizer = OrthogonalGrad(adamw(parameters(8)), restore_norm=True)
    optimizer.step()
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.restore_norm and twin.param_groups[0]["lr"] == 0.03
        twin.step()
    assert "restore_norm=True" in repr(optimizer)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"optimizer": torch.optim.AdamW}, TypeError, "optimizer: got type; pass an instance"),
        ({"scope": "layer"}, ValueError, "scope: got 'layer'"),
        ({"min_ratio": -1.0}, ValueError, "min_ratio: got -1"),
        ({"exclude": 3}, TypeError, "exclude: got int"),
    ],
)
def test_bad_input(change: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        OrthogonalGrad(**{"optimizer": adamw(parameters()), **change})


def test_sparse_gradients_are_refused_unless_excluded() -> None:
    table = nn.Embedding(10, 3, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    plain = torch.optim.SGD(table.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="is sparse; exclude it"):
        OrthogonalGrad(plain).step()
    OrthogonalGrad(plain, exclude=lambda p: p is table.weight).step()
