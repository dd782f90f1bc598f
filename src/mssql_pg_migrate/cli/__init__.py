"""The command line: a thin skin over the Python API. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the guide's code. ``arguments`` None takes those of the process."""
    from .app import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))
