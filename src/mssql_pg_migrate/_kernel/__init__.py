"""The compiled transcoder, if it was built: TDS row tokens or BCP data files in, COPY BINARY tuples out.

The C sources lie beside this file, from the top down: ``module.c`` (the binding), ``transcode.c`` (a transcoder as its
caller sees it), ``formats.h`` with ``tds.c`` (rows of TDS) and ``bcp.c`` (rows of a BCP data file), ``fields.h`` (what
rows of both are made of), ``stream.c`` (values in pieces), ``input.c`` (packets), ``output.h`` (the tuples), ``core.h``
(the state all of these share), ``columns.c`` (what a column's type becomes), ``values.h`` (numbers and times) and
``text.c`` (UTF-16, UTF-8, code pages). A second module, ``_digest``, serves ``validate``: ``digest.c`` (COPY BINARY
tuples to buckets), ``canonical.h`` (fields as equal bytes), ``rowhash.h`` (the hash of a row), ``digest_module.c`` (the
binding).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_module: ModuleType | None
_reason: str | None = None
try:
    from . import _native as _module
except ImportError as error:
    _module = None
    if find_spec(f"{__name__}._native") is None:
        _reason = "the compiled transcoder is not installed (the package was built without a C compiler)"
    else:
        _reason = f"the compiled transcoder cannot be loaded ({error})"


def native() -> ModuleType:
    """The compiled module. Raises RuntimeError when it is not installed; ask `unavailable` first."""
    if _module is None:
        raise RuntimeError(_reason)
    return _module


def unavailable() -> str | None:
    """Why the transcoder cannot be used, None when it can."""
    return _reason
