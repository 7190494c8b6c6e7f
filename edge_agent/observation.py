"""All that watches the agent from outside, put together: the status socket, metrics, and the
devices of Home Assistant. Nothing here may hold up a diagnosis: failures are logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.config.observe import MetricsSection, ObserveSection
from edge_agent.diagnosis import Diagnosis
from edge_agent.finding import Finding
from edge_agent.observe.tally import Tally
from edge_agent.statussocket import StatusSocket

if TYPE_CHECKING:
    from edge_agent.observe.exporter import Exporter


class Observation:
    """Told of every result once it is committed; ``tick`` comes about once a second."""

    def __init__(
        self,
        folder: Path,
        settings: ObserveSection,
        report: Callable[[], dict[str, Any]],
        tally: Tally,
    ) -> None:
        self._tally = tally
        self._socket = StatusSocket(folder, report)
        self._exporter = _exporter(settings.metrics, report)

    def start(self) -> None:
        """Open what answers questions."""
        self._socket.start()
        if self._exporter is not None:
            self._exporter.start()

    def tick(self) -> None:
        """What time alone moves: the textfile."""
        if self._exporter is not None:
            self._exporter.tick(time.monotonic())

    def findings(self, found: Sequence[Finding]) -> None:
        """These findings are committed."""
        self._tally.findings(found)

    def diagnosis(self, made: Diagnosis) -> None:
        """This diagnosis is committed."""
        self._tally.diagnosis(made)

    def close(self) -> None:
        """Close everything."""
        self._socket.close()
        if self._exporter is not None:
            self._exporter.close()


def _exporter(settings: MetricsSection, report: Callable[[], dict[str, Any]]) -> Exporter | None:
    """None where no way is switched on: prometheus-client is not even imported then."""
    if (settings.port, settings.socket, settings.textfile) == (None, None, None):
        return None
    from edge_agent.observe.exporter import Exporter

    return Exporter(settings, report)
