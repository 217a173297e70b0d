"""Cures of data, loss and wiring: each mends a small loop that is broken, and leaves alone what is in order."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import surefoot
from curing import curing
from surefoot.apply.stream_buffer import mixed
from surefoot.losses import TermBalance, gradient_penalty, logits_of
from surefoot.nn import RunningStandardize
from surefoot.optim import EarlyStopping, OptimisticGradient, past_best


def blobs(n: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three clouds in the plane, sorted by cloud."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(3).repeat_interleave(n // 3)
    centres = torch.tensor([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return centres[y] + 0.3 * torch.randn(n, 2, generator=generator), y


def net(*parts: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3), *parts)


# -- wiring ------------------------------------------------------------------------------------------------------------


def test_zero_grad_takes_the_place_of_the_call_that_is_missing() -> None:
    def weights(clear: bool) -> Tensor:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x, y = blobs()
        for _ in range(12):
            if clear:
                optimizer.zero_grad()
            for part in (slice(0, 48), slice(48, 96)):  # two backwards a step
                F.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
            assert model[0].weight.grad is not None  # a script may look at it after the step
        return model[0].weight.detach()

    with curing("zero-grad") as told:
        mended = weights(clear=False)
    assert torch.equal(mended, weights(clear=True))
    assert told.summaries["zero-grad"] == "cleared the gradients of 11 steps"
    with curing("zero-grad") as told:
        assert torch.equal(weights(clear=True), mended)
    assert told.interposer.cures[0].acted == 0


def test_zero_grad_reaches_into_a_closure() -> None:
    def weights(clear: bool) -> Tensor:
        model = net()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
        x, y = blobs()

        def closure() -> Tensor:
            if clear:
                optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        return model[0].weight.detach()

    with curing("zero-grad"):
        mended = weights(clear=False)
    assert torch.equal(mended, weights(clear=True))


def test_train_mode_comes_back_after_an_evaluation() -> None:
    def modes(evaluate_with_gradients: bool) -> list[bool]:
        model = net(nn.Dropout(0.5))
        frozen = nn.BatchNorm1d(2)
        model.insert(0, frozen)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = blobs()
        seen = []
        model.train()
        frozen.eval()
        for step in range(6):
            loss = F.cross_entropy(model(x), y)
            seen.append(model[-1].training)
            assert not frozen.training
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 2:
                model.eval()
                with torch.set_grad_enabled(evaluate_with_gradients):
                    model(x)
                assert not model.training
        return seen

    assert modes(False) == [True] * 3 + [False] * 3
    with curing("train-mode") as told:
        assert modes(False) == [True] * 6
        assert modes(True) == [True] * 3 + [False] + [True] * 2  # the first step shows that it trains
    assert told.summaries["train-mode"] == "put a model back into training mode 2 times"


class Hidden(nn.Module):
    """A layer in a plain list: no parameter of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rest = nn.Linear(2, 8), [nn.Linear(8, 8)]

    def forward(self, x: Tensor) -> Tensor:
        return self.rest[0](torch.tanh(self.first(x))).sum(1)


def test_keep_graph_tells_a_critics_detach_from_a_generators() -> None:
    torch.manual_seed(0)
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    players = {name: torch.optim.SGD(m.parameters(), lr=0.1) for name, m in (("g", generator), ("d", critic))}
    before = generator.weight.detach().clone()
    with curing("keep-graph") as told:
        for _ in range(6):
            fake = generator(torch.randn(8, 2))
            players["d"].zero_grad()
            (critic(torch.randn(8, 2)) - critic(fake.detach())).square().mean().backward()
            players["d"].step()
            players["g"].zero_grad()
            F.softplus(-critic(fake.detach())).mean().backward()  # a second backward through what d's has not freed
            players["g"].step()
    assert not torch.equal(generator.weight, before)
    assert told.summaries["keep-graph"].count("test_apply") == 1


