"""Clock, budget, trigger, graph and discovery by themselves."""

from __future__ import annotations

import gc
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from surefoot.analysis.activations import active_units, moments, saturated_share
from surefoot.analysis.baselines import constant_binary_cross_entropy, constant_cross_entropy, constant_mse
from surefoot.analysis.norms import norms
from surefoot.analysis.softmax import collapsed
from surefoot.observe.budget import CREDIT_LOOKS, Budget
from surefoot.observe.clock import Clock
from surefoot.observe.discover import find_models
from surefoot.observe.graph import read_graph
from surefoot.observe.triggers import LossCourse, LossFalls, LossTrigger
from surefoot.optim import OrthogonalGrad
from watching import watching


def sgd(*parameters):
    return torch.optim.SGD(parameters or [nn.Parameter(torch.zeros(1))], 0.1)


class TestClock:
    def test_a_wrapper_and_what_it_steps_are_one_step(self):
        clock, outer, inner = Clock(), sgd(), sgd()
        assert clock.enter(outer)
        assert not clock.enter(inner)
        assert not clock.leave(inner)
        assert clock.leave(outer)
        assert not clock.inside_step

    def test_a_step_that_raised_does_not_hide_the_next(self):
        clock, optimizer = Clock(), sgd()
        assert clock.enter(optimizer)
        assert clock.enter(optimizer)  # the first one never left
        assert clock.leave(optimizer)

    def test_the_run_counts_with_its_busiest_optimiser(self):
        clock = Clock()
        a, b = clock.add(one := sgd(), "a"), clock.add(two := sgd(), "b")
        assert [clock.tick(a), clock.tick(a), clock.tick(b), clock.tick(b), clock.tick(b)] == [
            True,
            True,
            False,
            False,
            True,
        ]
        assert clock.steps == 3
        assert (clock.known(one), clock.known(two)) == (a, b)

    def test_an_optimiser_that_replaces_another_counts_on(self):
        clock, first = Clock(), sgd()
        state = clock.add(first, "")
        assert all(clock.tick(state) for _ in range(10))
        del first
        gc.collect()
        second = clock.add(kept := sgd(), "second")
        assert all(clock.tick(second) for _ in range(5))
        assert clock.steps == 15
        for _ in range(85):
            clock.tick(second)
        third = clock.add(also := sgd(), "third")  # the second is still there, but rests
        assert [clock.tick(third) for _ in range(70)] == [False] * 64 + [True] * 6
        assert clock.steps == 106
        assert kept is not also

    def test_a_dead_optimiser_is_forgotten(self):
        clock, optimizer = Clock(), sgd()
        clock.add(optimizer, "")
        del optimizer
        gc.collect()
        assert clock.states == []


