"""Training by equilibrium propagation, with a state that is kept for every training example."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from surefoot.nn.eqprop.costs import SquaredError
from surefoot.nn.eqprop.energies import EnergyModel, State
from surefoot.nn.eqprop.gradients import EqPropResult, Scheme, eqprop_grad
from surefoot.nn.eqprop.settle import Settling, settle


class EqPropTrainer:
    """Settles, contrasts, steps; an ordinary torch optimizer does the step.

    Parameters
    ----------
    model, cost : the energy, and what its output is judged by
    optimizer : of their parameters; with SGD, one rate a layer as in the paper goes by parameter groups
    beta, scheme, free, nudged : see :func:`eqprop_grad`. A β of ½ serves every model; the paper's recipe is 1 with a
        random sign, 20 and 4 steps of 0.5, and 2, 150 and 6 for two hidden layers (in the authors' code a β of 1, for
        its cost has no ½): what holds an output at 0 is to be overcome
    examples : number of training examples whose free state is kept from one epoch to the next (persistent particles):
        the free phase then begins near its end. None begins every free phase at the model's initial state
    generator : of the random sign

    Source: arXiv 1602.05179, section 5.
    """

    def __init__(
        self,
        model: EnergyModel,
        optimizer: torch.optim.Optimizer,
        cost: nn.Module | None = None,
        *,
        beta: float = 0.5,
        scheme: Scheme = "random-sign",
        free: Settling | None = None,
        nudged: Settling | None = None,
        examples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer: got {type(optimizer).__name__}; use a torch.optim.Optimizer")
        if examples is not None and examples < 1:
            raise ValueError(
                f"examples: got {examples}; use the number of training examples, or None to keep no states"
            )
        self.model, self.optimizer, self.cost = model, optimizer, cost or SquaredError()
        self.beta, self.scheme, self.free, self.nudged = beta, scheme, free or Settling(), nudged
        self.examples, self.generator = examples, generator
        self._particles: State | None = None

    def step(self, x: Tensor, target: Tensor, rows: Int[Tensor, " batch"] | None = None) -> EqPropResult:
        """One step on a batch.

        Parameters
        ----------
        x, target : the batch
        rows : which examples these are; needed where states are kept

        Raises
        ------
        ValueError
            If ``rows`` is missing, or out of the range of ``examples``.
        """
        state = self._take(x, rows)
        self.optimizer.zero_grad()
        result = eqprop_grad(
            self.model, x, target, self.cost, beta=self.beta, scheme=self.scheme, state=state, free=self.free,
            nudged=self.nudged, generator=self.generator,
        )  # fmt: skip
        if self._particles is not None:
            # the free state, not the nudged one: that would drag the next free phase towards the target
            for kept, new in zip(self._particles, result.free.state, strict=True):
                kept[rows] = new
        self.optimizer.step()
        return result

    def predict(self, x: Tensor, how: Settling | None = None) -> Tensor:
        """The output from the model's initial state; by default three times the free phase, for that starts warm."""
        how = how or Settling(3 * self.free.max_iter, self.free.step, self.free.tol, self.free.method)
        return settle(self.model, x, how=how).output

    def _take(self, x: Tensor, rows: Tensor | None) -> State | None:
        if self.examples is None:
            return None
        if rows is None or len(rows) != len(x) or int(rows.max()) >= self.examples:
            raise ValueError(
                f"rows: got {rows}; use the indices below {self.examples} of the batch's {len(x)} examples"
            )
        if self._particles is None:
            like = self.model.initial(x[:1])
            self._particles = [s.expand(self.examples, *s.shape[1:]).clone() for s in like]
        return [kept[rows] for kept in self._particles]
