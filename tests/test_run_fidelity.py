"""``surefoot run script.py`` is ``python script.py``: output, exit code, tracebacks and signals, byte for byte."""
# ruff: noqa: E501  (a table: one script a line)

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest

PYTHON = sys.executable
SOURCE = Path(__file__).parents[1] / "src"
# What an installed console script does; it lies in a folder of its own, as that one does.
LAUNCHER = (
    "import re\nimport sys\nfrom surefoot.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
)
NOTHING_TO_WATCH = "surefoot: the script never imported torch: there was nothing to watch\n"


@dataclass
class Case:
    """A script (``x.py``, other files beside it) and how it is called."""

    code: str
    command: tuple[str, ...] = ("x.py",)
    files: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    stdin: str = ""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    code: int
    out: str
    err: str


def watched_command(case: Case, folder: Path) -> list[str]:
    launcher = folder / "bin" / "surefoot"
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(LAUNCHER)
    return [PYTHON, *case.flags, str(launcher), "run", *case.command]


def lay_out(case: Case, folder: Path) -> None:
    for name, text in {"x.py": case.code, **case.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def ending(command: list[str], case: Case, folder: Path) -> Ending:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "LANG": "C.UTF-8", **case.env}
    done = subprocess.run(
        command, cwd=folder, env=env, input=case.stdin, capture_output=True, text=True, timeout=60, check=False
    )
    err = done.stderr.replace(NOTHING_TO_WATCH, "")
    return Ending(done.returncode, *(re.sub(r"0x[0-9a-f]{6,}", "0x", text) for text in (done.stdout, err)))


def both(case: Case, folder: Path) -> tuple[Ending, Ending]:
    lay_out(case, folder)
    bare = ending([PYTHON, *case.flags, *case.command], case, folder)
    return bare, ending(watched_command(case, folder), case, folder)


SEE_MAIN = """
    import os, sys
    print(list(globals().items()))
    print(sys.argv, sys.path, os.getcwd(), __file__)
    print(type(sys.modules["__main__"]), sys.modules["__main__"].__dict__ is globals())
"""
MULTIPROCESSING = """
    import multiprocessing, os, sys
    print("imported as", __name__, flush=True)
    def work(n):
        return n * n, [name for name in sys.modules if name.startswith("surefoot")] if METHOD != "fork" else []
    METHOD = {method!r}
    if __name__ == "__main__":
        context = multiprocessing.get_context(METHOD)
        with context.Pool(1) as pool:
            print(pool.map(work, range(3)))
        process = context.Process(target=sys.exit, args=(7,))
        process.start(); process.join(); print(process.exitcode)
"""
PACKAGE = {
    "pack/__init__.py": "import sys; print('init', sys.argv, __name__)",
    "pack/sibling.py": "value = 'from the sibling'",
    "pack/__main__.py": "from .sibling import value; import sys; print(value, sys.argv, __spec__.name, __package__)",
    "pack/tool.py": SEE_MAIN
    + "\n    from . import sibling\n    print(sibling.value, __spec__)\n    raise KeyError('x')",
}

