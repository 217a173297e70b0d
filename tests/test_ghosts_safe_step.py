"""SafeStep: keeps steps inside the radius, leaves those inside alone, leaves nothing else behind."""

from __future__ import annotations

import copy
import gc
import math
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.autodiff.jvp import directional_derivative, functional, global_norm
from surefoot.optim import RadiusSGD, SafeStep
from surefoot.optim.displacement import Displacement
from surefoot.optim.safe_radius import convergence_radius
from surefoot.optim.step_report import logit_jvp, step_report


def mlp(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 7)).to(dtype)


def batch(dtype=torch.float32, size=9):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 12, generator=generator).to(dtype), torch.randint(7, (size,), generator=generator)


def step(model, optimizer, x, y, loss_fn=F.cross_entropy, **inputs):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step(**inputs)
    return float(loss.detach())


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


OPTIMIZERS = {
    "adam": lambda ps, lr: torch.optim.Adam(ps, lr=lr),
    "adamw": lambda ps, lr: torch.optim.AdamW(ps, lr=lr, weight_decay=0.1),
    "sgd": lambda ps, lr: torch.optim.SGD(ps, lr=lr, momentum=0.9, weight_decay=0.01),
    "rmsprop": lambda ps, lr: torch.optim.RMSprop(ps, lr=lr),
}


class TestKeepsInside:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    @pytest.mark.parametrize("r_max", [0.5, 1.0])
    def test_a_step_is_never_longer_than_its_radius(self, name, r_max):
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        optimizer = SafeStep(OPTIMIZERS[name](model.parameters(), 3.0), model, r_max=r_max)
        clipped = 0
        for _ in range(8):
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            step(model, optimizer, x, y)
            taken = {n: p.detach() - before[n] for n, p in model.named_parameters()}
            length = global_norm(list(taken.values()))
            if length == 0:
                continue
            # Measured again from outside, along what was really added.
            report = step_report(model, before, taken, x)
            assert report.r <= r_max * (1 + 1e-9)
            clipped += optimizer.last.scale < 1
        assert clipped

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_steps_inside_are_those_of_the_bare_optimizer_bit_for_bit(self, name):
        bare, safe = mlp(), mlp()
        x, y = batch()
        a = OPTIMIZERS[name](bare.parameters(), 1e-3)
        b = SafeStep(OPTIMIZERS[name](safe.parameters(), 1e-3), safe)
        for _ in range(20):
            step(bare, a, x, y)
            step(safe, b, x, y)
            assert b.last.r < 1 and b.last.scale == 1
            assert torch.equal(flat(bare), flat(safe))

    def test_it_is_the_update_that_counts_not_the_gradient(self):
        """Weight decay alone moves the logits: its displacement is part of the step."""
        model = mlp(torch.float64)
        x, _ = batch(torch.float64)
        optimizer = SafeStep(torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.99), model)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        optimizer.zero_grad()
        (0 * model(x).sum()).backward()
        optimizer.step()
        decayed = {n: -0.99 * p for n, p in before.items()}
        assert optimizer.last.tau == pytest.approx(global_norm(list(decayed.values())))
        assert optimizer.last.r == pytest.approx(step_report(model, before, decayed, x).r)

    def test_a_direction_without_effect_is_free(self):
        model = nn.Linear(3, 4)
        nn.init.zeros_(model.weight)
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=100.0), model)
        model.bias.grad = torch.ones(4)  # all logits move together
        optimizer.step(inputs=torch.randn(2, 3))
        assert optimizer.last.r == 0 and math.isinf(optimizer.last.radius)
        assert torch.allclose(model.bias.detach(), model.bias.detach()[0].expand(4), atol=1)

    def test_rule_set_makes_every_step_r_radii_long(self):
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        for r in (0.3, 1.0):
            optimizer = RadiusSGD(model.parameters(), model, r, momentum=0.9)
            for _ in range(5):
                before = {n: p.detach().clone() for n, p in model.named_parameters()}
                step(model, optimizer, x, y)
                taken = {n: p.detach() - before[n] for n, p in model.named_parameters()}
                assert step_report(model, before, taken, x).r == pytest.approx(r, rel=1e-6)

    def test_a_spike_of_the_learning_rate_is_survived(self):
        x, y = batch(size=64)
        losses = {}
        for safe in (False, True):
            model = mlp()
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
            if safe:
                optimizer = SafeStep(optimizer, model)
            for number in range(30):
                optimizer.param_groups[0]["lr"] = 1e2 if number == 15 else 1e-2
                loss = step(model, optimizer, x, y)
            losses[safe] = loss
        assert losses[True] < 2 < 10 < losses[False]


