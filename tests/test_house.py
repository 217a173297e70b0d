"""The rules of the house that a machine can hold: floors, names, docstrings, and what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "surefoot"
FLOORS = (
    ("plots",),
    ("autodiff",),
    ("init", "nn", "losses", "optim", "samplers", "dynamics", "physics", "generative", "rl", "solvers", "geometry"),
    ("runs", "analysis"),
    ("observe", "findings"),
    ("report", "apply"),
    ("monitor",),
    ("integrations", "sweeps"),
    ("studies",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OPEN = FLOOR["optim"]  # the floor whose rooms import each other where natural
FACE = {"__init__", "__main__", "__version__"}  # of the house itself, above all floors
FILES = sorted(PACKAGE.rglob("*.py"))
CLINIC = sorted((ROOT / "clinic").glob("*.py"))  # its machinery; its scripts are written as users write


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[tuple[str, int]]:
    """Each room that a file imports from, anywhere in it, with the line."""
    home = ["surefoot", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {(target[1], node.lineno) for target in targets if target[0] == "surefoot" and len(target) > 1}
    return found


def strays(files: list[Path]) -> list[str]:
    """The imports that go against the floors."""
    wrong = []
    for path in files:
        room = room_of(path)
        for target, line in sorted(imports(path)):
            if room in FACE or target in FACE or target == room:
                continue
            allowed = target in FLOOR and (FLOOR[target] < FLOOR[room] or FLOOR[target] == FLOOR[room] == OPEN)
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {target}")
    return wrong


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - FACE <= set(FLOOR)


def test_rooms_import_strictly_lower_floors() -> None:
    assert not strays(FILES)


def test_the_open_floor_has_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        room = room_of(path)
        if FLOOR.get(room) == OPEN:
            graph.setdefault(room, set()).update(to for to, _ in imports(path) if to != room and FLOOR.get(to) == OPEN)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_floors_are_really_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for name, line in {
        "runs/a.py": "from surefoot.report import html",
        "runs/b.py": "def f():\n    import surefoot.analysis",
        "findings/c.py": "from ..observe.clock import Clock",
        "report/d.py": "from surefoot import runs, monitor",
        "optim/e.py": "from surefoot.losses import x\nfrom . import y\nimport surefoot.autodiff.hvp",
        "cli/f.py": "from surefoot import open_run",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line)
    assert strays(sorted(tmp_path.rglob("*.py"))) == [
        "cli/f.py:1: cli imports open_run",
        "findings/c.py:1: findings imports observe",
        "report/d.py:1: report imports monitor",
        "runs/a.py:1: runs imports report",
        "runs/b.py:2: runs imports analysis",
    ]


def test_no_file_is_named_for_nothing() -> None:
    assert not [path for path in FILES + CLINIC if path.stem in {"utils", "util", "helpers", "misc", "common"}]


TORCHS_OWN = {"forward", "extra_repr"}  # methods whose meaning nn.Module gives; the class says the rest


def public_names(path: Path) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """The public functions and classes of a file, and the public methods of those classes; none of a private file."""
    if path.stem.startswith("_") and path.stem != "__init__":
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = []
    for node in parsed(path).body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            names.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                names += [
                    (f"{node.name}.{inner.name}", inner)
                    for inner in node.body
                    if isinstance(inner, kinds) and not inner.name.startswith("_") and inner.name not in TORCHS_OWN
                ]
    return names


def test_public_names_have_docstrings() -> None:
    bare = []
    for path in FILES + CLINIC:
        where = path.relative_to(ROOT)
        if ast.get_docstring(parsed(path)) is None and path.read_text(encoding="utf-8").strip():
            bare.append(str(where))
        for name, node in public_names(path):
            setter = any("setter" in ast.unparse(mark) for mark in node.decorator_list)
            shape_only = [ast.unparse(line) for line in node.body] == ["..."]  # of a protocol
            if not setter and not shape_only and ast.get_docstring(node) is None:
                bare.append(f"{where}: {name}")
    assert not bare


def test_importing_surefoot_costs_nothing() -> None:
    script = "import sys, surefoot, surefoot.monitor, surefoot.cli.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pandas", "plotly", "rich", "typer", "jaxtyping"} & set(loaded)


def test_the_public_face_keeps_its_promises() -> None:
    import surefoot

    for name in surefoot.__all__:
        assert getattr(surefoot, name) is not None
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not rooms & set(surefoot.__all__)


def test_nothing_of_one_machine_is_in_the_files() -> None:
    absolute = re.compile(r"(?<![\w.:/])/(?:root|work|workspace|Users)/\w")
    suffixes = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".js", ".html", ".css"}
    tops = [ROOT / name for name in ("src", "tests", "examples", "benchmarks", "docs", "clinic")]
    files = [path for top in tops for path in top.rglob("*") if path.suffix in suffixes]
    files += [path for path in ROOT.iterdir() if path.suffix in suffixes or path.name == "Makefile"]
    told = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in files
        if path != Path(__file__) and (found := absolute.search(path.read_text(encoding="utf-8")))
    ]
    assert not told
