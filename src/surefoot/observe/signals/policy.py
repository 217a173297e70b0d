"""Policy gradients: how many samples of the batch have an advantage at all, and how undecided the policy still is."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.advantages import categorical_entropy, graded, zero_share
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.random_parts import PolicyTerms, find_policy_terms

_TRIES = 8
_ROWS = 4096
_ELEMENTS = 1 << 20  # of the probabilities that an entropy is of: 4 MiB a copy
_STEPS = 8  # single factors that are a loop over time; fewer may be the weights of a loss's terms


class Policy(Instrument):
    """Reads what log-probabilities are multiplied by in the graph of the loss.

    A factor that is never negative is a weight, a mask or a bare reward, no advantage: where it has more than two
    values, and so is no mask, the entropy alone is written, under a name of its own; and where it is zero throughout,
    it is an advantage.
    """

    name: ClassVar[str] = "policy"
    _tries = 0
    _terms: list[Tensor] | None = None
    _entropy: Tensor | None = None
    _signed = False  # a negative factor was seen

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._known: weakref.WeakSet[Optimizer] = weakref.WeakSet()

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Look for weighted log-probabilities between the loss and the last layer."""
        if self._terms is not None or self.tools.scene.checkpointing or (self._tries >= _TRIES and not self._signed):
            return
        terms = find_policy_terms(roots)
        samples = [] if terms is None else _samples(terms)
        if terms is None or not samples:
            self._tries += 1
            return
        numbers: list[Tensor] = []
        with torch.no_grad():
            for factor in samples:
                share, signed = zero_share(factor), (factor < 0).any()
                if terms.by_hand:  # −y · log p is how a loss is written by hand: an advantage has both signs
                    signed &= (factor > 0).any()
                    share = share if self._signed else share * factor.any()
                numbers += [share, signed.float(), graded(factor).float(), (factor == 0).all().float()]
            if terms.logits is not None and terms.logits.dim() >= 1:
                logits = terms.logits.reshape(-1, terms.logits.shape[-1])
                rows = max(1, min(_ROWS, _ELEMENTS // logits.shape[-1]))
                self._entropy = categorical_entropy(logits[:rows].float())
        self._terms = numbers

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write down what was found. A new optimiser may be of a stage with another loss: it is searched anew."""
        if optimizer not in self._known:
            self._known.add(optimizer)
            self._tries = 0
        if self._terms is None:
            return
        numbers, entropy, self._terms, self._entropy = self._terms, self._entropy, None, None
        step = self.tools.scene.clock.steps

        def write(found: list[np.ndarray]) -> None:
            values = [float(v) for v in found]
            undecided = None if entropy is None else values.pop()
            factors = list(zip(*(values[k::4] for k in range(4)), strict=True))
            self._signed = self._signed or any(negative for _, negative, *_ in factors)
            signed = [share for share, negative, several, _ in factors if negative or (self._signed and several)]
            shares = signed or [share for share, *_, none in factors if none and share]
            put = self.tools.rows.put
            if shares:
                also = {} if undecided is None else {"policy_entropy": undecided}
                put(step, "policy", state.name, zero_advantage_share=shares[0], **also)
            elif undecided is not None and any(several for _, _, several, _ in factors):
                put(step, "policy", state.name, weighted_choice_entropy=undecided)
            else:
                self._tries += 1  # a mask or weights: after a few looks it is left alone

        self.tools.ask(step, numbers if entropy is None else [*numbers, entropy], write)


def _samples(terms: PolicyTerms) -> list[Tensor]:
    """One tensor a factor, with samples as rows; the single numbers of a loop over time are one tensor."""
    single = [f.reshape(1) for f in terms.factors if f.numel() == 1]
    many = {f.data_ptr(): f[:_ROWS] for f in terms.factors if f.numel() > 1 and f.dim()}
    found = list(many.values())
    if len(single) >= _STEPS:
        found.append(torch.cat([f.to(single[0]) for f in single[:_ROWS]]))
    return found
