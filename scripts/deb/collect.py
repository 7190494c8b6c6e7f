"""Copy installed packages out of this interpreter's environment: ``collect.py TARGET LOCK…``.

The packages are those that the lock files name. Only files inside site-packages are taken.
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)\s*(?:;\s*([^\\]+))?")


def pins(lock: Path) -> list[tuple[str, bool]]:
    """Names in a lock file, with whether a marker makes the package conditional."""
    found = (PIN.match(line) for line in lock.read_text(encoding="utf-8").splitlines())
    return [(match[1], match[3] is not None) for match in found if match]


def copy(name: str, target: Path) -> None:
    """Copy what ``name`` has installed."""
    for file in distribution(name).files or ():
        if ".." in file.parts or file.suffix == ".pyc" or file.is_absolute():
            continue
        goal = target / file
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(file.locate()), goal)


def main() -> None:
    """Copy every package of every lock file."""
    target, *locks = map(Path, sys.argv[1:])
    for lock in locks:
        for name, conditional in pins(lock):
            try:
                copy(name, target)
            except PackageNotFoundError:
                if not conditional:
                    sys.exit(f"{name} is not installed in {sys.prefix}: run scripts/install")


if __name__ == "__main__":
    main()