@pytest.mark.parametrize(("again", "taken", "moves"), [(True, 4, True), (False, 12, True), (False, 6, False)])
def test_keep_graph_sees_a_later_stage_that_cuts(again: bool, taken: int, moves: bool) -> None:
    """At two steps of a stage's own optimiser, and at eight of one that goes on."""
    torch.manual_seed(0)
    trunk, head = nn.Linear(2, 8), nn.Linear(8, 1)
    parameters = [*trunk.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    x, _ = blobs()
    with curing("keep-graph"):
        for cuts, steps in ((False, 5), (True, taken)):
            if cuts:
                optimizer = torch.optim.SGD(parameters, lr=0.1) if again else optimizer
                before = trunk.weight.detach().clone()
            for _ in range(steps):
                features = trunk(x)
                optimizer.zero_grad()
                (head(features.detach() if cuts else features) - 1).square().mean().backward()
                optimizer.step()
    assert torch.equal(trunk.weight, before) != moves


def test_keep_graph_leaves_experts_whose_turn_comes_now_and_then() -> None:
    experts = [nn.Linear(2, 1), nn.Linear(2, 1)]
    optimizer = torch.optim.SGD([p for e in experts for p in e.parameters()], lr=0.1)
    x, _ = blobs()
    with curing("keep-graph") as told:
        for step in range(60):
            optimizer.zero_grad()
            experts[step // 6 % 2 if step else 1](x).square().mean().backward()
            if step == 1:
                experts[1](x).square().mean().backward()  # both have had one before two steps are over
            optimizer.step()
    assert told.interposer.cures[0]._starved == set()  # type: ignore[attr-defined]


def test_all_parameters_join_but_those_that_are_updated_by_hand() -> None:
    model, own = Hidden(), nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    before = model.rest[0].weight.detach().clone()
    x, _ = blobs()
    with curing("all-parameters") as told:
        for _ in range(5):
            optimizer.zero_grad()
            (model(x) + own - x[:, 0]).square().mean().backward()
            optimizer.step()
            with torch.no_grad():
                own -= 0.1 * own.grad
                own.grad = None
    assert not torch.equal(before, model.rest[0].weight)
    assert [len(group["params"]) for group in optimizer.param_groups] == [4]
    assert told.summaries["all-parameters"] == "gave 2 parameter tensors to the optimiser"


_CUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda code: code.detach(),
    "data": lambda code: code.data,
    "numpy": lambda code: torch.from_numpy(code.detach().cpu().numpy()),
    "tolist": lambda code: torch.tensor(code.tolist(), dtype=torch.float32),
    "tensor": lambda code: torch.as_tensor(code.detach().numpy()),
    "detach_": lambda code: code.detach_(),
}


class Cut(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.encoder, self.head, self.how = nn.Linear(2, 8), nn.Linear(8, 3), how
        self.log: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.log.append(x.mean())
        if self.how == "no_grad":
            with torch.no_grad():
                cut = self.encoder(x)
        elif self.how == "set_grad_enabled":
            with torch.set_grad_enabled(False):
                cut = self.encoder(x)
        elif self.how == "inference_mode":
            with torch.inference_mode():
                cut = self.encoder(x)
            cut = cut.clone()
        elif self.how == "decorator":
            cut = self.encode(x)
        else:
            code = self.encoder(x)
            self.log.append(code.detach())
            self.log.append(torch.tensor(code.detach().numpy().mean()))  # a number for the log
            cut = _CUTS[self.how](code)
        return self.head(torch.tanh(cut))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """A docstring is no computation."""
        return self.encoder(x)


@pytest.mark.parametrize("how", ["no_grad", "set_grad_enabled", "inference_mode", "decorator", *_CUTS])
def test_keep_graph_passes_over_what_cuts(how: str) -> None:
    torch.manual_seed(0)
    model, target = Cut(how), net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.encoder.weight.detach().clone()
    x, y = blobs()
    with curing("keep-graph") as told:
        for _ in range(6):
            optimizer.zero_grad()
            wanted = target(x).detach()
            assert not wanted.requires_grad
            with torch.no_grad():
                assert not model(x).requires_grad
            (F.cross_entropy(model(x), y) + 0 * wanted.sum()).backward()
            optimizer.step()
    assert not torch.equal(before, model.encoder.weight)
    assert not model.log[-1].requires_grad  # what no loss goes through stays detached
    assert told.summaries["keep-graph"].startswith("kept the graph at test_apply_data_and_wiring.py:")
    assert "," not in told.summaries["keep-graph"]


def test_step_all_steps_the_one_that_is_forgotten() -> None:
    def moved() -> bool:
        model = net()
        first, second = (torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2))
        before = model[2].weight.detach().clone()
        x, y = blobs()
        for _ in range(6):
            first.zero_grad()
            F.cross_entropy(model(x), y).backward()
            first.step()
        assert second.param_groups
        return not torch.equal(before, model[2].weight)

    assert not moved()
    with curing("step-all") as told:
        assert moved()
    assert told.summaries["step-all"] == "stepped optimisers that the script never steps, 4 times"


def test_groups_at_rate_zero_step_with_the_others() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[1].parameters(), "lr": 0.1}]
    optimizer = torch.optim.SGD(groups)
    before = model[0].weight.detach().clone()
    with curing("step-all") as told:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().mean().backward()
            optimizer.step()
    assert not torch.equal(model[0].weight, before) and optimizer.param_groups[0]["lr"] == 0
    assert told.summaries["step-all"] == "gave groups at rate 0 that of the others, 3 times"


