"""Python processes that have torch when they start: each is forked from one that has imported it, and waits.

For tests that start many. What is to be seen from a process's very first moment (what is imported when, signals, the
interpreter's own tracebacks) wants a process of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO, Any, NoReturn

DEVNULL = subprocess.DEVNULL
TimeoutExpired = subprocess.TimeoutExpired
_LENGTH = 8  # bytes that tell how long a request is


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = DEVNULL,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    capture_output: bool = False,
    text: bool = True,
    timeout: float | None = None,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run`, of a command that begins with this Python, without options of the interpreter's own.

    Output is text; ``stdin`` is empty.
    """
    python, *words = map(os.fspath, command)
    assert python == sys.executable and text and stdin == DEVNULL
    request = {
        "words": words,
        "cwd": os.path.abspath(cwd or os.getcwd()),
        "env": dict(os.environ if env is None else env),
    }
    message = json.dumps(request).encode()
    waiting, _ = _waiting()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = [(stdout or out).fileno(), (stderr or err).fileno()]
        socket.send_fds(waiting, [len(message).to_bytes(_LENGTH, "big") + message], files)
        pid = _number(waiting)
        if not select.select([waiting], [], [], timeout)[0]:
            os.kill(pid, signal.SIGKILL)
            _number(waiting)
            raise TimeoutExpired(command, timeout or 0.0)
        code = _number(waiting)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    done = subprocess.CompletedProcess(list(map(str, command)), code, *texts)
    if check:
        done.check_returncode()
    return done


@cache
def _waiting() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The line to the process that waits, and the process; it ends with the line."""
    here, there = socket.socketpair()
    with there:
        command = [sys.executable, __file__, str(there.fileno())]
        return here, subprocess.Popen(command, pass_fds=[there.fileno()], stdin=DEVNULL)


def _number(line: socket.socket) -> int:
    return int.from_bytes(_exactly(line, _LENGTH), "big", signed=True)


def _exactly(line: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = line.recv(length - len(found))
        if not part:
            raise EOFError("the process that waits is gone")
        found += part
    return found


# -- in the process that waits -----------------------------------------------------------------------------------------


def _wait(line: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Gives it in the child; None in the process that waits, once nobody asks any more."""
    while True:
        head, files, _, _ = socket.recv_fds(line, _LENGTH, 2)
        if not head:
            return None
        request = json.loads(_exactly(line, int.from_bytes(head + _exactly(line, _LENGTH - len(head)), "big")))
        child = os.fork()
        if child == 0:
            line.close()
            for number, file in enumerate(files, 1):
                os.dup2(file, number)
                os.close(file)
            return request
        for file in files:
            os.close(file)
        line.sendall(child.to_bytes(_LENGTH, "big"))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        line.sendall(code.to_bytes(_LENGTH, "big", signed=True))


def become(request: Mapping[str, Any]) -> NoReturn:
    """Do what the command line says, as far as that can be done late, and end."""
    code: object = None
    try:
        # Kept to the end, as the interpreter keeps them: a process group that goes while Python runs can wait for ever
        # for a thread of its own, which waits for Python.
        names = _begin(request)  # noqa: F841
    except SystemExit as leaving:
        code = leaving.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    _end(code)


def _begin(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run it. Gives the names that it left in its ``__main__``."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    first, *rest = request["words"]
    if first == "-m":
        sys.path[0], sys.argv = os.getcwd(), rest
        return runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    sys.path[0], sys.argv = os.path.dirname(os.path.realpath(first)), [first, *rest]
    return runpy.run_path(first, run_name="__main__")


def _end(code: object) -> NoReturn:
    """End as the interpreter does, but for taking all modules to pieces, which takes longer than most scripts."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    import gc

    import numpy as np
    import pandas  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torch._dynamo  # noqa: F401  (which the first optimiser imports)

    import surefoot.findings.rules
    import surefoot.monitor.live
    import surefoot.report.html
    import surefoot.report.terminal  # noqa: F401

    gc.freeze()  # the collector writes to whatever it goes through, and what is written to has to be copied first
    request = _wait(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        np.random.seed()
        become(request)
