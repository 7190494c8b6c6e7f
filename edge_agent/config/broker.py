"""``[mqtt]``: the broker, how to reach it, and who we are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.config.section import Section


class TlsSection(Section):
    """``[mqtt.tls]``: certificates by file; the system's authorities where ``ca`` is absent."""

    enabled: bool = False
    """Encrypt the connection. With False and a port of 8883 the settings are refused."""
    ca: Path | None = None
    """PEM file with the authorities that may sign the broker's certificate."""
    certificate: Path | None = None
    """PEM file with our own certificate (mutual TLS)."""
    key: Path | None = None
    """PEM file with our private key; mode 0600."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """Oldest TLS version that we accept."""

    @model_validator(mode="after")
    def _certificate_with_key(self) -> TlsSection:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both, or neither")
        return self


class MqttSection(Section):
    """The broker connection."""

    host: str = "localhost"
    """Name or address of the broker."""
    port: int = Field(default=1883, ge=1, le=65535)
    """TCP port; 8883 is usual with TLS."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """``auto`` tries MQTT 5 first and falls back to 3.1.1 where the broker has no more."""
    client_id: str | None = None
    """Fixed client id, so that the broker keeps our session; default ``edge-agent-{agent.id}``."""
    keepalive_s: int = Field(default=30, ge=5, le=1200)
    """A dead connection is noticed within twice this time, seconds."""
    session_expiry_s: int = Field(default=86_400, ge=0, le=4_294_967_294)
    """How long the broker keeps messages for us while we are away, seconds (MQTT 5)."""
    receive_maximum: int = Field(default=1000, ge=10, le=65535)
    """How many unacknowledged QoS 1 messages the broker may send ahead (MQTT 5)."""
    max_packet_kb: int = Field(default=1024, ge=1, le=262_144)
    """Larger packets the broker drops instead of sending them to us, kilobytes (MQTT 5)."""
    reconnect_max_s: float = Field(default=30.0, ge=1, le=600)
    """Longest pause between two attempts to connect, seconds; they are jittered."""
    redirect_hosts: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()
    """Hosts (``name`` or ``name:port``) that the broker may send us to (MQTT 5, Server Reference).
    Our credentials go there too; a redirect to any other host is only reported."""
    username: str | None = None
    """User name at the broker."""
    password_file: Path | None = None
    """File that holds the password, mode 0600 or a systemd credential. Never inline."""
    tls: TlsSection = TlsSection()

    @model_validator(mode="after")
    def _no_plaintext_by_accident(self) -> MqttSection:
        if self.port == 8883 and not self.tls.enabled:
            raise ValueError("port 8883 is MQTT over TLS: set mqtt.tls.enabled = true")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self