# -- batches -----------------------------------------------------------------------------------------------------------


def loading():
    """Labels in order, a model, its optimiser, and a loader that gives them as they are."""
    x, y = blobs()
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    return y, model, optimizer, loader


def test_shuffle_reaches_slices_that_are_batches() -> None:
    x, y = blobs()
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    table, stream = torch.randn(96, 4), torch.arange(96.0)

    def one_pass() -> tuple[list[Tensor], Tensor]:
        given = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)]
        index = torch.arange(90)
        return [torch.cat(part) for part in zip(*given, strict=True)], torch.cat(
            [index[i : i + 9] for i in range(0, 90, 9)]
        )

    with curing("shuffle") as told:
        optimizer.step()
        one_pass()
        (rows, labels), index = one_pass()
        assert torch.equal(labels.sort().values, y) and not torch.equal(labels, y)
        place = [int((x == row).all(1).nonzero()[0]) for row in rows]
        assert torch.equal(y[torch.tensor(place)], labels)  # rows and labels stay together
        assert torch.equal(index.sort().values, torch.arange(90)) and not torch.equal(index, torch.arange(90))
        with torch.no_grad():
            assert torch.equal(one_pass()[0][1], y)
        for i in range(0, 64, 8):  # the next step's inputs and targets of a series are no batches
            assert torch.equal(stream[i : i + 8], torch.arange(i, i + 8.0))
            assert torch.equal(stream[i + 1 : i + 9], torch.arange(i + 1, i + 9.0))
        assert torch.equal(table[:40], table[torch.arange(40)])
    assert told.summaries["shuffle"].startswith("shuffled ")
    assert torch.equal(one_pass()[0][1], y)


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(96))


def test_shuffle_mixes_a_stream_in_training() -> None:
    _, _model, optimizer, _ = loading()  # the model is to stay alive
    loader = DataLoader(Stream(), batch_size=32)
    with curing("shuffle") as told:
        optimizer.step()
        passes = [torch.cat(list(loader)).tolist() for _ in range(2)]
        with torch.no_grad():
            assert torch.cat(list(loader)).tolist() == list(range(96))
    assert sorted(passes[0]) == list(range(96)) != passes[0] != passes[1]
    assert min(passes[0][:8]) < 48 < max(passes[0][:32])  # the buffer holds all of it
    assert told.summaries["shuffle"] == "shuffled 2 passes over the training data"


def test_a_stream_that_never_ends_waits_for_a_buffer_of_it() -> None:
    drawn = list(itertools.islice(mixed(itertools.count(), torch.Generator().manual_seed(0)), 32))
    assert len(set(drawn)) == 32 and max(drawn) < (1 << 14) + 32


def test_shuffle_reaches_loaders_and_indices_in_training_only() -> None:
    y, model, optimizer, loader = loading()
    with curing("shuffle") as told:
        optimizer.step()
        state = torch.get_rng_state()
        passes = [torch.cat([b for _, b in loader]) for _ in range(2)]
        drawn = torch.get_rng_state()
        pieces = torch.arange(96).split(32)
        assert torch.equal(torch.cat(y.split(32)), y)  # labels are no index
        model.eval()
        assert torch.equal(torch.cat([b for _, b in loader]), y)
        model.train()
        with torch.no_grad():
            assert torch.equal(torch.cat([b for _, b in loader]), y)
    assert not torch.equal(passes[0], y) and not torch.equal(passes[0], passes[1])
    assert torch.equal(passes[0].sort().values, y)
    assert torch.equal(torch.cat(pieces).sort().values, torch.arange(96)) and pieces[0].tolist() != list(range(32))
    assert told.summaries["shuffle"] == "shuffled 3 passes over the training data"
    assert torch.equal(torch.cat([b for _, b in loader]), y)  # taken away again
    torch.set_rng_state(state)
    [list(loader) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), drawn)  # nothing else was drawn


