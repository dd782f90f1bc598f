"""The settings of a source as the TDS client has them."""

from __future__ import annotations

from ...tds.client import ClientSettings
from ..settings import DEFAULT_PORT, SqlServerSettings


def client_settings(settings: SqlServerSettings) -> ClientSettings:
    """The settings of the TDS client."""
    instance = settings.host.partition("\\")[2]
    named = bool(instance) and settings.port == DEFAULT_PORT
    options = {name.strip().lower(): value.strip().lower() for name, value in settings.options}
    return ClientSettings(
        host=settings.network_host,
        port=None if named else settings.port,
        instance=instance,
        database=settings.database,
        user=settings.user or "",
        password=settings.password or "",
        access_token=settings.access_token,
        encrypt=settings.encrypt,
        trust_server_cert=settings.trust_server_cert,
        host_name_in_certificate=settings.host_name_in_certificate,
        application_name=settings.application_name,
        login_timeout=float(settings.login_timeout),
        read_timeout=float(settings.query_timeout) if settings.query_timeout else None,
        packet_size=settings.packet_size,
        read_only=options.get("applicationintent") == "readonly",
    )
