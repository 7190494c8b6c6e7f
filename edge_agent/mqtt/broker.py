"""Keeps one connection to the broker up for ever, and speaks for it to everyone else."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from edge_agent.config.broker import MqttSection
from edge_agent.domain.outgoing import Outcome, Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.errors import Unavailable
from edge_agent.mqtt.backoff import STABLE_S, Cause, pause_s
from edge_agent.mqtt.delivery import Delivery
from edge_agent.mqtt.link import Attempt, Identity, Link
from edge_agent.mqtt.redirect import Endpoint, Route
from edge_agent.mqtt.session import LinkFailed
from edge_agent.mqtt.version import CAVEAT_311, V311, VersionChoice

TURN_S = 0.2
STUCK_S = 120.0
"""A network thread that has not come round for so long is stuck; a slow name lookup is not."""
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
    endpoint: str
    """``host:port`` of this connection or the next; not that of the settings where the broker sent
    us elsewhere."""
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
        self._last_link: Link | None = None
        self._wanted: dict[str, int] = {}
        self._subscribe_due = False
        self._known: set[str] | None = None
        self._generation = 0
        self._failures = 0
        self._version = VersionChoice(settings.protocol)
        home = Endpoint(settings.host, settings.port)
        self._route = Route(home, settings.redirect_hosts)
        self._aliases = True
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
            protocol=self._version.name if self._generation else None,
            generation=self._generation,
            since=self._since,
            last_error=self._last_error,
            caveat=self._caveat(link) if link is not None and connected else None,
            endpoint=str(self._route.current),
            refused_filters=self._refused,
            sessions_lost=self._sessions_lost,
            unacked=link.unacked() if link is not None else 0,
            stale_acks=self._stale_acks,
            revived=self._revived,
        )

    def _caveat(self, link: Link) -> str | None:
        if link.version is V311:
            return CAVEAT_311
        kept = link.limits.session_expiry_s
        if kept is not None and kept < self._settings.session_expiry_s:
            return (
                f"the broker keeps our session for {kept} s, not {self._settings.session_expiry_s}:"
                " what comes while we are away for longer is lost"
            )
        return None

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
            if self._follow():
                continue
            if time.monotonic() - started > STABLE_S:
                self._failures = 0
            self._failures += 1
            pause = pause_s(
                self._failures, cause, self._settings.reconnect_max_s, self._jitter.random()
            )
            self._beat_until(pause)

    def _follow(self) -> bool:
        """The connection is over: choose the next server. Whether it sent us there."""
        last, self._last_link = self._last_link, None
        if last is None:
            return False
        if last.aliases_refused:
            log.warning("topic_aliases_off", reason="the broker ended the connection over one")
            self._aliases = False
        text = self._route.ended(last.redirect, accepted=self._accepted)
        if text is None:
            return False
        self._say(text)
        return self._route.away

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
        attempt = Attempt(
            self._route.current,
            self._version.choose(time.monotonic()),
            self._generation + 1,
            self._aliases,
        )
        self._identity = self._new_identity()
        link = Link(self._settings, self._identity, attempt, self._deliver)
        try:
            self._generation = attempt.generation
            self._accepted = False
            # Known before CONNACK: messages of a kept session may follow it at once, and whoever
            # takes them must be able to acknowledge them.
            self._link = link
            try:
                link.open()
            except LinkFailed as error:
                raise self._judge_version(error, link) from error
            self._version.accepted()
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
            self._last_link = link
            self._since = time.time()
            link.close("stopped")

    def _new_identity(self) -> Identity:
        will = self._make_will
        return Identity(self._client_id, will if isinstance(will, Outgoing) else will())

    def _judge_version(self, error: LinkFailed, link: Link) -> LinkFailed:
        """``error``, or that the broker has no MQTT 5 and is asked in 3.1.1 next."""
        fall_back = self._version.failed(
            time.monotonic(),
            said=error.cause is Cause.NO_VERSION_5,
            silent=link.silent,
            closed=link.hung_up,
        )
        return LinkFailed(f"{error} (next: MQTT 3.1.1)", Cause.NO_VERSION_5) if fall_back else error

    def _greet(self, link: Link) -> None:
        """Connected: the subscriptions, then the birth: whoever hears it is heard from then on."""
        self._since = time.time()
        self._last_error = None
        self._refused = ()
        log.info(
            "broker_connected",
            protocol=self._version.name,
            endpoint=str(self._route.current),
            session_kept=link.session_present,
            generation=link.generation,
        )
        if self._known is None:
            self._known = set(self._filters.load())
        if not link.session_present and self._known:
            self._sessions_lost += 1
            self._on_lost("the broker has lost our session: what it had kept for us is gone")
        self._subscribe(link, replay_retained=not self._greeted)
        self._greeted = True
        link.publish(self._birth(), Delivery())

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