def test_fresh_batches_go_on() -> None:
    _, _model, optimizer, loader = loading()
    with curing("fresh-batches") as told:
        optimizer.step()
        got = [next(iter(loader))[1][0].item() for _ in range(7)]
        assert [b[0].item() for _, b in loader] == [1, 2]  # the rest of the pass
        assert [b[0].item() for _, b in loader] == [0, 1, 2]
        with torch.no_grad():
            assert [next(iter(loader))[1][0].item() for _ in range(2)] == [0, 0]
    assert got == [0, 1, 2, 0, 1, 2, 0]
    assert told.summaries["fresh-batches"] == "went on with the pass before 7 times"
    assert next(iter(loader))[1][0].item() == next(iter(loader))[1][0].item() == 0


def test_fresh_batches_go_on_where_the_end_is_passed_over() -> None:
    _, _model, optimizer, loader = loading()
    with curing("fresh-batches") as told:
        optimizer.step()
        batches, got = iter(loader), []
        for _ in range(9):
            with contextlib.suppress(StopIteration):
                current = next(batches)
            got.append(current[1][0].item())
    assert got == [0, 1, 2, 2, 0, 1, 2, 2, 0]
    assert told.interposer.cures[0].acted == 2


# -- losses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [lambda f, t: F.mse_loss(f, t), nn.HuberLoss(), lambda f, t: (f - t).square().mean()])
def test_match_shapes_compares_each_with_its_own(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 2)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    with curing("match-shapes") as told:
        for _ in range(60):
            optimizer.zero_grad()
            loss(model(x), x[:, 0]).backward()
            optimizer.step()
        with torch.no_grad():
            assert loss(model(x), x[:, 0]).item() < 1e-3
        assert (x[:, :1] - x[:, 1].view(1, -1)).shape == (64, 64)  # pairs are meant
    assert told.interposer.cures[0].acted == 61


@pytest.mark.parametrize("column", ["weights", "numbers"])
def test_match_shapes_gives_each_number_its_own_weight(column: str) -> None:
    numbers, weights = torch.randn(8, requires_grad=True), torch.randn(8)

    class Outer(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a * b

    with curing("match-shapes"):
        if column == "weights":
            product = numbers * weights[:, None]
        else:
            product = weights * numbers[:, None]
        assert (weights * weights[:, None]).shape == (8, 8)  # pairs of data
        assert Outer()(numbers, weights[:, None]).shape == (8, 8)  # within a model
    torch.testing.assert_close(product, numbers * weights)


@pytest.mark.parametrize("flat", [False, True])
def test_match_shapes_reads_targets_that_met_when_they_were_made(flat: bool) -> None:
    torch.manual_seed(0)
    model, reward, value = nn.Linear(2, 1), torch.randn(8), torch.randn(8, 1)
    x = torch.randn(8, 2)
    with curing("match-shapes"):
        predictions = model(x).squeeze(1) if flat else model(x)
        error = predictions - (reward + 0.9 * value)
        by_torch = F.mse_loss(predictions, reward + 0.9 * value)
    wanted = predictions.flatten() - (reward + 0.9 * value.squeeze(1))
    torch.testing.assert_close(error.flatten(), wanted)
    torch.testing.assert_close(by_torch, wanted.square().mean())


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        (nn.Softmax(1), nn.CrossEntropyLoss()),
        (nn.Softmax(1), nn.NLLLoss()),
        (nn.Sigmoid(), nn.BCEWithLogitsLoss()),
        (nn.Sigmoid(), nn.CrossEntropyLoss()),
    ],
)
def test_log_probabilities_give_the_loss_of_the_logits(end: nn.Module, loss: nn.Module) -> None:
    x, y = blobs()
    y = F.one_hot(y, 3).float() if isinstance(loss, nn.BCEWithLogitsLoss) else y
    bare, squashed = net(), net(end)
    right = nn.CrossEntropyLoss() if isinstance(loss, nn.NLLLoss) else loss
    with curing("log-probabilities") as told:
        given = loss(squashed(x), y)
        given.backward()
        with torch.no_grad():
            torch.testing.assert_close(loss(squashed(x), y), given.detach())
        wanted = right(bare(x), y)  # what is in order is passed on
    torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(squashed[0].weight.grad, torch.autograd.grad(wanted, bare[0].weight)[0])
    assert told.interposer.cures[0].acted == 2


