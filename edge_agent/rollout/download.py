"""How the fetching of one file goes: what has come, when to say so, when to try again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

PAUSES_S = (1.0, 5.0, 15.0, 60.0, 300.0)
"""Between two tries that brought nothing; the last one repeats."""
FRUITLESS = 50
"""So many such tries, some four hours, and it has failed."""
REPORT_SHARE = 0.05
"""Progress is reported each time this share of the file has come."""


@dataclass(slots=True)
class Download:
    """One file on its way. ``have``: bytes here."""

    have: int = 0
    told: int = 0
    """Bytes at the last report."""
    fruitless: int = 0
    """Tries in a row that brought nothing."""

    def came(self, have: int, size: int) -> bool:
        """``have`` of ``size`` bytes are here; whether that is worth a report."""
        self.have = have
        if have - self.told < REPORT_SHARE * size:
            return False
        self.told = have
        return True

    def interrupted(self, before: int) -> float | None:
        """A try ended early that began with ``before`` bytes: seconds until the next one; None
        once too many have brought nothing."""
        self.fruitless = 0 if self.have > before else self.fruitless + 1
        if self.fruitless >= FRUITLESS:
            return None
        return PAUSES_S[min(self.fruitless, len(PAUSES_S) - 1)]
