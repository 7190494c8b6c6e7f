"""Recordings of a real pump testbed, replayed through a real broker into the real daemon."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import Mosquitto
from plant import REPOSITORY, Client, Daemon, write_settings

from edge_agent.domain.diagnosis import Diagnosis

DATASETS = Path(os.environ.get("EDGE_AGENT_DATASETS", REPOSITORY / ".." / "shared" / "datasets"))
SKAB = DATASETS / "skab_pump"


def onset_row(file: str) -> int:
    """Row at which the labelled fault of a run begins."""
    with (SKAB / "labels.csv").open() as labels:
        return min(int(row["start_row"]) for row in csv.DictReader(labels) if row["file"] == file)


def time_of_row(file: str, row: int) -> str:
    with gzip.open(SKAB / "data" / file, "rt") as lines:
        return list(csv.reader(lines))[row + 1][0]


def replay(port: int, file: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge_agent", "replay", str(SKAB / "data" / file)),
            *("--port", str(port), "--equipment", "skab-pump", "--speed", "max", "--json"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.dataset
@pytest.mark.model
@pytest.mark.parametrize(
    ("file", "fault"),
    [("run_17.csv.gz", "rotor_imbalance"), ("run_21.csv.gz", "rotor_imbalance")],
)
def test_a_real_fault_is_found_and_named(
    broker: Mosquitto, tmp_path: Path, file: str, fault: str
) -> None:
    config = write_settings(tmp_path, broker.port, detect={"learn_rows": 400})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        replay(broker.port, file)
        opened = client.wait_for("edge/gw1/incident/skab-pump")
        named = client.wait_for(
            "edge/gw1/diagnosis/skab-pump",
            lambda one: (Diagnosis.model_validate_json(one.payload).fault or opened) is not opened,
            seconds=180,
        )
        assert daemon.terminate() == 0
    diagnosis = Diagnosis.model_validate_json(named.payload)
    assert diagnosis.fault is not None
    assert diagnosis.fault.id == fault
    assert not diagnosis.simulated
    assert diagnosis.incident_id == opened.json["incident_id"]


@pytest.mark.dataset
@pytest.mark.model
def test_runs_with_faults_bring_diagnoses(broker: Mosquitto, tmp_path: Path) -> None:
    """Valve, leak and drained tank: what detection and rules make of them is measured elsewhere;
    here each run's incident reaches the subscriber, and so does a diagnosis of it."""
    files = ("run_03.csv.gz", "run_19.csv.gz", "run_33.csv.gz")
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = write_settings(folder, broker.port, detect={"learn_rows": 400})
        with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
            client.wait_for(
                "edge/gw1/status",
                lambda one: one.json["state"] == "online" and not one.retained,
            )
            replay(broker.port, file)
            opened = client.wait_for("edge/gw1/incident/skab-pump")
            heard = client.wait_for("edge/gw1/diagnosis/skab-pump", seconds=180)
            assert daemon.terminate() == 0
        diagnosis = Diagnosis.model_validate_json(heard.payload)
        assert diagnosis.incident_id == opened.json["incident_id"]
        assert diagnosis.evidence
