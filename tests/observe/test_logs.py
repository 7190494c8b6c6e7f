"""Logs as they come out of the process: priorities, ids, repeats, and nothing that flickers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from brokers import Mosquitto
from plant import REPOSITORY, Client, Daemon, write_settings

from edge_agent.logs.repeats import BURST, KEPT, LONGEST_PAUSE_S, PER_MINUTE, Repeats

BEGIN = """
import structlog
from edge_agent.config.settings import LogSection
from edge_agent.logs.setup import bind_everywhere, configure_logs
configure_logs(LogSection(format={form!r}, level="debug"))
log = structlog.get_logger()
"""


def written(program: str, form: str = "json") -> str:
    """What a process with our logs writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(form=form) + program],
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    return done.stderr


LEVELS = 'for name in ("debug", "info", "warning", "error", "critical"): getattr(log, name)(name)'


def test_json_lines_carry_no_prefix_where_no_journal_listens() -> None:
    lines = [json.loads(line) for line in written(LEVELS).splitlines()]
    assert [one["level"] for one in lines] == ["debug", "info", "warning", "error", "critical"]


def test_the_journal_gets_priorities() -> None:
    """As systemd does it: standard error is a socket, and JOURNAL_STREAM names its inode."""
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.extend(iter(lambda: ours.recv(65536), b"")))
    reader.start()
    found = os.fstat(theirs.fileno())
    environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    subprocess.run(
        [sys.executable, "-c", BEGIN.format(form="auto") + LEVELS],
        stderr=theirs.fileno(),
        env=environment,
        cwd=REPOSITORY,
        check=True,
    )
    theirs.close()
    reader.join()
    ours.close()
    lines = b"".join(heard).decode().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert all(json.loads(line[3:]) for line in lines)


def test_ids_are_on_every_line() -> None:
    program = """
bind_everywhere(agent="gw1", revision=7)
with structlog.contextvars.bound_contextvars(job="j1", incident="i1"):
    log.info("inside")
bind_everywhere(revision=None)
log.info("outside")
"""
    inside, outside = (json.loads(line) for line in written(program).splitlines())
    assert (inside["agent"], inside["revision"]) == ("gw1", 7)
    assert (inside["job"], inside["incident"]) == ("j1", "i1")
    assert outside["agent"] == "gw1"
    assert not outside.keys() & {"revision", "job", "incident"}


def test_a_line_that_repeats_is_written_less_and_less() -> None:
    program = """
for n in range(1000):
    log.error("watchdog_withheld", reason=f"loop intake has stood still for {n} s")
log.error("watchdog_withheld", reason="loop publisher failed")
"""
    lines = [json.loads(line) for line in written(program).splitlines()]
    assert len(lines) == BURST + 1
    assert lines[-1]["reason"] == "loop publisher failed"


def test_people_see_plain_lines_without_control_characters() -> None:
    program = r"""
log.warning("odd_topic", topic="plant/\x1b[2Jpump\r")
secret = "hunter2"
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""
    text = written(program, "console")
    assert "\x1b" not in text
    assert "\\x1b[2Jpump\\x0d" in text
    assert "ZeroDivisionError" in text
    assert "hunter2" not in text
    assert not text.startswith("<")


def test_values_and_tracebacks_are_bounded() -> None:
    program = r"""
try:
    raise ValueError("x" * 100_000)
except ValueError:
    log.exception("broken", payload="y" * 100_000)
"""
    line = written(program)
    assert len(line) < 12_000
    assert json.loads(line)["exception"].startswith("…")


def event(**more: object) -> dict[str, object]:
    return {"event": "e", "level": "error", **more}


def test_the_pauses_double_and_what_is_held_back_is_counted() -> None:
    repeats = Repeats()
    seen = {now: repeats.judge(event(seconds=now), float(now)) for now in range(3600)}
    times = [now for now, held in seen.items() if held is not None]
    assert times[:7] == [0, 1, 2, 12, 32, 72, 152]
    assert len(times) <= BURST + 7 + 3600 / LONGEST_PAUSE_S
    written_for = sum(held + 1 for held in seen.values() if held is not None)
    assert 3600 - written_for <= LONGEST_PAUSE_S


def test_after_a_long_silence_it_begins_anew() -> None:
    repeats = Repeats()
    for now in range(5):
        repeats.judge(event(), float(now))
    later = 5 + LONGEST_PAUSE_S
    assert repeats.judge(event(), later) == 2
    assert repeats.judge(event(), later + 1) == 0


@pytest.mark.parametrize("name", ["incident", "equipment", "topic", "loop", "job"])
def test_other_ids_are_other_lines(name: str) -> None:
    repeats = Repeats()
    held = [repeats.judge(event(**{name: f"m-{n}"}), 0.0) for n in range(50)]
    assert held == [0] * 50


def test_invented_topics_flood_neither_memory_nor_the_log() -> None:
    repeats = Repeats()
    held = [repeats.judge(event(topic=f"t{n}"), n / 1000) for n in range(20 * KEPT)]
    assert sum(one is not None for one in held) == PER_MINUTE
    assert len(repeats._lines) <= KEPT
    assert repeats.judge(event(topic="later"), 70.0) == 20 * KEPT - PER_MINUTE


def test_a_diagnosis_logs_its_job_and_incident(broker: Mosquitto, tmp_path: Path) -> None:
    """The real daemon: what the loop and the casebook log of one job can be put together."""
    from edge_agent.simulate.faults import Fault, FaultName
    from edge_agent.simulate.pump import PumpLoop

    config = write_settings(
        tmp_path,
        broker.port,
        diagnose={"settle_s": 1},
        inference={"model": "absent", "fallbacks": []},
    )
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    with Daemon(config) as daemon, Client(broker.port, "edge/#") as client:
        client.wait_for("edge/gw1/status")
        client.stream("simulated-pump", [loop.step(1.0) for _ in range(420)])
        client.wait_for("edge/gw1/diagnosis/simulated-pump")
        assert daemon.terminate() == 0
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert {one["agent"] for one in lines if "agent" in one} == {"gw1"}
    ready = next(one for one in lines if one["event"] == "diagnosis_ready")
    opened = next(one for one in lines if one["event"] == "incident_opened")
    assert ready["incident"] == opened["incident"]
    assert ready["job"]