class TestBudget:
    @given(
        step=st.floats(1e-4, 1.0),
        look=st.floats(1e-5, 0.1),
        scalars=st.floats(1e-6, 1e-4),
        fraction=st.sampled_from([0.005, 0.02, 0.1]),
    )
    def test_looks_keep_to_their_share_whatever_they_cost(self, step, look, scalars, fraction):
        budget = Budget(fraction)
        budget.look_cost = budget.look_time = look
        spent = 0.0
        for number in range(1, 2000):
            if budget.allows(number):
                credit = budget.at_credit
                budget.look_taken(look)
                spent += 0 if credit else look
            budget.steps_taken(1, step)
        assert spent <= fraction * budget.elapsed
        assert budget.credit_looks <= CREDIT_LOOKS
        assert budget.credit_spent <= 1.3 + look
        budget.scalar_cost = scalars
        stride = budget.scalar_stride(1 << 30)
        assert stride & (stride - 1) == 0
        assert scalars / stride <= fraction * step
        assert not budget.opening
        assert [budget.scalar_stride(n) for n in (1, 64, 127)] == [1, 1, 1]

    def test_the_opening_looks_more_often_the_longer_it_lasts(self):
        budget, looked = Budget(), []
        for step in range(1, 300):
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(1e-3)
            budget.steps_taken(1, 1e-5)
        assert looked == [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256]

    def test_dear_looks_leave_those_at_powers_of_two(self):
        budget, looked = Budget(), []
        for step in range(1, 300):
            assert (budget.next_on_credit(step) or 1e9) > step
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(6e-2)
            budget.steps_taken(1, 1e-5)
        between = [step for step in looked if step & (step - 1)]
        assert looked == sorted([1, 2, 4, 8, 16, 32, 64, 128, *between])
        assert between == [12, 24, 48, 80, 96, 112, 160, 192]  # eight of 60 ms

    def test_what_is_due_next_is_looked_at(self):
        budget, step = Budget(), 1
        looked = []
        while step is not None and step < 2000:
            assert budget.allows(step)
            budget.look_taken(2e-2)
            budget.steps_taken(1, 1e-5)
            looked.append(step)
            step = budget.next_on_credit(step)
        assert looked[-1] >= 128

    def test_the_credit_ends(self):
        budget, looked = Budget(), []
        for step in range(1, 300):
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(0.2)
            budget.steps_taken(1, 1e-5)
        assert looked == [1, 2, 4, 8, 12, 24]  # the first is apart; of 0.2 s each, three fit and two between

    def test_odd_steps_of_the_beginning_leave_credit_for_later_ones(self):
        budget, looked = Budget(), []
        for step in range(1, 2000):
            budget.burst(3)  # odd all the time
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(5e-3)
            budget.steps_taken(1, 1e-6)
        for first in (16, 32, 64, 128, 256, 512, 1024):
            assert any(first < step < 2 * first for step in looked)

    def test_a_busy_machine_costs_no_look_of_the_opening(self):
        budget, looked = Budget(), []
        for step in range(1, 300):
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(0.5, work=5e-3)
            budget.steps_taken(1, 1e-5)
        assert looked == [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256]
        assert budget.credit_spent == 9.0  # told as it was

    @given(step=st.floats(1e-4, 1.0), work=st.floats(1e-5, 0.1), load=st.floats(1.0, 30.0))
    def test_what_is_charged_to_the_run_is_time_as_it_sees_it(self, step, work, load):
        budget, spent = Budget(0.02), 0.0
        for number in range(1, 1000):
            if budget.allows(number):
                credit = budget.at_credit
                budget.look_taken(load * work, work)
                spent += 0 if credit else load * work
            budget.steps_taken(1, load * step)
        assert spent <= 0.02 * budget.elapsed

    def test_each_dear_reading_is_done_once_before_the_dearest_and_again_later(self):
        budget, done = Budget(), {"curvature": [], "terms": [], "rank": []}
        costs = {"curvature": 0.25, "terms": 0.02, "rank": 1e-4}
        for step in range(1, 300):
            if budget.allows(step):
                for name, cost in costs.items():
                    if budget.affords(name, cost / 5e-3):
                        done[name].append(step)
                        budget.dear_taken(name, cost)
                budget.look_taken(2e-3 + sum(cost for name, cost in costs.items() if step in done[name]))
            budget.steps_taken(1, 5e-3)
        assert done["curvature"] == [8, 16]  # a third would not fit
        assert done["terms"] == [2, 4, 32, 64, 128, 256]  # twice it is no dearer than a look
        assert done["rank"][:6] == [2, 4, 8, 12, 16, 24]
        assert budget.credit_spent <= 0.8

    def test_a_reading_that_is_done_layer_by_layer_is_one(self):
        budget, done = Budget(), []
        for step in range(1, 300):
            if budget.allows(step):
                if budget.affords("rank", 3.0):
                    done.append(step)
                    for _ in range(40):
                        budget.dear_taken("rank", 1e-3)
                budget.look_taken(2e-3 + 40e-3 * (step in done))
            budget.steps_taken(1, 5e-3)
        assert done == [2, 16, 32, 64, 128, 256]

    def test_what_the_opening_leaves_is_for_odd_steps(self):
        budget, looked = Budget(), []
        for step in range(1, 400):
            if step == 300:
                budget.burst(3)
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(5e-3)
            budget.steps_taken(1, 1e-4)
        assert looked[-6:] == [256, 300, 301, 302, 320, 384]
        assert budget.credit_looks == 8

    @pytest.mark.parametrize(("called", "looks"), [(300, [300, 301, 302, 320, 334, 384]), (286, [286, 287, 288, 320])])
    def test_what_may_last_is_looked_at_once_more(self, called, looks):
        """32 steps after the burst; a look on credit serves, too."""
        budget, looked = Budget(), []
        for step in range(1, looks[-1] + 1):
            if step == called:
                budget.burst(3, lasting=True)
            if budget.allows(step):
                looked.append(step)
                budget.look_taken(5e-3)
            budget.steps_taken(1, 1e-4)
        assert [step for step in looked if step > 256] == looks

    def test_forced(self):
        budget = Budget(every=3)
        assert [s for s in range(1, 10) if budget.allows(s)] == [3, 6, 9]


