"""The examples run, each is one page, none knows of surefoot, and every flag of theirs is told in the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import processes

ROOT = Path(__file__).parents[1]
SHORT = {
    "char_gpt": ("--steps", "2"),
    "lstm": ("--steps", "2"),
    "digits_cnn": ("--epochs", "1"),
    "digits_mlp": ("--epochs", "1"),
    "diffusion": ("--steps", "2"),
    "pinn": ("--steps", "2"),
    "gan": ("--steps", "2"),
    "vae": ("--epochs", "1"),
    "reinforce": ("--steps", "2"),
}


def example(name: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]
    return processes.run(command, check=True, timeout=120).stdout


@pytest.mark.parametrize("name", SHORT)
def test_runs_and_reports_a_validation_number(name: str) -> None:
    last = example(name, *SHORT[name]).splitlines()[-1]
    assert re.search(r"validation (?:loss|accuracy|coverage|distance) \d+\.\d{3}$", last)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (example("digits_mlp", "--epochs", "2", "--seed", "3") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", SHORT)
def test_one_page_unaware_of_surefoot(name: str) -> None:
    source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert "surefoot" not in source
    assert source.count("\n") <= 100


def test_the_readme_names_every_mistake() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in SHORT:
        source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        for flag in re.findall(r'"(--[\w-]+)"[^\n]*help="mistake', source):
            assert f"`{flag}" in readme, f"{name} {flag}"
