"""Loops that die or stand still are noticed, and systemd is told the truth."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from brokers import wait_until

from edge_agent import supervisor
from edge_agent.sdnotify import notify
from edge_agent.supervisor import Supervisor


def test_a_loop_that_raises_is_reported_and_sets_failed() -> None:
    watched = Supervisor()

    def run(_stop: threading.Event) -> None:
        raise ValueError("broken inside")

    watched.add("intake").run = run
    watched.start()
    assert watched.failed.wait(5)
    assert "intake" in (watched.complaint() or "")
    assert "broken inside" in (watched.complaint() or "")


def test_a_loop_that_stands_still_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Supervisor()
    release = threading.Event()
    watched.add("publisher").run = lambda _stop: release.wait()
    halts = watched.start()
    assert watched.complaint() is None
    monkeypatch.setattr(supervisor, "STALL_S", 0.0)
    wait_until(lambda: watched.complaint() is not None)
    assert "stood still" in (watched.complaint() or "")
    release.set()
    halts["publisher"].set()
    assert watched.loop("publisher").join(5)


def test_systemd_is_notified_on_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        notify("READY=1", "STATUS=well")
        assert server.recv(1000) == b"READY=1\nSTATUS=well"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))
    notify("READY=1")
