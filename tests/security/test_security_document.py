"""SECURITY.md names tests that exist."""

from __future__ import annotations

import re

import pytest
from plant import REPOSITORY

ROWS = [
    line.strip("|").rsplit("|", 1)
    for line in (REPOSITORY / "SECURITY.md").read_text().splitlines()
    if line.startswith("| ") and "`" in line.rsplit("|", 2)[-2]
]


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:40])
def test_each_control_names_a_test(row: list[str]) -> None:
    paths = re.findall(r"`([\w/.-]+)`", row[1])
    assert paths
    assert [path for path in paths if not (REPOSITORY / path).is_file()] == []