class TestReport:
    def test_names_the_sample_that_binds(self):
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        x[4] *= 10
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1e-3), model)
        logits = model(x).detach()
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        step(model, optimizer, x, y)
        update = {n: p.detach() - before[n] for n, p in model.named_parameters()}
        _, slopes, _ = logit_jvp(model, before, update, x)
        radii = convergence_radius(slopes, reduce="none")
        report = optimizer.last
        assert report.sample == int(radii.argmin())
        assert report.r == pytest.approx(1 / float(radii.min()))
        assert torch.allclose(report.slopes * report.tau, slopes[report.sample])
        top = logits[report.sample].topk(2).values
        assert report.margin == pytest.approx(float(top[0] - top[1]))
        assert report.radius == pytest.approx(report.tau / report.r)

    def test_gradient_descent_has_the_closed_form(self):
        """r = lr · |g| · Δ_a / π."""
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=0.01), model)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        step(model, optimizer, x, y)
        gradient = {n: -p.grad for n, p in model.named_parameters()}
        norm = global_norm(list(gradient.values()))
        unit = {n: g / norm for n, g in gradient.items()}
        _, a, _ = logit_jvp(model, before, unit, x)
        spread = float((a.amax(-1) - a.amin(-1)).max())
        assert optimizer.last.r == pytest.approx(0.01 * norm * spread / math.pi, rel=1e-9)


class TestDerivatives:
    def test_last_layer_updates_are_exactly_linear(self):
        model = mlp(torch.float64)
        x, _ = batch(torch.float64)
        params = {n: p.detach() for n, p in model.named_parameters()}
        generator = torch.Generator().manual_seed(0)
        update = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in params.items() if n[0] == "2"}
        z, exact, how = logit_jvp(model, params, update, x)
        _, difference, means = logit_jvp(model, params, update, x, finite_difference=1.0)
        assert (how, means) == ("jvp", "finite-difference")
        assert torch.allclose(exact, difference, rtol=1e-12, atol=1e-12)
        moved = torch.func.functional_call(model, {n: p + 0.7 * update.get(n, 0) for n, p in params.items()}, x)
        assert torch.allclose(moved, z + 0.7 * exact, rtol=1e-12, atol=1e-12)

    def test_forward_mode_against_the_jacobian(self):
        model = mlp(torch.float64)
        x, _ = batch(torch.float64, size=3)
        params = {n: p.detach() for n, p in model.named_parameters()}
        update = {n: torch.randn_like(p) for n, p in params.items()}
        jacobian = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, x))(params)
        dense = sum(torch.tensordot(jacobian[n], update[n], dims=update[n].dim()) for n in params)
        _, a, _ = logit_jvp(model, params, update, x)
        assert torch.allclose(a, dense, rtol=1e-12)

    @pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-5), (torch.float32, 2e-2)])
    def test_finite_differences_in_each_precision(self, dtype, tolerance):
        model = mlp(dtype)
        x, _ = batch(dtype)
        params = {n: p.detach() for n, p in model.named_parameters()}
        update = {n: torch.randn(p.shape).to(dtype) for n, p in params.items()}
        _, exact, _ = logit_jvp(model, params, update, x)
        _, near, _ = logit_jvp(model, params, update, x, derivative="finite-difference")
        assert float((exact - near).abs().max() / exact.abs().max()) < tolerance

    def test_without_forward_mode_a_finite_difference_serves_and_says_so_once(self):
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, g):
                return 3 * ctx.saved_tensors[0] ** 2 * g

        class Cubed(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = mlp(torch.float64)

            def forward(self, x):
                return Cube.apply(self.net(x))

        model = Cubed()
        x, y = batch(torch.float64)
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        with pytest.warns(UserWarning, match="finite difference"):
            step(model, optimizer, x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            step(model, optimizer, x, y)
        assert optimizer.last.derivative == "finite-difference"
        with pytest.raises((RuntimeError, NotImplementedError)):
            step(model, SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model, derivative="jvp"), x, y)

    def test_a_finite_difference_reuses_the_scripts_own_forward(self):
        model = nn.Sequential(nn.Linear(12, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 7)).double()
        x, y = batch(torch.float64)
        calls = []
        model[0].register_forward_hook(lambda *_: calls.append(1))
        options = {"derivative": "finite-difference", "mode": "train"}
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=0.1), model, **options)
        step(model, optimizer, x, y)
        assert len(calls) == 2  # the script's, and one more
        near = optimizer.last.r
        torch.manual_seed(3)
        twin = copy.deepcopy(model)
        for d, m in (("finite-difference", model), ("jvp", twin)):
            torch.manual_seed(5)
            o = SafeStep(torch.optim.SGD(m.parameters(), lr=0.1), m, derivative=d, mode="train")
            step(m, o, x, y)
            near = o.last.r if d == "finite-difference" else near
        assert o.last.r == pytest.approx(near, rel=1e-4)  # the same dropout mask in all three

    def test_functions_serve_as_models(self):
        params = {"w": torch.randn(12, 7, dtype=torch.float64)}
        x, _ = batch(torch.float64)
        z, a, _ = logit_jvp(lambda p, inputs: inputs @ p["w"], params, {"w": params["w"]}, x)
        assert torch.allclose(z, a)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.recur = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens, *, shift=0):
        return {"logits": self.head(self.recur(self.attend(self.embed((tokens + shift) % 11)))[0]), "other": tokens}


