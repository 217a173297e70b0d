"""Two players who step with finite lengths: what the steps do beyond the gradient flow, and a game that takes it away.

Rosca, Wu, Dherin, Barrett, "Discretization Drift in Two-Player Games", ICML 2021, arXiv 2105.13922. φ lowers L₁ at rate
a, θ lowers L₂ at rate b, with f = −∇_φ L₁ and g = −∇_θ L₂. On one clock for both, a step a unit of time, the steps
follow φ̇ = a F, θ̇ = b G with

    F = f − ½ (a f_φ f + b f_θ g),    G = g − ½ (± a g_φ f + b g_θ g),

+ for simultaneous steps, − for the second of alternating ones. As losses: each player's own term is (rate/4) the
squared norm of its gradient, which smooths; the interaction term of φ is (b/2) ⟨∇_θ L₁, ∇_θ L₂⟩ with the second factor
held. In a zero-sum game it raises the other player's gradient: the harm of simultaneous steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Scheme = Literal["simultaneous", "alternating"]
Clock = Literal["shared", "own"]
Loss = Callable[[Any], Tensor]


@dataclass(frozen=True)
class DriftTerms:
    """Gradients, as added to each player's own by the steps being finite; lists like the players' parameters."""

    self1: list[Tensor]
    inter1: list[Tensor]
    self2: list[Tensor]
    inter2: list[Tensor]


def two_player_drift(
    loss1: Tensor,
    loss2: Tensor,
    params1: Sequence[Tensor],
    params2: Sequence[Tensor],
    lrs: tuple[float, float],
    scheme: Scheme = "simultaneous",
    clock: Clock = "shared",
    updates: tuple[int, int] = (1, 1),
) -> DriftTerms:
    """The drift terms of both players at one point.

    Parameters
    ----------
    loss1, loss2 : with their graphs
    params1, params2 : φ and θ; disjoint
    lrs : (a, b)
    scheme : whether both step at once, or θ after φ
    clock : ``"shared"``: a step is a unit of time for both, which follows the steps to third order; ``"own"``: each
        player in its own time, as the authors' code has it; equal for equal rates
    updates : inner steps of each player a round; they divide its own term

    Raises
    ------
    ValueError
        For rates that are not positive, players that share parameters, an unknown scheme or clock, updates below 1.
    """
    a, b = _checked(lrs, params1, params2, scheme)
    if clock not in ("shared", "own"):
        raise ValueError(f"clock: got {clock!r}; must be 'shared' or 'own'")
    if min(updates) < 1:
        raise ValueError(f"updates: got {updates}; must be at least 1 each")
    own1, cross1 = _slopes(loss1, params1, params2)  # ∇_φ L₁, ∇_θ L₁
    cross2, own2 = _slopes(loss2, params1, params2)  # ∇_φ L₂, ∇_θ L₂
    first, second = (b, a) if clock == "shared" else (a, b)
    if scheme == "alternating":
        second = -second if clock == "shared" else b - 2 * a
    return DriftTerms(
        _pulled(own1, own1, params1, a / 2 / updates[0]),  # ∇ (a/4)‖g‖² = (a/2) H g
        _pulled(cross1, own2, params1, first / 2),
        _pulled(own2, own2, params2, b / 2 / updates[1]),
        _pulled(cross2, own1, params2, second / 2),
    )


def modified_field(
    loss1: Tensor,
    loss2: Tensor,
    params1: Sequence[Tensor],
    params2: Sequence[Tensor],
    lrs: tuple[float, float],
    scheme: Scheme = "simultaneous",
) -> tuple[list[Tensor], list[Tensor]]:
    """(a F, b G): the velocities that the steps follow to third order, a step a unit of time."""
    terms = two_player_drift(loss1, loss2, params1, params2, lrs, scheme)
    own1, own2 = _detached(loss1, params1), _detached(loss2, params2)
    velocity1 = [-lrs[0] * (g + s + i) for g, s, i in zip(own1, terms.self1, terms.inter1, strict=True)]
    velocity2 = [-lrs[1] * (g + s + i) for g, s, i in zip(own2, terms.self2, terms.inter2, strict=True)]
    return velocity1, velocity2


class DriftCancellingGame:
    """SGD for two players with the interaction terms of their drift taken away.

    Each player steps along its gradient less ``cancel`` times its interaction term; its own term, which smooths, stays.
    Two vector-Jacobian products more than plain steps.

        game = DriftCancellingGame(d_loss, g_loss, d.parameters(), g.parameters(), 0.1, 0.1)
        for batch in loader:
            d_value, g_value = game.step(batch)

    Parameters
    ----------
    loss1, loss2 : batch → the loss that each player lowers
    params1, params2 : of the players; disjoint
    lr1, lr2 : their rates
    scheme : both at once, or the second after the first has moved
    cancel : 0 plain, 1 takes the terms away, more over-corrects (towards consensus optimisation)
    estimator : ``"biased"``: one batch for both factors; ``"split"``: differentiates through the first half and holds
        the second half's factor, whose product is then unbiased

    Raises
    ------
    ValueError
        For rates that are not positive, shared parameters, a negative ``cancel``, unknown names, a batch too small to
        split.
    """

    def __init__(
        self,
        loss1: Loss,
        loss2: Loss,
        params1: Sequence[Tensor] | Any,
        params2: Sequence[Tensor] | Any,
        lr1: float,
        lr2: float,
        scheme: Scheme = "simultaneous",
        cancel: float = 1.0,
        estimator: Literal["biased", "split"] = "biased",
    ) -> None:
        self.params1, self.params2 = list(params1), list(params2)
        self._lrs = _checked((lr1, lr2), self.params1, self.params2, scheme)
        if cancel < 0:
            raise ValueError(f"cancel: got {cancel}; must be at least 0")
        if estimator not in ("biased", "split"):
            raise ValueError(f"estimator: got {estimator!r}; must be 'biased' or 'split'")
        self._losses = (loss1, loss2)
        self.scheme, self.cancel, self.estimator = scheme, cancel, estimator
        # real optimisers, so that schedulers, and whoever watches steps, see them
        self.optimizer1 = torch.optim.SGD(self.params1, lr1)
        self.optimizer2 = torch.optim.SGD(self.params2, lr2)

    def step(self, batch: Any = None) -> tuple[Tensor, Tensor]:
        """One step of both players; the two losses before it (alternating: the second's after the first has moved)."""
        if self.scheme == "simultaneous":
            value1, move1 = self._gradient(1, batch)
            value2, move2 = self._gradient(2, batch)
            self._take(self.optimizer1, self.params1, move1)
        else:
            value1, move1 = self._gradient(1, batch)
            self._take(self.optimizer1, self.params1, move1)
            value2, move2 = self._gradient(2, batch)
        self._take(self.optimizer2, self.params2, move2)
        return value1, value2

    def _gradient(self, player: int, batch: Any) -> tuple[Tensor, list[Tensor]]:
        """A player's loss, and its gradient less its interaction term."""
        own, other = self._losses if player == 1 else self._losses[::-1]
        mine, theirs = (self.params1, self.params2) if player == 1 else (self.params2, self.params1)
        rates = [group["lr"] for o in (self.optimizer1, self.optimizer2) for group in o.param_groups[:1]]
        rate = rates[1] if player == 1 else rates[0]
        if player == 2 and self.scheme == "alternating":
            rate = -rate
        with torch.enable_grad():
            if not self.cancel:
                loss = own(batch)
                return loss.detach(), _detached(loss, mine)
            if self.estimator == "biased":
                loss = own(batch)
                gradient, cross = _slopes(loss, mine, theirs)
                held = _detached(other(batch), theirs)
            else:
                halves = _halves(batch)
                loss = own(batch)
                gradient = _detached(loss, mine)
                _, cross = _slopes(own(halves[0]), mine, theirs)
                held = _detached(other(halves[1]), theirs)
            inter = _pulled(cross, held, mine, rate / 2)
        return loss.detach(), [g.detach() - self.cancel * i for g, i in zip(gradient, inter, strict=True)]

    @staticmethod
    def _take(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()


@dataclass(frozen=True)
class GameSpectrum:
    """Largest modulus of an eigenvalue of one step near a fixed point: below 1 it is approached.

    ``discrete`` of the steps themselves, ``flow`` of the gradient flow, ``modified`` of the flow with its drift.
    """

    discrete: float
    flow: float
    modified: float


def game_spectrum(
    jacobian: Float[Tensor, "n n"], players: tuple[int, int], lrs: tuple[float, float], scheme: Scheme = "simultaneous"
) -> GameSpectrum:
    """What steps and flows do near a fixed point at which the field (f, g) has a Jacobian.

    Parameters
    ----------
    jacobian : of (f, g) in (φ, θ)
    players : sizes of φ and θ
    lrs, scheme : as in :func:`two_player_drift`

    Raises
    ------
    ValueError
        For a Jacobian of another size, rates that are not positive.
    """
    n1, n2 = players
    if jacobian.shape != (n1 + n2, n1 + n2):
        raise ValueError(f"jacobian: got shape {tuple(jacobian.shape)}; must be ({n1 + n2}, {n1 + n2})")
    a, b = _checked(lrs, (), (), scheme)
    j = jacobian.double()
    eye = torch.eye(n1 + n2, dtype=torch.float64)
    rates = torch.cat([torch.full((n1,), a, dtype=torch.float64), torch.full((n2,), b, dtype=torch.float64)])
    first = eye.clone()
    first[:n1] += a * j[:n1]
    if scheme == "simultaneous":
        step = first
        step[n1:] += b * j[n1:]
        turned = rates
    else:
        second = eye.clone()
        second[n1:] += b * j[n1:]
        step = second @ first
        turned = torch.cat([-rates[:n1], rates[n1:]])
    drift = j - j @ torch.diag(rates) @ j / 2
    drift[n1:] = (j - j @ torch.diag(turned) @ j / 2)[n1:]
    flow, modified = (torch.linalg.matrix_exp(torch.diag(rates) @ field) for field in (j, drift))
    return GameSpectrum(*(float(torch.linalg.eigvals(m).abs().max()) for m in (step, flow, modified)))


def _slopes(loss: Tensor, params1: Sequence[Tensor], params2: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """A loss's gradients in both players' parameters, with their graph."""
    both = [*params1, *params2]
    found = torch.autograd.grad(loss, both, create_graph=True, allow_unused=True)
    filled = [torch.zeros_like(p) if g is None else g for g, p in zip(found, both, strict=True)]
    return filled[: len(params1)], filled[len(params1) :]


def _detached(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g.detach() for g, p in zip(found, parameters, strict=True)]


def _pulled(
    factor: Sequence[Tensor], held: Sequence[Tensor], parameters: Sequence[Tensor], scale: float
) -> list[Tensor]:
    """``scale`` · ∇ ⟨factor, held⟩ in ``parameters``, the second factor held."""
    pairs = [(f, h.detach()) for f, h in zip(factor, held, strict=True) if f.requires_grad]
    if not pairs:
        return [torch.zeros_like(p) for p in parameters]
    outputs, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(outputs, parameters, weights, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else scale * g for g, p in zip(found, parameters, strict=True)]


def _halves(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Tensor):
        if len(batch) < 2:
            raise ValueError(f"batch: got {len(batch)} rows; estimator='split' needs at least 2")
        middle = len(batch) // 2
        return batch[:middle], batch[middle:]
    if isinstance(batch, tuple | list) and batch and all(isinstance(part, Tensor) for part in batch):
        pairs = [_halves(part) for part in batch]
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    raise ValueError(f"batch: got {type(batch).__name__}; estimator='split' halves a tensor or a tuple of tensors")


def _checked(
    lrs: tuple[float, float], params1: Sequence[Tensor], params2: Sequence[Tensor], scheme: str
) -> tuple[float, float]:
    if not (lrs[0] > 0 and lrs[1] > 0):
        raise ValueError(f"lrs: got {lrs}; must be positive")
    if scheme not in ("simultaneous", "alternating"):
        raise ValueError(f"scheme: got {scheme!r}; must be 'simultaneous' or 'alternating'")
    shared = {id(p) for p in params1} & {id(p) for p in params2}
    if shared:
        raise ValueError(f"params1, params2: share {len(shared)} parameters; the players must be apart")
    return lrs
