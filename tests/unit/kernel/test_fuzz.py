"""A short run of the fuzz target (`make fuzz` runs it longer, and without the vector instructions too)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz" / "run.sh"


@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs gcc and its sanitizers")
@pytest.mark.parametrize("part", ["transcode", "bcp"])
@pytest.mark.parametrize("flags", ["", "-DMAX_FIELD=40u"], ids=["", "values too large"])
def test_damaged_streams_under_the_sanitizers(flags: str, part: str) -> None:
    """A few thousand damaged inputs: no wild read, no undefined behaviour, none that depends on how it is cut."""
    environment = {**os.environ, "FUZZ_SECONDS": "2", "FUZZ_FLAGS": flags, "CC": "gcc"}
    done = subprocess.run([str(FUZZ), part], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout
