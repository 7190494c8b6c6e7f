from __future__ import annotations

from functools import partial
from pathlib import Path

from brokers import Mosquitto, wait_until
from findings import outgoing
from mounts import fill, small_disk
from peer import Peer
from station import IN, Station, Stations, numbers, results, subscribed

from edge_agent.config.settings import StoreSection
from edge_agent.domain.outgoing import OutgoingPriority

SETTINGS = StoreSection(ballast_mb=2, max_mb=64)


def test_fault_19_a_full_disk_stops_acks_and_recovers_by_itself(
    tmp_path: Path, broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        station = stations(broker.port, folder=disk, store=SETTINGS)
        ballast = disk / "ballast"
        assert ballast.stat().st_size == 2 * 1024 * 1024
        subscribed(broker)
        peer.say(IN, *numbers(0, 20))
        wait_until(lambda: results(peer) == set(numbers(0, 20)))
        filler = fill(disk)
        sent = 20
        while not station.blocked and sent < 4000:  # the ballast's room is used up as well
            peer.say(IN, *numbers(sent, sent + 100))
            sent += 100
            wait_until(partial(_taken_or_blocked, station, sent))
        assert station.blocked
        assert not ballast.exists()
        acked = broker.log.count("Received PUBACK from edge-agent-gw")
        peer.say(IN, *numbers(sent, sent + 20))
        sent += 20
        assert broker.log.count("Received PUBACK from edge-agent-gw") - acked <= 50
        assert station.broker.connected
        filler.unlink()
        wait_until(lambda: results(peer) == set(numbers(0, sent)), seconds=60, what="every message")
        wait_until(lambda: station.waiting() == 0, seconds=30)
        station.store.upkeep.hold_ballast()
        assert ballast.exists()
        station.close()


def _taken_or_blocked(station: Station, sent: int) -> bool:
    return station.blocked or len(set(station.seen)) == sent


def test_fault_19_results_outlive_health_when_room_is_short(
    tmp_path: Path, stations: Stations, broker: Mosquitto
) -> None:
    broker.stop()
    with small_disk(tmp_path / "disk", 16) as disk:
        station = stations(broker.port, folder=disk, store=SETTINGS)
        health = [
            outgoing(f"h{n}", OutgoingPriority.HEALTH, payload=bytes(2000)) for n in range(500)
        ]
        station.add(*health)
        fill(disk)
        kept = 0
        for number in range(400):
            message = outgoing(f"r{number}", payload=bytes(4000))
            station.store.persist(
                lambda message=message: station.store.outbox.add([message], 0.0),  # type: ignore[misc]
                give_up=lambda: station.store.upkeep.rooms_made > 50,
            )
            kept += 1
        counts = station.store.outbox.counts()
        assert kept == 400
        assert counts.shed > 0
        waiting = [m.key for _, m in station.store.outbox.pending(2000, 0.0)]
        assert [key for key in waiting if key.startswith("r")] == [f"r{n}" for n in range(400)]
        station.close()
