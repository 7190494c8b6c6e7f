#!/usr/bin/env python3
"""Write the parts of docs/ that come from the program: settings, topics, commands, JSON Schemas,
AsyncAPI and the man page. With --check, only say which of them are out of date (exit code 1)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    from edge_agent.documents import asyncapi, manual, settings_page, topics_page

    found = {
        Path("settings.md"): settings_page.settings_page(),
        Path("topics.md"): topics_page.topics_page(),
        Path("commands.md"): topics_page.commands_page(),
        Path("asyncapi.yaml"): asyncapi.document(),
        Path("edge-agent.1"): manual.page(),
    }
    for name, text in topics_page.schemas().items():
        found[Path("schemas") / f"{name}.json"] = text
    return found


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    wanted = files()
    stale = [name for name, text in wanted.items() if _text(DOCS / name) != text]
    stale += [
        Path("schemas") / path.name
        for path in (DOCS / "schemas").glob("*.json")
        if Path("schemas") / path.name not in wanted
    ]
    for name in stale:
        if options.check:
            print(f"docs/{name} is out of date: run scripts/make_docs.py")  # noqa: T201
        elif name in wanted:
            (DOCS / name).parent.mkdir(exist_ok=True)
            (DOCS / name).write_text(wanted[name], encoding="utf-8")
        else:
            (DOCS / name).unlink()
    return 1 if options.check and stale else 0


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
