"""The daemon, which SIGKILLs itself when a revision of a roll-out reaches a state, once.

    python dies_at.py KIND REVISION STATE before|after MARKER edge-agent-arguments…

KIND: config or model. REVISION: 1, or 2 for the one after the first was confirmed. ``before``: the
move to STATE is not on disk yet; ``after``: it is, and nothing followed from it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from edge_agent.cli import main
from edge_agent.store.generations import Generations

kind_to_hit, revision, state, when, marker_name, *arguments = sys.argv[1:]
marker = Path(marker_name)
save = Generations.save


def is_hit(kind: str, document: bytes) -> bool:
    if kind != kind_to_hit or marker.exists():
        return False
    ledger = json.loads(document)
    good = ledger["confirmed"]["revision"] if ledger["confirmed"] is not None else 0
    before = int(revision) if ledger["state"] == "confirmed" else int(revision) - 1
    return bool(ledger["state"] == state and good == before)


def save_or_die(self: Generations, kind: str, document: bytes) -> None:
    hit = is_hit(kind, document)
    if hit:
        marker.touch()
    if hit and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, kind, document)
    if hit:
        os.kill(os.getpid(), signal.SIGKILL)


Generations.save = save_or_die  # type: ignore[method-assign]
sys.argv = ["edge-agent", *arguments]
main()
