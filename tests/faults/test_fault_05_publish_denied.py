from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto, wait_until
from findings import outgoing
from station import Stations, numbered

from edge_agent.publish.publisher import PARK_FIRST_S


def test_fault_05_what_the_access_rules_deny_is_parked_with_an_alarm(
    tmp_path: Path, stations: Stations
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite edge/gw/status\ntopic write edge/gw/incident/#\n")
    with Mosquitto([f"acl_file {acl}"]) as broker:
        station = stations(broker.port)
        station.add(outgoing("denied", topic="edge/gw/secret"), *numbered(0, 20))
        wait_until(lambda: station.waiting() == 1, what="all but the denied one to go")
        assert station.publisher.status.alarms == {"edge/gw/secret": "Not authorized"}
        assert station.store.outbox.pending(10, station.clock()) == []
        [(_, parked)] = station.store.outbox.pending(10, station.clock() + PARK_FIRST_S)
        assert parked.key == "denied"
