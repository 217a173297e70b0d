"""``spread-rewards``: the rewards of a group of rollouts are made to differ, where they cannot.

A group teaches by the differences of its rewards. There are none if each rollout takes the likeliest action: those are
drawn from the policy instead. There are none if each rollout is drawn with one seed: the second and all after get
others. There are none if only the whole is rewarded, and the whole is never right: such a reward, made by ``all`` or
``prod`` of what is right in its parts, becomes the share of right parts. Where none of these is met, the policy's
entropy is rewarded (:mod:`surefoot.apply.entropy_bonus`).

Nothing is changed before a backward has shown log-probabilities that are weighted by rewards.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.script_calls import by_the_script, caller
from surefoot.apply.seeded_again import SeededAgain
from surefoot.observe.graph import roots_of
from surefoot.observe.random_parts import find_policy_terms

_STEPS = 4  # without anything to change, before entropy is rewarded
_CASTS = {"float": torch.float32, "double": torch.float64, "half": torch.float16, "bfloat16": torch.bfloat16}


class SpreadRewards(Cure):
    """Draws what was the likeliest, and counts parts where all or nothing counted."""

    id = "spread-rewards"

    def __init__(self, desk: Desk, coef: float) -> None:
        super().__init__(desk)
        self.coef = coef
        self._rewards: frozenset[int] = frozenset()  # how many rewards there may be: what log-probabilities go with
        self._logits: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}  # of actions that were the likeliest
        self._shares: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}  # of what was all or nothing
        self._generator: torch.Generator | None = None
        self._drawn = self._counted = self._reseeded = self._policies = 0
        self._seeds = SeededAgain(lambda: bool(self._rewards), self._seeded, within=True)

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """What seeds, what takes the likeliest, what repeats it, what asks for all, what makes a number of that."""
        yield from self._seeds.patches(guard)
        for home in (Tensor, torch):
            yield home, "argmax", functools.partial(self._patched, guard, self._likeliest)
            yield home, "all", functools.partial(self._patched, guard, self._all)
            yield home, "prod", functools.partial(self._patched, guard, self._product)
        for name in ("expand", "repeat", "repeat_interleave"):
            yield Tensor, name, functools.partial(self._patched, guard, functools.partial(self._repeated, name))
        for name in (*_CASTS, "to", "type"):
            yield Tensor, name, functools.partial(self._patched, guard, functools.partial(self._number, name))

    def _patched(self, guard: Callable[..., Any], change: Callable[..., Any], original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def called(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            found = original(tensor, *args, **kwargs)
            asked = self._rewards and isinstance(tensor, Tensor) and not torch.compiler.is_compiling()
            given = None
            if asked and by_the_script(caller()):
                given = guard(functools.partial(change, found, tensor, *args, **kwargs))
            return found if given is None else given

        return called

    # ------------------------------------------------------------------------------------------------------- actions

    def _seeded(self) -> None:
        self._reseeded += 1
        self.act()

    def _likeliest(self, found: Tensor, logits: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | None:
        """A draw, where these are the logits of rollouts: they take a gradient, or some of their rows are the same."""
        last = dim is not None and dim % max(1, logits.dim()) == logits.dim() - 1
        if not last or keepdim or logits.dim() < 2 or not logits.is_floating_point():
            return None
        rows = logits.detach().flatten(0, -2)
        if not logits.requires_grad and len(rows.unique(dim=0)) > len(rows) // 2:
            return None
        drawn = self._draw(logits.detach())
        self._logits[id(drawn)] = weakref.ref(drawn), logits.detach()
        return drawn

    def _repeated(self, name: str, found: Tensor, actions: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
        """One draw for each repetition."""
        known = self._logits.get(id(actions))
        if known is None or known[0]() is not actions or found.numel() <= actions.numel():
            return None
        rows = torch.arange(actions.numel(), device=actions.device).view(actions.shape)
        # as the script repeats actions, so their rows of logits are repeated; what it calls is patched, too, but these
        # numbers are nobody's actions
        which = getattr(rows, name)(*args, **kwargs)
        return self._draw(known[1].flatten(0, -2)[which])

    def _draw(self, logits: Tensor) -> Tensor:
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(torch.initial_seed() % (1 << 63))
        chances = logits.float().cpu().softmax(-1).flatten(0, -2)
        self._drawn += 1
        self.act()
        return torch.multinomial(chances, 1, generator=self._generator).view(logits.shape[:-1]).to(logits.device)

    # ------------------------------------------------------------------------------------------------------- rewards

    def _all(self, found: Tensor, right: Tensor, dim: Any = None, keepdim: bool = False) -> None:
        """Remember the share; it is given where a number is made of this."""
        if right.dtype == torch.bool and self._is_reward(found, right, dim):
            self._shares[id(found)] = weakref.ref(found), right.float().mean(dim, keepdim)

    def _product(self, found: Tensor, right: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor | None:
        """The share, where each part is right or not."""
        if right.requires_grad or not self._is_reward(found, right, dim):
            return None
        if not bool(((right == 0) | (right == 1)).all()):
            return None
        share = right.float().mean(dim, keepdim)
        return self._share(share.to(found.dtype) if found.is_floating_point() else share)

    def _is_reward(self, found: Tensor, right: Tensor, dim: Any) -> bool:
        return isinstance(dim, int) and found.numel() in self._rewards and right.numel() > found.numel()

    def _number(self, name: str, found: Any, flags: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
        known = self._shares.get(id(flags))
        if known is None or known[0]() is not flags or not isinstance(found, Tensor) or not found.is_floating_point():
            return None
        return self._share(known[1].to(found))

    def _share(self, rewards: Tensor) -> Tensor:
        self._counted += 1
        self.act()
        return rewards

    # --------------------------------------------------------------------------------------------------------- steps

    def at_backward(self, tensors: Any) -> None:
        """See what log-probabilities are weighted by."""
        if torch._C._current_graph_task_id() != -1:
            return
        terms = find_policy_terms(roots_of(tensors))
        self._logits.clear()
        self._shares.clear()
        self._seeds.steps += 1
        if terms is None:
            return
        sizes = {size for factor in terms.factors for size in (factor.numel(), *factor.shape[:1])}
        self._rewards = frozenset(size for size in sizes if size > 1) or self._rewards
        self._policies += 1
        if self._policies == _STEPS and not self.acted:
            self.add(f"entropy-bonus:coef={self.coef:g}")

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self._policies:
            self.note("no loss held log-probabilities that are weighted by rewards; nothing was changed")

    def summary(self) -> str:
        """How often."""
        if not self.acted:
            return f"found nothing that keeps rewards from differing, and rewarded entropy with {self.coef:g}"
        seeded = f", and gave rollouts {self._reseeded:,} seeds of their own" if self._reseeded else ""
        return f"drew actions {self._drawn:,} times, and gave credit for parts {self._counted:,} times{seeded}"
