"""What is recorded is what a slow, plain computation gives."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from loops import train
from surefoot.observe.clock import TAKES_OVER
from watching import watching


def one_step(model, optimizer, x, y, loss_fn=F.cross_entropy, clip=None):
    """A training step; returns loss, gradients before clipping, weights before and after."""
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    before = [p.detach().clone() for p in model.parameters()]
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.item(), gradients, before, [p.detach().clone() for p in model.parameters()]


def rms(tensors):
    flat = torch.cat([t.flatten().double() for t in tensors])
    return float(flat.square().mean().sqrt())


@pytest.mark.parametrize("clip", [None, 0.01])
def test_gradients_weights_updates_against_a_dense_reference(clip):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    x, y = torch.randn(32, 6), torch.randint(3, (32,))
    with watching(1) as seen:
        reference = [one_step(model, optimizer, x, y, clip=clip) for _ in range(4)]
    for step, (loss, gradients, before, after) in enumerate(reference, 1):
        assert seen.signal("loss")[step] == pytest.approx(loss)
        for place, layer in enumerate(("0", "2")):
            own = slice(2 * place, 2 * place + 2)
            assert seen.signal("gradient_rms", layer)[step] == pytest.approx(rms(gradients[own]), rel=1e-5)
            assert seen.signal("weight_rms", layer)[step] == pytest.approx(rms(before[own]), rel=1e-5)
            updates = [b - a for a, b in zip(before[own], after[own], strict=True)]
            assert seen.signal("update_rms", layer)[step] == pytest.approx(rms(updates), rel=1e-4)
        promised = -sum(float((g * (b - a)).sum()) for g, a, b in zip(gradients, before, after, strict=True))
        assert seen.signal("predicted_decrease")[step] == pytest.approx(promised, rel=1e-4)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        assert seen.signal("gradient_norm")[step] == pytest.approx(norm, rel=1e-5)
    assert seen.signal("learning_rate") == dict.fromkeys(range(1, 5), 0.5)


@pytest.mark.parametrize("tensor", [False, True])
def test_the_highest_rate_of_all_groups_is_recorded(tensor):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    rate = torch.tensor(0.02) if tensor else 0.02
    optimizer = torch.optim.Adam([{"params": model[0].parameters()}], lr=rate)
    x, y = torch.randn(8, 4), torch.randint(2, (8,))
    with watching(1) as seen:
        for step in range(4):
            if step == 2:
                optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.5})
            one_step(model, optimizer, x, y)
    assert seen.signal("learning_rate") == {1: pytest.approx(0.02), 2: pytest.approx(0.02), 3: 0.5, 4: 0.5}


def test_large_tensors_are_sampled_within_two_percent():
    torch.manual_seed(0)
    model = nn.Linear(600, 700)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        _, gradients, before, after = one_step(model, optimizer, torch.randn(8, 600), torch.randint(700, (8,)))
    layer = "Linear"
    assert seen.signal("weight_rms", layer)[1] == pytest.approx(rms(before), rel=0.02)
    assert seen.signal("gradient_rms", layer)[1] == pytest.approx(rms(gradients), rel=1e-3)
    promised = -sum(float((g * (b - a)).sum()) for g, a, b in zip(gradients, before, after, strict=True))
    assert seen.signal("predicted_decrease")[1] == pytest.approx(promised, rel=0.1)


def test_tiny_gradients_do_not_underflow_to_zero():
    model = nn.Linear(3, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    with watching(1) as seen:
        one_step(model, optimizer, torch.ones(2, 3), None, lambda out, _: out.mean() * 1e-30)
    assert seen.signal("gradient_rms", "Linear")[1] == pytest.approx(1e-30, rel=1e-4)


def test_constant_loss_and_logits():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    x, y = torch.randn(8, 4), torch.tensor([0, 0, 0, 0, 1, 1, 2, -100])
    with watching(1) as seen:
        for _ in range(2):
            one_step(model, optimizer, x, y)
    p = np.array([4, 2, 1]) / 7
    assert seen.signal("constant_loss")[1] == pytest.approx(-(p * np.log(p)).sum())
    logits = model(x).detach()
    assert seen.signal("logit_max", "cross_entropy")[2] == pytest.approx(float(logits.abs().max()))
    assert seen.signal("num_classes", "cross_entropy")[2] == 3
    assert seen.signal("softmax_collapse_share", "cross_entropy")[1] == 0


def test_constant_loss_of_a_sum_counts_the_labels_that_count():
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    y = torch.tensor([0, 0, 0, 0, 1, 1, 2, -100])
    with watching(1) as seen:
        one_step(model, optimizer, torch.randn(8, 4), y, lambda z, y: F.cross_entropy(z, y, reduction="sum"))
    p = np.array([4, 2, 1]) / 7
    assert seen.signal("constant_loss")[1] == pytest.approx(-7 * (p * np.log(p)).sum())


@pytest.mark.parametrize(
    ("loss_fn", "name", "expected"),
    [
        (lambda z: F.mse_loss(z, torch.arange(6.0).view(6, 1)), "mse_loss", 35 / 12),
        (
            lambda z: F.binary_cross_entropy_with_logits(z, torch.tensor([[1.0], [0], [0], [0], [0], [0]])),
            "binary_cross_entropy_with_logits",
            -(1 / 6 * math.log(1 / 6) + 5 / 6 * math.log(5 / 6)),
        ),
        # of 0 … 5 the best constant is 2.5: distances 2.5, 1.5, 0.5 twice each
        (lambda z: F.smooth_l1_loss(z, torch.arange(6.0).view(6, 1)), "smooth_l1_loss", (2.0 + 1.0 + 0.125) / 3),
        (lambda z: F.huber_loss(z, torch.arange(6.0).view(6, 1), delta=2.0), "huber_loss", (3.0 + 1.125 + 0.125) / 3),
        (lambda z: F.mse_loss(z, torch.arange(6.0).view(6, 1), reduction="sum"), "mse_loss", 35 / 2),
        # what is made of a sum is not known: a mean, mostly
        (lambda z: F.mse_loss(z, torch.arange(6.0).view(6, 1), reduction="sum") / 6, "mse_loss", 35 / 12),
    ],
    ids=["mse", "bce", "smooth_l1", "huber", "sum", "sum over rows"],
)
def test_constant_loss_of_other_losses(loss_fn, name, expected):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        one_step(model, optimizer, torch.randn(6, 2), None, lambda z, _: loss_fn(z))
    assert seen.signal("constant_loss")[1] == pytest.approx(expected, rel=1e-5)
    assert seen.signal("activation_before", name)[1] == 0


@pytest.mark.parametrize(
    ("output", "loss_fn", "name", "code"),
    [
        (lambda z: z.softmax(-1), F.cross_entropy, "cross_entropy", 1),
        (lambda z: z.log_softmax(-1), F.cross_entropy, "cross_entropy", 2),
        (lambda z: z.log_softmax(-1), F.nll_loss, "cross_entropy", 0),
        (lambda z: z, F.cross_entropy, "cross_entropy", 0),
        (
            lambda z: z.sigmoid(),
            lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, 3).float()),
            "binary_cross_entropy_with_logits",
            3,
        ),
    ],
    ids=["softmax", "log-softmax", "nll", "logits", "sigmoid"],
)
def test_what_stands_before_the_loss(output, loss_fn, name, code):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        one_step(model, optimizer, torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]), lambda z, y: loss_fn(output(z), y))
    assert seen.signal("activation_before", name)[1] == code
    if code == 1:
        assert seen.signal("row_sum_error", name)[1] < 1e-5


def _yes_or_no(loss_fn):
    return lambda z, y: loss_fn(z, F.one_hot(y, 3).float())


@pytest.mark.parametrize(
    ("loss_fn", "name", "code"),
    [
        (lambda z, y: F.cross_entropy(z.softmax(-1).clamp(1e-6, 1), y), "cross_entropy", 1),
        (lambda z, y: F.cross_entropy(z.softmax(-1) + 1e-8, y), "cross_entropy", 1),
        (
            lambda z, y: F.cross_entropy(torch.stack([z.softmax(-1), z.relu().softmax(-1)]).mean(0), y),
            "cross_entropy",
            1,
        ),
        (lambda z, y: F.cross_entropy(torch.stack([z.softmax(-1), z]).mean(0), y), "cross_entropy", 0),
        (lambda z, y: F.cross_entropy(10 * z.softmax(-1), y), "cross_entropy", 0),  # a temperature: they are logits
        (lambda z, y: F.cross_entropy(torch.log(z.softmax(-1) + 1e-8), y), "cross_entropy", 2),
        (lambda z, y: F.cross_entropy(z.log_softmax(-1).exp(), y), "cross_entropy", 1),
        (lambda z, y: F.cross_entropy(z.exp() / z.exp().sum(-1, keepdim=True), y), "cross_entropy", 1),
        (lambda z, y: F.cross_entropy((e := z.exp()) / e.sum(-1, keepdim=True), y), "cross_entropy", 1),
        (lambda z, y: F.cross_entropy(z.exp() / z.tanh().exp().sum(-1, keepdim=True), y), "cross_entropy", 0),
        (lambda z, y: F.cross_entropy(z.exp(), y), "cross_entropy", 0),
        (lambda z, y: F.nll_loss(torch.log(z.softmax(-1)), y), "nll_loss", 2),
        (lambda z, y: F.nll_loss(torch.log(z.softmax(-1).softmax(-1)), y), "nll_loss", 4),
        (lambda z, y: F.nll_loss(z.sigmoid(), y), "nll_loss", 3),
        (_yes_or_no(lambda z, t: F.binary_cross_entropy(z.sigmoid(), t)), "binary_cross_entropy", 3),
        (_yes_or_no(lambda z, t: F.binary_cross_entropy(z.sigmoid().sigmoid(), t)), "binary_cross_entropy", 5),
        (_yes_or_no(lambda z, t: -(t * F.logsigmoid(z.sigmoid())).mean()), "logsigmoid", 3),
        (_yes_or_no(lambda z, t: (F.softplus(-z.sigmoid()) * t).mean()), "softplus", 3),
        (lambda z, y: -torch.distributions.Categorical(logits=z.softmax(-1)).log_prob(y).mean(), "logsumexp", 1),
    ],
)
def test_what_stands_before_a_loss_of_ones_own(loss_fn, name, code):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(2):
            one_step(model, optimizer, torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]), loss_fn)
    assert seen.signal("activation_before", name)[1] == code
    right = {"cross_entropy": (0, 2), "nll_loss": (2,), "binary_cross_entropy": (3,)}.get(name, ())
    assert ("double-softmax" in seen.findings()) == (code not in right)


@pytest.mark.parametrize(
    "loss_fn",
    [
        _yes_or_no(lambda z, t: -(t * F.logsigmoid(z)).mean()),
        _yes_or_no(lambda z, t: (F.softplus(-z) * t).mean()),
        lambda z, y: -torch.distributions.Categorical(logits=z).log_prob(y).mean(),
        lambda z, y: -torch.distributions.Categorical(probs=z.softmax(-1)).log_prob(y).mean(),
        _yes_or_no(lambda z, t: F.softplus(z[:, 0].sigmoid() - z[:, 1].sigmoid()).mean()),  # a margin between scores
    ],
)
def test_a_loss_of_ones_own_that_squashes_once(loss_fn):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(3):
            one_step(model, optimizer, torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]), loss_fn)
    assert "double-softmax" not in seen.findings()


@pytest.mark.parametrize("last", [True, False])
def test_of_two_heads_the_one_that_is_misread_is_told(last):
    model = nn.Linear(4, 5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    y = torch.tensor([0, 1, 2, 0, 1])

    def loss(z, y):
        heads = [F.cross_entropy(z[:, :3].softmax(-1), y), 0.5 * F.cross_entropy(z[:, 3:], y % 2)]
        return sum(heads if last else heads[::-1])

    with watching(1) as seen:
        one_step(model, optimizer, torch.randn(5, 4), y, loss)
    assert seen.signal("activation_before", "cross_entropy")[1] == 1
    assert seen.signal("num_classes", "cross_entropy")[1] == 3


class EndsInLogSoftmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return F.log_softmax(self.head(torch.tanh(self.body(x))), dim=1)


def test_logits_below_a_log_softmax_of_the_models_own():
    torch.manual_seed(0)
    model, x, y = EndsInLogSoftmax(), torch.randn(5, 6), torch.randint(3, (5,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(every=1) as seen:
        for _ in range(3):
            with torch.no_grad():
                logits = model.head(torch.tanh(model.body(x)))
            optimizer.zero_grad()
            F.nll_loss(model(x), y).backward()
            optimizer.step()
    assert seen.signal("logit_max", "cross_entropy")[3] == pytest.approx(logits.abs().max().item(), rel=1e-5)
    assert seen.signal("log_partition_mean", "cross_entropy")[3] == pytest.approx(logits.logsumexp(1).mean().item())


class Functional(nn.Module):
    """Activations that are functions, not modules."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(1, 6, 3), nn.Linear(6 * 36, 10), nn.Linear(10, 2)
        with torch.no_grad():
            self.conv.bias[:3] = -100.0
            self.fc1.weight.mul_(100)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(F.relu(self.conv(x)).flatten(1))))


