"""Parameters that FSDP2 (``fully_shard``) keeps in two forms: the shard that an optimiser holds, and the whole that the
forward uses while it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def shards(modules: Iterable[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    """(whole, shard) of all parameters of the ``fully_shard`` modules that were gathered once.

    PyTorch has no public way to ask; where its private one is another, the list is empty.
    """
    found: list[tuple[Tensor, Tensor]] = []
    for module in modules:
        state = getattr(module, "_get_fsdp_state", None)
        if state is None:
            continue
        try:
            groups = getattr(state(), "_fsdp_param_groups", None)
            if groups is None:
                groups = [state()._fsdp_param_group]
            for group in groups:
                for parameter in group.fsdp_params if group is not None else ():
                    whole = getattr(parameter, "_unsharded_param", None)
                    if whole is not None:
                        found.append((whole, parameter.sharded_param))
        except AttributeError:
            return []
    return found
