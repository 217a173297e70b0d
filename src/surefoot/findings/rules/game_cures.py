"""The cures of two players that go round, and of a generator whose samples are all alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rules.input_cures import STANDARDISE
from surefoot.findings.rules.inputs import SMALL
from surefoot.runs.schema import Remedy

TWO_RATES = Remedy(
    name="a slower generator",
    why="a discriminator that has time to follow tells the generator of all the data, not of what it lacks just now",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:  # of the generator's optimizer\n"
        '    group["lr"] /= 4\n'
    ),
    apply="two-rates:factor=3",
)
NON_SATURATING = Remedy(
    name="a loss of the generator that does not saturate",
    why="−log D has the fixed point of log(1 − D), and a gradient where the critic is sure that a sample is none",
    how=(
        "# after: model\n"
        "import torch\n"
        "def generator_loss(logits):  # of samples, in the place of torch.log(1 - torch.sigmoid(logits)).mean()\n"
        "    return torch.nn.functional.softplus(-logits).mean()\n"
    ),
    apply="non-saturating",
)
OWN_NOISE = Remedy(
    name="a row of noise for each sample",
    why="samples that are all one come of noise that is all one, or of weights that no noise gets through",
    how=(
        "# after: model\n"
        "import torch\n"
        "def noise(count, size):  # in the place of torch.randn(1, size).expand(count, size)\n"
        "    return torch.randn(count, size)\n"
    ),
    apply="vary-noise",
)
NO_MOMENTUM = Remedy(
    name="less momentum",
    why="in a game the gradient turns as one moves; what is remembered of it points out of the circle",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:\n"
        '    if "momentum" in group:\n'
        '        group["momentum"] = 0.0\n'
        '    if "betas" in group:\n'
        '        group["betas"] = (0.0, group["betas"][1])\n'
        '    group["lr"] /= 4\n'
    ),
)
CANCEL_DRIFT = Remedy(
    name="surefoot.optim.DriftCancellingGame",
    why=(
        "takes away what steps of finite length add to each player's gradient by way of the other's, and past 1 a "
        "damping comes in its place: the spiral outward turns inward"
    ),
    how=(
        "# after: optimizer\n"
        "from surefoot.optim import DriftCancellingGame\n"
        "def cancelling(first_loss, second_loss, first, second, lr=0.1, cancel=4.0):\n"
        "    # losses are functions of a batch; game.step(batch) takes the place of both players' backward and step\n"
        "    players = first.parameters(), second.parameters()\n"
        "    return DriftCancellingGame(first_loss, second_loss, *players, lr, lr, cancel=cancel)\n"
    ),
)
FLAT_CRITIC = Remedy(
    name="surefoot.losses.gradient_penalty",
    why="a critic that is kept flat at its own inputs pulls both players to the equilibrium, and not around it",
    how=(
        "# after: optimizer\n"
        "from surefoot.losses import gradient_penalty\n"
        "def penalised(loss, critic, *inputs):  # critic_loss = penalised(critic_loss, critic, real, fake)\n"
        "    inputs = [x.detach().requires_grad_() for x in inputs]\n"
        "    return loss + sum(gradient_penalty(critic(x), x) for x in inputs) / len(inputs)\n"
    ),
    apply="gradient-penalty",
)


_TRIED = ("gradient-penalty", "two-rates:factor=3", "two-rates:factor=10", "non-saturating")


def look_ahead(period: float) -> Remedy:
    """Steps along the gradient as it will be after half a radian of its turning; noise grows with that, so not beyond
    ten steps."""
    strength = float(f"{min(10.0, max(1.0, period / (4 * np.pi))):.2g}")
    return Remedy(
        name="surefoot.optim.OptimisticGradient",
        why="where the gradient turns, what it will be some steps on leads inwards, and what it is leads round",
        how=(
            "# after: optimizer\n"
            "from surefoot.optim import OptimisticGradient\n"
            'ahead = OptimisticGradient([p for group in optimizer.param_groups for p in group["params"]], '
            f"strength={strength:g})\n"
            "optimizer.register_step_pre_hook(lambda *_: ahead.step())  # of each player's optimizer\n"
        ),
        apply=f"optimism:strength={strength:g}",
    )


def two_rates(history: History) -> Remedy:
    """Rates with which the player that ran ahead moves, for its size, a quarter as fast as the other: half of the way
    by each. A critic must be near its best reply for the generator's gradient to mean anything (Heusel et al. 2017,
    GANs Trained by a Two Time-Scale Update Rule, arXiv 1706.08500)."""
    own = [name for name in history.paces if name.isidentifier() and name[0].islower()]  # else it is the class's name
    moved = {name: history.paces[name].movement for name in own if history.paces[name].movement > 0}
    if len(moved) != 2 or len(history.paces) != 2:
        return TWO_RATES
    ahead, behind = sorted(moved, key=moved.__getitem__, reverse=True)
    factor = float(f"{min(30.0, 2 * np.sqrt(moved[ahead] / moved[behind])):.2g}")
    return replace(
        TWO_RATES,
        how=(
            f"# after: {ahead}\n"
            "once = [True]\n"
            "def two_rates(*_):  # at the first step, when both are made\n"
            "    if once:\n"
            "        once.clear()\n"
            f"        for group in {ahead}.param_groups:\n"
            f'            group["lr"] /= {factor:g}\n'
            f"        for group in {behind}.param_groups:\n"
            f'            group["lr"] *= {factor:g}\n'
            f"{ahead}.register_step_pre_hook(two_rates)\n"
        ),
    )


def searched(*cures: Remedy) -> tuple[Remedy, ...]:
    """The same cures of a generator and its critic; the first is applied as the best of all, by what it makes of the
    samples: all of these that --apply knows are tried, and what most games need."""
    tried = dict.fromkeys([*(cure.apply for cure in cures if cure.apply is not None), *_TRIED])
    why = f"{cures[0].why} (--apply tries others beside it, and takes what brings the samples nearest to the data)"
    return replace(cures[0], why=why, apply=f"game-search:of={'/'.join(tried)}"), *cures[1:]


def cures_of_a_game(history: History, period: float = 0.0) -> tuple[Remedy, ...]:
    """A penalty first where there is a critic: where one player was seen to judge samples that another makes. Else to
    look ahead, where it is known how many steps a turn takes."""
    ahead = (look_ahead(period),) if period > 0 else ()
    others = (*ahead, NO_MOMENTUM, CANCEL_DRIFT, TWO_RATES)
    return searched(FLAT_CRITIC, *others) if history.wheres("generated_move") else others


def cures_of_collapse(history: History, spread: float = 1.0) -> tuple[Remedy, ...]:
    """Of a generator whose noise drowned in its biases from the start, to make that heard; of one that makes a single
    sample, noise for each; else the critic's."""
    unheard = any(
        0 < size <= SMALL for row in history.first_layers("preactivation_scale") for size in row.values.tolist()
    )
    if unheard:
        return (STANDARDISE, FLAT_CRITIC, TWO_RATES)
    return searched(*(() if spread > 0 else (OWN_NOISE,)), FLAT_CRITIC, TWO_RATES)
