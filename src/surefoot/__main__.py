"""The entry point of the command ``surefoot`` and of ``python -m surefoot``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def main(argv: Sequence[str] | None = None) -> Any:
    """Run one command; returns what ``sys.exit`` is to be called with.

    What runs a script is parsed apart, so that nothing but the standard library is loaded before it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        from surefoot.cli.run import run

        return run(arguments[1:])
    if arguments[:1] == ["inspect"] and "--at-init" in arguments:
        from surefoot.cli.at_init import at_init

        return at_init(arguments[1:])
    from surefoot.cli import app

    return app(arguments)


if __name__ == "__main__":
    sys.exit(main())