class TestModels:
    @pytest.mark.parametrize("mode", ["eval", "train"])
    def test_sequences_attention_recurrence(self, mode):
        torch.manual_seed(0)
        model = Tokens()
        tokens = torch.randint(11, (3, 5))
        optimizer = SafeStep(torch.optim.AdamW(model.parameters(), lr=1.0), model, mode=mode)
        optimizer.zero_grad()
        F.cross_entropy(model(tokens, shift=1)["logits"].flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        assert optimizer.last.derivative == "jvp"
        assert optimizer.last.r > 1 and optimizer.last.scale == pytest.approx(1 / optimizer.last.r)
        assert optimizer.last.sample < 15

    def test_masked_positions_do_not_bind(self):
        torch.manual_seed(0)
        model = nn.Linear(4, 6).double()
        x = torch.randn(2, 3, 4, dtype=torch.float64)
        x[1, 2] *= 100
        mask = torch.ones(2, 3, dtype=torch.bool)
        mask[1, 2] = False
        r = {}
        for key, given in (("all", None), ("masked", mask)):
            twin = copy.deepcopy(model)
            optimizer = SafeStep(torch.optim.SGD(twin.parameters(), lr=1e-3), twin)
            targets = torch.zeros(6, dtype=torch.int64)
            step(twin, optimizer, x, targets, lambda z, y: F.cross_entropy(z.flatten(0, 1), y), mask=given)
            r[key] = optimizer.last
        assert r["all"].sample == 5 and r["masked"].sample < 5
        assert r["masked"].r < r["all"].r

    def test_images_of_logits_have_their_classes_at_one(self):
        model = nn.Conv2d(2, 5, 1).double()
        x, y = torch.randn(2, 2, 3, 4, dtype=torch.float64), torch.randint(5, (2, 3, 4))
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model, class_dim=1)
        step(model, optimizer, x, y)
        assert optimizer.last.slopes.shape == (5,) and optimizer.last.sample < 24

    def test_binary_cross_entropy(self):
        model = nn.Linear(12, 1).double()
        x, _ = batch(torch.float64)
        y = torch.ones(9, 1, dtype=torch.float64)
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=100.0), model, link="sigmoid")
        step(model, optimizer, x, y, F.binary_cross_entropy_with_logits)
        assert optimizer.last.scale < 1
        wrong = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        with pytest.raises(ValueError, match="link='sigmoid'"):
            step(model, wrong, x, y, F.binary_cross_entropy_with_logits)

    def test_accumulated_batches_all_count(self):
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        x[0] *= 20
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1e-3), model)
        for part in (slice(0, 3), slice(3, 9)):
            F.cross_entropy(model(x[part]), y[part]).backward()
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        with torch.no_grad():
            model(1000 * x)  # an evaluation in between is no part of the step
        optimizer.step()
        update = {n: p.detach() - before[n] for n, p in model.named_parameters()}
        assert optimizer.last.r == pytest.approx(step_report(model, before, update, x).r, rel=1e-9)

    def test_tied_weights_and_parameters_elsewhere(self):
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(9, 5)
                self.head = nn.Linear(5, 9, bias=False)
                self.head.weight = self.embed.weight

            def forward(self, tokens):
                return self.head(self.embed(tokens))

        model, outside = Tied().double(), nn.Parameter(torch.ones(3, dtype=torch.float64))
        tokens = torch.arange(9)
        optimizer = SafeStep(torch.optim.SGD([*model.parameters(), outside], lr=10.0), model)
        step(model, optimizer, tokens, tokens, lambda z, y: F.cross_entropy(z, y) + outside.square().sum())
        taken = optimizer.last.scale
        assert taken < 1
        assert torch.allclose(outside.detach(), torch.ones(3, dtype=torch.float64) * (1 - 20 * taken))

    def test_half_precision_parameters(self):
        model = mlp().to(torch.bfloat16)
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=10.0), model)
        step(model, optimizer, x.to(torch.bfloat16), y)
        assert optimizer.last.scale < 1

    def test_autocast_is_off_in_the_probe(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=10.0), model)
        with torch.autocast("cpu", torch.bfloat16):
            step(model, optimizer, x, y)
        assert optimizer.last.slopes.dtype == torch.float32


