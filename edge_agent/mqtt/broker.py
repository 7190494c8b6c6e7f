"""Keeps one connection to the broker up for ever, and speaks for it to everyone else."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from edge_agent.config.broker import MqttSection
from edge_agent.errors import Unavailable
from edge_agent.mqtt.backoff import STABLE_S, Cause, pause_s
from edge_agent.mqtt.delivery import Delivery
from edge_agent.mqtt.link import Identity, Link
from edge_agent.mqtt.session import LinkFailed
from edge_agent.outgoing import Outcome, Outgoing
from edge_agent.telemetry import Message

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
TURN_S = 0.2
STUCK_S = 120.0
"""A network thread that has not come round for so long is stuck; a slow name lookup is not."""
RETRY_V5_S = 3_600.0
"""A broker that had no MQTT 5 is asked again after this long, at the next connect."""
RETRY_SUBSCRIBE_S = 60.0
SUSPICIOUS = 3
"""So many short connections in a row are worth a word."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """The connection as it stands."""

    connected: bool
    protocol: str | None
    """``5`` or ``3.1.1`` of this connection or the last one."""
    generation: int
    """Connections since the start."""
    since: float | None
    """Wall clock when it was connected or lost, Unix seconds."""
    last_error: str | None
    caveat: str | None
    """What this broker cannot promise."""
    refused_filters: tuple[str, ...]
    """Subscriptions that the broker denies."""
    sessions_lost: int
    """How often the broker came back without our session: what it had kept for us is gone."""
    unacked: int
    """QoS 1 messages that we have not acknowledged yet."""
    stale_acks: int
    """Acknowledgements that came too late for their connection and were rightly dropped."""
    revived: int
    """How often a dead network thread was replaced."""


CAVEAT_311 = (
    "MQTT 3.1.1: a publish that the broker's access rules deny looks delivered, and the broker may "
    "send without a limit"
)


def _no_filters() -> Iterable[str]:
    return ()


def _ignore(_: object) -> None:
    return


@dataclass(frozen=True, slots=True)
class FilterMemory:
    """Keeps the subscribed set over restarts, because the broker's session does. Both may raise
    ``Unavailable``."""

    load: Callable[[], Iterable[str]] = _no_filters
    save: Callable[[list[str]], None] = _ignore


class Broker:
    """The connection as the daemon sees it. Nothing here raises because the broker is away."""

    def __init__(
        self,
        settings: MqttSection,
        *,
        client_id: str,
        will: Outgoing | Callable[[], Outgoing],
        birth: Callable[[], Outgoing],
        deliver: Callable[[Message], None],
        on_lost: Callable[[str], None] = _ignore,
        filters: FilterMemory | None = None,
    ) -> None:
        """``will``: the same for ever, or made for each connection, before its ``birth``.
        ``deliver`` is called in the network thread and must only enqueue. ``on_lost`` hears of a
        session that the broker forgot."""
        self._settings = settings
        self._make_will = will
        self._client_id = settings.client_id or client_id
        self._identity = self._new_identity()
        self._birth = birth
        self._deliver = deliver
        self._on_lost = on_lost
        self._filters = filters or FilterMemory()
        self._link: Link | None = None
        self._wanted: dict[str, int] = {}
        self._subscribe_due = False
        self._known: set[str] | None = None
        self._generation = 0
        self._failures = 0
        self._v5_refusals = 0
        self._had_v5 = False
        self._no_v5_until = 0.0
        self._version = V5
        self._since: float | None = None
        self._last_error: str | None = None
        self._refused: tuple[str, ...] = ()
        self._sessions_lost = 0
        self._stale_acks = 0
        self._revived = 0
        self._beat = time.monotonic()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._greeted = False
        self._accepted = False
        self._short = 0
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, keeps no secret

    # --- from any thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin connecting, in a thread of its own."""
        self._stopping.clear()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float = 2.0) -> None:
        """Say ``offline``, wait for the broker to take it, and end the connection in order."""
        link = self._link
        if link is not None and link.connected:
            self.publish(self._identity.will).wait(grace_s)
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(grace_s + 2.0)

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """The whole wanted set of (filter, QoS); what is no longer in it is unsubscribed."""
        self._wanted = dict(filters)
        self._subscribe_due = True

    def publish(
        self, outgoing: Outgoing, on_done: Callable[[Outcome], None] | None = None
    ) -> Delivery:
        """Send now, or be ``lost`` at once: nothing is queued here while the broker is away."""
        delivery = Delivery(on_done)
        link = self._link
        if link is None or not link.connected:
            delivery.settle(Outcome("lost", "not connected"))
        else:
            link.publish(outgoing, delivery)
        return delivery

    def ack(self, *messages: Message) -> None:
        """The messages' effects are durable. One from an earlier connection is left alone: its
        packet id may belong to another message by now, and the broker sends it again anyway."""
        asked = [message.ack for message in messages if message.ack is not None]
        if not asked:
            return
        link = self._link
        taken = 0
        if link is not None:
            current = link.generation
            taken = link.ack([mid for generation, mid, _ in asked if generation == current])
        self._stale_acks += len(asked) - taken

    def reset(self, reason: str) -> None:
        """Give this connection up and begin another one."""
        link = self._link
        if link is not None:
            link.give_up(reason)

    @property
    def connected(self) -> bool:
        """Whether a publish would go out now."""
        link = self._link
        return link is not None and link.connected

    def room(self) -> int:
        """How many more publishes the broker accepts in flight; 0 while there is none."""
        link = self._link
        return link.room() if link is not None else 0

    def healthy(self) -> bool:
        """Whether the network thread lives and comes round; says nothing about the broker."""
        thread = self._thread
        return thread is not None and thread.is_alive() and time.monotonic() - self._beat < STUCK_S

    def ensure_running(self) -> bool:
        """Replace a network thread that died; whether all was well. Call it each few seconds."""
        if self.healthy() or self._stopping.is_set() or self._thread is None:
            return True
        if not self._thread.is_alive():
            log.error("network_thread_died", revived=self._revived + 1)
            self._revived += 1
            self.start()
        return False

    def status(self) -> BrokerStatus:
        """The connection as it stands."""
        link = self._link
        connected = link is not None and link.connected
        return BrokerStatus(
            connected=connected,
            protocol=None if not self._generation else ("5" if self._version is V5 else "3.1.1"),
            generation=self._generation,
            since=self._since,
            last_error=self._last_error,
            caveat=CAVEAT_311 if connected and self._version is V311 else None,
            refused_filters=self._refused,
            sessions_lost=self._sessions_lost,
            unacked=link.unacked() if link is not None else 0,
            stale_acks=self._stale_acks,
            revived=self._revived,
        )

    # --- the network thread ---------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            cause = Cause.LOST
            started = time.monotonic()
            try:
                self._connect_and_serve()
            except LinkFailed as error:
                cause = error.cause
                self._say(str(error) + self._suspicion(time.monotonic() - started))
            except Exception as error:
                # Ours or paho's bug in one connection: the next one starts from nothing.
                log.exception("connection_crashed")
                self._last_error = f"our own bug in the connection: {error!r}"
            if time.monotonic() - started > STABLE_S:
                self._failures = 0
            self._failures += 1
            pause = pause_s(
                self._failures, cause, self._settings.reconnect_max_s, self._jitter.random()
            )
            self._beat_until(pause)

    def _suspicion(self, lasted_s: float) -> str:
        """A word on connections that the broker accepts and ends at once. In 3.1.1, and with some
        brokers in 5 too, it does not say that another client took our place."""
        self._short = self._short + 1 if self._accepted and lasted_s < STABLE_S else 0
        if self._short < SUSPICIOUS:
            return ""
        return (
            f" ({self._short} times in a row soon after it was accepted; perhaps another client "
            "uses our client id: give each its own mqtt.client_id)"
        )

    def _beat_until(self, pause: float) -> None:
        deadline = time.monotonic() + pause
        while not self._stopping.is_set():
            self._beat = time.monotonic()
            left = deadline - self._beat
            if left <= 0:
                return
            self._stopping.wait(min(left, 1.0))

    def _connect_and_serve(self) -> None:
        self._version = self._choose_version()
        generation = self._generation + 1
        self._identity = self._new_identity()
        link = Link(self._settings, self._identity, self._version, generation, self._deliver)
        try:
            self._generation = generation
            self._accepted = False
            # Known before CONNACK: messages of a kept session may follow it at once, and whoever
            # takes them must be able to acknowledge them.
            self._link = link
            try:
                link.open()
            except LinkFailed as error:
                raise self._judge_version(error) from error
            self._v5_refusals = 0
            self._had_v5 = self._had_v5 or self._version is V5
            self._accepted = True
            self._greet(link)
            subscribed_at = time.monotonic()
            while link.turn(TURN_S) and not self._stopping.is_set():
                self._beat = time.monotonic()
                self._settle_filters(link)
                overdue = self._refused and self._beat - subscribed_at > RETRY_SUBSCRIBE_S
                if self._subscribe_due or overdue:
                    subscribed_at = self._beat
                    self._subscribe(link, replay_retained=False)
            if link.ended is not None:
                raise link.failure()
        finally:
            self._link = None
            self._since = time.time()
            link.close("stopped")

    def _new_identity(self) -> Identity:
        will = self._make_will
        return Identity(self._client_id, will if isinstance(will, Outgoing) else will())

    def _choose_version(self) -> MQTTProtocolVersion:
        if self._settings.protocol != "auto":
            return V5 if self._settings.protocol == "5" else V311
        return V311 if time.monotonic() < self._no_v5_until else V5

    def _judge_version(self, error: LinkFailed) -> LinkFailed:
        """Decide whether a failed CONNECT means that the broker has no MQTT 5.

        Some say so; others just close the connection, which a broker that starts up does as well:
        the second time in a row counts.
        """
        if self._settings.protocol != "auto":
            return error
        if self._version is V311:
            # Not that either: the next attempt begins with 5 again.
            self._no_v5_until = 0.0
            return error
        # amqtt never answers a CONNECT of version 5. One that has spoken 5 to us is only frozen.
        silent = self._link is not None and self._link.silent and not self._had_v5
        said = error.cause is Cause.NO_VERSION_5 or silent
        closed = self._link is not None and self._link.hung_up
        self._v5_refusals = self._v5_refusals + 1 if closed or said else 0
        if not said and self._v5_refusals < 2:
            return error
        self._v5_refusals = 0
        self._no_v5_until = time.monotonic() + RETRY_V5_S
        return LinkFailed(f"{error} (next: MQTT 3.1.1)", Cause.NO_VERSION_5)

    def _greet(self, link: Link) -> None:
        """Connected: birth first, then the subscriptions."""
        self._since = time.time()
        self._last_error = None
        self._refused = ()
        log.info(
            "broker_connected",
            protocol="5" if self._version is V5 else "3.1.1",
            session_kept=link.session_present,
            generation=link.generation,
        )
        if self._known is None:
            self._known = set(self._filters.load())
        if not link.session_present and self._known:
            self._sessions_lost += 1
            self._on_lost("the broker has lost our session: what it had kept for us is gone")
        link.publish(self._birth(), Delivery())
        self._subscribe(link, replay_retained=not self._greeted)
        self._greeted = True

    def _subscribe(self, link: Link, *, replay_retained: bool) -> None:
        self._subscribe_due = False
        wanted = self._wanted
        known = self._known or set()
        stale = sorted(known - wanted.keys())
        self._remember(known | wanted.keys())
        if stale and link.session_present:
            link.unsubscribe(stale)
        elif stale:
            self._remember(set(wanted))
        if wanted:
            link.subscribe(sorted(wanted.items()), replay_retained=replay_retained)

    def _settle_filters(self, link: Link) -> None:
        if link.unsubscribed:
            self._remember((self._known or set()) - (link.unsubscribed - self._wanted.keys()))
            link.unsubscribed.clear()
        if link.granted:
            self._refused = tuple(
                sorted(text for text, granted in link.granted.items() if not granted)
            )

    def _remember(self, filters: set[str]) -> None:
        if filters == self._known:
            return
        self._known = filters
        try:
            self._filters.save(sorted(filters))
        except Unavailable as error:
            log.warning("filters_not_saved", error=str(error))

    def _say(self, error: str) -> None:
        """Log a failure once, not at each attempt."""
        if error != self._last_error:
            log.warning("broker_unreachable", reason=error)
        self._last_error = error
