"""A branch: the script itself, some steps further, in a forked process that leaves no trace.

What would come of a setting, the script alone can tell: its data, its loss, its loop. A fork has all of them as they
are at this moment (weights, moments, random numbers, iterators), and nothing that it does comes back but numbers down a
pipe. So the script that waits for them goes on as if nothing had been.

How long it may take is told in seconds of computing, not of the clock: how much of a script a branch comes to see, and
with it what is chosen, is then the same on a machine that others use. One that waits for something rather than
computes is ended by the clock, some times later.

A branch must not reach out of itself either: its standard streams and every file that it finds open for writing lead
nowhere, files open for reading are its own, and it ends where it would make, change or remove a file, connect to
anything, or start a process.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import multiprocessing
import os
import select
import signal
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

_NUMBER = struct.Struct("<d")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATIENCE = 4  # seconds by the clock for one of computing: four such processes share a core, or a script waits
_OUTSIDE = frozenset((
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "socket.bind", "sqlite3.connect",
))  # fmt: skip


@dataclass
class Branch:
    """A branch, as the process that waits for it sees it: what it has told so far."""

    pid: int
    pipe: int
    seconds: float  # of computing that it may take
    begun: float = field(default_factory=time.monotonic)
    told: list[float] = field(default_factory=list)
    rest: bytes = b""
    over: bool = False
    cut: bool = False  # its time was up
    used: float = 0.0  # seconds of computing, once it is over; as many as its share of the clock, where it waited

    @property
    def until(self) -> float:
        """When it is ended by the clock."""
        return self.begun + _PATIENCE * self.seconds


class Trunk:
    """The process that waits, as a branch sees it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, *values: float) -> None:
        """Hand over numbers, all or none; the branch ends where nobody waits for them any more."""
        try:
            os.write(self._pipe, b"".join(map(_NUMBER.pack, values)))
        except OSError:
            self.end()

    def end(self) -> NoReturn:
        """This process is over, at once: nothing is flushed, nothing that was to be called at exit is."""
        os._exit(0)


_inside = False  # this process is a branch


def refusal() -> str | None:
    """Why no branch can be made here, in words; None where one can."""
    if _inside:
        return "this is a branch itself"
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return "processes are not forked here"
    if torch.accelerator.is_available() and any(
        getattr(getattr(torch, kind, None), "is_initialized", lambda: False)() for kind in ("cuda", "xpu", "mps")
    ):
        return "an accelerator is in use, which a fork cannot share"
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return "other ranks train along"
    if threading.current_thread() is not threading.main_thread():
        return "the script trains in a thread of its own"
    if multiprocessing.active_children():
        return "other processes (workers of a data loader) feed the script"
    if any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread()):
        return "other threads are running"
    if "ipykernel" in sys.modules:
        return "a notebook is running"
    return None


def branch(seconds: float) -> Branch | Trunk:
    """Fork: a :class:`Trunk` in the new process, the :class:`Branch` in the one that goes on.

    Parameters
    ----------
    seconds : of computing after which the new process is ended, whatever it does; by the clock some times as many
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Branch(pid, reading, seconds)
    os.close(reading)
    trunk = Trunk(writing)
    try:
        _shut_in(trunk, writing)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends it
        signal.setitimer(signal.ITIMER_PROF, seconds)
    except BaseException:
        trunk.end()
    return trunk


def gather(branches: Sequence[Branch], any_one: bool = False) -> None:
    """Wait until all (or ``any_one``) of these are over; none is left running if this is interrupted."""
    try:
        while waiting := [b for b in branches if not b.over]:
            if any_one and len(waiting) < len(branches):
                return
            left = max(0.0, min(b.until for b in waiting) - time.monotonic())
            ready, _, _ = select.select([b.pipe for b in waiting], [], [], left)
            for one in waiting:
                if one.pipe in ready:
                    _read(one)
                elif time.monotonic() >= one.until:
                    one.cut = True
                    _end(one)
    except BaseException:
        for one in branches:
            _end(one)
        raise


def at_once() -> int:
    """How many branches can run side by side: one for each core that the script leaves idle."""
    return max(1, (os.cpu_count() or 1) // max(1, torch.get_num_threads()))


def explore(
    changes: Sequence[Callable[[], None]], seconds: float, begin: Callable[[Trunk], None]
) -> list[Branch] | None:
    """How the script goes on with each of several changes, as many branches at once as there are cores.

    All together compute for ``seconds`` at most on each core, but each a second at least. None in a branch, where
    ``begin`` was called and the change was made: the caller is to return to the script at once. A branch in which
    either fails is over.
    """
    many = min(at_once(), len(changes))
    branches: list[Branch] = []
    for change in changes:
        running = [one for one in branches if not one.over]
        if len(running) >= many:
            gather(running, any_one=True)
        taken = sum(one.used if one.over else one.seconds for one in branches)
        left = len(changes) - len(branches)  # what those before have left of their time is for these
        made = branch(max(1.0, (many * seconds - taken) / left))
        if isinstance(made, Trunk):
            try:
                begin(made)
                change()
            except Exception:
                made.end()
            return None
        branches.append(made)
    gather(branches)
    return branches


def spent(branches: Sequence[Branch]) -> float:
    """Seconds of computing that branches of one :func:`explore` took on each core."""
    return sum(one.used for one in branches) / max(1, min(at_once(), len(branches)))


def _read(one: Branch) -> None:
    came = os.read(one.pipe, 1 << 16)
    if not came:
        _end(one)
    whole = one.rest + came
    usable = len(whole) - len(whole) % _NUMBER.size
    one.told += [value for (value,) in _NUMBER.iter_unpack(whole[:usable])]
    one.rest = whole[usable:]


def _end(one: Branch) -> None:
    if not one.over:
        one.over = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            _, status, used = os.wait4(one.pid, 0)
            one.cut |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
            one.used = max(used.ru_utime + used.ru_stime, (time.monotonic() - one.begun) / _PATIENCE)
        os.close(one.pipe)


def _shut_in(trunk: Trunk, pipe: int) -> None:
    """Cut this process off from everything but the pipe."""
    global _inside
    _inside = True
    atexit.register(trunk.end)  # registered last, so called first: the script's end is this one's
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ("0", "1", "2"):
        number = int(name)
        if number not in (pipe, nowhere):
            with contextlib.suppress(OSError):
                _replace(number, nowhere)
    sys.dont_write_bytecode = True
    torch.save = lambda *args, **kwargs: None  # writes below Python, where nothing tells of it
    torch.set_num_threads(1)  # a pool of threads does not live on in a fork

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OUTSIDE or (event == "open" and _writes(arguments)):
            trunk.end()

    sys.addaudithook(watch)


def _replace(number: int, nowhere: int) -> None:
    """Let an open file lead nowhere if something may be written to it, else give it a position of its own."""
    reads = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    mode = os.fstat(number).st_mode
    if not reads or stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        os.dup2(nowhere, number)
    elif stat.S_ISREG(mode):
        own = os.open(f"/proc/self/fd/{number}", os.O_RDONLY)
        os.lseek(own, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
        os.dup2(own, number)
        os.close(own)


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, _, flags = (*arguments, None, None, 0)[:3]
    return bool(isinstance(flags, int) and flags & _WRITES) and path != os.devnull
