"""What is read of batches, inputs and loss terms: against plain computations, and without a bit of the run changed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from surefoot.analysis.samples import column_errors
from surefoot.observe.signals.batch import sample_input
from watching import watching


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def mlp(inputs=6, outputs=3):
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


def test_batches_are_known_as_sets_and_samples_by_their_rows():
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(30, 6), torch.randint(3, (30,))
    parts = [torch.arange(0, 10), torch.arange(10, 20), torch.randperm(10), torch.arange(5, 15)]
    with watching(1) as seen:
        step(optimizer, F.cross_entropy(model(x), y))
        for part in parts:
            step(optimizer, F.cross_entropy(model(x[part]), y[part]))
    assert not seen.of("note")
    # identity begins anew at step 2, where the input comes from a hook and no longer from the graph
    assert seen.signal("distinct_batches") == {1: 1, 2: 1, 3: 2, 4: 2, 5: 3}
    assert seen.signal("batch_returned") == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0}
    assert seen.signal("repeated_share") == {1: 0, 2: 0, 3: 0, 4: 1, 5: 1}
    assert seen.signal("distinct_samples")[5] == 20
    assert seen.signal("batch_rows") == {1: 30, 2: 10, 3: 10, 4: 10, 5: 10}


@pytest.mark.parametrize("delayed", [False, True])
def test_losses_of_the_same_samples(delayed):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    x, y = torch.randn(20, 6), torch.randint(3, (20,))
    rows = []
    with watching(1, delayed=delayed) as seen:
        for _ in range(5):
            losses = F.cross_entropy(model(x), y, reduction="none")
            rows.append(losses.detach())
            step(optimizer, F.cross_entropy(model(x), y))
    for at in (3, 4, 5):
        change = rows[at - 1] - rows[at - 2]
        assert seen.signal("sample_loss_change")[at] == pytest.approx(change.square().mean().sqrt().item(), rel=1e-4)
        assert seen.signal("sample_loss_risen")[at] == pytest.approx((change > 0).float().mean().item())
        assert seen.signal("row_loss_max")[at] == pytest.approx(rows[at - 1].max().item(), rel=1e-5)


@pytest.mark.parametrize("taken", [torch.tensor([3, 1, 18, 7]), torch.arange(20) % 3 == 0])
def test_losses_of_the_rows_that_an_index_takes(taken):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    x, y = torch.randn(20, 6), torch.randint(3, (20,))
    rows = []
    with watching(1) as seen:
        for _ in range(11):
            rows.append(F.cross_entropy(model(x)[taken], y[taken], reduction="none").detach())
            step(optimizer, F.cross_entropy(model(x)[taken], y[taken]))
    assert not seen.of("note") and seen.signal("batch_rows")[5] == 20
    change = rows[4] - rows[3]
    assert seen.signal("sample_loss_change")[5] == pytest.approx(change.square().mean().sqrt().item(), rel=1e-4)
    assert seen.signal("sample_loss_risen")[5] == pytest.approx((change > 0).float().mean().item())
    assert seen.signal("opposing_concentration")  # of eight changes in a row


def test_rows_that_are_not_the_inputs_have_no_samples():
    embed, head = nn.Embedding(9, 8), nn.Linear(8, 9)
    model = nn.Sequential(embed, head)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(4):
            tokens = torch.randint(9, (4, 7))
            step(optimizer, F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()))
    assert seen.signal("batch_rows")[4] == 4 and seen.signal("row_loss_max")
    assert not seen.signal("sample_loss_change")


def test_inputs_are_measured_where_they_enter():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x = torch.rand(5, 3, 8, 8) * 255
    with watching(1) as seen:
        step(optimizer, F.cross_entropy(model(x), torch.randint(2, (5,))))
    assert seen.signal("input_rms", "0")[1] == pytest.approx(x.square().mean().sqrt().item(), rel=1e-5)
    assert seen.signal("input_max", "0")[1] == x.max()
    assert not seen.signal("preactivation_scale", "0")  # the normalisation takes it out again
    plain = mlp()
    optimizer = torch.optim.SGD(plain.parameters(), 0.01)
    with watching(1) as seen:
        step(optimizer, F.cross_entropy(plain(torch.randn(400, 6) * 30), torch.randint(3, (400,))))
    assert seen.signal("preactivation_scale", "0")[1] == pytest.approx(30 / math.sqrt(3), rel=0.3)


@pytest.mark.parametrize("bias", [False, True])
def test_a_weight_that_is_multiplied_by_hand_has_its_features_first(bias):
    """As graph convolutions have it: a weight of features × units, and the size of what it makes is the same."""

    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(40, 4)), nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight) if bias else x @ self.weight

    torch.manual_seed(0)
    model = nn.Sequential(ByHand(), nn.Tanh(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    x = torch.randn(400, 40)
    made = (x @ model[0].weight).square().mean().sqrt().item()
    with watching(1) as seen:
        step(optimizer, F.cross_entropy(model(x), torch.randint(3, (400,))))
    assert seen.signal("preactivation_scale", "0")[1] == pytest.approx(made, rel=0.1)


@pytest.mark.parametrize("residual", [False, True])
def test_a_normalisation_takes_the_scale_out_where_nothing_passes_it_by(residual):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.entry, self.norm, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 3)

        def forward(self, x):
            h = self.entry(x)
            return self.head(self.norm(h) + h if residual else self.norm(h).relu())

    model = Block()
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with watching(1) as seen:
        step(optimizer, F.mse_loss(model(torch.rand(5, 1, 8, 8) * 255), torch.randn(5, 1, 6, 6)))
    assert "entry" in {where for _, f, _ in seen.rows for s, where in f.columns if s == "input_rms"}
    assert bool(seen.signal("preactivation_scale", "entry")) == residual


def sum_of_two(model, x):
    a = (model(x)[:, 0] - 1).square().mean()
    b = F.mse_loss(model(x)[:, 1], x[:, 0])
    return a, b


def test_terms_of_a_sum_against_gradients_one_by_one():
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    expected = []
    with watching(1) as seen:
        for _ in range(3):
            x = torch.randn(8, 6)
            a, b = sum_of_two(model, x)
            norms = []
            for term in (a, 0.1 * b):
                gradients = torch.autograd.grad(term, list(model.parameters()), retain_graph=True)
                norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())
            expected.append((a.item(), 0.1 * b.item(), *norms))
            step(optimizer, a + 0.1 * b)
    for at, (a, b, norm_a, norm_b) in enumerate(expected, 1):
        assert seen.signal("term_value", "squared_error")[at] == pytest.approx(a, rel=1e-5)
        assert seen.signal("term_value", "mse_loss")[at] == pytest.approx(b, rel=1e-5)
        assert seen.signal("term_gradient_norm", "squared_error")[at] == pytest.approx(norm_a, rel=1e-4)
        assert seen.signal("term_gradient_norm", "mse_loss")[at] == pytest.approx(norm_b, rel=1e-4)
        assert seen.signal("term_weight", "mse_loss")[at] == pytest.approx(0.1)


@pytest.mark.parametrize("listening", ["hook", "retain"])
def test_terms_are_not_differentiated_where_somebody_listens(listening):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    heard, kept = [], []
    with watching(1) as seen:
        for _ in range(3):
            x = torch.randn(8, 6)
            hidden = model[:2](x)
            if listening == "hook":
                hidden.register_hook(lambda gradient: heard.append(1))
            else:
                hidden.retain_grad()
            out = model[2](hidden)
            step(optimizer, out[:, 0].square().mean() + F.mse_loss(out[:, 1], x[:, 0]))
            if listening == "retain":
                kept.append(hidden.grad.clone())
    assert not seen.signal("term_gradient_norm", "mse_loss") and seen.signal("term_value", "mse_loss")
    assert len(heard) == (3 if listening == "hook" else 0)


LABELS = torch.zeros(10, dtype=torch.long)


def broadcast(shape, loss):
    model = mlp(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watching(1) as seen:
        for _ in range(2):
            step(optimizer, loss(model(torch.randn(10, 6)), torch.randn(*shape)))
    return seen.signal("loss_expansion")[2]


@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss,
        F.l1_loss,
        F.huber_loss,
        F.smooth_l1_loss,
        lambda p, t: ((p - t) ** 2).mean(),
        lambda p, t: (t - p).abs().sum() / 10,
        lambda p, t: (p + t).square().mean(),  # the two sides of an equation
        lambda p, t: (p - t + F.softplus(2 * (t - p)) - math.log(2)).mean(),
        lambda p, t: 1.0 - (p.sigmoid() * t).mean(),
        lambda p, t: -torch.minimum(p.exp() * t, p.exp().clamp(0.8, 1.2) * t).mean() / 2 + p.square().mean(),
        lambda p, t: (F.cross_entropy(p * torch.ones(2), LABELS, reduction="none") * t[:, None]).mean(),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_expansion_of_the_loss(loss):
    assert broadcast((10,), loss) == 10
    assert broadcast((10, 1), loss) == 1
    assert broadcast((1,), loss) == 1


@pytest.mark.parametrize(
    ("last", "targets", "lost", "dead"),
    [
        (nn.Tanh(), [[0.5], [3.0], [-0.5], [1.0]], [1, 2], math.nan),
        (nn.Sigmoid(), [[0.5], [3.0], [-0.5], [1.0]], [1, 2], math.nan),
        (nn.ReLU(), [[0.5], [3.0], [-0.5], [1.0]], [2], 0.0),
        (nn.Identity(), [[0.5], [3.0], [-0.5], [1.0]], None, math.nan),
    ],
)
def test_error_that_the_last_activation_lets_no_gradient_through_of(last, targets, lost, dead):
    # one weight, of which an input of ±99 makes the end of any range, and one of 0 its middle
    model = nn.Sequential(nn.Linear(1, 1, bias=False), last)
    nn.init.ones_(model[0].weight)
    x, y = torch.tensor([[0.3], [99.0], [-99.0], [0.3]]), torch.tensor(targets)
    with watching(1) as seen:
        step(torch.optim.SGD(model.parameters(), 0.0), F.mse_loss(model(x), y))
    if lost is None:
        assert not seen.signal("saturated_error_share")
        return
    with torch.no_grad():
        wanted = (model(x) - y)[lost].square().sum() / (y - y.mean()).square().sum()
    assert seen.signal("saturated_error_share")[1] == pytest.approx(float(wanted), rel=1e-5)
    assert seen.signal("dead_output_share").get(1, math.nan) == pytest.approx(dead, nan_ok=True)


def test_outputs_that_are_dead_though_their_targets_are_not():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())
    x = torch.eye(4) + 0.1
    y = torch.tensor([[1.0, 2.0, 0.0, 0.5]] * 3 + [[1.5, 2.0, 0.0, 0.5]])
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1.0, -1.0, 1.0]).diag())  # the first and last are alive
    with watching(1) as seen:
        step(torch.optim.SGD(model.parameters(), 0.0), F.mse_loss(model(x), y))
    # the diagonal's rows are off for 2 and 3; 3 has nothing to say, and so has 2 where its target is 0 but for a row
    assert seen.signal("dead_output_share")[1] == 0.25
    y[:, 1] = torch.tensor([0.0, 0.0, 0.0, 0.001])
    rare = torch.cat([y] * 8)
    rare[:-1, 1] = 0.0
    with watching(1) as seen:
        step(torch.optim.SGD(model.parameters(), 0.0), F.mse_loss(model(torch.cat([x] * 8)), rare))
    assert seen.signal("dead_output_share")[1] == 0.0


def test_pairs_that_are_meant_are_no_expansion():
    assert broadcast((10,), lambda p, t: (p.squeeze(1)[:, None] - t).abs().mean()) == 1  # an energy distance
    assert broadcast((10,), lambda p, t: (p.squeeze(1)[:, None] + t).logsumexp(1).mean()) == 1  # a prior of each
    assert broadcast((10,), lambda p, t: ((p * t) ** 2).mean()) == 1  # a kernel: no mean of products
    assert broadcast((10,), lambda p, t: (p * t * torch.eye(10)).sum()) == 1
    offset = nn.Parameter(torch.zeros(10))  # of ten features, beside ten rows of them
    assert broadcast((10, 1), lambda p, t: F.mse_loss((torch.randn(10, 10) - offset) * p, torch.zeros(10, 10))) == 1


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: F.mse_loss(z, F.one_hot(y, 3).float()),
        lambda z, y: F.cross_entropy(z, F.one_hot(y, 3).float(), label_smoothing=0.1),
        lambda z, y: -(z.log_softmax(1) * F.one_hot(y, 3)).sum(1).mean(),
        lambda z, y: -z.log_softmax(1)[torch.arange(len(y)), y].mean(),
        lambda z, y: -z.log_softmax(1).gather(1, y[:, None]).mean(),
    ],
)
def test_labels_of_losses_that_are_not_cross_entropy_of_numbers(loss):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    y = torch.tensor([1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    with watching(1) as seen:
        step(optimizer, loss(model(torch.randn(10, 6)), y))
    assert seen.signal("label_majority") == {1: 1.0} and seen.signal("label_rising") == {1: 1.0}
    assert seen.signal("label_purity")[1] == pytest.approx((6 * 5 + 4 * 3) / 90)


def test_a_mask_of_log_probabilities_has_no_labels():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    y = torch.tensor([1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    with watching(1) as seen:
        log = model(torch.randn(10, 6)).log_softmax(1)
        step(optimizer, -(log * (F.one_hot(y, 3) > 0)).sum(1).mean())
    assert seen.signal("batch_rows") == {1: 10.0} and not seen.signal("label_majority")


def test_targets_that_favour_no_class_have_no_labels():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for targets in (torch.rand(10, 3) + 1, torch.full((10, 3), 1 / 3)):
            step(optimizer, F.mse_loss(model(torch.randn(10, 6)), targets))
    assert not seen.signal("label_purity")


def anew(loader, x, y):
    return (next(iter(loader)) for _ in range(12))


def kept(loader, x, y):
    batch = next(iter(loader))
    return (batch for _ in range(12))


def other_variable(loader, x, y):
    batch = x[:8], y[:8]
    return (batch for _ in range(3) for _ in loader)


def same_indices(loader, x, y):
    rows = torch.arange(8) * 5
    return ((x[rows], y[rows]) for _ in range(12))


def sliced(loader, x, y):
    return ((x[:8], y[:8]) for _ in range(12))


def chosen(loader, x, y):
    few = x[:8].clone(), y[:8]
    return ((few[0].clone(), few[1]) for _ in range(12))


@pytest.mark.parametrize(
    ("batches", "beside_loader", "waiting", "asked"),
    [
        (anew, True, 9, 1),
        (kept, True, 9, 0),
        (other_variable, True, 9, 1),
        (same_indices, False, 9, 1),
        (sliced, False, 9, 0),
        (chosen, False, 0, 0),
    ],
)
def test_stale_batches_know_whether_the_loop_asks_for_others(batches, beside_loader, waiting, asked):
    x, y = torch.randn(72, 29), torch.randint(3, (72,))  # a width that no tensor of another test has
    loader = DataLoader(TensorDataset(x, y), 8) if beside_loader else None
    model = nn.Sequential(nn.Linear(29, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watching(1) as seen:
        for batch, labels in batches(loader, x, y):
            step(optimizer, F.cross_entropy(model(batch), labels))
    assert seen.signal("stale_loader_batches")[8] == waiting
    assert seen.signal("distinct_batches")[8] == 1
    assert max(seen.signal("stale_loader_asked").values()) == asked


def test_a_kept_batch_is_stale_where_the_model_is_tested_on_rows_outside_of_its_data_set():
    def tested(rows):
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        batch, labels = next(iter(loader))
        with watching(1) as seen:
            for _ in range(9):
                step(optimizer, F.cross_entropy(model(batch), labels))
                with torch.no_grad():
                    model(rows)
        assert not model._forward_pre_hooks
        assert seen.signal("stale_loader_batches")[9] == 9
        return seen.signal("stale_tested")[9]

    x, y = torch.randn(90, 6), torch.randint(3, (90,))
    loader = DataLoader(Subset(TensorDataset(x, y), range(72)), 8, shuffle=True)
    assert tested(x[72:]) == 1
    assert tested(x[20:72]) == 0  # the training set itself


class Shipped(nn.Module):
    """A category and three numbers of each row, the category first."""

    def __init__(self):
        super().__init__()
        self.kind, self.out = nn.Embedding(4, 3), nn.Linear(6, 3)

    def forward(self, kind, numbers):
        return self.out(torch.cat([self.kind(kind), numbers], 1))


def test_samples_are_known_by_their_numbers_where_a_category_comes_first():
    kind, x, y = torch.randint(4, (90,)), torch.randn(90, 3), torch.randint(3, (90,))
    loader = DataLoader(Subset(TensorDataset(kind, x, y), range(72)), 8, shuffle=True)
    model = Shipped()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    *batch, labels = next(iter(loader))
    with watching(1) as seen:
        for _ in range(9):
            step(optimizer, F.cross_entropy(model(*batch), labels))
            with torch.no_grad():
                model(kind[72:], x[72:])
    assert seen.signal("distinct_samples")[9] == 8  # not the four categories
    assert seen.signal("stale_loader_batches")[9] == 9
    assert seen.signal("stale_tested")[9] == 1


def test_what_a_call_is_known_by():
    category, wide, mask = torch.arange(5), torch.zeros(5, 3), torch.zeros(7, 7)
    assert sample_input(((category, [mask, wide]), {})) is wide
    assert sample_input(((wide, category), {"mask": mask})) is wide  # the first says enough
    assert sample_input(((category,), {"mask": mask})) is category
    assert sample_input(((torch.tensor(1.0), wide), {})).dim() == 0
    assert sample_input(((), {"lengths": 3})) is None


def test_a_batch_that_stays_after_others_is_seen_though_looks_are_rare():
    x, y = torch.randn(72, 6), torch.randint(3, (72,))
    loader = DataLoader(TensorDataset(x, y), 8)
    batches, batch = iter(loader), None
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watching() as seen:
        for _ in range(140):
            batch = next(batches, batch)
            step(optimizer, F.cross_entropy(model(batch[0]), batch[1]))
    assert seen.findings()["stale-batch"].severity == "warning"
    with watching() as seen:
        for _ in range(16):  # eight batches come round: the looks at steps 8, 16, 32, … see one and the same
            for rows in range(0, 64, 8):
                step(optimizer, F.cross_entropy(model(x[rows : rows + 8]), y[rows : rows + 8]))
    assert "stale-batch" not in seen.findings()


def corrupted(model, optimizer, at):
    """64 steps, of which one meets a row of a wrong size and label."""
    for i in range(64):
        x = torch.randn(10, 6)
        y = (x[:, 0] > 0).long()
        if i == at:
            x[3] *= 1e4
            y[3] = model(x[3]).argmin()
        step(optimizer, F.cross_entropy(model(x), y))


def test_an_odd_batch_is_read_although_nobody_looked():
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watching(30) as seen:
        corrupted(model, optimizer, 40)
    odd = [(s, data) for s, kind, data in seen.events if kind == "odd_batch"]
    assert [s for s, _ in odd] == [41]
    assert odd[0][1]["rows"][0] == 3
    assert list(seen.signal("input_max", "0")) == [30, 41, 60]


@pytest.mark.parametrize("count", [0, 4])
def test_a_few_odd_batches_are_read_though_the_budget_is_spent(monkeypatch, count):
    monkeypatch.setattr("surefoot.observe.odd_losses.ODD_BATCHES", count)
    torch.manual_seed(0)
    model = mlp()
    with watching() as seen:
        seen.observer.budget.spent = 1e6
        corrupted(model, torch.optim.SGD(model.parameters(), 1e-3), 40)
    assert [s for s, kind, _ in seen.events if kind == "odd_batch"] == ([41] if count else [])


@pytest.mark.parametrize("keep", [False, True])
def test_samples_are_kept_only_if_asked_for(keep):
    torch.manual_seed(0)
    stored = []
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    options = {"keep": lambda *blob: stored.append(blob)} if keep else {}
    with watching(30, **options):
        corrupted(model, optimizer, 35)
    if keep:
        assert {(s, signal) for s, signal, _, _ in stored} == {(36, "odd_batch")} and len(stored) == 8
        assert stored[0][2] == "3" and abs(stored[0][3]).max() > 1e3
    else:
        assert not stored


def terms_loop(steps=12):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(steps):
        x = torch.rand(32, 2, requires_grad=True)
        u = model(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        loss = (slope[:, 0] - 1).square().mean() + 10 * F.mse_loss(model(torch.zeros(4, 2)), torch.ones(4, 1))
        step(optimizer, loss)
        losses.append(loss.item())
    return losses, [p.detach().clone() for p in model.parameters()], torch.get_rng_state()


def full_batch_loop(steps=30):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 1.5)
    x, y = torch.randn(60, 6), torch.randint(3, (60,))
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        step(optimizer, loss)
        losses.append(loss.item())
    return losses, [p.detach().clone() for p in model.parameters()], torch.get_rng_state()


@pytest.mark.parametrize("loop", [terms_loop, full_batch_loop])
@pytest.mark.parametrize(("every", "means"), [(None, None), (1, None), (1, "hooks"), (1, "borrow")], ids=str)
def test_reading_data_and_terms_changes_no_bit(loop, every, means):
    bare = loop()
    keep = {"keep": lambda *blob: None}
    with watching(every, means, **keep):
        watched = loop()
    assert watched[0] == bare[0]
    assert all(torch.equal(a, b) for a, b in zip(watched[1], bare[1], strict=True))
    assert torch.equal(watched[2], bare[2])


def test_outputs_of_different_scales_are_told_apart():
    torch.manual_seed(0)
    targets = torch.randn(400, 3) * torch.tensor([1000.0, 1.0, 0.0])
    outputs = targets + torch.tensor([10.0, 1.0, 0.0]) * torch.randn(400, 3)
    spread, left, most = column_errors(outputs, targets)
    assert float(spread) == pytest.approx(1000, rel=0.1)
    assert float(left) == pytest.approx(1e-4, rel=0.3) and float(most) == pytest.approx(1.0, rel=0.3)
    model = torch.nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    with watching(1) as seen:
        for loss in (F.mse_loss, lambda made, asked: ((made - asked) ** 2).mean()):
            step(optimizer, loss(model(torch.randn(400, 6)), targets))
            step(optimizer, loss(model(torch.randn(400, 6)), targets))
    assert set(seen.signal("output_spread")) == {1, 2, 3, 4}
