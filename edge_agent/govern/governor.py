"""The governor: samples, decides, admits and charges. Thread-safe; the policy itself is pure."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from edge_agent.config.govern import GovernSection
from edge_agent.govern.admission import Situation, allow, thread_limit
from edge_agent.govern.budget import Bucket
from edge_agent.govern.cost import CostBook, Sample
from edge_agent.govern.estimate import Power, estimate, power_of, track_excess
from edge_agent.govern.history import PowerHistory, Slice
from edge_agent.govern.memory import squeeze, worker_room
from edge_agent.govern.policy import RANK, Cause, Standing, decide
from edge_agent.govern.sensors import Sensors
from edge_agent.govern.stress import stresses
from edge_agent.govern.vitals import Vitals
from edge_agent.level import Allowance, GovernorStatus, Level, Spent

log = structlog.get_logger()

SNAPSHOT_VERSION = 1
LONGEST_STEP_S = 5.0
"""A gap between samples beyond this counts as time that nobody watched: the careful rate."""
FORGOTTEN_S = 120.0
"""Who has not asked again for so long has given up."""
IDLE_CORES = 0.05
"""A worker that keeps less than this of a core busy is idle."""
FIRST_FILL = 0.7
"""A first start has this share in store: enough to try a job of unknown cost."""
BASE_S = 60.0
"""Time constant of the base power, seconds."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody has asked for the model in vain."""

    since: float
    asked_at: float


