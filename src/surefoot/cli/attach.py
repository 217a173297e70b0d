"""Where ``surefoot run`` touches the process that it shares with the script, and nowhere else.

Four places: an import hook that waits for torch and then takes itself away; SIGTERM, where the script left it alone;
a callback in forked children, which are never watched; and the last of the callbacks at exit, which writes diagnosis
and report when the script, its threads and its own callbacks are through.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

from surefoot.monitor.options import RunOptions


class Attachment:
    """Ties one watched run to this process, from before the script's first line to the interpreter's end.

    Whatever goes wrong on our side is told in one line on stderr, and the script goes on.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._torch = TorchImport(self._start)
        self._alive = True  # False in forked children
        self._started = False
        self._failed = False
        self._code: int | None = None
        self._exception: str | None = None
        self._interrupted = False

    def install(self) -> None:
        """Get ready for torch to be imported, for the end, and for forks."""
        atexit.register(self._finish)  # registered first, so called last
        os.register_at_fork(after_in_child=self._let_go)
        self._torch.install()

    def script_ended(self, code: int, error: BaseException | None) -> None:
        """Keep the script's last words for the record."""
        self._code = code
        self._exception = None if error is None else _one_line(error)
        self._interrupted = type(error) is KeyboardInterrupt  # a subclass ends python with 1

    def _start(self) -> None:
        if not self._alive:
            return
        try:
            from surefoot.monitor import live

            live.start(self._options)
        except Exception as error:
            self._failed = True
            tell(f"{_one_line(error)}; the script goes on unwatched")
            return
        self._started = True
        if threading.current_thread() is threading.main_thread() and _left_alone(signal.SIGTERM):
            signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        """Save the record, then die of the signal as the script would have."""
        signal.signal(number, signal.SIG_DFL)
        if self._alive:
            try:
                from surefoot.monitor import live

                live.save()
            except Exception as error:
                tell(f"{_one_line(error)}; the record may lack its last steps")
        os.kill(os.getpid(), number)

    def _let_go(self) -> None:
        """In a forked child: be as if we had never been."""
        if not self._alive:
            return
        self._alive = False
        self._torch.remove()
        atexit.unregister(self._finish)
        if signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _finish(self) -> None:
        if self._alive and not self._failed:
            self._close()
            if self._interrupted:
                _remember_interrupt()

    def _close(self) -> None:
        try:
            if self._started:
                from surefoot.monitor import live

                live.finish(self._code, self._exception)
            elif "torch" in sys.modules:
                tell("torch was imported in a way that surefoot does not notice: nothing was watched")
            else:
                tell("the script never imported torch: there was nothing to watch")
        except KeyboardInterrupt:
            tell("interrupted; the record is kept, surefoot show tells what is in it")
        except Exception as error:
            tell(f"{_one_line(error)}; the record is kept, surefoot show tells what is in it")


class TorchImport:
    """Calls ``then`` once, in the thread that imports torch, as soon as torch has been imported.

    No loader is wrapped: that would put a frame of ours into the traceback of an import that fails. The import system
    marks a module's spec when its import begins and ends: until torch has been imported, its spec is of a subclass
    that notices the end.
    """

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        noticed = self._noticed

        class Spec(ModuleSpec):
            @property
            def _initializing(self) -> bool:
                return self.__dict__["_initializing"]

            @_initializing.setter
            def _initializing(self, value: bool) -> None:
                self.__dict__["_initializing"] = value
                if not value:
                    self.__class__ = ModuleSpec  # type: ignore[assignment]
                    noticed(self)

        self._spec_class = Spec

    def install(self) -> None:
        """Wait for torch; if it is there already, do not wait."""
        spec = getattr(sys.modules.get("torch"), "__spec__", None)
        if spec is not None and not getattr(spec, "_initializing", False):
            self._then()
        else:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Wait no longer."""
        # A new list: a thread that is just going through the old one would skip the finder after ours.
        if self in sys.meta_path:
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, when it is torch; nothing otherwise."""
        if name != "torch":
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                if type(spec) is ModuleSpec:
                    spec.__class__ = self._spec_class
                return spec
        return None

    def _noticed(self, spec: ModuleSpec) -> None:
        torch = sys.modules.get("torch")
        if torch is not None and torch.__spec__ is spec and self in sys.meta_path:  # else the import failed
            self.remove()
            self._then()


def _remember_interrupt() -> None:
    """Let the interpreter end by SIGINT after all.

    It remembers whether the last code that it compiled and ran from source ended by an interrupt, and looks at that
    when it has finalised. What our closing imports has compiled code of its own since the script's end.
    """
    with suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")


def tell(text: str) -> None:
    """One line on the stderr that the process was started with, whatever the script has put in its place."""
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):  # closed
            print(f"surefoot: {text}", file=sys.__stderr__, flush=True)


def _left_alone(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_DFL


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
