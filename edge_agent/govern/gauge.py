"""One number from a file of the kernel, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

READ_LIMIT = 16_384
"""No file we read is longer than this, bytes; what lies beyond is not looked at."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value, or None with the reason for a person. Units are named where a gauge is held."""

    value: float | None
    reason: str = ""

    def scaled(self, factor: float) -> Gauge:
        """The same gauge in another unit."""
        return self if self.value is None else Gauge(self.value * factor, self.reason)


def missing(reason: str) -> Gauge:
    """No value, and why."""
    return Gauge(None, reason)


def read_text(path: Path) -> str | None:
    """The start of a small text file, stripped; None where it cannot be read as text."""
    text, _ = _read(path)
    return text


def _read(path: Path) -> tuple[str | None, str]:
    try:
        with path.open("rb") as file:
            return file.read(READ_LIMIT).decode("utf-8").strip(), ""
    except PermissionError:
        return None, f"{path}: no permission; give the agent's group read access"
    except (FileNotFoundError, NotADirectoryError):
        return None, f"{path}: absent"
    except UnicodeDecodeError:
        return None, f"{path}: not text"
    except OSError as error:  # a sensor that is asleep answers ENODATA, EAGAIN, EIO …
        return None, f"{path}: {error.strerror or error}"


def read_gauge(path: Path, *, low: float, high: float) -> Gauge:
    """The decimal number in ``path`` if it lies within ``low`` … ``high``, in the file's unit."""
    text, reason = _read(path)
    if text is None:
        return missing(reason)
    try:
        # A driver never writes more digits than this; int() of a megabyte would cost seconds.
        value = float(int(text)) if len(text) <= 24 else None
    except ValueError:
        value = None
    if value is None:
        return missing(f"{path}: not a whole number: {text[:24]!r}")
    if not low <= value <= high:
        return missing(f"{path}: {value:.0f} is outside {low:.0f} … {high:.0f}")
    return Gauge(value)


def entries(folder: Path, pattern: str) -> list[Path]:
    """What ``folder`` holds by ``pattern``, sorted; nothing where it cannot be listed."""
    try:
        return sorted(folder.glob(pattern))[:256]
    except OSError:
        return []
