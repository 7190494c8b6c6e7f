"""May this diagnosis use the model, from when, and how fast? Pure.

While a job runs, ``budget - base`` flows in. So a job of ``joules`` above base that takes
``seconds`` needs ``joules - (budget - base) x seconds`` from the store; pauses between its tokens
and fewer threads stretch it, and with enough of them it needs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Allowance, Level
from edge_agent.govern.budget import Bucket
from edge_agent.govern.cost import Forecast
from edge_agent.govern.cpu import whole_threads
from edge_agent.govern.policy import Cause, Standing

TOKENS = {Level.FULL: 256, Level.ECO: 160, Level.SHORT: 96, Level.RULES_ONLY: 1, Level.PAUSED: 1}
"""Answer tokens at most."""
CORE_SHARE = {Level.FULL: 1.0, Level.ECO: 0.5, Level.SHORT: 0.5}
"""Share of our cores that decode."""
STORE_SHARE = {Level.FULL: 1.0, Level.ECO: 0.5, Level.SHORT: 0.25}
"""Share of the joules in store that one job may draw before it is paced instead."""
LONGEST_GAP_S = 1.0
"""Longest pause between two tokens; beyond it waiting is better than holding the model."""
UNKNOWN_FILL = 0.6
"""A job of unknown cost starts once the store is this full; it is stopped if it overdraws."""
ASK_AGAIN_S = 30.0
"""Longest time until the caller asks again: the forecast may be too dark."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What admission looks at besides the job."""

    standing: Standing
    bucket: Bucket | None
    """None: no power budget."""
    base_watts: float
    """Power of the gateway without the worker."""
    watts_per_core: float
    cores: float


Forecasts = Callable[[int], Forecast | None]
"""What a job costs on so many threads; None while nothing is known of its cost."""


def allow(
    settings: GovernSection, now: Situation, forecasts: Forecasts, *, critical: bool
) -> Allowance:
    """The allowance for one diagnosis."""
    level, reason = now.standing.level, now.standing.reason
    if level is Level.RULES_ONLY and now.standing.cause is Cause.POWER and critical:
        level, reason = Level.SHORT, "critical fault: the reserve is open to it"
    if level in (Level.RULES_ONLY, Level.PAUSED):
        return _rules(level, reason)
    threads = thread_limit(settings, now, level)
    if threads == 0:
        return _rules(Level.RULES_ONLY, "one busy core would exceed power_peak_watts")
    pace: dict[str, Any] = {"max_tokens": TOKENS[level], "threads": threads}
    if now.bucket is None:
        return Allowance(level, reason, **pace)
    return _from_store(settings, now, forecasts, critical, Allowance(level, reason, **pace))


def thread_limit(settings: GovernSection, now: Situation, level: Level) -> int:
    """Threads that level, affinity, quota and peak power leave; 0: not even one."""
    cores = max(1.0, now.cores * CORE_SHARE.get(level, 0.5))
    if settings.power_peak_watts is not None:
        spare = settings.power_peak_watts - now.base_watts
        peak = int(spare / max(0.01, now.watts_per_core) + 1e-9)
        if peak < 1:
            return 0
        cores = min(cores, float(peak))
    return whole_threads(min(cores, now.cores))


def _rules(level: Level, reason: str) -> Allowance:
    return Allowance(level, reason, max_tokens=TOKENS[level], threads=1)


@dataclass(frozen=True, slots=True)
class Purse:
    """What may be spent on this job."""

    store: float
    """Joules above the floor that others keep."""
    most: float
    """Joules above the floor that the store can hold."""
    spare: float
    """Watts that flow in while it runs, less what the gateway takes anyway."""
    share: float
    """Share of the store that one job may draw."""
    unknown: float
    """Joules lacking until a job of unknown cost may be tried."""


