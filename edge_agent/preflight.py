"""``edge-agent check``: everything that can be known before the daemon runs, one line each.

Every check is a generator of lines that say what is well, what is not, and what to do about it.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from edge_agent.config.settings import Settings
from edge_agent.diagnose.library import CardLibrary
from edge_agent.errors import BadConfig, EdgeAgentError
from edge_agent.finding import Record
from edge_agent.govern.governor import Governor
from edge_agent.govern.objections import objections
from edge_agent.govern.sensors import Sensors
from edge_agent.inference import catalog, gguf, plan


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Line(Record):
    """One result."""

    check: str
    mark: Mark
    text: str
    remedy: str = ""


Check = Callable[[Settings], Iterator[Line]]

LEAST_FREE_MB = 200
CONNECT_S = 5.0


def cards(settings: Settings) -> Iterator[Line]:
    """The equipment cards can be read, and there is at least one."""
    folder = settings.diagnose.cards
    try:
        library = CardLibrary.load(folder)
    except BadConfig as error:
        yield Line(check="cards", mark=Mark.ERROR, text=str(error), remedy="correct the card")
        return
    count = len(library.cards)
    if count:
        yield Line(check="cards", mark=Mark.OK, text=f"{count} equipment cards in {folder}")
        return
    yield Line(
        check="cards",
        mark=Mark.WARNING,
        text=f"no equipment card in {folder}: incidents are found, faults cannot be named",
        remedy="write one: edge-agent card draft",
    )


def secrets(settings: Settings) -> Iterator[Line]:
    """Files with secrets are there and nobody else may read them."""
    files = {
        "mqtt.password_file": settings.mqtt.password_file,
        "mqtt.tls.key": settings.mqtt.tls.key,
    }
    for key, path in files.items():
        if path is None:
            continue
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            text = f"{key} = {path}: {error.strerror}"
            yield Line(check="secrets", mark=Mark.ERROR, text=text, remedy="create the file")
            continue
        if mode & 0o077:
            text = f"{key} = {path} has mode {mode:04o}: others may read it"
            yield Line(check="secrets", mark=Mark.ERROR, text=text, remedy=f"chmod 600 {path}")
        else:
            yield Line(check="secrets", mark=Mark.OK, text=f"{key} is private")


def broker(settings: Settings) -> Iterator[Line]:
    """The broker's name resolves, its port answers, its certificate is good."""
    mqtt = settings.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        with socket.create_connection((mqtt.host, mqtt.port), CONNECT_S) as connection:
            if not mqtt.tls.enabled:
                yield Line(check="broker", mark=Mark.OK, text=f"{where} answers")
                yield from _plaintext(mqtt.host)
                return
            context = ssl.create_default_context(cafile=mqtt.tls.ca)
            with context.wrap_socket(connection, server_hostname=mqtt.host) as secured:
                yield from _certificate(where, secured)
    except ssl.SSLError as error:
        text = f"{where}: TLS fails: {error.reason or error}"
        yield Line(
            check="broker", mark=Mark.ERROR, text=text, remedy="check mqtt.tls and the clock"
        )
    except OSError as error:
        text = f"{where} cannot be reached: {error.strerror or error}"
        remedy = "the agent starts anyway and keeps trying; check mqtt.host, mqtt.port, firewall"
        yield Line(check="broker", mark=Mark.ERROR, text=text, remedy=remedy)


def _plaintext(host: str) -> Iterator[Line]:
    if host not in ("localhost", "127.0.0.1", "::1"):
        yield Line(
            check="broker",
            mark=Mark.WARNING,
            text="the connection is not encrypted and leaves this machine",
            remedy="set mqtt.tls.enabled = true",
        )


def _certificate(where: str, secured: ssl.SSLSocket) -> Iterator[Line]:
    certificate = secured.getpeercert() or {}
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
    text = (
        f"{where} answers over {secured.version()}; its certificate is valid {days:.0f} more days"
    )
    mark = Mark.OK if days > 30 else Mark.WARNING
    yield Line(check="broker", mark=mark, text=text, remedy="" if days > 30 else "renew it")


def state(settings: Settings) -> Iterator[Line]:
    """The state directory can be written and its disk has room."""
    folder = settings.store.state_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        text = f"{folder} cannot be written by this user"
        yield Line(check="state", mark=Mark.ERROR, text=text, remedy="run as the service's user")
        return
    free = shutil.disk_usage(existing).free // 1_000_000
    needed = settings.store.max_mb + LEAST_FREE_MB
    mark = Mark.OK if free >= needed else Mark.WARNING
    remedy = "" if mark is Mark.OK else f"free {needed - free} MB, or lower store.max_mb"
    yield Line(check="state", mark=mark, text=f"{folder}: {free} MB free", remedy=remedy)


def budgets(settings: Settings) -> Iterator[Line]:
    """The budgets can be held, and what measures them."""
    governor = Governor(settings.govern, clock=time.time, monotonic=time.monotonic, state=None)
    governor.sample()
    status = governor.status()
    source = "measured" if status.watts_measured else "estimated (no power sensor found)"
    yield Line(check="budgets", mark=Mark.OK, text=f"power is {source}; level {status.level}")
    for objection in objections(settings.govern, Sensors(settings.govern).sample(time.monotonic())):
        yield Line(check="budgets", mark=Mark.ERROR, text=objection, remedy="correct [govern]")


def model(settings: Settings) -> Iterator[Line]:
    """The model is there, is what it should be, is licensed, and fits."""
    name = settings.inference.model
    folder = settings.inference.models_dir or settings.store.state_dir / "models"
    try:
        found = catalog.resolve(name, folder)
        header = gguf.read_header(found.path)
        digest = catalog.verify(found, folder)
        room = settings.govern.memory_mb - DAEMON_MB
        fitted = plan.fit(header, settings.inference.context, settings.inference.kv_type, room)
    except EdgeAgentError as error:
        remedy = "without it the rules answer alone"
        yield Line(check="model", mark=Mark.WARNING, text=str(error), remedy=remedy)
        return
    text = (
        f"{found.manifest.name}: sha256 {digest[:12]}…, licence {found.manifest.licence}, "
        f"{fitted.total_mb:.0f} MB with {fitted.context} tokens of context"
    )
    yield Line(check="model", mark=Mark.OK, text=text)


DAEMON_MB = 96
"""Room that the daemon itself may take."""


def remote(settings: Settings) -> Iterator[Line]:
    """Whether settings from afar must be signed."""
    anchors = settings.rollout.trust_anchors
    if anchors is None:
        yield Line(
            check="remote settings",
            mark=Mark.WARNING,
            text="whoever may publish to our config/desired topic configures this gateway",
            remedy="set rollout.trust_anchors (edge-agent config keygen)",
        )
    elif not Path(anchors).is_file():
        text = f"rollout.trust_anchors = {anchors}: no such file"
        yield Line(check="remote settings", mark=Mark.ERROR, text=text, remedy="create it")
    else:
        yield Line(check="remote settings", mark=Mark.OK, text=f"signed by a key in {anchors}")


CHECKS: tuple[Check, ...] = (cards, secrets, broker, state, budgets, model, remote)


def examine(settings: Settings) -> Iterator[Line]:
    """All checks in order."""
    for check in CHECKS:
        yield from check(settings)