class TestLeavesNothingBehind:
    @pytest.mark.parametrize("mode", ["eval", "train"])
    def test_buffers_modes_and_random_state(self, mode):
        def build():
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.BatchNorm1d(8).eval(), nn.Linear(8, 7)
            )

        bare, safe = build(), build()
        x, y = batch()
        torch.manual_seed(7)
        step(bare, torch.optim.SGD(bare.parameters(), lr=1e-4), x, y)
        after = torch.get_rng_state()
        torch.manual_seed(7)
        optimizer = SafeStep(torch.optim.SGD(safe.parameters(), lr=1e-4), safe, mode=mode)
        step(safe, optimizer, x, y)
        assert torch.equal(torch.get_rng_state(), after)
        assert all(
            torch.equal(a, b) for a, b in zip(bare.state_dict().values(), safe.state_dict().values(), strict=True)
        )
        assert [m.training for m in safe.modules()] == [True, True, True, True, False, True]
        assert torch.backends.mha.get_fastpath_enabled()

    def test_models_are_copied_and_saved_as_ever(self, tmp_path):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.Adam(model.parameters(), lr=1.0), model)
        averaged = torch.optim.swa_utils.AveragedModel(model)  # a deep copy
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        averaged(x), loaded(x)
        assert optimizer._forwards.take() == []  # passes of copies are not the model's
        step(model, optimizer, x, y)
        averaged.update_parameters(model)
        gone = weakref.ref(optimizer)
        del optimizer
        gc.collect()
        assert gone() is None
        model(x)

    def test_no_graph_is_kept(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.Adam(model.parameters(), lr=1.0), model)
        step(model, optimizer, x, y)
        assert not optimizer.last.slopes.requires_grad
        assert all(p.is_leaf and p.requires_grad for p in model.parameters())
        assert optimizer._forwards.take() == []


