"""Two ranks of one job, each forked from here: ``ranks.py [-m module | script] arguments``, by ``processes.run``.

What ``torchrun`` does, without the time that three more interpreters take to import torch. It restarts and kills
nothing: where that matters, ``torchrun`` itself is wanted.
"""

from __future__ import annotations

import os
import socket
import sys

import torch.distributed.fsdp  # noqa: F401  (once for both)

import processes

WORLD = 2

if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(WORLD)}
    started = []
    for rank in range(WORLD):
        child = os.fork()
        if child == 0:
            mine = {**job, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(WORLD)}
            processes.become({"words": sys.argv[1:], "cwd": os.getcwd(), "env": mine})
        started.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]
    sys.exit(next((code for code in codes if code), 0))
