"""``[report]``: what is said without an incident: check-ups and shift summaries."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from edge_agent.config.section import Section

_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


def _time_of_day(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError("a time of day such as 06:00")
    return text


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
AreaName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class ReportSection(Section):
    """Reports. Nothing is scheduled while the gateway's clock cannot be right."""

    checkup_h: float = Field(default=0.0, ge=0, le=8784)
    """Each machine that is quiet is looked at every so many hours, on ``…/checkup/{equipment}``:
    nothing deviates, or what drifts; behind every incident's diagnosis. 0: never."""
    shift_ends: tuple[Annotated[str, AfterValidator(_time_of_day)], ...] = Field(
        default=(), max_length=24
    )
    """Times of day, in the gateway's time zone (``06:00``), at which the incidents since the last
    one are summed up for each area, on ``…/summary/{area}``; empty: never."""
    areas: dict[AreaName, tuple[Pattern, ...]] = Field(default={}, max_length=100)
    """Area → machines (``*`` stands for any text: ``hall-2/*`` for a level of the topic); a machine
    in none belongs to the area of its card, else to ``plant``."""
