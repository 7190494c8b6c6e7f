"""What the fault tests share: stations beside a broker, a machine that talks to them, workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from govern.conftest import put, root
from inference.conftest import TinyModel, tiny_model
from modelpush import ModelGateway
from peer import Peer
from station import Station, Stations
from workers import make

__all__ = ["make", "put", "root", "tiny_model"]


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


@pytest.fixture
def gateway(tmp_path: Path, tiny_model: TinyModel) -> Iterator[ModelGateway]:
    """A gateway that answers with a tiny model and is offered others."""
    made = ModelGateway(tmp_path, tiny_model())
    yield made
    made.switch.close(0.0)
