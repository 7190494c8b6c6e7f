"""What a process tells systemd about itself."""

from __future__ import annotations

import os
import socket

import structlog

log = structlog.get_logger()


def notify(*states: str) -> None:
    """Tell systemd, as sd_notify(3) does; nothing where it did not start this process."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.warning("systemd_not_notified", address=address, error=str(error))