def test_short_steps_get_the_opening_looks_too():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching() as seen:
        for _ in range(140):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
    looked = [step for step, kind, _ in seen.events if kind == "look"]
    credit = [step for step in looked if step & (step - 1) == 0]
    assert credit == [2**k for k in range(len(credit))]
    assert len(credit) >= 4  # eight, where half a second is enough for them


class TestTrigger:
    def test_odd_is_far_above_the_past(self):
        trigger = LossTrigger()
        generator = torch.Generator().manual_seed(0)
        for noise in torch.randn(200, generator=generator).tolist():
            assert 2 + 0.1 * noise <= trigger.limit
            trigger.learn(2 + 0.1 * noise)
        assert trigger.limit < 4
        assert not (math.nan <= trigger.limit)
        trigger.learn(math.nan)
        assert math.isfinite(trigger.limit)

    @pytest.mark.parametrize(
        ("loss", "called"),
        [
            (lambda n: 2.0, [48, 64, 96, 128, 192, 256, 384]),  # a plateau
            (lambda n: 2.0 + (n - 100) / 100 * (n > 100), [48, 64, 96, 128, 192, 256, 384]),  # and a rise
            (lambda n: 3.0 / n, [384]),  # learning, until it has a tenth of what it had at the end of the first stretch
            (lambda n: 2.0 - n / 400, []),
        ],
    )
    def test_looks_are_called_for_where_the_loss_gets_nowhere_and_where_it_is_gone(self, loss, called):
        course = LossCourse()
        assert [n for n in range(1, 401) if course.learn(n, loss(n))] == called

    def test_noise_around_a_falling_loss_calls_for_nothing(self):
        course, generator = LossCourse(), torch.Generator().manual_seed(0)
        noise = torch.randn(400, generator=generator).tolist()
        assert not any(course.learn(n, 2 - n / 400 + 0.02 * noise[n]) for n in range(400))

    def test_a_loss_that_loses_its_noise_calls_for_looks_once(self):
        falls, generator = LossFalls(), torch.Generator().manual_seed(0)
        noise = torch.rand(100, generator=generator).tolist()
        assert not any(falls.learn(loss) for loss in noise)
        lowest = min(noise)
        assert [n for n in range(40) if falls.learn(lowest - n - 1)] == [6]  # the seventh in a row
        # a loss that never rises has none to lose, and what is no number is no fall
        falls = LossFalls()
        assert not any(falls.learn(loss) for loss in (1 / n for n in range(1, 100)))
        assert not any(falls.learn(math.nan) for _ in range(20))


