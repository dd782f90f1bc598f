"""A short run of the digest's fuzz target (`make fuzz` runs it longer)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz" / "run.sh"


@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs gcc and its sanitizers")
def test_damaged_copy_data_under_the_sanitizers() -> None:
    """A few thousand damaged streams: no wild read, no undefined behaviour, no result that depends on the pieces."""
    environment = {**os.environ, "FUZZ_SECONDS": "2", "CC": "gcc"}
    done = subprocess.run(
        [str(FUZZ), "digest"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout
