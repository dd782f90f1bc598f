"""Builds the two optional native modules; everything else is in pyproject.toml.

Without a compiler they are left out with a warning: the tool then reads through Microsoft's driver only, and
`validate --checksum` digests rows in Python.
"""

from __future__ import annotations

import sys

from setuptools import Extension, setup

KERNEL = "src/mssql_pg_migrate/_kernel"
SOURCES = ("module", "transcode", "tds", "bcp", "input", "stream", "columns", "text")
HEADERS = (
    *("transcode", "core", "columns", "text", "values", "codepages"),
    *("fields", "formats", "input", "output", "stream"),
)
ARGUMENTS = [] if sys.platform == "win32" else ["-O3", "-std=c11"]

setup(
    ext_modules=[
        Extension(
            "mssql_pg_migrate._kernel._native",
            sources=[f"{KERNEL}/{name}.c" for name in SOURCES],
            depends=[f"{KERNEL}/{name}.h" for name in HEADERS],
            extra_compile_args=ARGUMENTS,
            optional=True,
        ),
        Extension(
            "mssql_pg_migrate._kernel._digest",
            sources=[f"{KERNEL}/{name}.c" for name in ("digest_module", "digest")],
            depends=[f"{KERNEL}/{name}.h" for name in ("digest", "canonical", "rowhash")],
            extra_compile_args=ARGUMENTS,
            optional=True,
        ),
    ]
)