def test_logits_of_probabilities_at_the_ends() -> None:
    p = torch.tensor([0.0, 0.25, 1.0])
    assert torch.isfinite(logits_of(p)).all() and torch.isfinite(logits_of(p, "sigmoid")).all()
    torch.testing.assert_close(logits_of(p, "sigmoid").sigmoid(), p, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="link is 'tanh'"):
        logits_of(p, "tanh")  # type: ignore[arg-type]


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(2, 32), nn.Tanh())
        self.far, self.near = nn.Linear(32, 1), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.far(features), self.near(features)


def test_balance_terms_lets_the_quiet_one_be_heard() -> None:
    def quiet(steps: int = 150) -> float:
        model = TwoHeads()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        x = torch.randn(128, 2, generator=torch.Generator().manual_seed(0))
        for _ in range(steps):
            far, near = model(x)
            small = F.mse_loss(near, (2 * x[:, :1]).sin())
            loss = F.mse_loss(far, 3000 * x[:, 1:].square()) + small
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return small.item()

    bare = quiet()
    with curing("balance-terms") as told:
        assert quiet() < 0.5 * bare
    assert told.summaries["balance-terms"].startswith("balanced the terms of 150 losses (mse_loss × ")
    assert told.summaries["balance-terms"].endswith(", mse_loss 2 × 1)")


def test_weight_cap_keeps_a_growing_weight_to_its_bound() -> None:
    weights = (0.5, 1.0, 8.0)

    def gradients() -> list[float]:
        model = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        found = []
        for weight in weights:
            out = model(torch.ones(3, 1))
            loss = 5 * F.mse_loss(out, out.detach() + 1) + weight * F.l1_loss(out, out.detach() - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert model.weight.grad is not None
            found.append(model.weight.grad.item())
        return found

    assert gradients() == pytest.approx([w - 10 for w in weights])
    with curing("weight-cap:max=2") as told:  # the first term began above it, and keeps its 5
        assert gradients() == pytest.approx([min(w, 2) - 10 for w in weights])
    assert told.summaries["weight-cap"] == "bounded 1 weights of terms by 2 or their first"


@pytest.mark.parametrize(("of", "left"), [("mse_loss*4", 12 - 8), ("mse_loss.2*0.25", 3 - 2)])
def test_term_weight_multiplies_that_of_one_term(of: str, left: float) -> None:
    def gradient() -> float:
        model = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        out = model(torch.ones(3, 1))
        (F.mse_loss(out, out.detach() + 1) + 6 * F.mse_loss(out, out.detach() - 1)).backward()
        optimizer.step()
        assert model.weight.grad is not None
        return model.weight.grad.item()

    assert gradient() == pytest.approx(12 - 2)
    with curing(f"term-weight:term={of}") as told:
        assert gradient() == pytest.approx(left)
    name, factor = of.replace(".2", " 2", 1).split("*")
    assert told.summaries["term-weight"] == f"gave {name} {factor} times its weight in 1 losses"


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mu, self.logvar, self.decoder = nn.Linear(32, 2), nn.Linear(32, 2), nn.Linear(2, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.mu(x), self.logvar(x)
        return self.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu)), mu, logvar


