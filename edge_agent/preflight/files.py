"""Settings, cards, secrets, keys: what lies in files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from edge_agent.diagnose.library import CardLibrary
from edge_agent.errors import BadConfig
from edge_agent.preflight.line import Line, Subject, error, ok, warning

CREDENTIALS = Path("/run/credentials")
"""systemd keeps these for the service. Where it grants them by an access list, the mode's group
bits are the list's mask, and no group may read them."""


def settings_file(about: Subject) -> Iterator[Line]:
    """Where the settings come from, and that nobody else can change them."""
    mode = stat.S_IMODE(about.path.stat().st_mode)
    if mode & 0o022:
        text = f"{about.path} has mode {mode:04o}: others may change it"
        yield error("settings", text, f"chmod go-w {about.path}")
    else:
        yield ok("settings", f"{about.path}: {about.origin}")


def cards(about: Subject) -> Iterator[Line]:
    """The equipment cards can be read, and there is at least one."""
    section = about.settings.diagnose
    try:
        library = CardLibrary.load(section.cards, section.pushed_cards)
    except BadConfig as problem:
        yield error("cards", str(problem), "correct the card")
        return
    count, pushed = len(library.cards), len(section.pushed_cards)
    if count:
        came = f", {pushed} of them pushed" if pushed else ""
        yield ok("cards", f"{count} equipment cards in {section.cards}{came}")
        return
    text = f"no equipment card in {section.cards}: incidents are found, faults cannot be named"
    yield warning("cards", text, "write one: edge-agent card draft")


def secrets(about: Subject) -> Iterator[Line]:
    """Files with secrets are there and nobody else may read them."""
    mqtt = about.settings.mqtt
    files = {"mqtt.password_file": mqtt.password_file, "mqtt.tls.key": mqtt.tls.key}
    for key, path in files.items():
        if path is not None:
            yield _secret(key, path)


def _secret(key: str, path: Path) -> Line:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as problem:
        text = f"{key} = {path}: {problem.strerror}"
        if path.is_relative_to(CREDENTIALS):
            return warning(
                "secrets",
                f"{text}: a credential that only the running service sees",
                "LoadCredential= in the unit must name it; the service's log says if it is missing",
            )
        return error("secrets", text, "create the file")
    if mode & (0o007 if path.is_relative_to(CREDENTIALS) else 0o077):
        text = f"{key} = {path} has mode {mode:04o}: others may read it"
        return error("secrets", text, f"chmod 600 {path}")
    return ok("secrets", f"{key} is private")


def remote(about: Subject) -> Iterator[Line]:
    """Whether settings from afar must be signed."""
    section = about.settings.rollout
    anchors = section.trust_anchors
    if not section.remote:
        yield ok("remote settings", "none are taken (rollout.remote = false)")
    elif anchors is None:
        yield warning(
            "remote settings",
            "whoever may publish to our config/desired topic configures this gateway",
            "set rollout.trust_anchors (edge-agent config keygen)",
        )
    elif not anchors.is_file():
        text = f"rollout.trust_anchors = {anchors}: no such file"
        yield error("remote settings", text, "create it: edge-agent config keygen")
    else:
        yield ok("remote settings", f"signed by a key in {anchors}")
