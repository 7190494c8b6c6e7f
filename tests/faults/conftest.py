"""What the fault tests share: a station beside a broker, and a machine that talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from peer import Peer
from station import Station, Stations


@pytest.fixture
def stations(tmp_path: Path) -> Iterator[Stations]:
    """Makes stations on state directories of their own (or ``folder``); closes them at the end."""
    made: list[Station] = []

    def make(port: int, *, folder: Path | None = None, **options: object) -> Station:
        where = folder or tmp_path / f"state-{len(made)}"
        made.append(Station(where, port, **options))  # type: ignore[arg-type]
        return made[-1].start()

    yield make
    for station in made:
        station.close()


@pytest.fixture
def peer(broker: Mosquitto) -> Iterator[Peer]:
    """A machine, and a listener to everything below edge/gw."""
    with Peer(broker.port).listen("edge/gw/#") as client:
        yield client
