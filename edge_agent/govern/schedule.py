"""Which budgets hold now: shifts, nights, battery. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_agent.config.govern import GovernSection, ScheduleSection

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Moment:
    """Local time of the week."""

    weekday: int
    """0 is Monday."""
    minute: int
    """Since midnight."""


def rule_at(
    settings: GovernSection, moment: Moment, *, on_battery: bool | None
) -> ScheduleSection | None:
    """The first rule of the schedule that fits; None: the section's own budgets hold."""
    for rule in settings.schedule:
        fits = rule.on_battery is None or rule.on_battery == bool(on_battery)
        if fits and _within(rule, moment):
            return rule
    return None


def under(settings: GovernSection, rule: ScheduleSection | None) -> GovernSection:
    """The section with the rule's budgets in place of its own."""
    changes: dict[str, Any] = {}
    if rule is not None and rule.power_watts is not None:
        changes["power_watts"] = rule.power_watts
    if rule is not None and rule.power_peak_watts is not None:
        changes["power_peak_watts"] = rule.power_peak_watts
    return settings.model_copy(update=changes) if changes else settings


def _within(rule: ScheduleSection, moment: Moment) -> bool:
    start, end = _minutes(rule.start), _minutes(rule.end)
    today, yesterday = DAYS[moment.weekday], DAYS[moment.weekday - 1]
    if start < end:
        return today in rule.days and start <= moment.minute < end
    begun = today in rule.days and moment.minute >= start
    return begun or (yesterday in rule.days and moment.minute < end)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