class TestIsAnOptimizer:
    def test_state_dict_is_that_of_the_optimizer_inside(self):
        model, other = mlp(), mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.Adam(model.parameters(), lr=1e-2), model)
        step(model, optimizer, x, y)
        saved = optimizer.state_dict()
        assert saved.keys() == torch.optim.Adam(mlp().parameters()).state_dict().keys()
        bare = torch.optim.Adam(other.parameters(), lr=1.0)
        bare.load_state_dict(saved)
        assert bare.param_groups[0]["lr"] == 1e-2
        again = SafeStep(torch.optim.Adam(other.parameters()), other)
        again.load_state_dict(saved)
        assert again.param_groups is again.optimizer.param_groups and again.param_groups[0]["lr"] == 1e-2
        assert len(again.state) == 4

    def test_schedulers_and_closures(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        assert float(optimizer.step(closure).detach()) > 0
        scheduler.step()
        assert optimizer.optimizer.param_groups[0]["lr"] == 0.5
        assert optimizer.defaults["lr"] == 1.0

    def test_lbfgs(self):
        model = mlp(torch.float64)
        x, y = batch(torch.float64)
        optimizer = SafeStep(torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=5), model, r_max=0.5)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        first = float(optimizer.step(closure).detach())
        for _ in range(5):
            last = float(optimizer.step(closure).detach())
        assert last < first

    def test_gradient_scaler(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.Adam(model.parameters(), lr=1e-2), model)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert optimizer.last is not None

    def test_param_groups_and_hooks(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model[0].parameters(), lr=0.1), model)
        optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.2})
        seen = []
        optimizer.register_step_post_hook(lambda *_: seen.append(1))
        step(model, optimizer, x, y)
        assert len(optimizer.param_groups) == 2 and seen == [1]
        assert "SafeStep" in repr(optimizer) and isinstance(optimizer, torch.optim.Optimizer)

    def test_probing_now_and_then(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=50.0), model, every=3)
        reports = []
        for _ in range(6):
            before = flat(model).clone()
            step(model, optimizer, x, y)
            reports.append(optimizer.last)
            length = float((flat(model) - before).norm())
            assert length <= optimizer.last.radius * (1 + 1e-5)
        assert reports[0] is reports[1] is reports[2] is not reports[3]

    def test_a_sample_of_ones_own(self):
        model = mlp()
        x, y = batch()
        fixed = torch.randn(2, 12)
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model, sample=lambda: fixed)
        step(model, optimizer, x, y)
        assert optimizer.last.sample < 2 and not model._forward_pre_hooks

    def test_compiled_modules_are_unwrapped(self):
        model = mlp()
        wrapped = torch.compile(model, backend="eager")
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(wrapped.parameters(), lr=10.0), wrapped)
        step(wrapped, optimizer, x, y)
        assert optimizer.last.r > 0


class TestDisplacement:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("held", [False, True])
    def test_comes_back_bit_for_bit_scaled_or_undone(self, dtype, held):
        generator = torch.Generator().manual_seed(0)
        for size in (1e-6, 1.0, 1e6):
            before = [torch.randn(40, 30, generator=generator).to(dtype), torch.zeros(7, dtype=dtype)]
            after = [old + (size * torch.randn(old.shape, generator=generator)).to(dtype) for old in before]
            exact = math.sqrt(sum(float((a - b).double().square().sum()) for a, b in zip(after, before, strict=True)))
            for scale in (1.0, 0.0, 0.25):
                parameters = [a.clone() for a in after]
                moved = Displacement(parameters, before)
                assert moved.length == pytest.approx(exact, rel=1e-5)
                if held:
                    moved.hold()
                    assert all(torch.equal(p, a - b) for p, a, b in zip(parameters, after, before, strict=True))
                moved.leave(scale)
                for p, a, b in zip(parameters, after, before, strict=True):
                    assert torch.equal(p, {1.0: a, 0.0: b, 0.25: b + 0.25 * (a - b)}[scale])

    @pytest.mark.parametrize("size", [1e-25, 1e25])
    def test_lengths_beyond_float32_squares(self, size):
        before = [torch.zeros(4), torch.zeros(3, 3)]
        assert Displacement([b + size for b in before], before).length == pytest.approx(size * 13**0.5)
        assert math.isnan(Displacement([b + math.nan for b in before], before).length)


