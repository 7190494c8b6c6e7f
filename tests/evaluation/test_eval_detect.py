"""Detection is scored as the data sets' protocol says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streams import SIGNALS, rows
from typer.testing import CliRunner

from edge_agent.cli import app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One recording with a fault in rows 500 to 700, and a line that is not to be scored."""
    values = rows(900)
    values[500:700, 0] -= 6.0
    (tmp_path / "data").mkdir()
    table = np.column_stack((np.arange(len(values)), values))
    np.savetxt(
        tmp_path / "data" / "run_1.csv",
        table,
        delimiter=",",
        header=",".join(("t_s", *SIGNALS)),
        comments="",
    )
    (tmp_path / "labels.csv").write_text(
        "file,start_row,end_row,fault,severity,equipment\n"
        "run_1.csv,490,500,unlabelled,,pump-1\n"
        "run_1.csv,500,700,leak,,pump-1\n"
    )
    return tmp_path


def test_the_report_counts_rows_and_events(folder: Path) -> None:
    picture = folder / "picture.svg"
    result = CliRunner().invoke(
        app, ["eval", "detect", str(folder), "--json", "--plot", str(picture)]
    )
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.output)["sets"]
    assert (report["events"], report["events_found"]) == (1, 1)
    assert (report["normal_rows"], report["faulty_rows"]) == (290, 200)
    assert report["f1"] > 0.8
    assert report["false_incidents"] == 0
    assert picture.read_text().startswith("<svg")


def test_a_folder_without_labels_is_refused_with_a_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["eval", "detect", str(tmp_path)])
    assert result.exit_code != 0
    assert "labels.csv" in str(result.exception)


def test_a_run_without_a_lead_in_is_counted_and_named(folder: Path) -> None:
    (folder / "data" / "run_2.csv").write_bytes((folder / "data" / "run_1.csv").read_bytes())
    with (folder / "labels.csv").open("a") as labels:
        labels.write("run_2.csv,10,200,leak,,pump-1\n")
    result = CliRunner().invoke(app, ["eval", "detect", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.output)["sets"]
    assert (report["runs"], report["runs_left_out"]) == (1, ["run_2.csv"])
    assert report["events_left_out"] == 1
    assert sum(half["events"] for half in report["halves"].values()) == 1
    shown = CliRunner().invoke(app, ["eval", "detect", str(folder)])
    assert "run_2.csv" in shown.output
