"""Why no encrypted connection with the source came about, and what helps: by what drivers and OpenSSL say."""

from __future__ import annotations

import re
import ssl

from ...tds.buffer import ProtocolError
from ...tds.client import Client, EncryptionFailure, ServerFailure
from ..settings import SqlServerSettings
from .tds_settings import client_settings

_OLD = re.compile(
    r"unsupported.protocol|no protocols available|alert.protocol.version|wrong.ssl.version|version.too.low"
    r"|handshake.failure|no.shared.cipher|key.too.(small|weak)|md.too.weak|legacy.sigalg"
    r"|unsafe.legacy.renegotiation|no.suitable.signature|bad.signature",
    re.IGNORECASE,
)
_CERTIFICATE = re.compile(r"certificate|self.signed|hostname mismatch|subject name|not trusted", re.IGNORECASE)
_NONE_OFFERED = re.compile(r"not support(ed)? (on SQL Server|encryption)|does not support encryption", re.IGNORECASE)
_ENDED = re.compile(
    r"0x68\b|0x2746|reset by peer|wrong version number|unexpected.eof|TDS 8\.0|during the TLS handshake", re.IGNORECASE
)
_TLS = re.compile(r"SSL Provider|TLS|encryption", re.IGNORECASE)

_OLD_HINT = (
    "The server offers TLS 1.0 or 1.1 only, or keys and ciphers as old, which this machine refuses. No value of "
    "source.encrypt changes that: even with false the login is encrypted. Bring TLS 1.2 to the server (SQL Server 2016 "
    "has it, 2012 and 2014 with their last service packs; Windows must allow it), or restore a backup of the database "
    "on a newer server and migrate from there."
)
_STRICT_HINT = (
    "encrypt: strict is TDS 8.0, which SQL Server speaks from 2022 on, and Azure SQL: an older server, or one that is "
    "not set up for it, ends the connection. Set source.encrypt: true."
)
_STRICT_CERTIFICATE_HINT = (
    "encrypt: strict always checks the certificate, whatever source.trust_server_cert says. Install its certificate "
    "authority on this machine, name the server as its certificate does (source.host_name_in_certificate), or (test "
    "servers only) use source.encrypt: true with source.trust_server_cert: true."
)
_CERTIFICATE_HINT = (
    "Install its certificate authority on this machine, connect by the name in the certificate "
    "(source.host_name_in_certificate), or (test servers only) set source.trust_server_cert: true."
)
_NONE_OFFERED_HINT = (
    "The server does not encrypt. Give it a certificate, or set source.encrypt: false in a network that nobody else "
    "reads: the password and all rows are then readable on the way."
)


def tls_reason(error: ssl.SSLError) -> str:
    """What OpenSSL says of a handshake, in a form that `tls_failure` knows."""
    reason = getattr(error, "verify_message", None) or error.reason or str(error)
    kind = "certificate verify failed: " if isinstance(error, ssl.SSLCertVerificationError) else "TLS: "
    return f"{kind}{reason}"


def refused_tls(settings: SqlServerSettings) -> Exception | None:
    """Why the handshake failed, of a connection of which Microsoft's driver says nothing; None when it was not that.

    The TDS client tries it again, with the same settings.
    """
    try:
        Client(client_settings(settings)).close()
    except EncryptionFailure as found:
        return found
    except ssl.SSLError as found:
        return ConnectionError(tls_reason(found))
    except (OSError, ProtocolError, ServerFailure):
        return None
    return None


def ends_strictly(settings: SqlServerSettings, text: str) -> bool:
    """Whether the server seems to have ended a connection because it does not speak TDS 8.0."""
    return settings.encrypt == "strict" and _ENDED.search(text) is not None


def tls_failure(settings: SqlServerSettings, where: str, text: str) -> tuple[str, str] | None:
    """The sentence and the hint for a failure that has to do with encryption; None when ``text`` is of another kind."""
    strict = settings.encrypt == "strict"
    if _OLD.search(text):
        return f"No TLS that both sides accept with {where}: {text}", _OLD_HINT
    if ends_strictly(settings, text):
        return f"No encrypted connection (strict) with {where}: {text}", _STRICT_HINT
    if _CERTIFICATE.search(text):
        hint = _STRICT_CERTIFICATE_HINT if strict else _CERTIFICATE_HINT
        return f"The TLS certificate of {where} is not trusted: {text}", hint
    if _NONE_OFFERED.search(text):
        return f"No encrypted connection with {where}: {text}", _NONE_OFFERED_HINT
    if _TLS.search(text):
        hint = "Check source.encrypt (true, false or strict) against what the server supports."
        return f"No encrypted connection with {where}: {text}", hint
    return None
