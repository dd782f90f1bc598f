"""The last line of defence: known secrets are cut out of every text that leaves through a log or an error."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""A shorter secret would tear words apart everywhere; nothing prints those in the first place."""


class Redactor:
    """Replaces secrets by ``***``. Thread safe.

    A secret that is also a name which is shown anyway (user ``postgres`` with password ``postgres``) is left alone:
    hiding it would only say that they are the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str], public: Iterable[str] = ()) -> None:
        """Remember secrets, and the forms they take in URLs, ODBC strings and reprs."""
        shown = set(public)
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST and secret not in shown:
                forms |= {secret, quote(secret, safe=""), quote_plus(secret), secret.replace("}", "}}")}
                forms.add(repr(secret)[1:-1])
        with self._lock:
            # Longest first: one secret may be a part of another.
            self._secrets = tuple(sorted({*self._secrets, *forms}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text
