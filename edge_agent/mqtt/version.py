"""Which version of MQTT the next CONNECT speaks. Pure: the caller has the clock."""

from __future__ import annotations

from typing import Literal

from paho.mqtt.enums import MQTTProtocolVersion

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
RETRY_V5_S = 3_600.0
"""A broker that had no MQTT 5 is asked again after this long, at the next connect."""
CAVEAT_311 = (
    "MQTT 3.1.1: a publish that the broker's access rules deny looks delivered, and the broker may "
    "send without a limit"
)


class VersionChoice:
    """5 first where the settings leave it open, 3.1.1 for brokers that show they have no more."""

    def __init__(self, protocol: Literal["auto", "5", "3.1.1"]) -> None:
        self._protocol = protocol
        self.version = V311 if protocol == "3.1.1" else V5
        self._refusals = 0
        self._had_v5 = False
        self._no_v5_until = 0.0

    @property
    def name(self) -> str:
        """``5`` or ``3.1.1``."""
        return "5" if self.version is V5 else "3.1.1"

    def choose(self, now: float) -> MQTTProtocolVersion:
        """For the next CONNECT; ``now``: monotonic seconds."""
        if self._protocol == "auto":
            self.version = V311 if now < self._no_v5_until else V5
        return self.version

    def accepted(self) -> None:
        """The broker took the CONNECT."""
        self._refusals = 0
        self._had_v5 = self._had_v5 or self.version is V5

    def failed(self, now: float, *, said: bool, silent: bool, closed: bool) -> bool:
        """A CONNECT failed; whether to try 3.1.1 at once.

        Some brokers say that they have no MQTT 5 (``said``), amqtt never answers (``silent``), and
        some just close the connection, which a broker that starts up does as well: the second time
        in a row counts. One that has spoken 5 to us and is silent now is only frozen.
        """
        if self._protocol != "auto":
            return False
        if self.version is V311:
            # Not that either: the next attempt begins with 5 again.
            self._no_v5_until = 0.0
            return False
        said = said or (silent and not self._had_v5)
        self._refusals = self._refusals + 1 if closed or said else 0
        if not said and self._refusals < 2:
            return False
        self._refusals = 0
        self._no_v5_until = now + RETRY_V5_S
        return True
