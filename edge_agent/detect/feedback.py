"""What people said of a machine's incidents, and what it changes. Pure.

A picture is the fingerprint of a finding: the equipment and its deviating signals with their
directions. What was said of a picture holds for it and for any smaller part of it, since an
incident shows few signals when it opens and more of them later; a picture that shows anything
beyond it is heard as ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum


class Opinion(StrEnum):
    """What a person says of an incident."""

    TRUE = "true"
    """It was a fault: the picture is heard as ever again."""
    FALSE_ALARM = "false_alarm"
    """It was nothing: the picture needs a higher score, each time it is said again."""
    EXPECTED = "expected"
    """It was meant (a planned stop, a cleaning): the picture opens nothing any more."""
    WITHDRAWN = "withdrawn"
    """What was said before was a mistake."""


RAISE = 1.5
"""Factor on the score that a picture needs, for each time it was called a false alarm."""
RAISES_MAX = 4
"""A picture called false so often needs about five times the usual score, and no more."""
PICTURES_MAX = 100
"""Pictures of one machine that are remembered; the oldest goes."""


@dataclass(slots=True)
class Muted:
    """One picture that is heard less, or not at all."""

    opinion: Opinion
    said: int = 1
    """How often."""
    kept_quiet: int = 0
    """Incidents that did not open because of it."""

    @property
    def needed(self) -> float:
        """The score that it takes to open; infinite for what is expected."""
        if self.opinion is Opinion.EXPECTED:
            return math.inf
        return float(RAISE ** min(self.said, RAISES_MAX))


@dataclass(slots=True)
class Feedback:
    """What was said of one machine."""

    muted: dict[str, Muted] = field(default_factory=dict)
    """By fingerprint, in the order in which it was said first."""
    quiet: bool = False
    """A picture is being kept quiet right now."""

    def say(self, picture: str, opinion: Opinion) -> None:
        """Take an opinion. The last one counts; the same one again counts more."""
        before = self.muted.get(picture)
        if opinion in (Opinion.TRUE, Opinion.WITHDRAWN):
            self.muted.pop(picture, None)
        elif before is not None and before.opinion is opinion:
            before.said += 1
        else:
            self.muted[picture] = Muted(opinion)
            while len(self.muted) > PICTURES_MAX:
                del self.muted[next(iter(self.muted))]

    def dismisses(self, picture: str) -> bool:
        """Whether an open incident of ``picture`` was just said to be none."""
        return any(covers(known, picture) for known in self.muted)

    def keeps_quiet(self, picture: str, score: float) -> bool:
        """Whether ``picture`` at ``score`` must not open an incident; counts each such stretch."""
        keeper = next(
            (
                one
                for known, one in self.muted.items()
                if score < one.needed and covers(known, picture)
            ),
            None,
        )
        if keeper is not None and not self.quiet:
            keeper.kept_quiet += 1
        self.quiet = keeper is not None
        return self.quiet


def covers(known: str, picture: str) -> bool:
    """Whether ``picture`` shows nothing beyond ``known``."""
    signals, shown = set(known.split("|")), set(picture.split("|"))
    # A picture of no signal at all (only their harmony is gone) is part of every picture.
    return known == picture or (len(shown) > 1 and shown <= signals)
