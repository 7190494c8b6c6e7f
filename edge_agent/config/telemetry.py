"""``[telemetry]``: which topics to read, and how their payloads become readings."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from edge_agent.config.section import Section

Format = Literal["json", "plain", "csv", "msgpack", "cbor", "influx", "senml", "sparkplug"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):
        raise ValueError("no time zone of that name; write one such as Europe/Berlin") from None
    return name


class SourceSection(Section):
    """``[[telemetry.sources]]``: one topic template and how to read what is published there."""

    topic: str = Field(min_length=1, max_length=1024)
    """Template such as ``plant/{site}/{equipment}/{signal}``: a name in braces matches one level
    and is used, ``_`` matches one level and is ignored, a last ``#`` matches the rest."""
    format: Format = "json"
    """``json``: an object of signals, or the value of one signal; ``plain``: a bare number;
    ``csv``: lines; ``msgpack`` and ``cbor``: as JSON, in binary; ``influx``: line protocol;
    ``senml``: RFC 8428 in JSON or CBOR; ``sparkplug``: Sparkplug B, with the topic
    ``spBv1.0/{group}/#``. A content type sent with the message (MQTT 5) goes before it."""
    compression: Literal["auto", "none", "gzip", "zlib"] = "auto"
    """How payloads are compressed; ``auto`` knows gzip by its first bytes."""
    equipment: str | None = None
    """Fixed equipment name, where the topic does not carry it; names in braces are filled in
    from the topic (``{site}-{line}``)."""
    equipment_from: str | None = None
    """Dotted path to the machine's name inside each sample: a JSON key, a CSV column, an Influx
    tag or ``measurement``; ``$user.KEY`` is an MQTT 5 user property."""
    signal: str | None = None
    """Fixed signal name, where neither topic nor payload carries it."""
    values: str = ""
    """Dotted path to the object that holds the signals (``data.values``); empty: the top."""
    time: str | None = None
    """Dotted path to the source's timestamp, or ``$user.KEY`` for an MQTT 5 user property;
    absent: the time of arrival. Influx lines and SenML carry theirs in a place of their own."""
    time_format: (
        Literal["unix", "unix_ms", "unix_us", "unix_ns", "iso8601"]
        | Annotated[str, StringConstraints(pattern="%", max_length=64)]
    ) = "iso8601"
    """How the timestamp is written; also a pattern such as ``%d.%m.%Y %H:%M:%S``."""
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """Zone of a timestamp that names none itself."""
    name: str | None = None
    """Dotted path to the signal's name inside each sample, where samples are written as
    ``{"name": …, "value": …}``; needs ``value``."""
    value: str | None = None
    """Dotted path to the number inside each signal's object (``{"flow": {"value": 12.3}}``).
    Where topic or settings name the signal, objects are read at ``value`` by default."""
    rename: dict[str, str] = {}
    """Signal names in the payload → names in the equipment card."""
    ignore: tuple[str, ...] = ()
    """Keys of the payload that are no signals."""
    columns: tuple[str, ...] = ()
    """Columns of CSV lines, ``_`` for one to leave out; empty: the first line names them."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """Between the columns of CSV; beside ``;`` a decimal comma is understood."""
    units: dict[str, str] = {}
    """Signal (as in the card) → unit in which it is published, where the card's unit is another:
    readings are converted (``outlet_pressure = "psi"``)."""
    numbers_in_strings: bool = False
    """Whether ``"12.3"`` in JSON is a number. In ``plain`` payloads it always is."""
    arrays: Literal["refuse", "mean", "rms", "last"] = "refuse"
    """What an array of bare numbers under one signal becomes: ``rms`` suits a burst of vibration,
    ``mean`` a burst of a slow value, ``last`` a buffer. Arrays of objects are samples anyway."""
    words: dict[str, float] = {}
    """Texts that stand for numbers (``running = 1``), exactly as they are written."""
    ignore_payloads: tuple[str, ...] = ("online", "offline")
    """Whole payloads that are no telemetry; counted, and not refused."""
    qos: Literal[0, 1] = 1
    """Quality of service to subscribe with. QoS 2 would lose data with late acknowledgement."""


class TelemetrySection(Section):
    """Telemetry in."""

    share_group: str | None = None
    """Shared subscription group (``$share/{group}/…``): the broker splits one plant over several
    agents. Only for brokers that hand all messages of a machine to one of them; others tear the
    machine's rows apart: use ``share_part`` there."""
    share_part: Annotated[str, StringConstraints(pattern=r"^[1-9]\d?/[1-9]\d?$")] | None = None
    """Part of the plant that this agent takes, such as ``2/3``: each agent hears everything and
    keeps the machines whose names fall to its part, with any broker."""
    sparkplug_host_id: (
        Annotated[str, StringConstraints(pattern=r"^[^/+#\x00]+$", max_length=128)] | None
    ) = None
    """Name as a Sparkplug host application: STATE is published under it, for nodes that wait for
    their primary host. Each agent needs a name of its own."""
    sources: tuple[SourceSection, ...] = (
        SourceSection(topic="plant/{equipment}/telemetry", time="timestamp"),
    )
    """What is read: one entry for each kind of topic."""
    inbox_messages: int = Field(default=20_000, ge=100, le=10_000_000)
    """Messages that may wait for the intake; past that the oldest are shed and counted."""
    inbox_mb: int = Field(default=16, ge=1, le=4096)
    """The same in megabytes of payload."""
    max_payload_kb: int = Field(default=256, ge=1, le=262_144)
    """Larger payloads are dead-lettered unread."""
    max_equipment: int = Field(default=500, ge=1)
    """Cap on machines; readings of further ones are counted and dropped, said once."""
    max_signals: int = Field(default=300, ge=1)
    """Cap on signals of one machine."""
    late_s: float = Field(default=60.0, ge=0, le=31_536_000)
    """A reading this much older than the newest of its topic counts as late, seconds."""
    future_s: float = Field(default=300.0, gt=0, le=31_536_000)
    """A timestamp that leaps this far ahead of its source's own pace is not believed until
    several readings agree on it, seconds."""

    @model_validator(mode="after")
    def _one_way_to_share(self) -> TelemetrySection:
        if self.share_part is None:
            return self
        if self.share_group is not None:
            raise ValueError(
                "share_group lets the broker split the plant and share_part the agents: set one"
            )
        index, of = map(int, self.share_part.split("/"))
        if index > of:
            raise ValueError(f"share_part {self.share_part}: there is no part {index} of {of}")
        return self
