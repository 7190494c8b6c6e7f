"""What proves who we are to a broker, and who it is to us: read from files, never from settings."""

from __future__ import annotations

import ssl

from edge_agent.config.broker import MqttSection, TlsSection
from edge_agent.errors import BadConfig


def tls_context(tls: TlsSection) -> ssl.SSLContext:
    """Verified TLS, always: there is no switch to turn it off. Raises ``BadConfig``."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if tls.minimum_version == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(f"mqtt.tls: {error}; check ca, certificate and key") from error
    return context


def password(settings: MqttSection) -> str | None:
    """Read at each attempt, so that a new secret needs no restart. Raises ``BadConfig``."""
    path = settings.password_file
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(
            f"mqtt.password_file {path}: {error}; make it a readable text file"
        ) from error
