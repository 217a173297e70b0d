"""Train each loop bare, bare again, and watched in each way; print what came out as JSON.

python tests/identity.py
"""

from __future__ import annotations

import json
from typing import Any

import torch

from loops import LOOPS, train
from watching import watching

STEPS = 8  # of which 1, 2, 4 and 8 are looked at within the budget
# how often to look (None keeps to the budget), and by which means (None takes the first that serves)
WAYS = ((None, None), (1, None), (1, "hooks"), (1, "borrow"), (1, "replay"))


def compare(loop: str) -> list[dict[str, Any]]:
    """One row for each way of watching the loop."""
    bare = train(loop, STEPS)
    agree = bare.same_as(train(loop, STEPS))
    rows = []
    for every, means in WAYS:
        with watching(every, means) as seen:
            watched = train(loop, STEPS)
        rows.append(
            {
                "loop": loop,
                "every": every,
                "means": means,
                "bare runs agree": agree,
                "identical": watched.same_as(bare),
                "looks": seen.observer.looks,
                "notes": [note["text"] for note in seen.of("note")],
            }
        )
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([row for loop in LOOPS for row in compare(loop)], indent=1))
