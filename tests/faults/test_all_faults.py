"""Every numbered fault has a test that carries its number."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "faults.md"
FAULTS = range(1, 51)


def test_each_of_the_fifty_has_a_test_and_a_line_in_the_list() -> None:
    tested, listed = set(), set()
    for path in FOLDER.glob("test_fault_*.py"):
        number = path.name.split("_")[2]
        names = re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
        assert names, path
        strays = [name for name in names if not name.startswith(f"test_fault_{number}_")]
        assert not strays, f"{path.name}: {strays}"
        tested.add(int(number))
    for line in DOCUMENT.read_text().splitlines():
        if match := re.match(r"\| (\d+) [^|]+\|", line):
            listed.add(int(match[1]))
    assert tested == set(FAULTS), f"without a test: {sorted(set(FAULTS) - tested)}"
    assert listed == set(FAULTS), f"not in docs/faults.md: {sorted(set(FAULTS) - listed)}"
