"""How ``surefoot run`` notices torch, SIGTERM, forks and the end; with a stub for torch and one for the live run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

SOURCE = Path(__file__).parents[1] / "src"
LAUNCHER = """
import os, sys, types

def tell(*words):
    print("live:", *words, file=sys.__stderr__, flush=True)

live = types.ModuleType("surefoot.monitor.live")
live.start = lambda options: (tell("start", options.script, *options.argv), {start})
live.save = lambda: (tell("save"), {save})
live.finish = lambda code, exception: (tell("finish", code, exception), {finish})
sys.modules["surefoot.monitor.live"] = live

from surefoot.__main__ import main

sys.exit(main())
"""
TORCH = {
    "torch/__init__.py": """
        import os, sys
        if os.environ.get("TORCH") == "fails once" and "tried" not in os.environ:
            from . import nn
            os.environ["tried"] = "1"
            raise OSError("a library is missing")
        assert type(__spec__.loader).__name__ == "SourceFileLoader" and __loader__ is __spec__.loader
        from torch import nn
        done = True
    """,
    "torch/nn.py": "value = 1",
}


@pytest.fixture
def run(tmp_path: Path):
    """Runs ``x.py`` under ``surefoot run`` and returns what ended it."""

    def run(code: str, *, bare: bool = False, env: dict[str, str] | None = None, number: int = 0, **stub: str):
        for name, text in {"x.py": code, **TORCH}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(dedent(text))
        launcher = tmp_path / "bin" / "surefoot"
        launcher.parent.mkdir(exist_ok=True)
        launcher.write_text(LAUNCHER.format(**{"start": "0", "save": "0", "finish": "0", **stub}))
        command = [sys.executable, *([] if bare else [str(launcher), "run"]), "x.py", "a"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **(env or {})}
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            first = ""
            if number:
                assert process.stdout is not None
                first = process.stdout.readline()
                process.send_signal(number)
            out, err = process.communicate(timeout=30)
        return process.returncode, first + out, err

    return run


@pytest.mark.parametrize(
    "line", ["import torch", "import torch.nn", "from torch.nn import value", "from torch import nn"]
)
def test_starts_once_when_torch_is_imported(run, line: str) -> None:
    code, out, err = run(f"print('before')\n{line}\nimport torch, json.tool\nprint(torch.done)")
    assert (code, out) == (0, "before\nTrue\n")
    assert err == "live: start x.py a\nlive: finish 0 None\n"


def test_torch_looks_untouched(run) -> None:
    look = """
        import importlib, sys, torch
        print(type(torch.__spec__), torch.__spec__, torch.__loader__ is torch.__spec__.loader, vars(torch.__spec__))
        print([type(f) for f in sys.meta_path if type(f).__name__ != "_Distutils"], importlib.reload(torch).done)
    """
    watched, bare = run(look)[1], run(look, bare=True)[1]
    assert _no_addresses(watched) == _no_addresses(bare)


def _no_addresses(text: str) -> str:
    import re

    return re.sub(r"0x[0-9a-f]+", "0x", text)


def test_torch_imported_in_a_thread(run) -> None:
    script = """
        import threading
        def go():
            import torch
            print(torch.done)
        threads = [threading.Thread(target=go) for _ in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
    """
    code, out, err = run(script)
    assert (code, out) == (0, "True\n" * 4)
    assert err == "live: start x.py a\nlive: finish 0 None\n"


def test_an_import_of_torch_that_fails_first(run) -> None:
    script = "try:\n    import torch\nexcept OSError as e:\n    print(e)\nimport torch\nprint(torch.done)"
    code, out, err = run(script, env={"TORCH": "fails once"})
    assert (code, out) == (0, "a library is missing\nTrue\n")
    assert err == "live: start x.py a\nlive: finish 0 None\n"


def test_traceback_of_a_failed_import_of_torch(run) -> None:
    watched = run("import torch", env={"TORCH": "fails once"})
    bare = run("import torch", env={"TORCH": "fails once"}, bare=True)
    # torch is there, but never finished
    assert watched[2] == bare[2] + "surefoot: the script never imported torch: there was nothing to watch\n"
    assert watched[0] == bare[0] == 1


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("import torch, sys; sys.exit(3)", 3, "3 None"),
        ("import torch, sys; sys.exit('no')", 1, "1 None"),
        ("import torch; 1 / 0", 1, "1 ZeroDivisionError: division by zero"),
        ("import torch; raise KeyboardInterrupt", -signal.SIGINT, "1 KeyboardInterrupt"),
        ("import torch, threading; threading.Thread(target=print, args=('x',)).start()", 0, "0 None"),
    ],
)
def test_last_words(run, script: str, code: int, words: str) -> None:
    bare = run(script, bare=True)
    watched = run(script)
    assert watched[:2] == bare[:2]
    assert watched[0] == code
    assert watched[2].replace("live: start x.py a\n", "") == bare[2] + f"live: finish {words}\n"


def test_finish_comes_after_threads_and_callbacks(run) -> None:
    script = """
        import atexit, sys, threading, time, torch
        atexit.register(print, "callback", file=sys.stderr)
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread", file=sys.stderr))).start()
    """
    assert run(script)[2] == "live: start x.py a\nthread\ncallback\nlive: finish 0 None\n"


def test_our_own_failures_leave_the_script_alone(run) -> None:
    script = "import torch\nprint('done')"
    assert run(script, start="1 / 0") == (
        0,
        "done\n",
        "live: start x.py a\nsurefoot: ZeroDivisionError: division by zero; the script goes on unwatched\n",
    )
    code, out, err = run(script, finish="1 / 0")
    assert (code, out) == (0, "done\n")
    assert err.endswith(
        "surefoot: ZeroDivisionError: division by zero; the record is kept, surefoot show tells what is in it\n"
    )


def test_interrupt_during_our_start_shows_no_frame_of_ours(run) -> None:
    code, _, err = run("import torch", start="os.kill(os.getpid(), 2)")
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert "surefoot" not in err.replace("live: start x.py a\n", "").split("KeyboardInterrupt")[0]


WAIT = "print('ready', flush=True)\nimport time\ntime.sleep(30)\n"


def test_sigterm_saves_and_kills(run) -> None:
    assert run("import torch\n" + WAIT, number=signal.SIGTERM) == (
        -signal.SIGTERM,
        "ready\n",
        "live: start x.py a\nlive: save\n",
    )


def test_sigterm_kills_though_saving_fails(run) -> None:
    code, _, err = run("import torch\n" + WAIT, number=signal.SIGTERM, save="1 / 0")
    assert code == -signal.SIGTERM
    assert "division by zero; the record may lack its last steps" in err


@pytest.mark.parametrize("place", ["{own}import torch\n{wait}", "import torch\n{own}{wait}"])
def test_a_handler_of_the_script_wins(run, place: str) -> None:
    own = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(8))\n"
    code, _, err = run(place.format(own=own, wait=WAIT), number=signal.SIGTERM)
    assert code == 8
    assert err == "live: start x.py a\nlive: finish 8 None\n"


def test_sigterm_ignored_by_the_script(run) -> None:
    script = "import signal\nsignal.signal(15, signal.SIG_IGN)\nimport torch\nprint('ready', flush=True); input()"
    assert run(script.replace("input()", "import time; time.sleep(0.3)"), number=signal.SIGTERM)[0] == 0


def test_forked_children_are_not_ours(run) -> None:
    script = """
        import os, signal, sys, time, torch
        pid = os.fork()
        if not pid:
            print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
            time.sleep(30)
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        print(os.waitpid(pid, 0)[1], flush=True)
        pid = os.fork()
        if not pid:
            sys.exit(5)
        print(os.waitpid(pid, 0)[1] >> 8)
    """
    code, out, err = run(script)
    assert (code, out) == (0, "True\n15\n5\n")
    assert err == "live: start x.py a\nlive: finish 0 None\n"


def test_fork_before_torch(run) -> None:
    script = """
        import os
        pid = os.fork()
        import torch
        if pid:
            os.waitpid(pid, 0)
    """
    assert run(script)[2] == "live: start x.py a\nlive: finish 0 None\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_are_left_alone(run, method: str) -> None:
    script = f"""
        import multiprocessing, sys, torch
        def work(n):
            return n + torch.nn.value
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                print(pool.map(work, [1, 2]))
    """
    code, out, err = run(script)
    assert (code, out) == (0, "[2, 3]\n")
    assert err == "live: start x.py a\nlive: finish 0 None\n"
