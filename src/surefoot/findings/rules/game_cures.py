"""The cures of two players that go round, and of a generator whose samples are all alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rules.inputs import SMALL, STANDARDISE
from surefoot.runs.schema import Remedy

TWO_RATES = Remedy(
    name="a slower generator",
    why="a discriminator that has time to follow tells the generator of all the data, not of what it lacks just now",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:  # of the generator's optimizer\n"
        '    group["lr"] /= 4\n'
    ),
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
    moved = {name: pace.movement for name, pace in history.paces.items() if name.isidentifier() and pace.movement > 0}
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


def cures_of_a_game(history: History, period: float = 0.0) -> tuple[Remedy, ...]:
    """A penalty first where there is a critic: where one player was seen to judge samples that another makes. Else to
    look ahead, where it is known how many steps a turn takes."""
    critic = (FLAT_CRITIC,) if history.wheres("generated_move") else ()
    ahead = (look_ahead(period),) if period > 0 else ()
    return (*critic, *ahead, NO_MOMENTUM, CANCEL_DRIFT, TWO_RATES)


def cures_of_collapse(history: History) -> tuple[Remedy, ...]:
    """Of a generator whose noise drowned in its biases from the start, to make that heard; else the critic's."""
    unheard = any(
        0 < size <= SMALL for row in history.first_layers("preactivation_scale") for size in row.values.tolist()
    )
    return (*((STANDARDISE,) if unheard else ()), FLAT_CRITIC, TWO_RATES)