@pytest.mark.parametrize("kind", ["mse", "by hand", "bce"])
def test_kl_scale_lets_a_code_be_born(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(256, 2, generator=generator) @ torch.randn(2, 32, generator=generator)
    data = (data > 0).float() if kind == "bce" else data / data.std()

    def share_that_is_explained() -> float:
        model = Variational()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(120):
            out, mu, logvar = model(data)
            divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
            if kind == "mse":
                error = F.mse_loss(out, data)
            elif kind == "bce":
                error = F.binary_cross_entropy_with_logits(out, data)
            else:
                error = ((out - data) ** 2).mean()
            optimizer.zero_grad()
            (error + divergence).backward()
            optimizer.step()
        return 1 - error.item() / (0.693 if kind == "bce" else data.var().item())

    assert share_that_is_explained() < 0.2
    with curing("kl-scale") as told:
        assert share_that_is_explained() > 0.4
    assert "scaled the divergence in 120 losses" in told.summaries["kl-scale"]


@pytest.mark.parametrize("sign", [1, -1])
def test_kl_scale_reads_a_bound_of_each_sample(sign: int) -> None:
    torch.manual_seed(0)
    model, data = Variational(), torch.randn(16, 32)
    out, mu, logvar = model(data)
    divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
    likelihood = Normal(out, 1.0).log_prob(data).sum(1)
    with curing("kl-scale") as told:
        ((divergence - likelihood).mean() if sign > 0 else -(likelihood - divergence).mean()).backward()
    scale = float(told.interposer.cures[0]._scale)  # type: ignore[attr-defined]
    assert scale == pytest.approx(min(1.0, (out - data).square().mean().item()), rel=1e-4)


@pytest.mark.parametrize("kind", ["counts", "classes"])
def test_kl_scale_reads_a_cross_entropy_of_words(kind: str) -> None:
    torch.manual_seed(0)
    model, words = Variational(), torch.randint(32, (16,))
    out, mu, logvar = model(torch.randn(16, 32))
    log_words, counts = out.log_softmax(1), F.one_hot(words, 32).float()
    error = -(counts * log_words).mean() if kind == "counts" else F.nll_loss(log_words, words) / 8
    with curing("kl-scale") as told:
        (error + 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()).backward()
    assert float(told.interposer.cures[0]._scale) == pytest.approx(1 / 32 if kind == "counts" else 1 / 8)  # type: ignore[attr-defined]


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(2))

    def forward(self, noise: Tensor) -> Tensor:
        return self.at + noise


def test_gradient_penalty_ends_the_circle() -> None:
    wanted = torch.tensor([1.0, -2.0])

    def farthest() -> float:
        torch.manual_seed(0)
        far = 0.0
        generator, critic = Mean(), nn.Linear(2, 1, bias=False)
        first, second = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, critic))
        for step in range(300):
            noise = 0.1 * torch.randn(32, 2)
            real, fake = wanted + noise, generator(noise)
            second.zero_grad()
            (critic(fake.detach()).mean() - critic(real).mean()).backward()
            second.step()
            first.zero_grad()
            (-critic(fake).mean()).backward()
            first.step()
            far = max(far, float((generator.at.detach() - wanted).norm())) if step >= 200 else far
        return far

    assert farthest() > 1
    with curing("gradient-penalty:gamma=2") as told:
        assert farthest() < 0.1
    assert told.summaries["gradient-penalty"] == "added 2/2 · ‖∂D/∂x‖² to 299 losses of the critic"


def test_optimism_ends_the_circle_of_a_game_without_a_critic() -> None:
    def distance() -> float:
        x, y = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        first, second = (torch.optim.SGD([p], lr=0.1) for p in (x, y))
        for _ in range(150):
            for optimizer, sign in ((first, 1.0), (second, -1.0)):
                optimizer.zero_grad()
                (sign * x @ y).backward()
                seen = [p.grad.clone() for p in (x, y)]
                optimizer.step()
                assert all(torch.equal(a, p.grad) for a, p in zip(seen, (x, y), strict=True))
        return float((x.square() + y.square()).sum().sqrt().detach())

    assert distance() > 1
    with curing("optimism:strength=5"):  # half a radian at 0.1 a step
        assert distance() < 0.01
    with pytest.raises(ValueError, match=r"strength is 0\.0"):
        OptimisticGradient([], 0.0)


def test_entropy_bonus_is_that_of_the_loss_with_the_bonus() -> None:
    x, _ = blobs()
    actions, advantages = torch.randint(3, (96, 4)), torch.randn(96, 4)

    def gradient(coef: float) -> Tensor:
        model = net()
        log_probs = model(x).log_softmax(1)
        loss = -(advantages * log_probs.gather(1, actions)).mean()
        loss = loss + coef * (log_probs.exp() * log_probs).sum(1).mean() if coef else loss
        loss.backward()
        return model[0].weight.grad

    with curing("entropy-bonus:coef=0.1"):
        cured = gradient(0.0)
    torch.testing.assert_close(cured, gradient(0.1))


# -- evaluations ------------------------------------------------------------------------------------------------------


