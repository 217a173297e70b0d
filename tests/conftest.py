"""What all tests share: one thread, reproducible examples, and shapes and types checked as they pass."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from checking import raises_of_our_own

# The rooms that compute: the shape and type of every annotated array is checked as it passes. Rooms are hooked before
# anything of surefoot is imported; the others hold protocols and mappings that a checker would walk through in vain.
FORMULAS = ("analysis", "autodiff", "init", "nn", "losses", "optim", "samplers")
FIELDS = ("dynamics", "physics", "generative", "rl", "solvers", "geometry")
install_import_hook([f"surefoot.{room}" for room in (*FORMULAS, *FIELDS)], "checking.check")
pytest.raises = raises_of_our_own()

settings.register_profile("surefoot", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("surefoot")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are the same on every machine, and tests that run side by side do not fight for cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Each test is a process of its own as far as ``torch.compile`` goes: what another has compiled does not count."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    if dynamo is not None:
        dynamo.counters.clear()


@pytest.fixture(autouse=True)
def nothing_replaced() -> Iterator[None]:
    """What some remedies replace, they replace for the whole process."""
    import torch.nn.functional as F
    from torch import Tensor
    from torch.nn import utils

    replaced = [(F, "scaled_dot_product_attention"), (utils, "clip_grad_norm_"), (utils, "clip_grad_value_")]
    replaced += [(Tensor, "softmax"), (Tensor, "sqrt"), (Tensor, "log")]
    before = [getattr(home, name) for home, name in replaced]
    yield
    for (home, name), value in zip(replaced, before, strict=True):
        setattr(home, name, value)


def pytest_collection_finish() -> None:
    """What is imported lasts. Set apart, it is not gone through again by all who look for live models."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Schedulers and the optimisers that they wrap hold each other: who watches next would find them alive.

    What stays, stays for good: mostly what torch imports at a first step, or a first compilation. To go through it
    again before each block that is watched took longer than most of them.
    """
    yield
    gc.collect()
    gc.freeze()
