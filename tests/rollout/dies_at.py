"""The daemon, which SIGKILLs itself when its second revision reaches a state, once.

    python dies_at.py KIND STATE before|after MARKER edge-agent-arguments…

``before``: the move to STATE is not on disk yet; ``after``: it is, and nothing followed from it.
The first revision passes unharmed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from edge_agent.cli import main
from edge_agent.store.generations import Generations

kind_to_hit, state, when, marker_name, *arguments = sys.argv[1:]
marker = Path(marker_name)
save = Generations.save


def is_hit(kind: str, document: bytes) -> bool:
    ledger = json.loads(document)
    second = ledger["confirmed"] is not None and (
        ledger["state"] != "confirmed" or ledger["confirmed"]["revision"] == 2
    )
    return kind == kind_to_hit and ledger["state"] == state and second and not marker.exists()


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
