"""The broker: its name, its certificate, our login, our rights, and what the plant says there."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

from edge_agent.agent import CONTROL_TOPICS
from edge_agent.config.broker import MqttSection
from edge_agent.config.settings import Settings
from edge_agent.credentials import tls_context
from edge_agent.decode.decoder import Decoder
from edge_agent.errors import BadConfig, BadPayload
from edge_agent.preflight.line import Line, Subject, error, ok, warning
from edge_agent.preflight.visit import Visit, VisitFailed

CHECK = "broker"
CONNECT_S = 5.0
LISTEN_S = 3.0
RENEW_DAYS = 30
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROBE = "edge-agent-check"
"""Stands for a machine in the topics that are tried."""
WRITTEN = (
    "health",
    f"incident/{PROBE}",
    f"diagnosis/{PROBE}",
    "deadletter",
    "config/reported",
    "model/reported",
    "adapter/reported",
    "cmd/help/response",
)
"""Topics below our prefix that the agent writes. ``status`` is left out: whoever listens there
would take an empty message for news."""


def broker(about: Subject) -> Iterator[Line]:
    """From the name to the rights; the first failure ends it."""
    mqtt = about.settings.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        found = socket.getaddrinfo(mqtt.host, mqtt.port, type=socket.SOCK_STREAM)
    except OSError as problem:
        text = f"{mqtt.host}: the name is not known: {problem.strerror or problem}"
        yield error(CHECK, text, "check mqtt.host and the name server; the agent keeps trying")
        return
    try:
        with socket.create_connection((mqtt.host, mqtt.port), CONNECT_S) as connection:
            address = connection.getpeername()[0]
            if mqtt.tls.enabled:
                yield from _encrypted(mqtt, where, connection)
            else:
                yield ok(CHECK, f"{where} answers at {address} (of {len(found)})")
                yield from _plaintext(mqtt.host)
    except BadConfig as problem:
        yield error(CHECK, str(problem), "correct mqtt.tls")
        return
    except ssl.SSLError as problem:
        yield error(CHECK, *_tls_failure(where, problem))
        return
    except OSError as problem:
        text = f"{where} cannot be reached: {problem.strerror or problem}"
        remedy = "the agent starts anyway and keeps trying; check mqtt.host, mqtt.port, firewall"
        yield error(CHECK, text, remedy)
        return
    yield from _inside(about.settings, where)


def _plaintext(host: str) -> Iterator[Line]:
    if host not in LOOPBACK:
        text = "the connection is not encrypted and leaves this machine"
        yield warning(CHECK, text, "set mqtt.tls.enabled = true")


def _encrypted(mqtt: MqttSection, where: str, connection: socket.socket) -> Iterator[Line]:
    """The chain is good, for how long, and whom we trust."""
    with tls_context(mqtt.tls).wrap_socket(connection, server_hostname=mqtt.host) as secured:
        certificate = secured.getpeercert() or {}
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
        text = (
            f"{where} answers over {secured.version()}; its certificate is valid {days:.0f} more"
            " days"
        )
        if days > RENEW_DAYS:
            yield ok(CHECK, text)
        else:
            yield warning(CHECK, text, "renew the broker's certificate")
    if mqtt.tls.ca is None:
        yield warning(
            CHECK,
            "every authority that this system knows may vouch for the broker",
            "name the plant's own with mqtt.tls.ca: then it alone counts",
        )


def _tls_failure(where: str, problem: ssl.SSLError) -> tuple[str, str]:
    if isinstance(problem, ssl.SSLCertVerificationError):
        text = f"{where}: its certificate is refused: {problem.verify_message}"
        remedy = "check mqtt.tls.ca (who signed it), mqtt.host (is it named in it) and the clock"
        return text, remedy
    remedy = "check mqtt.port, mqtt.tls.minimum_version and our certificate at the broker"
    return f"{where}: TLS fails: {problem.reason or problem}", remedy


def _inside(settings: Settings, where: str) -> Iterator[Line]:
    """Login, rights, and what the plant says, as a visitor beside a running agent."""
    client_id = settings.mqtt.client_id or f"edge-agent-{settings.agent.id}"
    try:
        with Visit(settings.mqtt, f"{client_id}-check") as visit:
            who = _who(settings.mqtt)
            yield ok("login", f"{where} lets us in {who}, over MQTT {visit.version}")
            yield from _rights(settings, visit)
            yield from _plant(settings, visit)
    except VisitFailed as problem:
        yield error("login", f"{where}: {problem}", "check mqtt.username, password_file, tls")


def _who(mqtt: MqttSection) -> str:
    """How we showed who we are."""
    if mqtt.username:
        return f"as {mqtt.username}"
    return "by our certificate" if mqtt.tls.certificate else "without a name"


def _rights(settings: Settings, visit: Visit) -> Iterator[Line]:
    if not visit.tells:
        text = "over MQTT 3.1.1 a broker does not say what it refuses"
        yield warning("rights", text, "watch health: telemetry that never comes is a missing right")
        return
    wanted = [settings.topic(name) for name in CONTROL_TOPICS]
    wanted += [name for name, _ in Decoder(settings.telemetry, settings.agent.topic_prefix).filters]
    deaf = visit.subscribe(wanted)
    dumb = [t for t in map(settings.topic, WRITTEN) if not visit.may_publish(t)]
    for kind, topics in (("subscribe to", deaf), ("publish to", dumb)):
        if topics:
            text = f"we may not {kind} {', '.join(topics)}"
            yield error(
                "rights", text, "give these rights to our user; see configs/broker/acl.example"
            )
    if not deaf and not dumb:
        yield ok("rights", f"{len(wanted)} topic filters and {len(WRITTEN)} topics are ours to use")


def _plant(settings: Settings, visit: Visit) -> Iterator[Line]:
    """What arrives within a few seconds, whether it can be read, and whose clock it follows."""
    decoder = Decoder(settings.telemetry, settings.agent.topic_prefix)
    names, behind, unread = set[str](), list[float](), ""
    for message in visit.listen(LISTEN_S):
        try:
            readings = decoder.decode(message)
        except BadPayload as problem:
            unread = f"{message.topic}: {problem}"
            continue
        names |= {reading.equipment for reading in readings}
        behind += [message.arrived - reading.at for reading in readings]
    if unread:
        yield warning("telemetry", f"cannot be read: {unread}", "correct [[telemetry.sources]]")
    if not names:
        text = f"none arrived within {LISTEN_S:g} s"
        remedy = "publish some; edge-agent discover lists what the broker carries"
        yield warning("telemetry", text, remedy)
        return
    yield ok("telemetry", f"{len(names)} machines spoke within {LISTEN_S:g} s")
    skew = sorted(behind)[len(behind) // 2]
    limits = settings.telemetry
    if -limits.future_s <= skew <= limits.late_s:
        yield ok("clock", f"the plant's timestamps are {skew:+.1f} s behind ours")
    else:
        text = f"the plant's timestamps are {skew:+.0f} s behind our clock"
        yield error("clock", text, "set the clock here or at the machines; or telemetry.late_s")
