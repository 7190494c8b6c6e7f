"""Where a broker sends us, and whether we go. Pure.

A CONNACK or DISCONNECT of MQTT 5 with 0x9C (use another server) or 0x9D (server moved) may name
other servers [MQTT-4.13]. Our credentials would go there too, so only hosts of
``mqtt.redirect_hosts`` are followed, and only one step: a server that sends us on again is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

USE_ANOTHER, MOVED = 0x9C, 0x9D
REDIRECTS = frozenset({USE_ANOTHER, MOVED})
LONGEST_REFERENCE = 1_000
_REFERENCE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]/@]+))(?::(?P<port>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's address."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoint(text: str, default_port: int) -> Endpoint | None:
    """``host``, ``host:port`` or ``[v6]:port``; None for what is no address."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else default_port
    return Endpoint(match["v6"] or match["name"], port) if 0 < port < 65_536 else None


def allowed(reference: str, hosts: Sequence[str], default_port: int) -> Endpoint | None:
    """The first server of a Server Reference that ``hosts`` name; None if there is none. An entry
    of ``hosts`` without a port allows every port."""
    for word in reference[:LONGEST_REFERENCE].split():
        target = endpoint(word, default_port)
        if target is not None and any(_names(entry, target) for entry in hosts):
            return target
    return None


def _names(entry: str, target: Endpoint) -> bool:
    either = endpoint(entry, target.port)
    return either is not None and (either.host.lower(), either.port) == (
        target.host.lower(),
        target.port,
    )


@dataclass(frozen=True, slots=True)
class Redirect:
    """A broker's word that we should go elsewhere."""

    code: int
    reference: str
    """Server Reference as it came; empty where there was none."""


class Route:
    """Which server the next attempt goes to."""

    def __init__(self, home: Endpoint, hosts: Sequence[str]) -> None:
        """``home``: the server of the settings; ``hosts``: ``mqtt.redirect_hosts``."""
        self._home = home
        self._hosts = tuple(hosts)
        self.current = home
        self._stay = False

    @property
    def away(self) -> bool:
        """Whether we were sent to another server than that of the settings."""
        return self.current != self._home

    def ended(self, redirect: Redirect | None, *, accepted: bool) -> str | None:
        """A connection ended, or never came to be (``accepted`` False). What to say of its
        redirect; None where there was none. ``followed`` tells whether to go on at once."""
        if redirect is None:
            # A server that moved for good is kept while it takes us; another one was for once.
            if self.away and not (self._stay and accepted):
                self.current = self._home
            return None
        if self.away:
            before, self.current = self.current, self._home
            return f"{before} sends us on again; one step is followed, so back to {self._home}"
        target = allowed(redirect.reference, self._hosts, self._home.port)
        if target is None or target == self._home:
            where = redirect.reference[:LONGEST_REFERENCE] or "another server, unnamed"
            return (
                f"{self._home} sends us to {where}, which mqtt.redirect_hosts does not allow; add "
                "the host there, or set mqtt.host to it"
            )
        self.current, self._stay = target, redirect.code == MOVED
        lasting = "; it moved for good: set mqtt.host to it" if self._stay else ""
        return f"{self._home} sends us to {target}{lasting}"