class Governor:
    """Holds the state between samples: bucket, level, base power, learned costs.

    ``clock``: wall time, Unix seconds (only for what outlives a restart); ``monotonic``: seconds.
    ``state``: what ``snapshot`` gave before the restart; None, or garbage, starts afresh.
    ``read``: a plant model in place of the sensors, for simulations.
    """

    def __init__(
        self,
        settings: GovernSection,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        state: bytes | None,
        read: Callable[[float], Vitals] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._sensors = Sensors(settings)
        self._read = read
        self._standing = Standing()
        self._costs = CostBook()
        self._history = PowerHistory()
        self._excess = 1.0
        self._base_watts = settings.idle_watts
        self._squeeze = 1.0
        self._squeezed_at = float("-inf")
        self._granted_gap_s = 0.0
        self._waiting: Waiting | None = None
        self._bucket = _bucket_for(settings)
        self._restore(state)
        self._vitals = self._sample(monotonic())
        self._power = power_of(settings, self._vitals, self._excess)
        if self._power.measured:
            self._base_watts = self._power.watts

    def sample(self) -> None:
        """Read the sensors and move bucket and level on; call it about once a second."""
        with self._lock:
            now = self._monotonic()
            vitals = self._sample(now)
            seconds = now - self._vitals.at
            if seconds <= 0:
                return
            self._account(vitals, seconds)
            self._vitals = vitals
            pressing = stresses(self._settings, vitals, self._bucket)
            before = self._standing
            self._standing = decide(pressing, before, now, self._settings.hysteresis_s)
            self._plan_memory(now)
        if before.level is not self._standing.level:
            log.info(
                "governor_level",
                before=str(before.level),
                now=str(self._standing.level),
                reason=self._standing.reason,
            )

    def admit(self, priority: int, tokens: int, model: str = "") -> Allowance:
        """What a diagnosis of ``tokens`` (prompt and answer) may use now; ``priority`` 0 is a
        critical fault. Ask again after ``wait_s`` where that is not 0."""
        with self._lock:
            forecast = self._costs.forecast(model, tokens, self._clock())
            allowance = allow(self._settings, self._situation(), forecast, critical=priority <= 0)
            self._granted_gap_s = allowance.token_gap_s
            return self._bound_wait(allowance)

    def charge(
        self,
        wall_s: float,
        cpu_s: float,
        tokens_in: int,
        tokens_out: int,
        joules: float | None,
        model: str = "",
    ) -> Spent:
        """Learn what a finished job took and return it. ``joules`` above the base power where the
        caller measured them; else the sensor's, else ``watts_per_core`` x processor seconds.

        The bucket is not touched: it pays for every second at the power of the whole gateway.
        """
        with self._lock:
            end = self._monotonic()
            measured = joules is not None
            if joules is None:
                joules, measured = self._history.above_base(end - wall_s, end)
            if not measured:
                joules = self._settings.watts_per_core * cpu_s
            paused = self._granted_gap_s * tokens_out
            seconds = max(0.01, cpu_s / max(1.0, self._vitals.cores), wall_s - paused)
            sample = Sample(self._clock(), joules, seconds, cpu_s)
            if tokens_out > 0:
                self._costs.learn(model, tokens_in + tokens_out, sample)
            return Spent(wall_s, cpu_s, joules, measured)

    def must_stop(self) -> bool:
        """Whether the model's running work must be cancelled now: the store is overdrawn, or the
        level has fallen to paused. Cheap enough to ask between two tokens."""
        with self._lock:
            overdrawn = self._bucket is not None and self._bucket.exhausted
            return overdrawn or self._standing.level is Level.PAUSED

    def worker_memory_mb(self) -> int:
        """What the inference worker may hold in all, megabytes; 0: it must not be loaded."""
        with self._lock:
            if self._standing.level is Level.PAUSED:
                return 0
            return int(worker_room(self._vitals.memory, self._settings) * self._squeeze)

    def observe_worker(self, pid: int | None) -> None:
        """The inference worker is ``pid``; None: there is none."""
        with self._lock:
            self._sensors.watch_worker(pid)

    def worker_exited(self) -> None:
        """The inference worker has ended."""
        self.observe_worker(None)

    def apply(self, settings: GovernSection) -> None:
        """New settings, from afar: budget, level and what was learned carry over."""
        with self._lock:
            fresh = _bucket_for(settings)
            if fresh is not None and self._bucket is not None:
                fresh = self._bucket.with_budget(fresh.budget_watts, fresh.window_s)
            if settings.sensor_root != self._settings.sensor_root or _sources(settings) != _sources(
                self._settings
            ):
                self._sensors = Sensors(settings)
            self._settings, self._bucket = settings, fresh

    def status(self) -> GovernorStatus:
        """Everything a person or the health message wants to know."""
        with self._lock:
            vitals, settings = self._vitals, self._settings
            average = self._history.average(vitals.at, settings.power_window_s)
            return GovernorStatus(
                level=self._standing.level,
                reason=self._standing.reason,
                watts=self._power.watts,
                watts_measured=self._power.measured,
                watts_source=self._power.source,
                average_watts=self._power.watts if average is None else average,
                budget_watts=settings.power_watts,
                joules_in_store=None if self._bucket is None else self._bucket.joules,
                daemon_mb=vitals.memory.daemon.resident_mb,
                worker_mb=vitals.memory.worker.resident_mb,
                memory_budget_mb=float(settings.memory_mb),
                worker_room_mb=worker_room(vitals.memory, settings) * self._squeeze,
                host_available_mb=vitals.memory.available.value,
                hottest_c=vitals.heat.hottest_c,
                headroom_c=vitals.heat.headroom_c.value,
                cores=vitals.cores,
                busy_cores=vitals.busy_cores.value,
                threads=thread_limit(settings, self._situation(), self._standing.level),
                on_battery=vitals.supply.on_battery,
                charge_percent=vitals.supply.charge_percent,
                alarms=(*sorted(vitals.flags), *(f"{name} sensor lost" for name in vitals.lost)),
            )

    def snapshot(self) -> bytes:
        """Bucket, level and learned costs for the next start; versioned JSON, a few kilobytes."""
        with self._lock:
            return json.dumps(
                {
                    "version": SNAPSHOT_VERSION,
                    "at": self._clock(),
                    "joules": None if self._bucket is None else self._bucket.joules,
                    "level": str(self._standing.level),
                    "base_watts": self._base_watts,
                    "excess": self._excess,
                    "costs": self._costs.dump(),
                }
            ).encode()

    def _sample(self, now: float) -> Vitals:
        return self._sensors.sample(now) if self._read is None else self._read(now)

    def _bound_wait(self, allowance: Allowance) -> Allowance:
        """Each wait is a forecast that a busy neighbour may spoil: together they are bounded."""
        now = self._monotonic()
        if allowance.wait_s <= 0:
            self._waiting = None
            return allowance
        waiting = self._waiting
        if waiting is None or now - waiting.asked_at > FORGOTTEN_S:
            waiting = Waiting(now, now)
        self._waiting = replace(waiting, asked_at=now)
        if now - waiting.since < self._settings.longest_wait_s:
            return allowance
        self._waiting = None
        return Allowance(
            Level.RULES_ONLY,
            f"power: waited {now - waiting.since:.0f} s for energy in vain",
            max_tokens=1,
            threads=1,
        )

    def _restore(self, state: bytes | None) -> None:
        if state is None:
            return
        try:
            document = json.loads(state)
            _check_version(document)
            away = self._clock() - float(document["at"])
            level = Level(document["level"])
            base, excess = float(document["base_watts"]), float(document["excess"])
            joules = document["joules"]
            if joules is not None and self._bucket is not None:
                self._bucket = self._bucket.restored(float(joules), away, base)
            self._costs.load(document["costs"])
        except (ValueError, TypeError, KeyError) as error:
            log.warning("governor_state_refused", reason=str(error), effect="costs learned anew")
            return
        self._base_watts, self._excess = base, min(20.0, max(0.0, excess))
        if level is not Level.FULL:
            reason = "as before the restart"
            self._standing = Standing(level, reason, Cause.POWER, self._monotonic())

    def _account(self, vitals: Vitals, seconds: float) -> None:
        """Charge the time since the last sample to the bucket and to the history."""
        settings = self._settings
        power = power_of(settings, vitals, self._excess)
        guess = estimate(settings, vitals)
        if power.measured:
            self._excess = track_excess(self._excess, power.watts, guess, seconds)
        self._follow_base(power, vitals.worker_cores, seconds)
        watts = power.watts
        if seconds > LONGEST_STEP_S:
            # Nobody watched: a job may have run all the time on all cores.
            full = settings.idle_watts + settings.watts_per_core * vitals.cores
            watts = max(watts, self._power.watts, full if self._vitals.worker_cores > 0 else 0.0)
        if self._bucket is not None:
            self._bucket = self._bucket.after(seconds, watts)
        piece = Slice(
            self._vitals.at, vitals.at, power.watts, min(self._base_watts, watts), power.measured
        )
        self._history.add(piece)
        self._power = power

    def _follow_base(self, power: Power, worker_cores: float, seconds: float) -> None:
        """Base power: what the gateway takes while the worker is idle."""
        if worker_cores < IDLE_CORES:
            share = min(1.0, seconds / BASE_S)
            self._base_watts += (power.watts - self._base_watts) * share
        else:
            self._base_watts = min(self._base_watts, power.watts)

    def _plan_memory(self, now: float) -> None:
        """Give way to a neighbour that grew; take back in small steps when it is gone."""
        memory_alarm = (
            self._standing.cause in (Cause.MEMORY, Cause.PRESSURE)
            and RANK[self._standing.level] >= RANK[Level.RULES_ONLY]
        )
        if now - self._squeezed_at < self._settings.hysteresis_s:
            return
        calm = self._standing.level in (Level.FULL, Level.ECO)
        share = squeeze(self._squeeze, over=memory_alarm, calm=calm)
        if share != self._squeeze:
            self._squeeze, self._squeezed_at = share, now

    def _situation(self) -> Situation:
        return Situation(
            self._standing,
            self._bucket,
            self._base_watts,
            self._settings.watts_per_core * max(1.0, self._excess if self._power.measured else 1.0),
            self._vitals.cores,
        )


def _check_version(document: Mapping[str, object]) -> None:
    if document["version"] != SNAPSHOT_VERSION:
        raise ValueError(f"version {document['version']}, not {SNAPSHOT_VERSION}")


def _bucket_for(settings: GovernSection) -> Bucket | None:
    if settings.power_watts is None:
        return None
    empty = Bucket(settings.power_watts, settings.power_window_s)
    return replace(empty, joules=FIRST_FILL * empty.capacity)


def _sources(settings: GovernSection) -> tuple[object, ...]:
    return (settings.power_sensor, settings.power_rails)
