"""One archive for whoever helps: settings, status, checks, logs and figures, without secrets."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from edge_agent import __version__
from edge_agent.errors import EdgeAgentError
from edge_agent.logs.redaction import Redactor
from edge_agent.preflight import Subject, examine
from edge_agent.rollout.document import shown
from edge_agent.store.database import Store

LOG_LINES = 3000
LARGEST_BYTES = 4_000_000
"""Of one member; the end of a longer one is kept."""
COMMAND_S = 20.0
UNITS = ("edge-agent.service", "edge-agent-inference.service")
SYSTEM_FILES = ("etc/os-release", "proc/meminfo", "proc/loadavg", "proc/pressure/memory")


def secrets_of(about: Subject) -> Iterator[str]:
    """Every secret that the settings, the unit or the secrets folder name, as far as we may read
    them: whoever may not read one can't put it into the archive either."""
    mqtt = about.settings.mqtt
    files = [path for path in (mqtt.password_file, mqtt.tls.key) if path is not None]
    folders = [about.path.resolve().parent / "secrets"]
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        folders.append(Path(credentials))
    for folder in folders:
        if os.access(folder, os.R_OK | os.X_OK):
            files += [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in files:
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


def members(about: Subject) -> dict[str, Callable[[], str]]:
    """What goes in, by name; each may fail by itself."""
    settings = about.settings
    return {
        "about.json": lambda: _json(_about(about)),
        "settings.json": lambda: _json(shown(settings)),
        "check.json": lambda: _json(
            [line.model_dump(mode="json") for line in examine(about, run_model=False)]
        ),
        "status.json": lambda: _read(settings.store.state_dir / "status.json"),
        "store.json": lambda: _json(_store(about)),
        "cards.txt": lambda: "\n".join(map(str, sorted(settings.diagnose.cards.glob("*.toml")))),
        "journal.txt": lambda: _run(
            "journalctl", "--no-pager", "-o", "short-iso", f"-n{LOG_LINES}", *_of_units()
        ),
        "units.txt": lambda: _run("systemctl", "--no-pager", "cat", *UNITS),
        "system.txt": lambda: "\n".join(f"# /{n}\n{_read(Path('/') / n)}" for n in SYSTEM_FILES),
    }


def write_bundle(about: Subject, target: Path) -> dict[str, str]:
    """Write the archive, readable by us alone; says of each member what became of it.

    Every member is searched for the secrets before it is packed. Raises ``OSError`` where
    ``target`` cannot be written."""
    redactor = Redactor(secrets_of(about))
    outcome: dict[str, str] = {}
    packed: dict[str, bytes] = {}
    for name, produce in members(about).items():
        try:
            text = produce()
            outcome[name] = f"{len(text)} characters"
        except (OSError, EdgeAgentError, subprocess.SubprocessError) as problem:
            text = f"not available: {problem}\n"
            outcome[name] = redactor.clean(text.strip())
        packed[name] = redactor.clean(text).encode("utf-8", errors="replace")[-LARGEST_BYTES:]
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in packed.items():
            entry = tarfile.TarInfo(f"edge-agent-support/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return outcome


def _about(about: Subject) -> dict[str, Any]:
    return {
        "version": __version__,
        "settings_from": about.origin,
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def _store(about: Subject) -> dict[str, Any]:
    store = about.settings.store
    files = {path.name: path.stat().st_size for path in sorted(store.state_dir.glob("*.db*"))}
    with closing(Store.view(store.state_dir, store)) as view:
        return {
            "bytes": files,
            "jobs": {str(state): count for state, count in view.jobs.counts().items()},
            "outbox": msgspec.to_builtins(view.outbox.counts()),
        }


def _of_units() -> list[str]:
    return [f"--unit={unit}" for unit in UNITS]


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr
