"""Which code diagnoses: its version, and a hash that moves with any of its lines."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from edge_agent import __version__
from edge_agent.domain.audit import Program

SKIPPED = ("__pycache__",)


@cache
def program() -> Program:
    """The code of this process."""
    digest = hashlib.sha256()
    _add(digest, files("edge_agent.diagnose"))
    return Program(version=__version__, rules_sha256=digest.hexdigest())


def _add(digest: hashlib._Hash, folder: Traversable) -> None:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            if entry.name not in SKIPPED:
                _add(digest, entry)
        elif not entry.name.endswith(".pyc"):
            digest.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
