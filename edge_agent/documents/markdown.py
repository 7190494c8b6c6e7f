"""What the generated pages have in common."""

from __future__ import annotations

NOTE = "<!-- Written by scripts/make_docs.py; edit the program, not this file. -->\n"


def one_line(text: str) -> str:
    """A docstring as one line of Markdown."""
    return " ".join(text.replace("``", "`").split())


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return one_line(text).replace("|", "\\|").replace("\\\\|", "\\|")