def test_early_stopping_holds_the_best_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(24, 12), torch.randn(24, 1)
    y += x[:, :1]
    seen, weights = [], []
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with surefoot.watch(model, optimizer, out=tmp_path / "run", apply="early-stopping") as run:
        for _ in range(30):
            model.train()
            for _ in range(3):
                optimizer.zero_grad()
                F.mse_loss(model(x[:12]), y[:12]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                seen.append(F.mse_loss(model(x[12:]), y[12:]).item())
            weights.append(model[0].weight.detach().clone())
    best = min(range(30), key=lambda i: seen[i])
    assert best < 20 and max(seen) > 1.1 * seen[best]
    assert all(torch.equal(w, weights[best]) for w in weights[-5:]) and seen[-1] == seen[best]
    assert not [f for f in run.findings if f.severity != "info"]


def test_past_best_asks_for_a_steady_rise_beyond_the_noise() -> None:
    falls = [1 / (i + 1) for i in range(10)]
    assert not past_best(falls) and not past_best([]) and not past_best([1.0, float("nan")])
    assert past_best([*falls, *(0.1 + 0.02 * i for i in range(1, 8))])
    assert not past_best([*falls, *(0.1 + 0.02 * i for i in range(1, 5))])  # too soon
    assert not past_best([*falls, *([0.2, 0.11] * 5)])  # back and forth
    assert past_best([2.0, 1.0, 1.1, 1.2, 1.3], patience=3)
    for build in (lambda: past_best([1.0], 0), lambda: EarlyStopping(net(), 0)):
        with pytest.raises(ValueError, match="patience is 0"):
            build()


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_standardize_acts_where_inputs_are_far_from_size_one() -> None:
    def trained(scale: float) -> float:
        x, y = blobs()
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(scale * x), y).backward()
            optimizer.step()
        with torch.no_grad():
            return float((model(scale * x).argmax(1) == y).float().mean())

    assert trained(1e-4) < 0.5
    with curing("standardize") as told:
        assert trained(1e-4) == 1.0
    assert told.summaries["standardize"].startswith("standardised the inputs of 0 (pre-activations of size ")
    with curing("standardize") as told:
        trained(1.0)
    assert told.interposer.cures[0].acted == 0 and "nothing was changed" in told.notes[0]
    with curing("standardize:factor=1") as told:
        trained(1.0)
    assert told.interposer.cures[0].acted == 1


def test_standardize_lets_a_recurrent_layer_have_its_first_state() -> None:
    """It has as many features as the layer has units, and is zero."""
    torch.manual_seed(0)
    model = nn.GRU(4, 8, batch_first=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with curing("standardize") as told:
        for _ in range(3):
            optimizer.zero_grad()
            model(1e4 * torch.randn(6, 5, 4))[0].square().mean().backward()
            optimizer.step()
    assert told.summaries["standardize"].count("pre-activations") == 1


def test_running_standardize_knows_all_rows_so_far() -> None:
    rows = torch.randn(300, 4, dtype=torch.float64) * torch.tensor([1e-4, 1.0, 1e3, 0.0]) + 7
    layer = RunningStandardize(4, dtype=torch.float64)
    for part in rows.split(90):
        out = layer(part)
    expected = (part - rows.mean(0)) / rows.std(0, unbiased=False).masked_fill(torch.arange(4) == 3, 1.0)
    torch.testing.assert_close(out, expected)
    layer.eval()
    torch.testing.assert_close(layer(rows[:5]), layer(rows[:5]))
    assert layer.count == 300
    images = RunningStandardize(3, dim=1)(5 + 2 * torch.randn(8, 3, 6, 6))
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="it was made for 4"):
        layer(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="num_features is 0"):
        RunningStandardize(0)


# -- the parts, asked for what they cannot do --------------------------------------------------------------------------


def test_bad_input_of_the_parts() -> None:
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        TermBalance(1.0)
    balance = TermBalance(0.0)
    torch.testing.assert_close(balance.update(torch.tensor([2.0, 8.0])), torch.tensor([4.0, 1.0]))
    assert torch.isfinite(balance.update(torch.tensor([0.0, 8.0]))).all()
    with pytest.raises(ValueError, match="got 3 terms; there were 2"):
        balance.update(torch.ones(3))
    with pytest.raises(ValueError, match="inputs take no gradient"):
        gradient_penalty(torch.ones(2), torch.ones(2, 1))
