"""The activations of one look, by the first means that serves: hooks, a borrowed graph, a replay (``look.py``)."""

from __future__ import annotations

import weakref

from torch import Tensor, nn

from surefoot.observe.compiled import anything_compiled, eager_modules, holds_compiled
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Tools
from surefoot.observe.look import Hooks, ModuleReader, Replay, borrow
from surefoot.observe.signals.activations import ActivationReader

MEANS = ("hooks", "borrow", "replay")


class ActivationLook:
    """Call in the order of a training step: ``prepare``, ``at_backward``, ``at_step_end``; ``withdraw`` at any time.

    Parameters
    ----------
    tools : models, rows, how to tell
    means : force one means of looking; None takes the first that serves

    Attributes
    ----------
    looks : how many looks went by each means
    went_by : the means of the look that is under way, or was last; "" where there was none
    may_hook : whether forward hooks may be put on the models in this look
    """

    def __init__(self, tools: Tools, means: str | None) -> None:
        self.looks = dict.fromkeys(MEANS, 0)
        self.went_by = ""
        self.may_hook = False
        self._tools, self._scene = tools, tools.scene
        self._means = means
        self._values = ActivationReader()
        self._hooks = Hooks(tools.guard)
        self._replay = Replay(tools.guard)
        self._replay_refused = False
        self._reader: ModuleReader | None = None
        # where a part of the run is compiled: the modules that are known to run outside of it
        self._eager: list[weakref.ref[nn.Module]] = []

    def outputs(self) -> list[Tensor]:
        """Outputs of models, and of the newest layer, that hooks have seen in this step."""
        return [o for o in (*self._hooks.outputs, self._hooks.newest) if o is not None]

    def prepare(self) -> None:
        """A step that will be looked at is about to begin: put on what its forward needs."""
        self.went_by, self.may_hook = "", False
        if not self._scene.discovered:
            return
        roots, compiled = self._scene.roots(), anything_compiled()
        eager = [m for ref in self._eager if (m := ref()) is not None]
        hooked = bool(roots and (not compiled or eager))
        replayed = self._scene.wrappers() if compiled or not roots else roots
        if hooked and len(roots) == 1 and holds_compiled(roots[0]):
            replayed = roots  # hooks would leave out the parts that are compiled
            hooked = self._replay_refused
        if self._replay_refused:
            replayed = []
        means = self._means
        if means is None:
            means = "hooks" if hooked else "replay" if replayed else "borrow"
        if means == "replay" and not replayed:
            return
        self.may_hook = means == "hooks" and not compiled
        self._values.begin(knows_called=means != "borrow" and not compiled)
        if means != "borrow":
            self._reader = ModuleReader(self._scene.models, self._values)
            if means == "hooks":
                self._hooks.put_on(roots, self._reader, eager if compiled else None)
            else:
                self._replay.put_on(replayed[0])
        self.went_by = means

    def withdraw(self) -> None:
        """Take off everything that was put on."""
        if self._reader is not None:
            self._hooks.take_off()
            self._replay.take_off()
            self._reader = None

    def at_backward(self, view: GraphView) -> None:
        """The first backward of the step begins: the graph is complete, the weights are what the forward used."""
        if anything_compiled():
            self._eager = [weakref.ref(m) for m in eager_modules(self._scene.roots(), view)]
        if self._reader is not None and self._replay.ready:
            self._tools.guard("replay", self._run_replay, self._reader)
        self._tools.guard("activations", self._read, view)

    def at_step_end(self, step: int) -> None:
        """The step is over: what was read becomes its row."""
        if self._values.empty:
            return
        values = self._values.finish(self._scene.layer_names(), self._tools.later)
        self._tools.ask(step, (), lambda _: self._tools.rows.put_layers(step, "activations", **values))
        if self.went_by:
            self.looks[self.went_by] += 1

    def _run_replay(self, reader: ModuleReader) -> None:
        refused = self._replay.run(reader)
        if refused is not None:
            self._replay_refused = True
            self.went_by = ""
            self._values.begin(knows_called=False)
            self._tools.tell("note", text=f"replay is off: {refused}")

    def _read(self, view: GraphView) -> None:
        scene = self._scene
        if self._reader is not None and self._reader.saved_hooks_seen:
            scene.checkpointing = True
        if not self.went_by and self._means in (None, "borrow"):
            self.went_by = "borrow"
            self._values.begin(knows_called=False)
        if scene.checkpointing or self._means in ("hooks", "replay"):
            return
        if self.went_by == "hooks":
            # only activations that are plain functions are left for the graph to show
            borrow(view, scene.models, self._values, self._values.with_activation, self._values.with_output)
        else:
            borrow(view, scene.models, self._values, set(), set())
