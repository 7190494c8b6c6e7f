from __future__ import annotations

from workers import Make, gone, never, request


def test_fault_28_a_worker_is_replaced_after_its_jobs(make: Make) -> None:
    client = make(recycle_jobs=2)
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    client.complete(request(), never)
    assert gone(pid)
    client.complete(request(), never)
    assert client.status().restarts == 1


def test_fault_28_a_worker_is_replaced_once_it_has_outgrown_its_memory(make: Make) -> None:
    limit = [1024]
    client = make(limit=lambda: limit[0])
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    assert client.status().rss_mb < limit[0]
    limit[0] = int(client.status().rss_mb) - 5  # as if it had grown by the rest
    client.complete(request(), never)
    assert gone(pid)
    limit[0] = 1024
    client.complete(request(), never)
    assert client.status().restarts == 1