@pytest.mark.parametrize("means", [None, "borrow"])
def test_functional_activations_are_seen(means):
    torch.manual_seed(0)
    model = Functional()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    x = torch.randn(16, 1, 8, 8)
    with watching(1, means) as seen:
        for _ in range(3):
            one_step(model, optimizer, x, torch.randint(2, (16,)))
    assert seen.signal("dead_share", "conv")[3] == pytest.approx(0.5)
    hidden = torch.tanh(model.fc1(F.relu(model.conv(x)).flatten(1)))
    assert seen.signal("saturated_share", "fc1")[3] == pytest.approx(
        float((hidden.abs() > math.sqrt(0.98)).float().mean()), abs=0.02
    )
    assert not seen.signal("saturated_share", "fc2")


def test_a_unit_is_dead_only_if_it_was_silent_in_several_looks():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
        model[0].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watching(1) as seen:
        for step in range(4):  # one unit is active in each batch
            one_step(model, optimizer, F.one_hot(torch.full((3,), step), 4).float(), None, lambda z, _: z.mean())
    assert list(seen.signal("dead_share", "0").values()) == [0.75, 0.5, 0.25, 0.0]


def test_layers_are_in_order_of_execution_not_of_definition():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(3, 1), nn.Linear(3, 3)

        def forward(self, x):
            return self.last(self.first(x).relu())

    model = Backwards()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1, models=[model], optimizers=[optimizer]) as seen:  # whatever another test has left alive
        one_step(model, optimizer, torch.randn(2, 3), None, lambda z, _: z.mean())
    assert [m["name"] for m in seen.of("modules")[-1]["modules"]] == ["first", "last"]