class TestFailure:
    def test_non_finite_updates_leave_the_parameters(self):
        model = mlp()
        x, y = batch()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        F.cross_entropy(model(x), y).backward()
        model[0].weight.grad[0, 0] = math.nan
        before = flat(model).clone()
        with pytest.raises(ValueError, match="update: the norm"):
            optimizer.step()
        assert torch.equal(flat(model), before)

    def test_non_finite_logits(self):
        model = mlp()
        x, y = batch()
        x[0, 0] = math.inf
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        F.cross_entropy(model(batch()[0]), y).backward()
        before = flat(model).clone()
        with pytest.raises(ValueError, match="logits"):
            optimizer.step(inputs=x)
        assert torch.equal(flat(model), before)

    def test_nothing_to_probe_with(self):
        model = mlp()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model)
        model[0].weight.grad = torch.ones_like(model[0].weight)
        with pytest.raises(RuntimeError, match="inputs="):
            optimizer.step()

    def test_a_step_without_movement_needs_no_probe(self):
        model = mlp()
        optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=0.0), model)
        model[0].weight.grad = torch.ones_like(model[0].weight)
        optimizer.step()
        assert optimizer.last is None

    @pytest.mark.parametrize(
        "options, error, message",
        [
            ({"r_max": 0}, ValueError, "r_max"),
            ({"r_max": math.inf}, ValueError, "r_max"),
            ({"rule": "scale"}, ValueError, "rule"),
            ({"quantile": 1.0}, ValueError, "quantile"),
            ({"every": 0}, ValueError, "every"),
            ({"derivative": "central"}, ValueError, "derivative"),
            ({"mode": "both"}, ValueError, "mode"),
            ({"temperature": -1.0}, ValueError, "temperature"),
            ({"link": "probit"}, ValueError, "link"),
        ],
    )
    def test_options_out_of_range(self, options, error, message):
        model = mlp()
        with pytest.raises(error, match=message):
            SafeStep(torch.optim.SGD(model.parameters(), lr=1.0), model, **options)

    def test_wrong_parts(self):
        model, other = mlp(), mlp()
        sgd = torch.optim.SGD(model.parameters(), lr=1.0)
        with pytest.raises(TypeError, match="optimizer"):
            SafeStep(model, model)
        with pytest.raises(TypeError, match="model"):
            SafeStep(sgd, lambda x: x)
        with pytest.raises(ValueError, match="none of the optimizer's"):
            SafeStep(sgd, other)

    def test_derivative_arguments(self):
        model = mlp()
        params = {n: p.detach() for n, p in model.named_parameters()}
        function = functional(model, (batch()[0],))
        with pytest.raises(ValueError, match="not among the parameters"):
            directional_derivative(function, params, {"nowhere": torch.ones(1)})
        with pytest.raises(ValueError, match="shape"):
            directional_derivative(function, params, {"0.bias": torch.ones(1)})
        with pytest.raises(ValueError, match="derivative"):
            directional_derivative(function, params, {}, derivative="other")
        with pytest.raises(ValueError, match="finite_difference"):
            logit_jvp(model, params, {}, batch()[0], finite_difference=0.0)
        with pytest.raises(TypeError, match="model_fn"):
            logit_jvp(3, params, {}, batch()[0])
        with pytest.raises(TypeError, match="logits: none found"):
            logit_jvp(lambda p, x: 3, params, {}, batch()[0])
        with pytest.raises(ValueError, match="update: its norm"):
            step_report(model, params, {n: 0 * p for n, p in params.items()}, batch()[0])


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(mlp(torch.float64))
    optimizer = SafeStep(torch.optim.SGD(model.parameters(), lr=5.0), model)
    x, y = batch(torch.float64)
    for _ in range(3):
        step(model, optimizer, x * (1 + 5 * rank), y)  # the second rank's samples bind
    torch.save((flat(model), optimizer.last.scale, optimizer.last.r), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_ranks_of_a_data_parallel_model_take_the_same_step(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    (first, scale, r), (second, other, largest) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first, second) and scale == other < 1
    assert largest > r and scale == pytest.approx(1 / largest)
