"""Energies whose resting point is a network's answer: what such a model must give.

Source: Scellier, Bengio, "Equilibrium Propagation: Bridging the Gap Between Energy-Based Models and Backpropagation",
Front. Comput. Neurosci. 2017, arXiv 1602.05179, section 2.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = list[Tensor]
"""The free units: one tensor a layer, samples first; the last layer is the output."""


class EnergyModel(nn.Module):
    """An energy E(θ, x, s) whose minimum over the state s is what the model answers.

    A subclass must give :meth:`energy` and :meth:`initial`. Forces and the gradient over θ come by autograd, unless it
    gives them in closed form, which is several times faster.
    """

    smooth: bool = True  # the minimum has no constraint that is active: Newton's method and O(β²) hold

    def energy(self, state: State, x: Tensor) -> Float[Tensor, " batch"]:
        """Energy of each sample."""
        raise NotImplementedError

    def initial(self, x: Tensor) -> State:
        """The state to settle from."""
        raise NotImplementedError

    def clip(self, state: State) -> State:
        """The state within its range."""
        return state

    def prepare(self, x: Tensor) -> Any:
        """What :meth:`force` needs of the input; computed once for a whole settling."""
        return x

    def force(self, state: State, prepared: Any) -> State:
        """−∂E/∂s of each sample."""
        return [-f for f in torch.func.grad(lambda s: self.energy(s, prepared).sum())(list(state))]

    def energy_gradients(self, state: State, x: Tensor) -> dict[str, Tensor]:
        """∂E/∂θ, the mean over the samples, by parameter name."""
        named = dict(self.named_parameters())
        with torch.enable_grad():
            energy = self.energy([s.detach() for s in state], x).mean()
            gradients = torch.autograd.grad(energy, list(named.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), gradients, strict=True)}
