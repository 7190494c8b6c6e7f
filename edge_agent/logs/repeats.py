"""How often one line may repeat in the log. Pure: the caller passes the time.

A flash drive lives for years under a gateway that complains once a second, if it complains less
and less often; the lines in between are counted, not lost.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

BURST = 3
"""So many equal lines are written as they come."""
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 600.0
"""Then at most one per pause, which doubles up to this; silence for as long starts over."""
KEPT = 500
"""Different lines that are remembered."""
PER_MINUTE = 300
"""Lines of one event in a minute at most, however different: an attacker may invent topics."""
WORDS = frozenset({"reason", "error", "exception"})
"""Texts whose numbers change while the matter stays the same."""
_NUMBER = re.compile(r"\d+(\.\d+)?")

Key = tuple[object, ...]


@dataclass(slots=True)
class _Line:
    last: float
    """When one was last written."""
    seen: float
    """When one last came."""
    written: int = 1
    pause_s: float = FIRST_PAUSE_S
    held_back: int = 0


@dataclass(slots=True)
class _Minute:
    began: float
    lines: int = 0
    held_back: int = 0


class Repeats:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Key, _Line] = OrderedDict()
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()

    def judge(self, event: Mapping[str, object], now: float) -> int | None:
        """None where this line is held back; else how many like it were, since the last one.

        ``now``: monotonic seconds.
        """
        repeated = self._line(_key(event), now)
        if repeated is None:
            return None
        crowded = self._crowd(str(event.get("event", "")), now)
        return None if crowded is None else repeated + crowded

    def _line(self, key: Key, now: float) -> int | None:
        line = self._lines.get(key)
        if line is None or now - line.seen >= LONGEST_PAUSE_S:
            held = line.held_back if line else 0
            self._lines[key] = _Line(now, now)
            self._lines.move_to_end(key)
            while len(self._lines) > KEPT:
                self._lines.popitem(last=False)
            return held
        self._lines.move_to_end(key)
        line.seen = now
        if line.written < BURST:
            line.written, line.last = line.written + 1, now
            return 0
        if now - line.last < line.pause_s:
            line.held_back += 1
            return None
        held, line.held_back = line.held_back, 0
        line.last, line.pause_s = now, min(2 * line.pause_s, LONGEST_PAUSE_S)
        return held

    def _crowd(self, name: str, now: float) -> int | None:
        minute = self._minutes.get(name)
        held = 0
        if minute is None or now - minute.began >= 60.0:
            held = minute.held_back if minute else 0
            minute = self._minutes[name] = _Minute(now)
            self._minutes.move_to_end(name)
            while len(self._minutes) > KEPT:
                self._minutes.popitem(last=False)
        if minute.lines >= PER_MINUTE:
            minute.held_back += 1
            return None
        minute.lines += 1
        return held


def _key(event: Mapping[str, object]) -> Key:
    """Equal for the same matter: texts count, measured numbers do not."""
    parts = []
    for name in sorted(event):
        value = event[name]
        if isinstance(value, str):
            parts.append((name, _NUMBER.sub("#", value) if name in WORDS else value))
        elif not isinstance(value, int | float) or isinstance(value, bool):
            parts.append((name, repr(value)[:200]))
    return tuple(parts)