def test_several_optimisers_have_a_name_and_a_loss_each():
    torch.manual_seed(0)
    netG, netD = nn.Linear(2, 2), nn.Linear(2, 1)
    optG, optD = torch.optim.SGD(netG.parameters(), 0.1), torch.optim.Adam(netD.parameters(), 0.01)
    with watching(1) as seen:
        for _ in range(3):
            z = torch.randn(4, 2)
            optD.zero_grad()
            loss_d = netD(netG(z).detach()).mean()
            loss_d.backward()
            optD.step()
            optG.zero_grad()
            loss_g = -netD(netG(z)).mean()
            loss_g.backward()
            optG.step()
    names = {s.name for s in seen.observer.clock.states}
    assert names == {"SGD", "Adam"}
    assert seen.observer.clock.steps == 3
    assert set(seen.signal("loss", "SGD")) == set(seen.signal("loss", "Adam")) == {1, 2, 3}
    assert seen.signal("loss", "SGD")[3] == pytest.approx(loss_g.item())
    assert seen.signal("loss", "Adam")[3] == pytest.approx(loss_d.item())
    assert seen.signal("learning_rate", "Adam")[2] == pytest.approx(0.01)
    # the discriminator's gradient is left over by the generator's backward, but cleared before its own
    assert set(seen.signal("stale_gradient_share", "Adam").values()) <= {0.0, 1.0}


