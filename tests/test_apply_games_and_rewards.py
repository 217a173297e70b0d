"""Cures of games and rewards, of draws that repeat, and of rows that lost their order."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from curing import curing
from surefoot.analysis.generated import energy_distance
from surefoot.apply.catalogue import parse
from surefoot.apply.game_search import _last
from surefoot.findings.rules.game_cures import NO_MOMENTUM, OWN_NOISE, look_ahead, searched
from surefoot.findings.rules.stalled import one_order
from surefoot.observe.lone_order import lone_orders

ALL = "x[rows], y[rows], z[rows]\n"


class Game:
    """A generator of points about a mean, and a critic of them."""

    def __init__(self, saturating: bool = False, squashed: bool = False) -> None:
        torch.manual_seed(0)
        self.generator = nn.Linear(4, 2)
        self.critic = nn.Sequential(
            nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1), *([nn.Sigmoid()] if squashed else [])
        )
        self.first = torch.optim.SGD(self.generator.parameters(), lr=0.5)
        self.second = torch.optim.SGD(self.critic.parameters(), lr=0.1)
        self.saturating, self.squashed = saturating, squashed

    def chance(self, x: Tensor) -> Tensor:
        scores = self.critic(x)
        return scores if self.squashed else torch.sigmoid(scores)

    def play(self, steps: int, noise: Tensor | None = None) -> None:
        for _ in range(steps):
            fake = self.generator(torch.randn(32, 4) if noise is None else noise)
            real = torch.randn(32, 2) + 3
            self.second.zero_grad()
            (-(self.chance(real).log() + (1 - self.chance(fake.detach())).log()).mean()).backward()
            self.second.step()
            self.first.zero_grad()
            judged = self.chance(fake)
            ((1 - judged).log().mean() if self.saturating else -judged.log().mean()).backward()
            self.first.step()


def test_two_rates_are_those_of_the_players_whatever_they_are_called() -> None:
    rates: dict[str, list[float]] = {"generator": [], "critic": []}
    with curing("two-rates:factor=10") as told:
        game = Game()
        for name, optimizer in (("generator", game.first), ("critic", game.second)):
            optimizer.register_step_pre_hook(lambda o, *_, name=name: rates[name].append(o.param_groups[0]["lr"]))
        game.play(3)
    assert rates == {"generator": pytest.approx([0.05] * 3), "critic": pytest.approx([0.1, 1.0, 1.0])}
    assert "in 5 steps" in told.summaries["two-rates"] and game.second.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("squashed", [False, True])
def test_a_generator_gets_the_gradient_of_log_d_and_no_other_loss_is_touched(squashed: bool) -> None:
    def gradient(saturating: bool, *texts: str) -> Tensor:
        with curing(*texts) as told:
            game = Game(saturating, squashed)
            game.play(2)
        assert game.generator.weight.grad is not None
        told_of = told.summaries.get("non-saturating", "")
        assert not told_of or told_of.startswith(f"put −log D in the place of log(1 − D) in {2 if saturating else 0} ")
        return game.generator.weight.grad

    wanted = gradient(False)
    torch.testing.assert_close(gradient(True, "non-saturating"), wanted, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(gradient(True), wanted, rtol=0.05)
    torch.testing.assert_close(gradient(False, "non-saturating"), wanted, rtol=0, atol=0)


def test_noise_that_is_one_row_becomes_a_row_for_each_sample() -> None:
    with curing("vary-noise") as told:
        game = Game()
        alike = game.generator(torch.randn(1, 4).expand(32, 4))
        given = torch.randn(32, 4)
        own = game.generator(given)
    assert len(alike.unique(dim=0)) == 32 and told.summaries["vary-noise"].endswith("1 batches")
    torch.testing.assert_close(own, nn.functional.linear(given, game.generator.weight, game.generator.bias))


def test_samples_are_near_to_data_of_their_own_distribution() -> None:
    torch.manual_seed(0)
    data = torch.randn(128, 3)
    assert abs(energy_distance(torch.randn(128, 3), data)) < 0.05
    assert energy_distance(torch.randn(128, 3) + 2, data) > 0.5 < energy_distance(torch.zeros(128, 3) + 1, data)
    assert _last([9.0, 9.0, 9.0, 1.0]) == 1.0 and _last([1.0, math.nan]) == _last([]) == math.inf


def test_a_search_chooses_no_search() -> None:
    with pytest.raises(ValueError, match="two or more that there are"):
        parse("game-search:of=gradient-penalty/best-of")


class Spelling:
    """Four letters are to be spelled; a group has eight tries."""

    def __init__(self, reward: str, greedy: bool = False) -> None:
        torch.manual_seed(0)
        self.policy = nn.Embedding(6, 4 * 5)
        self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=0.1)
        self.answers = torch.randint(5, (6, 4))
        self.reward, self.greedy = reward, greedy

    def right(self, tries: Tensor) -> Tensor:
        right = tries == self.answers[:, None]
        if self.reward == "all":
            return right.all(dim=2).float()
        return right.float().prod(-1) if self.reward == "prod" else right.float().mean(2)

    def step(self) -> Tensor:
        logits = self.policy(torch.arange(6)).view(6, 4, 5)
        with torch.no_grad():
            if self.greedy:
                tries = logits.argmax(-1).unsqueeze(1).repeat(1, 8, 1)
            else:
                tries = Categorical(logits=logits).sample((8,)).transpose(0, 1)
            rewards = self.right(tries)
        advantages = rewards - rewards.mean(1, keepdim=True)
        log_p = Categorical(logits=logits[:, None]).log_prob(tries).sum(2)
        self.optimizer.zero_grad()
        (-(advantages * log_p).mean()).backward()
        self.optimizer.step()
        return rewards


@pytest.mark.parametrize("reward", ["all", "prod"])
def test_what_is_rewarded_as_a_whole_is_rewarded_by_its_parts(reward: str) -> None:
    with curing("spread-rewards") as told:
        task = Spelling(reward)
        task.step()  # nothing is known before a backward has shown log-probabilities
        rewards = task.step()
        others = torch.ones(3, 4, dtype=torch.bool).all(1).float()  # no rewards: there are not so many
    assert len(rewards.unique()) > 2 and bool((others == 1).all())
    assert told.summaries["spread-rewards"] == "drew actions 0 times, and gave credit for parts 1 times"


def test_what_is_neither_greedy_nor_all_or_nothing_is_left_and_entropy_is_rewarded() -> None:
    with curing("spread-rewards:coef=0.2") as told:
        task = Spelling("mean")
        for _ in range(6):
            task.step()
        assert torch.equal(torch.tensor([[1.0, 2.0]]).argmax(1), torch.tensor([1]))
    assert "rewarded entropy with 0.2" in told.summaries["spread-rewards"]
    assert told.summaries["entropy-bonus"].startswith("rewarded entropy with 0.2 in ")


def gradient_of(loss: Callable[[Tensor], Tensor], *cures: str) -> tuple[Tensor, dict[str, str]]:
    """Of a policy's logits, by what ``loss`` makes of them."""
    logits = torch.randn(64, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    torch.optim.SGD([logits], lr=0.1)
    with curing(*cures) as told:
        loss(2 * logits).backward()
    assert logits.grad is not None
    return logits.grad, told.summaries


ACTIONS, REWARDS = torch.arange(64) % 5, torch.linspace(3, 9, 64)


def weighted(rewards: Tensor, log_softmax: bool = False) -> Callable[[Tensor], Tensor]:
    def loss(logits: Tensor) -> Tensor:
        if log_softmax:
            log_p = logits.log_softmax(1).gather(1, ACTIONS[:, None]).squeeze(1)
        else:
            log_p = Categorical(logits=logits).log_prob(ACTIONS)
        return -(log_p * rewards).mean()

    return loss


@pytest.mark.parametrize("log_softmax", [False, True])
def test_rewards_without_a_baseline_get_one(log_softmax: bool) -> None:
    wanted, _ = gradient_of(weighted((REWARDS - REWARDS.mean()) / REWARDS.std(), log_softmax))
    got, told = gradient_of(weighted(REWARDS, log_softmax), "baseline")
    assert torch.allclose(got, wanted, atol=1e-6)
    assert told["baseline"] == "measured rewards against their batch in 1 losses"


@pytest.mark.parametrize("rewards", [REWARDS - 6, (REWARDS > 5).float(), torch.full((64,), 2.0)])
def test_advantages_masks_and_constants_are_left_as_they_are(rewards: Tensor) -> None:
    assert torch.equal(gradient_of(weighted(rewards), "baseline")[0], gradient_of(weighted(rewards))[0])


@pytest.mark.parametrize("log_softmax", [False, True])
def test_the_bonus_is_the_gradient_of_the_entropy(log_softmax: bool) -> None:
    def with_bonus(logits: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        return weighted(REWARDS, log_softmax)(logits) + 0.3 * (log_p.exp() * log_p).sum(1).mean()

    wanted, _ = gradient_of(with_bonus)
    got, told = gradient_of(weighted(REWARDS, log_softmax), "entropy-bonus:coef=0.3")
    assert torch.allclose(got, wanted, atol=1e-6)
    assert told["entropy-bonus"] == "rewarded entropy with 0.3 in 1 losses"


def test_rollouts_that_take_the_likeliest_are_drawn() -> None:
    torch.manual_seed(0)
    policy = nn.Linear(3, 5)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    with curing("spread-rewards") as told:
        for _ in range(2):
            logits = policy(torch.randn(4, 3))
            actions = logits.argmax(1).expand(64, -1)
            advantages = (actions == 1).float() - 0.5
            (-(advantages * Categorical(logits=logits).log_prob(actions)).mean()).backward()
            optimizer.step()
        with torch.no_grad():
            tested = policy(torch.randn(4, 3))
            assert torch.equal(tested.argmax(1), tested.max(1).indices)  # an evaluation takes the likeliest
    assert all(len(column.unique()) > 1 for column in actions.T)
    assert told.summaries["spread-rewards"].startswith("drew actions 2 times")


def test_rollouts_that_are_drawn_with_one_seed_get_others() -> None:
    torch.manual_seed(0)
    policy = nn.Linear(3, 50)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    with curing("spread-rewards") as told:
        for step in range(2):
            logits = policy(torch.randn(4, 3))
            chances = logits.detach().softmax(1)
            rollouts = [
                torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(step)).squeeze(1)
                for _ in range(8)
            ]  # fmt: skip
            actions = torch.stack(rollouts)
            advantages = (actions == 1).float() - 0.5
            (-(advantages * Categorical(logits=logits).log_prob(actions)).mean()).backward()
            optimizer.step()
    assert all(len(column.unique()) > 1 for column in actions.T)
    assert told.summaries["spread-rewards"].endswith("gave rollouts 7 seeds of their own")


def test_a_step_that_seeds_as_the_one_before_draws_other_numbers() -> None:
    def draws(*texts: str) -> list[list[float]]:
        def batch(seed: int) -> Tensor:
            return torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))

        found = []
        with curing(*texts):
            model = nn.Linear(3, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                x = batch(7)
                found.append(x[0].tolist())
                model(x).square().mean().backward()
                optimizer.step()
            model.eval()
            found.append(batch(7)[0].tolist())
        return found

    plain, fresh = draws("zero-grad"), draws("fresh-batches")
    assert plain[0] == plain[1] == plain[2] == plain[3] == fresh[0] == fresh[3]
    assert fresh[0] != fresh[1] != fresh[2] != fresh[0]


@pytest.mark.parametrize(
    ("source", "together"),
    [
        ("x, y = load()\norder = randperm(9)\nx = x[order]", "x, y = x[order], y[order]\n"),
        ("x, y = load()\nx = x[x[:, 0].argsort()]", "rows = x[:, 0].argsort()\nx, y = x[rows], y[rows]\n"),
        ("x, y, z = load()\nx = rng.permutation(x)", "rows = rng.permutation(len(x))\nx, y, z = " + ALL),
        ("def f():\n    x, y = load()\n    x = x[np.argsort(x)]", "rows = np.argsort(x)\nx, y = x[rows], y[rows]\n"),
        ("x = load()\nx = x[randperm(9)]\nd = TensorDataset(x, y)", "rows = randperm(9)\nx, y = x[rows], y[rows]\n"),
        ("x, y = load()\np = randperm(9)\nx = x[p]\ny = y[p]", None),
        ("x, y = load()\np = randperm(9)\nx, y = x[p], y[p]", None),
        ("x, y = load()\nfor _ in range(3):\n    x = x[randperm(9)]", None),
        ("x, y = load()\nx = x[3:]", None),
        ("x = load()\nx = x[randperm(9)]", None),
        ("while True:\n    x = x[randperm(9)]\n    y = y[randperm(9)]\n    for a, b in zip(x, y): pass",
         "rows = randperm(9)\nx, y = x[rows], y[rows]\n"),
        ("def batch(i):\n    return x[i], y[i]\nshuffle(x)\nshuffle(y)",
         "rows = list(range(len(x)))\nshuffle(rows)\nx, y = (part[rows] if hasattr(part, 'shape') else "
         "[part[i] for i in rows] for part in (x, y))\n"),
        ("x, y = load()\nx = x[randperm(9)]\ny = y[randperm(9)]\nstep(x[0], y[0])", None),
        ("x, y = load()\nx = x[x.argsort()]\ny = y[y.argsort()]", None),
        ("x, y = load(", None),
    ],
)  # fmt: skip
def test_a_lone_order_is_read_in_the_text(source: str, together: str | None) -> None:
    found = lone_orders(source)
    assert [one.together for one in found] == ([] if together is None else [together])


@pytest.mark.parametrize("change", ["random.Random(0).shuffle(x)", "x = sorted(x, key=lambda v: -v)", "x = sorted(x)"])
def test_lists_are_put_in_one_order_too(change: str) -> None:
    [found] = lone_orders(f"x, y = load()\n{change}")
    names: dict[str, object] = {"x": [3, 1, 2], "y": "cab"}
    exec("import random\n" + found.together, names)
    assert sorted(zip(names["x"], names["y"], strict=True)) == [(1, "a"), (2, "b"), (3, "c")]  # type: ignore[call-overload]
    assert names["x"] != [3, 1, 2] or "shuffle" in change


def test_the_cure_of_a_lone_order_is_the_statement_that_orders_all() -> None:
    [found] = lone_orders("x, y = load()\nx = x[x.argsort()]")

    class Event:
        step, kind, data = 1, "lone_order", {**vars(found)}

    remedy = one_order(Event())  # type: ignore[arg-type]
    assert remedy.how == "# replace: x = x[x.argsort()]\nrows = x.argsort()\nx, y = x[rows], y[rows]\n"
    assert "line 2" in remedy.why and "order than y" in remedy.why


def test_a_game_is_searched_for_what_its_finding_names_and_what_most_games_need() -> None:
    first, *others = searched(OWN_NOISE, look_ahead(20.0), NO_MOMENTUM)
    assert first.name == OWN_NOISE.name and others == [look_ahead(20.0), NO_MOMENTUM]
    [(_, tried), _] = parse(str(first.apply)).settings
    assert tried[:2] == ("vary-noise", "optimism:strength=1.6") and {"gradient-penalty", "two-rates:factor=3"} <= {
        *tried
    }