def _from_store(
    settings: GovernSection,
    now: Situation,
    forecasts: Forecasts,
    critical: bool,
    pace: Allowance,
) -> Allowance:
    bucket = now.bucket
    assert bucket is not None  # noqa: S101 - the caller has looked; this tells the type checker
    floor = 0.0 if critical else settings.critical_reserve * bucket.capacity
    spare = bucket.budget_watts - now.base_watts
    if spare <= 0.01 * bucket.budget_watts:
        return _rules(
            Level.RULES_ONLY,
            f"power: others take {now.base_watts:.1f} of {bucket.budget_watts:.1f} W already",
        )
    purse = Purse(
        bucket.joules - floor,
        bucket.capacity - floor,
        spare,
        STORE_SHARE[pace.level],
        UNKNOWN_FILL * bucket.capacity - bucket.joules,
    )
    known = {n: found for n in range(pace.threads, 0, -1) if (found := forecasts(n)) is not None}
    best = _affordable(purse, known, pace)
    if best is not None:
        return best
    if not known:
        return _try_out(settings, purse, pace)
    return _saved_for(settings, purse, known, pace)


def _affordable(purse: Purse, known: Mapping[int, Forecast], pace: Allowance) -> Allowance | None:
    """The best way to run it now: the soonest done, or below ``full`` the cheapest."""
    ways = []
    for threads, forecast in known.items():
        gap = _gap(forecast, purse.spare, purse.store * purse.share)
        if purse.store >= 0 and gap <= LONGEST_GAP_S:
            lasts = forecast.seconds + gap * forecast.calls
            ways.append((lasts if pace.level is Level.FULL else forecast.joules, threads, gap))
    if not ways:
        return None
    _, threads, gap = min(ways)
    return replace(pace, threads=threads, token_gap_s=round(gap, 4))


def _try_out(settings: GovernSection, purse: Purse, pace: Allowance) -> Allowance:
    """A job of unknown cost, on one thread: if it overdraws, it does so slowly and is stopped."""
    if purse.unknown > 0:
        return _wait(settings, pace, purse.unknown / purse.spare)
    return replace(pace, threads=1)


def _saved_for(
    settings: GovernSection, purse: Purse, known: Mapping[int, Forecast], pace: Allowance
) -> Allowance:
    """Wait until the store covers the job at its slowest; without hope, the rules."""
    threads = min(known, key=lambda n: _least_draw(known[n], purse.spare))
    need = _least_draw(known[threads], purse.spare)
    if need > purse.most and not known[1].own:
        return _try_out(settings, purse, pace)
    if need > purse.most:
        return _rules(
            Level.RULES_ONLY,
            f"power: a diagnosis needs {need:.0f} J beyond the budget's flow and the store holds "
            f"{purse.most:.0f} J; a longer power_window_s, more power_watts or a smaller model "
            "helps",
        )
    target = min(purse.most, max(0.0, need / purse.share))
    if purse.store >= REACHED * target:
        return replace(pace, threads=threads, token_gap_s=LONGEST_GAP_S)
    return _wait(settings, pace, (target - purse.store) / purse.spare)


REACHED = 0.98
"""A full store never quite fills while the base power wavers."""


def _gap(forecast: Forecast, spare: float, store: float) -> float:
    """Pause between tokens that stretches a job until the store covers it, seconds."""
    seconds = (forecast.draw(spare) - store) / spare
    return max(0.0, seconds) / max(1, forecast.calls)


def _least_draw(forecast: Forecast, spare: float) -> float:
    """Joules that a job takes from the store at its slowest; negative: it could run for ever."""
    return forecast.draw(spare) - spare * LONGEST_GAP_S * forecast.calls


def _wait(settings: GovernSection, pace: Allowance, seconds: float) -> Allowance:
    if seconds > settings.longest_wait_s:
        return _rules(Level.RULES_ONLY, f"power: energy for a diagnosis only in {seconds:.0f} s")
    return replace(pace, wait_s=min(ASK_AGAIN_S, max(0.2, seconds)))
