"""Takes secrets out of text before it leaves the gateway. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "(hidden)"
SHORTEST = 4
"""A shorter secret is hidden only as a whole word: it would stand inside ordinary ones."""
_SHAPES = (
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
    ),
    re.compile(r"(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
_FRAME = re.compile(r"-----(BEGIN|END) ")
_ASSIGNED = re.compile(
    r"(?i)((?:password|passwd|passphrase|secret|token|api[_-]?key)"
    r"(?![\w-]*(?:_file|_in|_out|s\b))[\"']?\s*[=:]\s*)"
    r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}\]\"']+)"
)


class Redactor:
    """Hides the given secrets, line by line, and whatever has the shape of one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        known = sorted((line for line in lines if line), key=len, reverse=True)
        alternatives = [
            re.escape(one) if len(one) >= SHORTEST else rf"(?<!\w){re.escape(one)}(?!\w)"
            for one in known
            if not _FRAME.match(one)
        ]
        self._known = re.compile("|".join(alternatives)) if alternatives else None

    def clean(self, text: str) -> str:
        """``text`` without secrets."""
        for shape in _SHAPES:
            text = shape.sub(MASK, text)
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _ASSIGNED.sub(rf"\1{MASK}", text)