CASES = {
    # who am I, where am I
    "main": Case(SEE_MAIN, ("x.py", "a", "--out", "b", "--", "-m")),
    "main by a crooked path": Case(SEE_MAIN, ("./pack/.././x.py",), PACKAGE),
    "data beside the script": Case(
        "",
        ("sub/y.py",),
        {"sub/y.py": "import near, os; print(near.v, open(os.path.join(os.path.dirname(__file__), 'd.txt')).read())"}
        | {"sub/near.py": "v = 1", "sub/d.txt": "data"},
    ),
    "import of main": Case("x = 3\nimport __main__\nprint(__main__.x, __main__.__file__)"),
    "source of a function": Case("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))"),
    "pickle": Case(
        "import pickle\nclass A:\n    pass\nprint(pickle.dumps(A()), type(pickle.loads(pickle.dumps(A()))))"
    ),
    "dataclass and types": Case(
        "from __future__ import annotations\nimport dataclasses, typing\n@dataclasses.dataclass\nclass A:\n    x: B\n"
        "class B:\n    pass\nprint(A(B()).x is None, typing.get_type_hints(A))"
    ),
    "environment": Case("import os, sys; print(dict(os.environ), sys.flags, sys.executable)"),
    "stdin": Case("print(input()); import sys; print(sys.stdin.read())", stdin="one\ntwo\nthree"),
    "latin-1 source": Case("# coding: latin-1\nprint(ascii('\u00e9'))"),
    "flags": Case("import sys\nassert False\nprint(sys.flags)", flags=("-O", "-u", "-B")),
    "handlers left alone": Case(
        "import signal, sys, threading\n"
        "print(signal.getsignal(2), signal.getsignal(15), sys.excepthook, sys.unraisablehook, threading.excepthook)"
    ),
    "safe path": Case(
        SEE_MAIN.replace("sys.path,", "'x',") + "\n    import beside", files={"beside.py": ""}, flags=("-P",)
    ),
    # modules, folders, archives
    "-m package": Case("", ("-m", "pack", "a", "-m"), PACKAGE),
    "-m module of a package": Case("", ("-m", "pack.tool", "--quiet"), PACKAGE),
    "-m missing": Case("", ("-m", "pack.nothing"), PACKAGE),
    "-m package without main": Case("", ("-m", "empty"), {"empty/__init__.py": ""}),
    "-m glued": Case("", ("-mpack",), PACKAGE),
    "folder": Case(
        "", ("app", "a"), {"app/__main__.py": SEE_MAIN + "\n    import beside", "app/beside.py": "print('!')"}
    ),
    "folder without main": Case("", ("app",), {"app/other.py": ""}),
    # exit codes
    **{
        f"exit {code}": Case(f"import sys; sys.stdout.write('out'); sys.exit({code})")
        for code in ("", "0", "3", "None", "'a message'", "True", "(1, 2)", "300", "-1", "ValueError('v')")
    },
    "raise SystemExit": Case("raise SystemExit(7) from KeyError('x')"),
    "exit with own code": Case("class E(SystemExit):\n    code = 9\nraise E(1)"),
    "os._exit": Case("import os; print('lost'); os._exit(4)"),
    "exit in a thread": Case("import threading, sys; threading.Thread(target=sys.exit, args=(3,)).start()"),
    "abort": Case("import os; os.abort()"),
    # exceptions
    "raise": Case("def f(n):\n    return 1 / n\n\nf(0)"),
    "chained": Case(
        """
        def f():
            try:
                {}["a"]
            except KeyError as error:
                raise ValueError("b") from error
        try:
            f()
        except ValueError:
            raise RuntimeError("c")
        """
    ),
    "group": Case(
        "def f(x):\n    try:\n        1 / x\n    except Exception as e:\n        return e\n"
        "raise ExceptionGroup('many', [f(0), f('a'), ExceptionGroup('in', [f(0)])])"
    ),
    "notes": Case("e = ValueError('a')\ne.add_note('a note')\nraise e"),
    "bad str": Case("class E(Exception):\n    def __str__(self):\n        return 1 / 0\nraise E"),
    "base exception": Case("class E(BaseException): pass\nraise E('x')"),
    "syntax error": Case("x = 1\nif x\n    print()"),
    "indentation": Case("if 1:\n        a = 1\n    b = 1"),
    "unclosed": Case("print((1, 2)\n"),
    "syntax error in a module": Case("import broken", files={"broken.py": "def f(:\n"}),
    "import error": Case("import nothing_of_this_name"),
    "error in an import": Case("import broken", files={"broken.py": "import json\njson.loads('{')"}),
    "from exec": Case("exec(compile('1/0', '<made up>', 'exec'))"),
    "assertion": Case("assert 1 == 2, 'no'"),
    "keyboard interrupt": Case(
        "import atexit; atexit.register(print, 'bye')\ndef f():\n    raise KeyboardInterrupt\nf()"
    ),
    "kind of keyboard interrupt": Case("class K(KeyboardInterrupt): pass\nraise K('x')"),
    "keyboard interrupt in a module": Case("", ("-m", "ki"), {"ki.py": "raise KeyboardInterrupt"}),
    "interrupt, own hook": Case("import sys\nsys.excepthook = lambda *a: print(a)\nraise KeyboardInterrupt"),
    "own hook": Case("import sys\nsys.excepthook = lambda t, e, tb: print(t, e, tb.tb_frame.f_code.co_name)\n1 / 0"),
    "own hook fails": Case(
        "import sys\ndef hook(*a):\n    {}['hook']\nsys.excepthook = hook\ndef f():\n    1 / 0\nf()"
    ),
    "own hook exits": Case("import sys\nsys.excepthook = lambda *a: sys.exit(5)\n1 / 0"),
    "no hook": Case("import sys\ndel sys.excepthook\n1 / 0"),
    "last exception": Case(
        "import atexit, sys, traceback\n"
        "@atexit.register\ndef last():\n    print(repr(sys.last_value), sys.last_type, getattr(sys, 'last_exc', 0))\n"
        "    traceback.print_tb(sys.last_traceback)\n1 / 0"
    ),
    "last interrupt": Case(
        "import atexit, sys, traceback\n"
        "atexit.register(lambda: (traceback.print_tb(sys.last_traceback), print(sys.excepthook)))\nraise KeyboardInterrupt"
    ),
    # threads, ends
    "thread outlives main": Case(
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'), 1 / 0)).start()\nprint('end')"
    ),
    "daemon thread": Case(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    ),
    "executor never shut": Case(
        "from concurrent.futures import ThreadPoolExecutor\nprint(ThreadPoolExecutor(2).submit(pow, 2, 3).result())"
    ),
    "atexit order": Case(
        "import atexit\nfor i in range(3):\n    atexit.register(print, i)\natexit.register(lambda: 1 / 0)"
    ),
    "atexit exits": Case("import atexit, sys\natexit.register(sys.exit, 4)"),
    "error in del": Case("class A:\n    def __del__(self):\n        1 / 0\na = A()"),
    "closed stdout": Case("import sys; print('x'); sys.stdout.close()"),
    "other stderr": Case("import io, sys; sys.stderr = io.StringIO(); print('x', file=sys.stderr); 1 / 0"),
    "asyncio": Case("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    1 / 0\nasyncio.run(f())"),
    # warnings
    "warning": Case(
        "import warnings\nfor i in range(2):\n    warnings.warn('old', DeprecationWarning)\nwarnings.warn('u')"
    ),
    "syntax warning": Case("x = 1\nprint(x is 1)"),
    "warning as error": Case("import warnings\nwarnings.warn('old')", flags=("-W", "error")),
    # processes
    **{m: Case(MULTIPROCESSING.replace("{method!r}", repr(m))) for m in ("spawn", "forkserver", "fork")},
    "spawn from a module": Case(
        "", ("-m", "pack.mp"), PACKAGE | {"pack/mp.py": MULTIPROCESSING.replace("{method!r}", "'spawn'")}
    ),
    "fork": Case("import os, sys\npid = os.fork()\nif not pid:\n    sys.exit(5)\nprint(os.waitpid(pid, 0)[1])"),
    "fork and raise": Case("import os\npid = os.fork()\nif not pid:\n    1 / 0\nprint(os.waitpid(pid, 0)[1])"),
    "subprocess": Case(
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', "
        "'import sys; print([m for m in sys.modules if \"surefoot.\" in m])'], capture_output=True))"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_python_does(name: str, tmp_path: Path) -> None:
    bare, watched = both(CASES[name], tmp_path)
    assert watched == bare


def test_symlink_to_a_script(tmp_path: Path) -> None:
    lay_out(Case("", files={"real/y.py": SEE_MAIN}), tmp_path)
    (tmp_path / "link.py").symlink_to("real/y.py")
    case = Case(SEE_MAIN, ("link.py",))
    bare, watched = both(case, tmp_path)
    assert watched == bare
    assert str(tmp_path / "real") in bare.out


def test_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", dedent(SEE_MAIN) + "raise KeyError('in the archive')")
    bare, watched = both(Case("", ("app.zip", "a")), tmp_path)
    assert watched == bare
    assert "in the archive" in bare.err


WAIT = "print('ready', flush=True)\nimport time\ntime.sleep(30)\n"
SIGNALS = {
    "int": (signal.SIGINT, WAIT),
    "term": (signal.SIGTERM, WAIT),
    "hup": (signal.SIGHUP, WAIT),
    "own int": (signal.SIGINT, "import signal, sys\nsignal.signal(2, lambda *a: sys.exit(6))\n" + WAIT),
    "own term": (signal.SIGTERM, "import signal, sys\nsignal.signal(15, lambda *a: sys.exit(8))\n" + WAIT),
    "int caught": (
        signal.SIGINT,
        "import time\ntry:\n    print('ready', flush=True); time.sleep(30)\nexcept KeyboardInterrupt:\n    print('caught')",
    ),
    "int in the threads' end": (
        signal.SIGINT,
        "import threading, time\nt = threading.Thread(target=time.sleep, args=(1,))\nt.start()\nprint('ready', flush=True)",
    ),
}


def signalled(command: list[str], folder: Path, number: int) -> Ending:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # under nohup it is ignored, and inherited so
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.3)  # past the print, and where threads are left, into waiting for them
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    return Ending(process.returncode, first + out, err.replace(NOTHING_TO_WATCH, ""))


@pytest.mark.parametrize("name", SIGNALS)
def test_signals(name: str, tmp_path: Path) -> None:
    number, code = SIGNALS[name]
    case = Case(code)
    lay_out(case, tmp_path)
    bare = signalled([PYTHON, "x.py"], tmp_path, number)
    assert signalled(watched_command(case, tmp_path), tmp_path, number) == bare


def test_python_minus_m_surefoot(tmp_path: Path) -> None:
    case = Case(SEE_MAIN + "\n    raise KeyboardInterrupt", ("x.py", "a"))
    lay_out(case, tmp_path)
    bare = ending([PYTHON, "x.py", "a"], case, tmp_path)
    assert ending([PYTHON, "-m", "surefoot", "run", "x.py", "a"], case, tmp_path) == bare
    assert bare.code == -signal.SIGINT


def test_only_the_standard_library_is_loaded_before_the_script(tmp_path: Path) -> None:
    case = Case(
        "import sys\nnames = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(names - set(sys.stdlib_module_names) - {'__main__', 'surefoot'}))"
    )
    bare, watched = both(case, tmp_path)
    # what .pth files of the environment load is loaded in both
    assert watched == bare
