"""The command line: a thin skin over the Python API. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # that of ``typing``, which takes a while to import: until ``main`` runs Python answers signals
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the guide's code. ``arguments`` None takes those of the process."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not ignored, not an embedding program's
    if ours:
        try:
            signal.signal(signal.SIGINT, _leave)
        except ValueError:  # not the main thread
            ours = False
    from .app import run
    from .streams import settle

    code = settle(run(list(sys.argv[1:] if arguments is None else arguments)), failed=7)
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: no traceback from the interpreter's own end
    sys.exit(code)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ctrl-C while the program is still being imported: nothing was begun, nothing is to be saved."""
    os.write(2, b"Error: interrupted\n")
    os._exit(5)
