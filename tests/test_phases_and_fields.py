"""Validation losses, modes, frozen parameters, games, latent variables, advantages: read right, judged right."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence

from histories import Stream, train
from surefoot.analysis.advantages import categorical_entropy, zero_share
from surefoot.analysis.generated import coverage_and_precision, separation, spread
from surefoot.analysis.latent import active_share, gaussian_kl
from surefoot.observe.random_parts import find_policy_terms, find_reparametrised
from watching import watching

LOSS_NAMES = ("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "huber_loss", "kl_div")


# --- formulas -------------------------------------------------------------------------------------------------------


def test_coverage_of_one_distribution_is_what_theory_says() -> None:
    draw = torch.Generator().manual_seed(0)
    n, k = 128, 5
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    found = []
    for _ in range(20):
        real, fake = torch.randn(2, n, 3, generator=draw)
        found.append(float(coverage_and_precision(real, fake)[0]))
    assert np.mean(found) == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match="more than neighbours"):
        coverage_and_precision(torch.zeros(5, 2), torch.zeros(5, 2))


def test_one_mode_of_two_is_precise_and_covers_half() -> None:
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(100, 2, generator=draw) + torch.tensor([[10.0, 0]]) * (torch.arange(100) % 2)[:, None]
    fake = torch.randn(100, 2, generator=draw)
    coverage, precision = coverage_and_precision(real, fake)
    assert 0.45 <= coverage <= 0.55 and precision > 0.85
    assert float(spread(real)) == pytest.approx(math.sqrt(27), rel=0.1)


def test_separation_is_the_area_under_the_curve() -> None:
    assert float(separation(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0]))) == 1.0
    assert float(separation(torch.ones(3), torch.ones(4))) == 0.5


def test_latent_formulas_against_torch() -> None:
    draw = torch.Generator().manual_seed(0)
    mean, std = torch.randn(50, 4, generator=draw), torch.rand(50, 4, generator=draw) + 0.1
    mean[:, 1:] *= 1e-3
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(gaussian_kl(mean, std), expected)
    assert float(active_share(mean)) == 0.25


def test_zero_share_counts_groups_without_variance() -> None:
    rewards = torch.tensor([[0.1] * 8, [0.0, 1.0] * 4])
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    assert float(zero_share(advantages.flatten())) == 0.5
    assert float(zero_share(torch.zeros(4))) == 1.0
    assert float(categorical_entropy(torch.zeros(3, 4))) == pytest.approx(math.log(4))


# --- what a graph shows ---------------------------------------------------------------------------------------------


def graph(loss: torch.Tensor) -> list:
    from surefoot.observe.graph import read_graph

    return read_graph([loss]).nodes


@pytest.mark.parametrize("form", ["exp", "softplus", "distribution", "chunk"])
def test_reparametrised_samples_are_found(form: str) -> None:
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(6, 8), nn.Linear(4, 6)
    x = torch.randn(16, 6)
    mu, raw = encoder(x).chunk(2, -1) if form == "chunk" else (encoder(x)[:, :4], encoder(x)[:, 4:])
    if form == "distribution":
        normal = Normal(mu, F.softplus(raw))
        std, z = normal.scale, normal.rsample()
        kl = kl_divergence(normal, Normal(0.0, 1.0)).sum()
    else:
        std = F.softplus(raw) + 1e-5 if form == "softplus" else (0.5 * raw).exp()
        z = mu + torch.randn_like(std) * std
        kl = 0.5 * (mu**2 + std**2 - 1 - 2 * std.log()).sum()
    part = find_reparametrised(graph(F.mse_loss(decoder(z), x) + kl))
    assert part is not None
    torch.testing.assert_close(part.mean, mu.detach())
    torch.testing.assert_close(part.std, std.detach(), atol=1e-4, rtol=1e-4)


def test_a_sample_without_a_prior_is_no_vae() -> None:
    actor = nn.Linear(6, 8)
    mu, raw = actor(torch.randn(16, 6)).chunk(2, -1)
    normal = Normal(mu, raw.exp())
    action = normal.rsample()
    assert find_reparametrised(graph((normal.log_prob(action) - action.tanh()).mean())) is None


@pytest.mark.parametrize("form", ["reinforce", "ppo", "cross_entropy", "normal", "log", "log_ratio", "log_sigmoid"])
def test_advantages_are_found(form: str) -> None:
    torch.manual_seed(0)
    policy, x, advantage = nn.Linear(4, 3), torch.randn(20, 4), torch.randn(20)
    if form == "normal":
        distribution = Normal(policy(x)[:, 0], 1.0)
    else:
        distribution = Categorical(logits=policy(x))
    log_prob = distribution.log_prob(distribution.sample())
    if form.startswith("log"):  # of probabilities, by hand
        of_one = policy(x)[:, 0].sigmoid()
        chosen = of_one if form == "log_sigmoid" else policy(x).softmax(-1).gather(1, torch.zeros(20, 1).long())[:, 0]
        ratio = (torch.log(chosen) - torch.log(chosen.detach())).exp()
        loss = -((ratio if form == "log_ratio" else torch.log(chosen)) * advantage).mean()
    elif form == "ppo":
        ratio = (log_prob - log_prob.detach()).exp()
        loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    elif form == "cross_entropy":
        loss = (F.cross_entropy(policy(x), torch.zeros(20, dtype=torch.long), reduction="none") * advantage).mean()
    else:
        loss = -(log_prob * advantage).mean()
    terms = find_policy_terms([loss])
    assert terms is not None
    assert any(torch.equal(f.reshape(-1), advantage) for f in terms.factors if f.numel() == 20)


@pytest.mark.parametrize(
    ("rewards", "signals"),
    [
        (torch.linspace(-1, 1, 20), {"zero_advantage_share", "policy_entropy"}),
        (torch.linspace(1, 2, 20), {"weighted_choice_entropy"}),
        ((torch.arange(20) % 2).float(), set()),  # a mask
    ],
)
def test_the_entropy_of_a_choice_is_read_by_what_weighs_it(rewards: torch.Tensor, signals: set[str]) -> None:
    torch.manual_seed(0)
    policy = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(policy.parameters(), 1e-3)
    with watching(1) as seen:
        for _ in range(3):
            choice = Categorical(logits=policy(torch.randn(20, 4)))
            optimizer.zero_grad()
            (-(choice.log_prob(choice.sample()) * rewards).mean()).backward()
            optimizer.step()
            entropy = choice.entropy().mean().item()
    assert not seen.of("note")
    for signal in ("zero_advantage_share", "policy_entropy", "weighted_choice_entropy"):
        assert bool(seen.signal(signal, "")) is (signal in signals), signal
        if "entropy" in signal and signal in signals:
            assert seen.signal(signal, "")[3] == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize(("weights", "told"), [(-1.0, False), (1.0, False), (0.0, True)])
def test_a_loss_of_logarithms_by_hand_is_no_policys(weights: float, told: bool) -> None:
    """−y · log p of targets that are shares, and the same of advantages, which have both signs."""
    torch.manual_seed(0)
    policy, factors = nn.Linear(4, 3), weights * torch.rand(20, 3) if weights else torch.randn(20, 3)
    optimizer = torch.optim.SGD(policy.parameters(), 1e-3)
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            (factors * torch.log(policy(torch.randn(20, 4)).softmax(-1))).sum(-1).mean().backward()
            optimizer.step()
    assert bool(seen.signal("zero_advantage_share", "")) is told


def test_a_plain_loss_has_no_advantages() -> None:
    x = torch.randn(20, 4)
    assert find_policy_terms([F.cross_entropy(nn.Linear(4, 3)(x), torch.zeros(20, dtype=torch.long))]) is None


# --- real training --------------------------------------------------------------------------------------------------


def classifier(epochs: int = 6, forget: bool = False) -> tuple[list[float], list[float], list[torch.Tensor]]:
    """Trains with train() and eval() in every epoch; losses, validation losses, final weights and random state."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x = torch.randn(128, 8)
    y = x[:, :3].argmax(1)
    losses, validation = [], []
    for epoch in range(epochs):
        if epoch == 0 or not forget:
            model.train()
        for rows in torch.arange(96).split(32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            total = sum(
                F.cross_entropy(model(x[rows]), y[rows], reduction="sum").item()
                for rows in torch.arange(96, 128).split(10)
            )
        validation.append(total / 32)
    return losses, validation, [*model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("delayed", [False, True])
def test_the_validation_loss_is_seen_and_nothing_changes(delayed: bool) -> None:
    before = [getattr(F, name) for name in LOSS_NAMES], nn.Module.eval
    bare = classifier()
    with watching(1, delayed=delayed) as seen:
        watched = classifier()
    assert bare[:2] == watched[:2] and all(map(torch.equal, bare[2], watched[2]))
    found = seen.signal("validation_loss", "cross_entropy")
    assert found == pytest.approx(dict(zip(range(3, 19, 3), bare[1], strict=True)), rel=1e-5)
    assert ([getattr(F, name) for name in LOSS_NAMES], nn.Module.eval) == before
    assert not seen.of("note")


Batch = tuple[torch.Tensor, torch.Tensor]


def without_eval(evaluate: Callable[[nn.Module, Batch, Batch, Batch], float]) -> tuple[list[float], torch.Tensor]:
    """Trains, and before every third step evaluates the model: on the last batch, the next, held-out data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x = torch.randn(128, 8)
    y = x[:, :3].argmax(1)
    found, last = [], (x[:32], y[:32])
    for step in range(12):
        rows = torch.randint(96, (32,))
        batch = x[rows], y[rows]
        if step % 3 == 0:
            found.append(evaluate(model, last, batch, (x[96:], y[96:])))
        last = batch
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return found, torch.cat([p.detach().flatten() for p in model.parameters()] + [torch.get_rng_state().float()])


def validates(model: nn.Module, last: Batch, upcoming: Batch, held_out: Batch) -> float:
    with torch.inference_mode():
        batches = zip(*(part.split(4) for part in held_out), strict=True)
        return sum(F.cross_entropy(model(x), y, reduction="sum").item() for x, y in batches) / 32


def logs(model: nn.Module, last: Batch, upcoming: Batch, held_out: Batch) -> float:
    with torch.no_grad():
        before, after = (F.cross_entropy(model(x), y).item() for x, y in (last, upcoming))
        return before + after + F.mse_loss(model(held_out[0]), torch.zeros(32, 3)).item()


@pytest.mark.parametrize("every", [1, None])
def test_validation_without_eval_is_seen_and_nothing_changes(every: int | None) -> None:
    bare = without_eval(validates)
    with watching(every) as seen:
        watched = without_eval(validates)
    assert bare[0] == watched[0] and torch.equal(bare[1], watched[1]) and not seen.of("note")
    # there is no training before the first; the second tells that more will come
    assert seen.signal("validation_loss", "cross_entropy") == pytest.approx(dict(zip((6, 9), bare[0][2:], strict=True)))


def test_the_training_loss_that_is_logged_is_no_validation_loss() -> None:
    bare = without_eval(logs)
    with watching(1) as seen:
        watched = without_eval(logs)
    assert bare[0] == watched[0] and torch.equal(bare[1], watched[1]) and not seen.of("note")
    assert not [f for _, f, _ in seen.rows if f.name == "validation"]


def test_scripted_losses_are_the_original() -> None:
    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x, y)

    with watching():
        scripted = torch.jit.script(loss)
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert torch.equal(scripted(x, y), F.cross_entropy(x, y))


def test_accuracy_alone_gives_nothing_and_errors_are_the_scripts_own() -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(3):
            F.cross_entropy(model(torch.randn(5, 4)), torch.zeros(5, dtype=torch.long)).backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                model(torch.randn(5, 4)).argmax(1)
            model.train()
        model.eval()
        with torch.no_grad(), pytest.raises(ValueError, match="batch"):
            F.cross_entropy(torch.randn(5, 3), torch.zeros(4, dtype=torch.long))
    assert not seen.signal("validation_loss", "cross_entropy") and not seen.of("note")


@pytest.mark.parametrize("forget", [False, True])
def test_a_forgotten_train_is_seen(forget: bool) -> None:
    with watching(1) as seen:
        classifier(forget=forget)
    modes = list(seen.signal("eval_mode").values())
    assert modes == [0.0] * 3 + [float(forget)] * 15


def play(noise: float, slope: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    judge = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizers = [torch.optim.Adam(m.parameters(), 2e-3) for m in (generator, judge)]
    one, zero = torch.ones(64, 1), torch.zeros(64, 1)
    bce = F.binary_cross_entropy_with_logits
    for _ in range(30):
        fake, real = generator(noise * torch.randn(64, 4)), 2 + torch.randn(64, 2)
        optimizers[1].zero_grad()
        on_real = judge(real.requires_grad_(slope))
        penalty = torch.autograd.grad(on_real.sum(), real, create_graph=True)[0].square().mean() if slope else 0.0
        (bce(on_real, one) + bce(judge(fake.detach()), zero) + penalty).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        bce(judge(fake), one).backward()
        optimizers[0].step()
    return [*generator.state_dict().values(), *judge.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("slope", [False, True])
def test_a_game_is_seen_and_not_changed(slope: bool) -> None:
    bare = play(1.0, slope)
    with watching(1) as seen:
        watched = play(1.0, slope)
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    (where,) = {w for _, f, _ in seen.rows if f.name == "game" for _, w in f.columns}
    assert all(v > 0 for v in seen.signal("generated_spread", where).values())
    with watching(1) as seen:
        play(0.0, slope)
    assert max(seen.signal("generated_spread", where).values()) < 1e-3


def variational(weight: float) -> list[torch.Tensor]:
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(8, 6), nn.Linear(3, 8)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    for _ in range(100):
        x = torch.randn(32, 2) @ torch.ones(2, 8)
        mu, logvar = encoder(x).chunk(2, -1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1).mean()
        optimizer.zero_grad()
        (F.mse_loss(decoder(z), x, reduction="sum") / 32 + weight * kl).backward()
        optimizer.step()
    return [encoder.weight.detach(), decoder.weight.detach(), torch.get_rng_state()]


@pytest.mark.parametrize(("weight", "active"), [(0.1, True), (1000.0, False)])
def test_latent_variables_are_seen_and_not_changed(weight: float, active: bool) -> None:
    bare = variational(weight)
    with watching(10) as seen:
        watched = variational(weight)
    assert all(map(torch.equal, bare, watched)) and not seen.of("note")
    (where,) = {w for _, f, _ in seen.rows if f.name == "latent" for _, w in f.columns}
    assert (seen.signal("active_units_share", where)[100] > 0) == active


@pytest.mark.parametrize("shared", [False, True])
def test_an_optimizer_that_never_steps_leaves_its_parameters_unchanged(shared: bool) -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(4, 8), nn.Linear(8, 3)
    stepped, held = torch.optim.SGD(last.parameters(), 0.1), [*first.parameters(), *last.parameters()]
    forgotten = torch.optim.SGD(held if shared else first.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(8):
            stepped.zero_grad()
            forgotten.zero_grad()
            F.cross_entropy(last(first(torch.randn(5, 4))), torch.zeros(5, dtype=torch.long)).backward()
            stepped.step()
    (told,) = seen.of("unchanged")
    assert told["why"] == "never stepped" and told["count"] == 2 and told["shared"] == shared


def test_what_a_later_optimizer_never_moves_is_unchanged_though_an_earlier_one_moved_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    x, y = torch.randn(20, 4), torch.randint(2, (20,))

    def take(optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    with watching(1) as seen:
        take(torch.optim.SGD(model.parameters(), 0.1), 10)
        groups = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
        second = torch.optim.SGD(groups, 0.1)
        torch.optim.lr_scheduler.LambdaLR(second, [lambda _: 0.0, lambda _: 1.0])
        take(second, 30)
    (told,) = seen.of("unchanged")
    assert told["why"] == "rate 0" and told["scheduled"] and told["parameters"] == ["0.weight", "0.bias"]
    assert seen.signal("unchanged_share", "2")[32] == 0 and seen.signal("unchanged_share", "0")[32] == 1


@pytest.mark.parametrize("steps", [False, True])
def test_a_sparse_table_is_unchanged_where_its_optimizer_never_steps(steps: bool) -> None:
    table, last = nn.Embedding(50, 4, sparse=True), nn.Linear(4, 3)
    stepped, tables = torch.optim.SGD(last.parameters(), 0.1), torch.optim.SparseAdam(table.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(8):
            stepped.zero_grad()
            tables.zero_grad()
            F.cross_entropy(last(table(torch.full((5,), 49))), torch.zeros(5, dtype=torch.long)).backward()
            stepped.step()
            if steps:
                tables.step()
    assert [told["why"] for told in seen.of("unchanged")] == ([] if steps else ["never stepped"])


# --- rules ----------------------------------------------------------------------------------------------------------


def evaluated(validation: list[float], losses: list[float]) -> Stream:
    stream = train(losses, constant=2.3)
    every = len(losses) // len(validation)
    for number, value in enumerate(validation, 1):
        stream.row(number * every, "validation", {("validation_loss", "cross_entropy"): value})
    return stream


FALLING = [2.3 * math.exp(-i / 60) + 0.01 for i in range(400)]
BEST = [2.0, 1.6, 1.3, 1.1, 1.0]


def test_overfitting_takes_long_and_much() -> None:
    much = evaluated(BEST + [1.0 + 0.05 * i for i in range(1, 16)], FALLING).findings()["overfitting"]
    assert much.severity == "warning" and much.first_step == 100
    little = evaluated(BEST + [1.0 + 0.008 * i for i in range(1, 16)], FALLING).findings()
    assert little["overfitting"].severity == "info"
    stopped = evaluated(BEST + [1.0 + 0.05 * i for i in range(1, 6)], FALLING).findings()
    assert "overfitting" not in stopped
    fell = [2.3 * math.exp(-i / 60) + 0.01 for i in range(600)]
    late = evaluated([2.1] * 16 + BEST + [1.0 + 0.05 * i for i in range(1, 10)], fell).findings()
    assert late["overfitting"].severity == "info"  # most of the run went well
    noise = np.random.default_rng(0).normal(size=20)
    assert "overfitting" not in evaluated(list(1.0 + 0.1 * noise), FALLING).findings()


@pytest.mark.parametrize(
    ("values", "left", "decay", "told"),
    [
        ([3.9, 4.5, 4.8], 0.0, 0.0, True),
        ([3.9, 4.5], 0.0, 0.0, False),
        ([4.8, 4.5, 3.9], 0.0, 0.0, False),  # it comes back
        ([1.9, 2.0, 2.2], 0.0, 0.0, False),  # no worse than to know nothing
        ([3.9, 4.5, 4.8], 0.2, 0.0, False),  # there is more to learn
        ([3.9, 4.5, 4.8], 0.0, 1.0, False),  # under a decay it may come back, as grokking does
    ],
)
def test_a_few_evaluations_that_are_worse_than_to_know_nothing(values, left, decay, told) -> None:
    stream = evaluated(values, [2.3 * math.exp(-i / 5) + left for i in range(60)])
    stream.event(1, "optimizers", optimizers=[{"name": "", "weight_decay": decay, "defaults": {"lr": 1.0}}])
    assert ("overfitting" in stream.loud()) == told


def test_overfitting_counts_in_what_validation_had_gained() -> None:
    noisy = [2.2, 2.1, 2.05, 2.0, 2.0]  # little can be learned of what a constant loses, 2.3
    most_lost = evaluated(noisy + [min(2.25, 2.0 + 0.03 * i) for i in range(1, 17)], FALLING).findings()
    assert most_lost["overfitting"].severity == "warning"


def test_overfitting_beyond_a_constant_is_a_warning() -> None:
    found = evaluated([*BEST, 1.4, 1.8, 2.2, 2.6, 3.0, 3.4, 3.6], FALLING[:240]).findings()
    assert found["overfitting"].severity == "warning"


def test_data_learned_by_heart_need_no_rise() -> None:
    def stays(at: float, left: float, decay: float = 0.0, last: float | None = None) -> str | None:
        values = [2.2, 1.9, *[at] * 21, at if last is None else last]
        losses = [2.3 * math.exp(-i / 30) + left for i in range(480)]
        stream = evaluated(values, losses)
        stream.event(1, "optimizers", optimizers=[{"name": "", "weight_decay": decay, "defaults": {"lr": 1e-3}}])
        found = stream.findings().get("overfitting")
        return None if found is None else found.severity

    assert stays(1.5, 1e-3) == "warning"
    assert stays(1.5, 0.1) is None  # a gradient is left
    assert stays(0.9, 1e-3) is None  # most is explained
    assert stays(2.25, 1e-3) is None  # nothing ever was: another finding's
    assert stays(1.5, 1e-3, decay=0.01) is None  # the weights move on
    assert stays(1.5, 1e-3, last=1.3) is None  # it gets better


def test_what_is_learned_for_half_of_the_run_and_helps_nothing() -> None:
    def stays(ends: float, last: float = 1.8, decay: float = 0.01, kind: str = "AdamW", falls: bool = True) -> bool:
        values = [2.2, 2.0, 1.9, 1.8, 1.75, 1.7, *[1.8] * 7, last]
        losses = [2.3 - (2.3 - ends) * min(1.0, i / (280 if falls else 140)) for i in range(280)]
        stream = evaluated(values, losses)
        defaults = {"lr": 1e-3, "decoupled_weight_decay": kind == "AdamW"}
        told = {"name": "", "type": kind, "weight_decay": decay, "defaults": defaults}
        stream.event(1, "optimizers", optimizers=[told])
        found = stream.findings().get("overfitting")
        return found is not None and found.severity == "warning"

    assert stays(0.4) and stays(0.4, decay=0.0, kind="Adam")
    assert not stays(0.4, last=1.65)  # it gets better still
    assert not stays(1.2)  # not half of what there is lies between the two
    assert not stays(0.4, falls=False)  # a gap, as there was one before: nothing is learned any more
    assert not stays(0.4, decay=0.9) and not stays(0.4, kind="Adam")  # the weights move on


def test_eval_mode_after_training_mode() -> None:
    for modes, severity in (
        ([0, 0, 0, 1, 1, 1], "warning"),
        ([1] * 8, "info"),
        ([0, 1, 1, 0, 1, 1], None),
        ([0] * 9, None),
    ):
        stream = Stream()
        for step, mode in enumerate(modes, 1):
            stream.row(step, "mode", {("eval_mode", ""): mode, ("eval_mode_share", ""): mode})
        found = stream.findings().get("eval-mode-training")
        assert (None if found is None else found.severity) == severity


@pytest.mark.parametrize(("fed", "severity"), [(True, "info"), (False, "warning")])
def test_batch_norms_that_never_saw_a_batch(fed: bool, severity: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        model.train(fed)(torch.randn(64, 4))
    model.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watching(1) as seen:
        for _ in range(10):
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
    assert list(seen.signal("unfed_norm_share").values()) == [float(not fed)] * 10
    assert seen.findings()["eval-mode-training"].severity == severity


def games(rate: float = 0.05, **signals: list[float]) -> dict:
    """Looks every 100 steps at a game whose players move by ``rate`` of their size a step."""
    n = len(next(iter(signals.values())))
    stream = train([1.0] * (100 * n), rate=rate, looks=range(100, 100 * n + 1, 100))
    for number in range(n):
        values = {(name, "G"): series[number] for name, series in signals.items()}
        stream.row(100 * (number + 1), "game", values)
    return {id: f for id, f in stream.findings().items() if id in ("mode-collapse", "adversarial-rotation")}


def test_games() -> None:
    n = 12
    healthy = {
        "generated_spread": [0.9] * n,
        "generated_move": [0.15] * n,
        "coverage": [0.6] * n,
        "precision": [0.7] * n,
    }
    assert not games(**healthy)
    one = games(**{**healthy, "generated_spread": [0.01] * n, "coverage": [0.0] * n, "precision": [0.0] * n})
    assert one["mode-collapse"].severity == "critical"
    few = games(**{**healthy, "coverage": [0.2] * n, "precision": [0.9] * n})
    assert few["mode-collapse"].severity == "warning"
    rising = {**healthy, "coverage": [0.02 * i for i in range(n)], "precision": [0.9] * n}
    for slow in (games(rate=1e-3, **{**rising, "coverage": [0.2] * n}), games(**rising)):
        assert slow["mode-collapse"].severity == "info"
    lost = games(**{**healthy, "coverage": [0.0] * n, "precision": [0.0] * n})
    assert not lost  # not learned yet
    circles = games(**{**healthy, "generated_move": [1.2] * n, "coverage": [0.1] * n, "precision": [0.3] * n})
    assert circles["adversarial-rotation"].severity == "warning"
    off = games(**{**healthy, "generated_move": [1.2] * n, "generated_offset": [1.2] * n})
    assert off["adversarial-rotation"].severity == "warning"  # about the data, and not in it
    nearer = [3.0 * 0.7**i for i in range(n)]
    assert (
        games(**{**healthy, "generated_offset": nearer, "generated_move": [1.2] * n})["adversarial-rotation"].severity
        == "info"
    )
    about = games(**{**healthy, "generated_move": [1.2] * n, "generated_offset": [0.2] * n})
    assert about["adversarial-rotation"].severity == "info"
    early = games(rate=1e-3, **{**healthy, "generated_move": [0.8] * n, "coverage": [0.1] * n, "precision": [0.3] * n})
    assert early["adversarial-rotation"].severity == "info"
    late = games(**{**healthy, "generated_spread": [0.05] * 6 + [0.9] * 6})
    assert late["mode-collapse"].severity if "mode-collapse" in late else True


def test_latent_variables_that_stay_silent() -> None:
    for active, found in (([0.0] * 6, True), ([0.0, 0.0, 0.0, 0.2, 0.5, 0.5], False), ([0.1] * 6, False)):
        stream = Stream()
        for number, share in enumerate(active, 1):
            stream.row(100 * number, "latent", {("active_units_share", "mu"): share, ("latent_kl", "mu"): share})
        assert ("posterior-collapse" in stream.loud()) == found


def test_a_code_that_halves_with_each_doubling_of_the_time_goes_to_nothing() -> None:
    def fades(nats: Callable[[int], float], active: float = 0.4) -> bool:
        stream = Stream()
        for step in (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024):
            share = 1.0 if step <= 64 else active
            stream.row(step, "latent", {("active_units_share", "mu"): share, ("latent_kl", "mu"): nats(step)})
        return "posterior-collapse" in stream.loud()

    assert fades(lambda s: 16.0 * min(s, 64**2 / s) / 64)
    assert not fades(lambda s: 1.5 + 16.0 * min(s, 64**2 / s) / 64)  # it stays where cost and use are even
    assert not fades(lambda s: 16.0 * min(s, 64**2 / s) / 64, active=0.8)
    # or was born, and fell at once; of one that is there from the start that may be the trough before its birth
    assert fades(lambda s: (0.5, 20.0)[32 <= s < 256] if s < 256 else 2.0)
    assert not fades(lambda s: 20.0 if s < 256 else 2.0)
    assert not fades(lambda s: (0.5, 20.0)[32 <= s < 256] if s < 256 else 3.0)


def test_advantages() -> None:
    for shares, severity in (
        ([1.0] * 5, "critical"),
        ([0.9] * 10, "warning"),
        ([0.2, 0.4, 0.6, 0.9, 1.0, 1.0], "info"),
        ([0.1] * 9, None),
    ):
        stream = Stream()
        for number, share in enumerate(shares):
            stream.row(1 + 8 * number, "policy", {("zero_advantage_share", ""): share})
        found = stream.findings().get("zero-variance-groups")
        assert (None if found is None else found.severity) == severity


@pytest.mark.parametrize("delayed", [False, True])
def test_what_is_put_back_after_each_step_is_seen_bit_for_bit(delayed: bool) -> None:
    """A copy of the weights undoes each step; a mask of zeros, and a bound, let some of the numbers move."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam([{"params": model[:2].parameters()}, {"params": model[2:].parameters(), "lr": 0.5}])
    old, mask = model[0].weight.detach().clone(), (torch.rand(8, 8) < 0.5).float()
    with watching(1, delayed=delayed) as seen:
        for step in range(8):
            optimizer.zero_grad()
            model(torch.randn(16, 6)).square().mean().backward()
            optimizer.step()
            with torch.no_grad():
                if step >= 3:
                    model[0].weight.copy_(old)
                model[2].weight.mul_(mask)
                model[4].weight.clamp_(-1e-3, 1e-3)
                model[4].bias.fill_(0.1)
    assert not seen.of("note")
    # step 5 is the first that begins with what another one had begun with; the bias moves on
    assert seen.signal("restored_share", "0") == {s: 0.5 * (s > 5) for s in range(1, 9)}
    assert set(seen.signal("restored_share", "2").values()) == {0.0}
    assert set(seen.signal("restored_share", "4").values()) == {0.0}


def test_weights_on_a_bound_are_not_put_back_though_others_stay_where_they_began() -> None:
    """A critic's weights that are clipped after each step lie on the bound; those of inputs that are always 0 rest."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 1))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.1)
    with watching(1) as seen:
        for _ in range(8):
            optimizer.zero_grad()
            model(torch.rand(16, 12) * (torch.arange(12) < 6)).mean().backward()
            optimizer.step()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.clamp_(-0.2, 0.2)
    assert len(model[0].weight.abs().unique()) >= 3
    assert set(seen.signal("restored_share", "0").values()) == {0.0}


@pytest.mark.parametrize(
    ("stops", "idle", "told"),
    [
        ("critic", True, True),
        ("generator", True, False),  # the samples stay as they are
        ("critic", False, False),  # it is stepped every fifth time, as some are
    ],
)
def test_a_generator_that_plays_alone_is_told(stops: str, idle: bool, told: bool) -> None:
    layers = {"critic": ("judge.0", "judge.2"), "generator": ("make.0", "make.2")}
    stream = Stream()
    for step in range(1, 401):
        for player in layers:
            plays = player != stops or (step <= 200 if idle else step % 5 == 0)
            if plays:
                stream.row(step, "step", {("loss", player): 0.7 + 0.01 * math.sin(step)})
    for step in range(20, 401, 20):
        moving = [p for p in layers if not (p == stops and step > 200 and idle)]
        values = {("update_ratio", name): 1e-3 if p in moving else math.nan for p in layers for name in layers[p]}
        stream.row(step, "weights", values)
        for player in layers:
            every = 1 if player != stops else 5
            stood = step - 200 if player not in moving else step % every
            stream.row(step, "players", {("idle_steps", player): float(stood)})
        if len(moving) == 2:
            seen = dict.fromkeys(("generated_spread", "coverage", "precision"), 0.9)
            seen |= {"generated_offset": 0.1, "generated_move": 0.1}
            stream.row(step, "game", {(signal, "make"): value for signal, value in seen.items()})
    found = stream.findings().get("mode-collapse")
    assert (found is not None) is told
    if found:
        assert found.first_step == 201 and 264 <= found.detected_step <= 300 and found.where == ("make",)