class TestWiring:
    def test_gradients_that_are_never_cleared(self):
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(4):
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        assert set(seen.signal("stale_gradient_share").values()) == {1.0}

    @pytest.mark.parametrize("to_none", [True, False])
    @pytest.mark.parametrize("micro", [1, 3])
    def test_cleared_gradients_and_accumulation_are_not_stale(self, to_none, micro):
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(4):
                optimizer.zero_grad(set_to_none=to_none)
                for _ in range(micro):
                    (model(torch.randn(5, 3)).mean() / micro).backward()
                optimizer.step()
        assert set(seen.signal("stale_gradient_share").values()) == {0.0}

    def test_parameters_that_no_optimiser_holds(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        optimizer = torch.optim.SGD(model[2].parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(4):
                optimizer.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        assert seen.signal("missed_parameters")[4] == 2
        assert seen.of("missed")[0]["parameters"] == ["0.weight", "0.bias"]
        assert not seen.of("missed")[0]["left"]

    def test_parameters_whose_optimiser_is_gone_have_been_left(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        with watching(1) as seen:
            for trained in (model, model[2]):
                optimizer = torch.optim.SGD(trained.parameters(), 1e-3)
                for _ in range(4):
                    optimizer.zero_grad()
                    model(torch.randn(5, 3)).mean().backward()
                    optimizer.step()
        assert seen.of("missed") and all(event["left"] for event in seen.of("missed"))

    def test_an_optimiser_that_rests_no_longer_holds_its_parameters(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        whole, head = torch.optim.SGD(model.parameters(), 1e-3), torch.optim.SGD(model[2].parameters(), 1e-3)
        with watching(1) as seen:
            for step in range(200):
                optimizer = whole if step < 20 else head
                optimizer.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        missed = [step for step, count in seen.signal("missed_parameters").items() if count == 2]
        # `head` leads once it has stepped 20 times, too; 64 more are let pass
        assert min(missed) == 20 + TAKES_OVER + 3 and max(missed) == 180
        assert {(event["left"], event["rests_since"]) for event in seen.of("missed")} == {(True, 20 + TAKES_OVER)}

    def test_a_player_that_waits_for_its_turn_holds_its_parameters(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        players = torch.optim.SGD(model[0].parameters(), 1e-3), torch.optim.SGD(model[2].parameters(), 1e-3)
        with watching(1) as seen:
            for step in range(200):
                optimizer = players[step % 50 > 3]
                optimizer.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        assert set(seen.signal("missed_parameters").values()) == {0.0}

    def test_a_player_whose_optimiser_holds_the_other_one(self):
        maker, judge = nn.Linear(2, 3), nn.Linear(3, 1)
        players = torch.optim.SGD(judge.parameters(), 1e-3), torch.optim.SGD(judge.parameters(), 1e-3)
        with watching() as seen:
            for _ in range(64):
                for player, made in zip(
                    players, (maker(torch.randn(5, 2)), maker(torch.randn(5, 2)).detach()), strict=True
                ):
                    player.zero_grad()
                    judge(made).mean().backward()
                    player.step()
        assert "optimizer-misses-parameters" in seen.findings()
        assert set(seen.of("missed")[-1]["parameters"]) == {"Linear.weight", "Linear.bias"}

    @pytest.mark.parametrize(("copy", "detached"), [(True, False), (True, True), (False, False)])
    def test_a_target_network_is_a_copy_and_what_began_elsewhere_is_none(self, copy, detached):
        online, target = (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(2))
        if copy:
            target.load_state_dict(online.state_dict())
        optimizer = torch.optim.SGD(online.parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(8):
                wanted = target(torch.randn(5, 3))
                optimizer.zero_grad()
                F.mse_loss(online(torch.randn(5, 3)), wanted.detach() if detached else wanted).backward()
                optimizer.step()
        assert {event["copies"] for event in seen.of("missed")} == (set() if detached else {copy})
        found = seen.findings().get("optimizer-misses-parameters")
        assert (None if found is None else found.severity) == (None if detached else "info" if copy else "warning")

    def test_layers_of_one_stack_are_no_copies_though_they_begin_alike(self):
        layer = nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)
        model = nn.TransformerEncoder(layer, 2)
        optimizer = torch.optim.SGD(model.layers[0].parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(4):
                optimizer.zero_grad()
                model(torch.randn(2, 3, 4)).square().mean().backward()
                optimizer.step()
        assert seen.of("missed") and not any(event["copies"] for event in seen.of("missed"))

    def test_frozen_and_hand_updated_parameters_are_not_missed(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        model[0].weight.requires_grad_(False)
        optimizer = torch.optim.SGD(model[2].parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(4):
                model.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
                with torch.no_grad():
                    model[0].bias -= 0.1 * model[0].bias.grad
        assert set(seen.signal("missed_parameters").values()) == {0.0}

    def test_copies_in_another_optimiser_and_optimisers_to_come_hold_parameters(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        copies = [p.detach().clone().requires_grad_(True) for p in model[0].parameters()]
        optimizer = torch.optim.SGD([*copies, model[2].weight], 1e-3)
        with watching(1) as seen:
            for step in range(5):
                if step == 1:
                    later = torch.optim.SGD([model[2].bias], 1e-3)  # is not stepped so far
                model.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
                with torch.no_grad():
                    for p, copy in zip(model[0].parameters(), copies, strict=True):
                        copy -= 0.1 * p.grad
                        p.data.copy_(copy)
        assert later.param_groups and set(seen.signal("missed_parameters").values()) == {0.0}

    def test_a_change_of_what_is_trained_calls_for_looks(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD(model[2].parameters(), 1e-3)
        with watching() as seen:
            for step in range(1, 161):
                if step == 100:
                    model[0].requires_grad_(True)
                optimizer.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        missed = [step for step, count in seen.signal("missed_parameters").items() if count == 2]
        assert len(missed) >= 3 and min(missed) > 100 and sorted(missed)[2] <= 124

    def test_layers_without_a_graph_run_where_the_model_trains(self):
        class Cut(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder, self.head = nn.Linear(3, 3), nn.Linear(3, 1)

            def forward(self, x):
                with torch.no_grad():
                    x = self.encoder(x)
                return self.head(x)

        model, other = Cut(), nn.Linear(3, 3)
        optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()], 1e-3)
        with watching(1) as seen:
            for _ in range(3):
                with torch.no_grad():
                    x = other(torch.randn(5, 3))  # of its own: an evaluation, for all one can know
                optimizer.zero_grad()
                model(x).mean().backward()
                optimizer.step()
        called = [seen.signal("called", where)[3] for where in ("Cut.encoder", "Cut.head", "Linear")]
        assert called == [1, 1, 0]
        assert seen.signal("gradient_share", "Cut.encoder")[3] == 0

    def test_detached_layers_get_no_gradient_but_are_called(self):
        class Cut(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder, self.head = nn.Linear(3, 3), nn.Linear(3, 1)

            def forward(self, x):
                return self.head(self.encoder(x).detach())

        model = Cut()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        with watching(1) as seen:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(5, 3)).mean().backward()
                optimizer.step()
        assert seen.signal("gradient_share", "encoder")[3] == 0
        assert seen.signal("gradient_share", "head")[3] == 1
        assert seen.signal("called", "encoder")[3] == 1


class TestCulprit:
    def run(self, forward, weights=None, x=None):
        torch.manual_seed(0)  # a ReLU may hide what is −∞
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        if weights is not None:
            weights(model)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        with watching() as seen:
            optimizer.zero_grad()
            forward(model, torch.randn(5, 3) if x is None else x).backward()
            optimizer.step()
        [culprit] = seen.of("nonfinite")
        return culprit

    def test_a_weight(self):
        def spoil(model):
            with torch.no_grad():
                model[2].weight[0, 0] = float("nan")

        found = self.run(lambda m, x: m(x).sum(), spoil)
        assert (found["kind"], found["where"], found["value"]) == ("weight", "2", "nan")

    def test_the_data(self):
        x = torch.randn(5, 3)
        x[2, 1] = float("inf")
        found = self.run(lambda m, x: m(x).sum(), x=x)
        assert (found["kind"], found["where"], found["value"], found["dtype"]) == ("input", "0", "inf", "float32")

    def test_an_operation(self):
        found = self.run(lambda m, x: ((m[0](x) * 0).log() * m[0](x)).sum())
        assert (found["kind"], found["where"], found["operation"]) == ("activation", "0", "log")

    @pytest.mark.parametrize(("shift", "value"), [(0.0, "-inf"), (-1.0, "nan")])
    def test_a_logarithm_of_the_last_numbers(self, shift, value):
        found = self.run(lambda m, x: -(m(x) * 0 + shift).log().sum())
        assert (found["kind"], found["where"], found["operation"], found["value"]) == ("activation", "2", "log", value)

    def test_a_loss_that_saved_nothing(self):
        found = self.run(lambda m, x: m(x).sum() + float("inf"))
        assert (found["kind"], found["where"], found["value"]) == ("loss", "", "inf")


def test_a_slower_optimiser_writes_at_the_runs_own_step():
    torch.manual_seed(0)
    net, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    slow, fast = torch.optim.SGD(net.parameters(), 0.1), torch.optim.Adam(critic.parameters(), 0.01)
    with watching(1) as seen:
        for _ in range(3):
            for _ in range(5):
                fast.zero_grad()
                critic(net(torch.randn(4, 2)).detach()).mean().backward()
                fast.step()
            slow.zero_grad()
            critic(net(torch.randn(4, 2))).mean().backward()
            slow.step()
    assert seen.observer.clock.steps == 15
    assert set(seen.signal("loss", "Adam")) == set(range(1, 16))
    assert set(seen.signal("loss", "SGD")) == {5, 10, 15}
    steps = [step for step, _, _ in seen.rows]
    assert steps == sorted(steps)


@pytest.mark.parametrize("first", [0, 1])
def test_all_optimisers_have_a_loss_and_a_rate_at_steps_that_nobody_looks_at(first):
    torch.manual_seed(0)
    players = [nn.Linear(3, 1), nn.Linear(3, 1)]
    optimizers = [torch.optim.SGD(p.parameters(), 0.1) for p in players]
    with watching(every=10) as seen:
        for step in range(20):
            for i in (first, 1 - first):
                optimizers[i].param_groups[0]["lr"] = 0.1 / (step + 1)
                one_step(players[i], optimizers[i], torch.ones(2, 3), torch.zeros(2, 1), F.mse_loss)
    for name in ("SGD", "SGD2"):
        assert len(seen.signal("learning_rate", name)) >= 19 and len(seen.signal("loss", name)) >= 19


@pytest.mark.parametrize("kind", ["mlp", "cnn", "transformer"])
def test_numbers_that_come_late_are_the_same_numbers(kind):
    """The path that accelerators take: nothing is read in the step, everything arrives later and in order."""

    def rows(delayed):
        with watching(1, delayed=delayed) as seen:
            train(kind, 8)
        assert not seen.of("note"), seen.of("note")
        assert [step for step, _, _ in seen.rows] == sorted(step for step, _, _ in seen.rows)
        return {
            (step, column): value
            for step, family, values in seen.rows
            for column, value in zip(family.columns, values.tolist(), strict=True)
            if column[0] != "step_time" and not math.isnan(value)
        }

    assert rows(True) == rows(False)


def test_nothing_is_read_from_a_device_within_a_step():
    class NoWaiting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert "_local_scalar_dense" not in str(function), "this would wait for a device"
            assert not str(function).startswith("aten.nonzero"), "this would wait for a device"
            return function(*args, **(kwargs or {}))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(16, 4), torch.randint(3, (16,))
    with watching(1, delayed=True) as seen:
        for step in range(4):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            # the first step also finds the models; gradients on the CPU are compared with zero
            with NoWaiting() if step else nullcontext():
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
                optimizer.step()
    assert not seen.of("note"), seen.of("note")
    assert len(seen.signal("gradient_rms", "0")) == 4


@pytest.mark.parametrize("delayed", [False, True])
def test_losses_of_two_players_that_take_their_gradients_apart(delayed):
    """``backward(inputs=…)`` of both, then both steps: of a zero-sum game the sum of the two would be nothing."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    optimizers = [torch.optim.SGD(m.parameters(), 0.01) for m in (first, second)]
    losses = []
    with watching(1, delayed=delayed) as seen:
        for _ in range(4):
            game = second(first(torch.randn(8, 4))).square().mean()
            losses.append(game.item())
            for optimizer in optimizers:
                optimizer.zero_grad()
            game.backward(inputs=list(first.parameters()), retain_graph=True)
            (-game).backward(inputs=list(second.parameters()))
            for optimizer in optimizers:
                optimizer.step()
    found = [seen.signal("loss", name) for name in ("SGD", "SGD2")]
    for step in (3, 4):  # both are known since step 2
        assert found[0][step] == pytest.approx(losses[step - 1]) and found[1][step] == pytest.approx(-losses[step - 1])