class TestGraph:
    def test_leaves_are_in_order_of_use(self):
        a, b, c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        view = read_graph([a(b(c.weight.t().mean() + torch.ones(2, 3))).sum()])
        assert [id(x) for x in view.leaves] == [id(x) for x in (c.weight, b.weight, b.bias, a.weight, a.bias)]

    def test_sites_know_what_feeds_them_and_what_follows(self):
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())
        view = read_graph([net(torch.randn(2, 3)).sum()])
        assert [(s.kind, s.hidden, s.gate) for s in view.sites] == [
            ("relu", True, False),
            ("tanh", True, False),
            ("sigmoid", False, False),
        ]
        assert [s.producer is net[i].bias for s, i in zip(view.sites, (0, 2, 4), strict=True)] == [True] * 3

    def test_a_margin_is_no_activation_of_the_layer_that_made_the_rows(self):
        out = nn.Linear(3, 4)
        rows = out(torch.randn(6, 3))
        far = torch.cdist(rows, rows)
        assert not read_graph([(1.0 - far).relu().sum()]).sites
        assert not read_graph([(1.0 - rows.norm(dim=1)).relu().sum()]).sites
        assert not read_graph([rows[rows > 0].relu().sum()]).sites
        assert [s.producer is out.bias for s in read_graph([rows[:3].relu().sum()]).sites] == [True]
        alone = nn.Linear(3, 1)
        assert len(read_graph([alone(torch.randn(6, 3)).squeeze(1).relu().sum()]).sites) == 1

    def test_gates_are_told_apart(self):
        gate, value, head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 1)
        x = torch.randn(2, 3)
        view = read_graph([head(torch.sigmoid(gate(x)) * torch.tanh(value(x))).sum()])
        assert {s.kind: s.gate for s in view.sites} == {"sigmoid": True, "tanh": True}

    def test_weights_cast_by_autocast_are_found(self):
        net = nn.Linear(3, 4)
        with torch.autocast("cpu", torch.bfloat16):
            view = read_graph([net(torch.randn(2, 3)).float().sum()])
        assert {id(x) for x in view.leaves} == {id(net.weight), id(net.bias)}

    def test_reading_leaves_the_backward_as_it_was(self):
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        x = torch.randn(5, 3)
        expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
        loss = net(x).sum()
        read_graph([loss])
        for got, want in zip(torch.autograd.grad(loss, list(net.parameters())), expected, strict=True):
            assert torch.equal(got, want)

    def test_a_huge_graph_is_left_unread(self):
        x = nn.Parameter(torch.ones(1))
        y = x
        for _ in range(200):
            y = y * 1.01
        view = read_graph([y], limit=50)
        assert not view.complete


class TestDiscovery:
    def test_wrappers_shared_and_bare_parameters(self):
        class Wrapper(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

        inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        inner[1].weight = inner[0].weight
        outer, bare = Wrapper(inner), nn.Parameter(torch.zeros(3))
        models = find_models([inner, inner[0], outer, inner[1]], [*outer.parameters(), bare])
        assert [layer.name for layer in models.layers] == ["inner.0", "inner.1", "parameter.0"]
        assert [layer.numel for layer in models.layers] == [6, 2, 3]
        assert models.find(inner[1].weight).path == "inner.0.weight"

    def test_two_models_are_told_apart(self):
        a, b = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))
        models = find_models([a, b, *b], [*a.parameters(), *b.parameters()])
        assert sorted(layer.name for layer in models.layers) == ["Linear", "Sequential.0"]

    def test_nothing_keeps_a_model_alive(self):
        model = nn.Linear(2, 2)
        models = find_models([model], list(model.parameters()))
        del model
        gc.collect()
        assert models.layers[0].module() is None
        assert all(owned.ref() is None for owned in models.owned.values())


