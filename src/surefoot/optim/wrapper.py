"""An optimizer around another: others see the wrapped one, its groups, its state and its checkpoints."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer


class Wrapper(Optimizer):
    """What wrapping optimizers share; they add their own ``step``.

    Schedulers and gradient scalers take it in the wrapped optimizer's place, and checkpoints fit with and without it.

    Parameters
    ----------
    optimizer : the optimizer to wrap, an instance

    Raises
    ------
    TypeError
        If ``optimizer`` is something else.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer: got {type(optimizer).__name__}; pass an instance, such as torch.optim.AdamW(…), to wrap"
            )
        self.optimizer = optimizer
        # torch's own way to set an optimizer up that has no parameters of its own: hooks, and the wrapper of `step`
        self.__setstate__({})

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The wrapped optimizer's groups themselves: a scheduler that changes one changes the other."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The wrapped optimizer's state."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The wrapped optimizer's defaults."""
        return self.optimizer.defaults

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the wrapped optimizer."""
        self.optimizer.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, as the wrapped optimizer does."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state: nothing of the wrapper is in it."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the wrapped optimizer's state."""
        self.optimizer.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)
