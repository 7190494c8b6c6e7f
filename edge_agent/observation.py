"""All that watches the agent from outside, put together: the status socket, metrics, and the
devices of Home Assistant. Nothing here may hold up a diagnosis: failures are logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.diagnosis import Diagnosis
from edge_agent.finding import Finding
from edge_agent.observe.tally import Tally
from edge_agent.statussocket import StatusSocket


class Observation:
    """Told of every result once it is committed; ``tick`` comes about once a second."""

    def __init__(self, folder: Path, report: Callable[[], dict[str, Any]], tally: Tally) -> None:
        self._tally = tally
        self._socket = StatusSocket(folder, report)

    def start(self) -> None:
        """Open what answers questions."""
        self._socket.start()

    def findings(self, found: Sequence[Finding]) -> None:
        """These findings are committed."""
        self._tally.findings(found)

    def diagnosis(self, made: Diagnosis) -> None:
        """This diagnosis is committed."""
        self._tally.diagnosis(made)

    def close(self) -> None:
        """Close everything."""
        self._socket.close()
