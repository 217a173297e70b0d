"""What is hidden: compiled steps, which no hook tells of, and modules on which no hook may be put."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.by_hand import same_numbers, sample
from surefoot.observe.graph import GraphView


class Unseen:
    """Finds steps that no optimiser tells of, by the versions of its weights: PyTorch's hooks are not called from a
    compiled ``step()``. An update of ``p.data`` changes no version, so that on the CPU a few numbers are compared too.

    Parameters
    ----------
    optimizers : those that may step before the next backward
    confirmed : one was found so already

    Attributes
    ----------
    confirmed : whether steps are known to be of this kind
    """

    def __init__(self, optimizers: Iterable[Optimizer], confirmed: bool) -> None:
        self.confirmed = confirmed
        self._weights: list[tuple[weakref.ref[Optimizer], weakref.ref[Tensor], int, Tensor | None]] = []
        for optimizer in optimizers:
            every = (p for group in optimizer.param_groups for p in group["params"])
            first = next((p for p in every if p.grad is not None), None)
            if first is not None:
                self._weights.append((weakref.ref(optimizer), weakref.ref(first), first._version, sample(first)))

    @property
    def optimizer(self) -> Optimizer | None:
        """The one that is expected to step: of several, the first that holds a gradient."""
        return self._weights[0][0]() if self._weights else None

    def stepped(self) -> bool:
        """Whether its weights have changed since."""
        if not self._weights:
            return False
        _, ref, version, before = self._weights[0]
        weight = ref()
        if weight is None:
            return False
        now = sample(weight) if before is not None else None
        return weight._version != version or (now is not None and not same_numbers(now, before))


def anything_compiled() -> bool:
    """Whether ``torch.compile`` has compiled something in this process."""
    counters = getattr(sys.modules.get("torch._dynamo.utils"), "counters", None)
    return bool(counters and counters["frames"].get("total", 0))


def compiled_in_place(module: nn.Module) -> bool:
    """Whether ``module.compile()`` was called: what the script calls is the module, and all within it is compiled."""
    return getattr(module, "_compiled_call_impl", None) is not None


def holds_compiled(module: nn.Module) -> bool:
    """Whether a module, or one below it, is compiled or a wrapper around what is."""
    return any("_orig_mod" in m._modules or compiled_in_place(m) for m in module.modules())


def eager_modules(roots: Sequence[nn.Module], view: GraphView) -> list[nn.Module]:
    """The modules below ``roots`` that a loss's graph shows to have run eagerly: their own parameters go into
    operations of the forward, not into a compiled region, and no part of the model above them is compiled.

    A hook on any other would make its region compile again.
    """
    inside: set[int] = set()
    for node in view.nodes:
        if node.name().startswith("CompiledFunction"):
            inside.update(id(getattr(child, "variable", None)) for child, _ in node.next_functions)
    outside = {id(leaf) for leaf in view.leaves} - inside
    found: list[nn.Module] = []
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if hasattr(module, "_orig_mod") or compiled_in_place(module):
            continue
        own = [p for p in module._parameters.values() if p is not None and p.requires_grad]
        if own and all(id(p) in outside for p in own):
            found.append(module)
        waiting.extend(child for child in module._modules.values() if child is not None)
    return found
