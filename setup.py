"""Builds the optional native transcoder; everything else is in pyproject.toml.

Without a compiler the extension is left out with a warning: the tool then reads through Microsoft's driver only.
"""

from __future__ import annotations

import sys

from setuptools import Extension, setup

KERNEL = "src/mssql_pg_migrate/_kernel"
SOURCES = ("module", "transcode", "input", "stream", "memory", "columns", "text")
HEADERS = ("transcode", "core", "columns", "text", "values", "codepages")

setup(
    ext_modules=[
        Extension(
            "mssql_pg_migrate._kernel._native",
            sources=[f"{KERNEL}/{name}.c" for name in SOURCES],
            depends=[f"{KERNEL}/{name}.h" for name in HEADERS],
            extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-std=c11"],
            optional=True,
        )
    ]
)
