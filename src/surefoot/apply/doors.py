"""Doors: functions of torch's that a script may take by name long before a cure is put in their place.

``self.act = torch.tanh``, ``loss_fn = F.cross_entropy`` and ``from torch import sigmoid`` keep what was there at that
moment. A remedy that others are tried against is chosen when the first optimiser is made, and would come too
late. So what it may have to stand before is a door from the start, which leads to the function itself until then.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from surefoot.apply.catalogue import parse, together
from surefoot.apply.cure import Cure, Desk
from surefoot.apply.settings import Choice


class Door:
    """One function of a module's; ``now`` is what a call of it leads to."""

    def __init__(self, home: Any, name: str) -> None:
        self.home, self.name = home, name
        self.now: Any = getattr(home, name)

        @functools.wraps(self.now)
        def door(*args: Any, **kwargs: Any) -> Any:
            return self.now(*args, **kwargs)

        self.function = door

    @property
    def open(self) -> bool:
        """Whether it is in its place, and nobody has put anything else there."""
        return getattr(self.home, self.name) is self.function


def doors_for(choices: Iterable[Choice], make: Any) -> list[Door]:
    """A door for each function that a remedy which may be chosen later would stand before.

    Parameters
    ----------
    choices : what is applied; those that choose among remedies name them in ``of``
    make : from a choice and a desk to its cure
    """
    found: dict[tuple[int, str], Door] = {}
    for choice in choices:
        for text in dict(choice.settings).get("of", ()):
            for remedy in together(text):
                cure: Cure = make(parse(remedy), Desk(lambda *_, **__: None))
                for home, name, _ in cure.patches(lambda function, *args: None):
                    # methods are looked up at each call, and a type must stay one
                    if isinstance(home, ModuleType) and not isinstance(getattr(home, name), type):
                        found.setdefault((id(home), name), Door(home, name))
    return list(found.values())