class TestFormulas:
    def test_moments(self):
        mean, rms = moments(torch.tensor([1.0, 2.0, 3.0]))
        assert (float(mean), float(rms)) == pytest.approx((2.0, math.sqrt(14 / 3)))

    def test_active_units_by_features_and_by_channels(self):
        x = torch.zeros(2, 3, 4)
        x[1, 2, 0] = 1
        assert active_units(x).tolist() == [True, False, False, False]
        assert active_units(x, 1).tolist() == [False, False, True]

    def test_saturation_is_where_the_derivative_is_below_two_percent(self):
        x = torch.linspace(-6, 6, 4001, dtype=torch.float64)
        for name, f in (("tanh", torch.tanh), ("sigmoid", torch.sigmoid)):
            z = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(f(z).sum(), z)
            expected = float((slope < 0.02 * slope.max()).double().mean())
            assert float(saturated_share(f(x), name)) == pytest.approx(expected, abs=1e-3)
        with pytest.raises(ValueError, match="kind must be one of"):
            saturated_share(x, "relu")

    @pytest.mark.parametrize(
        ("dtype", "gap"),
        [(torch.float16, 7.62), (torch.bfloat16, 5.55), (torch.float32, 16.64), (torch.float64, 36.74)],
    )
    def test_softmax_collapse_has_the_closed_form(self, dtype, gap):
        for shift, expected in ((-0.15, False), (0.15, True)):
            z = torch.tensor([[gap + shift, 0.0]], dtype=dtype)
            assert bool(collapsed(F.log_softmax(z, -1))) is expected

    def test_constant_losses_are_the_minimum_over_constants(self):
        y = torch.tensor([0, 0, 1, 2, 2, 2])
        z = torch.zeros(3, requires_grad=True)
        best = torch.optim.LBFGS([z], max_iter=100)

        def closure():
            best.zero_grad()
            loss = F.cross_entropy(z.expand(6, 3), y)
            loss.backward()
            return loss

        best.step(closure)
        assert constant_cross_entropy(y, 3) == pytest.approx(float(closure().detach()), abs=1e-5)
        once = torch.arange(8)
        assert constant_cross_entropy(once, 8) == pytest.approx(math.log(8))
        assert constant_cross_entropy(once, 300).isnan()  # their frequencies say nothing of those of 300 classes
        t = torch.tensor([[1.0, 4.0], [3.0, 0.0]])
        assert constant_mse(t) == pytest.approx(float(F.mse_loss(t.mean(0).expand(2, 2), t)))
        b = torch.tensor([1.0, 0, 0, 0])
        assert constant_binary_cross_entropy(b) == pytest.approx(
            float(F.binary_cross_entropy(torch.full((4,), 0.25), b))
        )

    @given(st.integers(-35, 30), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    def test_norms_neither_under_nor_overflow(self, exponent, dtype):
        x = torch.full((4,), 10.0**exponent, dtype=dtype)
        assert norms([x])[0] == pytest.approx(2 * float(x[0]), rel=1e-5)

    def test_norms_of_the_broken_and_the_empty(self):
        got = norms([torch.tensor([1.0, math.nan]), torch.tensor([math.inf]), torch.zeros(0), torch.zeros(2)])
        assert [math.isnan(got[0]), got[1], got[2], got[3]] == [True, math.inf, 0, 0]


class TestNeverInTheWay:
    def loop(self, model, optimizer, steps=6):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()

    @pytest.mark.parametrize(
        "where",
        [
            "step_under_way.loss_tensor",
            "gather.read_graph",
            "gather.read_gradients",
            "gather.Snapshot",
            "scene.census",
            "look.moments_of",
            "gather.StaleProbe",
        ],
    )
    def test_an_exception_of_ours_is_told_once_and_training_goes_on(self, where, monkeypatch, capsys):
        import importlib

        module, name = where.split(".")
        if name == "moments_of":
            module, name = "signals.activations", "moments"

        def broken(*args, **kwargs):
            raise RuntimeError("injected")

        monkeypatch.setattr(importlib.import_module(f"surefoot.observe.{module}"), name, broken)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        before = model[0].weight.detach().clone()
        with watching(1) as seen:
            self.loop(model, optimizer)
        assert not torch.equal(before, model[0].weight)
        assert len([n for n in seen.of("note") if "injected" in n["text"]]) == 1
        assert capsys.readouterr().err.count("injected") == 1
        if where not in ("step_under_way.loss_tensor", "scene.census"):
            assert len(seen.signal("loss")) == 6  # the other signals are still alive

    def test_errors_of_the_script_are_its_own(self):
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with watching(1) as seen:
            with pytest.raises(RuntimeError, match="does not require grad"):
                model(torch.randn(2, 3)).detach().sum().backward()
            with pytest.raises(RuntimeError, match="scalar outputs"):
                model(torch.randn(2, 3)).backward()
            self.loop(model, optimizer)
        assert seen.observer.clock.steps == 6
        assert not seen.of("note")

    def test_closures_are_inside_their_step(self):
        model = nn.Linear(3, 1)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
        x, y = torch.randn(20, 3), torch.randn(20, 1)

        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        with watching(1) as seen:
            losses = [optimizer.step(closure).item() for _ in range(4)]
        assert seen.observer.clock.steps == 4
        assert not seen.of("note")
        assert all(math.isfinite(v) for v in losses)
        assert len(seen.signal("gradient_norm")) == 4

    def test_other_threads_and_evaluation_are_left_alone(self):
        import threading

        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        other = nn.Linear(3, 1)
        other_optimizer = torch.optim.SGD(other.parameters(), 0.1)
        with watching(1) as seen:
            worker = threading.Thread(target=self.loop, args=(other, other_optimizer, 20))
            self.loop(model, optimizer, 1)  # the thread that trains first is the one that is watched
            worker.start()
            self.loop(model, optimizer, 5)
            with torch.no_grad():
                model(torch.randn(4, 3))
            worker.join()
        assert seen.observer.clock.steps == 6

    def test_a_gradient_scaler_is_seen_through(self):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        x = torch.randn(8, 3)
        with watching(1) as seen:
            for clip in (False, True, False):
                optimizer.zero_grad()
                loss = model(x).mean()
                scaler.scale(loss).backward()
                if clip:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
                scaler.step(optimizer)
                scaler.update()
        expected = math.sqrt(float(x.mean(0).square().sum()) + 1)
        assert list(seen.signal("gradient_norm").values()) == pytest.approx([expected] * 3, rel=1e-4)
        assert seen.signal("loss")[3] == pytest.approx(loss.item(), rel=1e-4)

    def test_a_skipped_step_leaves_nothing_behind(self):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        losses = []
        with watching(1) as seen:
            for step in range(4):
                optimizer.zero_grad()
                loss = model(torch.ones(8, 3)).mean()
                scaler.scale(loss).backward()
                if step == 1:
                    model.weight.grad[0, 0] = math.inf
                scaler.step(optimizer)
                scaler.update()
                losses.append(loss.item())
        assert seen.observer.clock.steps == 3
        assert list(seen.signal("loss").values()) == pytest.approx([losses[0], losses[2], losses[3]])

    @pytest.mark.parametrize("transparent", [True, False])
    def test_a_wrapped_optimiser_is_one(self, transparent):
        class Transparent(torch.optim.Optimizer):
            """As accelerate's: torch does not know of its steps."""

            def __init__(self, optimizer):
                self.optimizer = optimizer

            def zero_grad(self, set_to_none=True):
                self.optimizer.zero_grad(set_to_none)

            def step(self, closure=None):
                self.optimizer.step(closure)

        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        inner = torch.optim.SGD(model.parameters(), 0.1)
        optimizer = Transparent(inner) if transparent else OrthogonalGrad(inner)
        with watching(1) as seen:
            self.loop(model, optimizer, 5)
        assert seen.observer.clock.steps == 5
        assert [s.name for s in seen.observer.clock.states] == [""]
        assert len(seen.signal("loss")) == len(seen.signal("update_norm")) == 5

    def test_folds_are_one_run(self):
        def fold():
            model = nn.Linear(3, 1)
            self.loop(model, torch.optim.SGD(model.parameters(), 0.1), 10)

        with watching() as seen:
            for _ in range(4):
                fold()
        assert seen.observer.clock.steps == 40
        assert not seen.of("note")

    def test_given_models_and_optimisers_only(self):
        a, b = nn.Linear(3, 1), nn.Linear(3, 1)
        oa, ob = torch.optim.SGD(a.parameters(), 0.1), torch.optim.SGD(b.parameters(), 0.1)
        with watching(1, models=[a], optimizers=[oa]) as seen:
            self.loop(b, ob, 3)
            self.loop(a, oa, 4)
        assert seen.observer.clock.steps == 4
        assert [m["name"] for m in seen.of("modules")[-1]["modules"]] == ["Linear"]

    def test_torch_compile_is_left_alone(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        fast = torch.compile(model, backend="eager")
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch._dynamo.utils.counters.clear()
        with watching(1) as seen:
            self.loop(fast, optimizer, 5)
        compiled = torch._dynamo.utils.counters["frames"]["total"]
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        assert compiled == 1  # no hook made it compile again
        assert not seen.of("note")
        assert len(seen.signal("gradient_norm")) == 5
        assert list(seen.signal("activation_rms", "2")) == [2, 3, 4, 5]  # replayed eagerly, once the model is known

    def test_scripted_models_run(self):
        scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)))
        optimizer = torch.optim.SGD(scripted.parameters(), 0.1)
        with watching(1) as seen:
            self.loop(scripted, optimizer, 4)
        assert seen.observer.clock.steps == 4
        assert len(seen.signal("gradient_norm")) == 4

    def test_sparse_gradients(self):
        model = nn.Sequential(nn.Embedding(7, 3, sparse=True), nn.Linear(3, 1, bias=False))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.tensor([1, 1, 2])).sum().backward()
                dense = model[0].weight.grad.to_dense().norm()
                optimizer.step()
        got = seen.signal("gradient_rms", "0")[3]
        assert got * math.sqrt(2 * 3) == pytest.approx(float(dense), rel=1e-5)  # over the two rows that were touched
