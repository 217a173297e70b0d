"""What a record tells of the run's surroundings: versions and machine, and nothing private."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from typing import Any

import torch

import surefoot

# Environment variables that change how training computes; no other is recorded.
_ALLOWED = re.compile(
    r"(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|CUDA_VISIBLE_DEVICES|CUBLAS_WORKSPACE_CONFIG|PYTORCH_\w*ALLOC\w*|"
    r"TORCH_LOGS|TORCHDYNAMO_DISABLE|NVIDIA_TF32_OVERRIDE|RANK|LOCAL_RANK|WORLD_SIZE|SLURM_JOB_ID|PYTHONHASHSEED"
)
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
MASK = "•••"


def mask_arguments(argv: Sequence[str]) -> list[str]:
    """The arguments with the values of those that sound secret masked: ``--api-key X`` and ``--api-key=X``.

    >>> mask_arguments(["--lr", "0.1", "--hf-token=abc", "--password", "pw"])
    ['--lr', '0.1', '--hf-token=•••', '--password', '•••']
    """
    masked: list[str] = []
    hide_next = False
    for argument in argv:
        name, equals, _ = argument.partition("=")
        if hide_next and not argument.startswith("-"):
            masked.append(MASK)
            hide_next = False
            continue
        secret = bool(_SECRET.search(name)) and (argument.startswith("-") or bool(equals))
        masked.append(f"{name}={MASK}" if secret and equals else argument)
        hide_next = secret and not equals
    return masked


def surroundings() -> dict[str, Any]:
    """Versions, machine and the allowed environment variables, for the record's ``meta``."""
    device = "cpu"
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        device = torch.cuda.get_device_name()
    return {
        "versions": {
            "surefoot": surefoot.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "numpy": sys.modules["numpy"].__version__ if "numpy" in sys.modules else None,
        },
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": device,
        },
        "environment": {name: value for name, value in sorted(os.environ.items()) if _ALLOWED.fullmatch(name)},
        "pid": os.getpid(),
        "rank": int(os.environ.get("RANK", 0) or 0),
        "world_size": int(os.environ.get("WORLD_SIZE", 1) or 1),
    }
