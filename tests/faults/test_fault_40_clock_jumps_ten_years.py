from __future__ import annotations

import pytest
from brokers import Mosquitto, wait_until
from findings import job
from peer import Peer
from station import IN, Stations, numbered, numbers, results, subscribed

TEN_YEARS = 10 * 365 * 86_400.0
TODAY = 1_795_000_000.0


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS], ids=["forward", "back"])
def test_fault_40_a_jump_of_ten_years_changes_nothing_that_waits(
    broker: Mosquitto, peer: Peer, stations: Stations, jump: float
) -> None:
    now = [TODAY]
    station = stations(broker.port, clock=lambda: now[0])
    subscribed(broker)
    outbox, jobs = station.store.outbox, station.store.jobs
    station.halt.set()  # nobody works on them while they are put into their waiting states
    for thread in station._threads:
        thread.join(10)
    station.add(*numbered(0, 5))
    [(seq, _), *_] = outbox.pending(10, now[0])
    outbox.park(seq, lambda _: now[0] + 60, "not authorized")
    jobs.enqueue(job("retried", created_at=now[0]).model_copy(update={"expires_at": None}))
    claimed = jobs.claim(now[0])
    assert claimed
    jobs.retry(claimed.id, now[0] + 60, "worker died")
    now[0] += jump
    assert len(outbox.pending(10, now[0])) == 5
    again = jobs.claim(now[0])
    assert again
    assert again.attempts == 2
    folder = station.store.path.parent
    station.close()
    second = stations(broker.port, folder=folder, clock=lambda: now[0])
    peer.say(IN, *numbers(5, 10))
    wait_until(lambda: results(peer) == set(numbers(0, 10)))
    assert second.store.outbox.counts().expired == 0
