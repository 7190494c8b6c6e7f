"""The governor: samples, decides, admits and charges. Thread-safe; the policy itself is pure."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping

import structlog

from edge_agent.config.govern import GovernSection, ScheduleSection
from edge_agent.domain.level import Allowance, GovernorStatus, Level, Spent
from edge_agent.govern.account import PowerAccount
from edge_agent.govern.admission import Situation, allow, thread_limit
from edge_agent.govern.cost import CostBook, Forecast
from edge_agent.govern.fence import Fence, delegated_group, enclose, tighten
from edge_agent.govern.grant import Finished, Grant, of_finished, of_stopped
from edge_agent.govern.memory import DAEMON_GROWTH_MB, RoomTrend, squeeze, worker_room
from edge_agent.govern.meter import MeterReading, meter_watts, with_meter
from edge_agent.govern.objections import objections
from edge_agent.govern.patience import Waiting, bound_wait
from edge_agent.govern.policy import RANK, Cause, Standing, decide
from edge_agent.govern.schedule import Moment, rule_at, under
from edge_agent.govern.sensors import Sensors
from edge_agent.govern.stress import stresses
from edge_agent.govern.vitals import Vitals

log = structlog.get_logger(__name__)

SNAPSHOT_VERSION = 3
PLANNED_SHARE = 0.92
"""A worker is planned into this share of its room: plans err by a few percent, and one that comes
out larger than the room would be loaded and stopped in turns."""
LEAST_FENCE_MB = 64.0
"""A worker that may hold nothing is stopped by its client, not strangled by the kernel."""
FENCE_STEP_MB = 8.0


class Governor:
    """Holds the state between samples: bucket, level, base power, learned costs.

    ``clock``: wall time, Unix seconds (schedules, and what outlives a restart); ``monotonic``:
    seconds. ``state``: what ``snapshot`` gave before the restart; None, or garbage, starts afresh.
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
        self._written = settings
        self._settings = settings  # with the schedule's budgets in force
        self._rule: ScheduleSection | None = None
        self._meter: MeterReading | None = None
        self._clock = clock
        self._monotonic = monotonic
        self._sensors = Sensors(settings)
        self._read = read
        self._standing = Standing()
        self._costs = CostBook()
        self._squeeze = 1.0
        self._room = RoomTrend()
        self._squeezed_at = float("-inf")
        self._grant = Grant(Allowance(Level.FULL, ""))
        self._waiting: Waiting | None = None
        self._worker_pid: int | None = None
        self._fence = Fence(None, "no worker yet")
        self._fenced_mb = 0.0
        self._vitals = self._sample(monotonic())
        self._plan_memory(self._vitals.at)
        self._account = PowerAccount(settings, self._vitals)
        self._restore(state)

    def sample(self) -> None:
        """Read the sensors and move bucket and level on; call it about once a second."""
        with self._lock:
            now = self._monotonic()
            if now <= self._vitals.at:
                return
            vitals = self._sample(now)
            self._account.move_on(vitals)
            self._vitals = vitals
            self._follow_schedule()
            pressing = stresses(self._settings, vitals, self._account.bucket, self._rule)
            before = self._standing
            self._standing = decide(pressing, before, now, self._settings.hysteresis_s)
            self._plan_memory(now)
            self._move_fence()
            _tell(before, self._standing)

    def admit(self, priority: int, tokens: int, model: str = "") -> Allowance:
        """What a diagnosis of ``tokens`` (prompt and answer) may use now; ``priority`` 0 is a
        critical fault. Ask again after ``wait_s`` where that is not 0; the waits together are
        bounded by ``longest_wait_s``."""
        with self._lock:
            today = self._clock()

            def forecasts(threads: int) -> Forecast | None:
                return self._costs.forecast(model, tokens, threads, today)

            wanted = allow(self._settings, self._situation(), forecasts, critical=priority <= 0)
            longest = self._settings.longest_wait_s
            allowance, self._waiting = bound_wait(wanted, self._waiting, self._monotonic(), longest)
            worked_s = self._vitals.memory.worker.cpu_s
            self._grant = Grant(allowance, model, tokens, worked_s)
            return allowance

    def charge(
        self,
        wall_s: float,
        cpu_s: float,
        tokens_in: int,
        tokens_out: int,
        joules: float | None,
        *,
        tokens_forced: int = 0,
    ) -> Spent:
        """Learn what a finished job took and return it. ``joules`` above the base power where the
        caller measured them; else the sensor's, else ``watts_per_core`` x processor seconds.

        ``tokens_forced`` of the answer cost no decode call of their own. It is booked under the
        model and length of the last ``admit``. The bucket is not touched:
        it pays for every second at the power of the whole gateway.
        """
        with self._lock:
            end = self._monotonic()
            measured = joules is not None
            if cpu_s <= 0 and tokens_out > 0:  # an engine that does not tell: all its threads
                cpu_s = wall_s * self._grant.allowance.threads
            if joules is None:
                joules, measured = self._account.joules_of(end - wall_s, end, cpu_s)
            self._learn(
                Finished(wall_s, cpu_s, tokens_out - tokens_forced, joules), tokens_in + tokens_out
            )
            return Spent(wall_s, cpu_s, joules, measured)

    def meter(self, payload: bytes) -> None:
        """A message of the external meter. Raises ``BadPayload`` if it holds no power."""
        watts = meter_watts(payload, self._written.meter_field, self._written.meter_scale)
        with self._lock:
            self._meter = MeterReading(watts, self._monotonic(), self._vitals.worker_cores)

    def must_stop(self) -> bool:
        """Whether the model's running work must be cancelled now: the store is overdrawn, the
        worker holds more memory than is left for it, or the level has fallen to paused. Cheap
        enough to ask between two tokens."""
        with self._lock:
            bucket = self._account.bucket
            overdrawn = bucket is not None and bucket.exhausted
            self._grant.overdrawn |= overdrawn
            return overdrawn or self._standing.level is Level.PAUSED or self._pushed()

    def worker_must_yield(self) -> bool:
        """Whether the worker must be stopped, idle or not: it holds more memory than is left for
        it, or the level has fallen to paused."""
        with self._lock:
            held = self._vitals.memory.worker.resident_mb > 0
            return held and (self._standing.level is Level.PAUSED or self._pushed())

    def worker_memory_mb(self) -> int:
        """What a worker that is to be loaded may hold in all, megabytes; 0: none may be loaded.
        Less than one that is loaded may keep (``worker_must_yield``) while room is falling."""
        with self._lock:
            return int(self._worker_room())

    def worker_budget_mb(self, settings: GovernSection) -> int:
        """What ``settings`` would leave a worker, whatever neighbours hold now, megabytes."""
        with self._lock:
            mine = self._vitals.memory.daemon.resident_mb + DAEMON_GROWTH_MB
        return max(0, int((settings.memory_mb - mine) * PLANNED_SHARE))

    def observe_worker(self, pid: int | None) -> None:
        """The inference worker is ``pid``; None: there is none. A new one gets a control group of
        its own where one was delegated to us."""
        with self._lock:
            self._sensors.watch_worker(pid)
            if pid is None or pid == self._worker_pid:
                self._worker_pid = pid
                return
            self._worker_pid = pid
            group = delegated_group(self._sensors.groups, os.getpid())
            most = max(
                LEAST_FENCE_MB, self._settings.memory_mb - self._vitals.memory.daemon.resident_mb
            )
            self._fenced_mb = max(LEAST_FENCE_MB, self._worker_room() / PLANNED_SHARE)
            self._fence = enclose(group, os.getpid(), pid, high_mb=self._fenced_mb, most_mb=most)
        log.info("worker_fenced", pid=pid, how=self._fence.words)

    def worker_exited(self) -> None:
        """The inference worker has ended."""
        self.observe_worker(None)

    def apply(self, settings: GovernSection) -> None:
        """New settings, from afar: budget, level and what was learned carry over."""
        with self._lock:
            if _sources(settings) != _sources(self._written):
                self._sensors = Sensors(settings)
            self._written = settings
            self._settings = under(settings, self._rule)
            self._account.put_in_force(self._settings)

    def objections(self) -> list[str]:
        """Contradictions between the settings and this machine, a sentence each."""
        with self._lock:
            return objections(self._written, self._vitals)

    def status(self) -> GovernorStatus:
        """Everything a person or the health message wants to know."""
        with self._lock:
            vitals, account = self._vitals, self._account
            bucket, memory = account.bucket, vitals.memory
            return GovernorStatus(
                level=self._standing.level,
                reason=self._standing.reason,
                watts=account.power.watts,
                watts_measured=account.power.measured,
                watts_source=account.power.source,
                average_watts=account.average_watts,
                budget_watts=self._settings.power_watts,
                joules_in_store=None if bucket is None else bucket.joules,
                daemon_mb=memory.daemon.resident_mb,
                worker_mb=memory.worker.resident_mb,
                memory_budget_mb=float(self._settings.memory_mb),
                worker_room_mb=self._worker_room(),
                host_available_mb=memory.available.value,
                hottest_c=vitals.heat.hottest_c,
                headroom_c=vitals.heat.headroom_c.value,
                cores=vitals.cores,
                busy_cores=vitals.busy_cores.value,
                cpu_waiting_percent=vitals.pressure.cpu_some,
                threads=thread_limit(self._settings, self._situation(), self._standing.level),
                on_battery=vitals.supply.on_battery,
                charge_percent=vitals.supply.charge_percent,
                alarms=(*sorted(vitals.flags), *(f"{name} sensor lost" for name in vitals.lost)),
                schedule=None if self._rule is None else self._rule.name,
            )

    def snapshot(self) -> bytes:
        """Bucket, level and learned costs for the next start; versioned JSON, a few kilobytes."""
        with self._lock:
            document = {
                "version": SNAPSHOT_VERSION,
                "at": self._clock(),
                "level": str(self._standing.level),
                "costs": self._costs.dump(),
                **self._account.dump(),
            }
        return json.dumps(document).encode()

    def _restore(self, state: bytes | None) -> None:
        if state is None:
            return
        try:
            document = json.loads(state)
            _check_version(document)
            level = Level(document["level"])
            self._costs.load(document["costs"])
            self._account.load(document, self._clock() - float(document["at"]))
        except (ValueError, TypeError, KeyError) as error:
            log.warning("governor_state_refused", reason=str(error), effect="costs learned anew")
            return
        if level is not Level.FULL:
            reason = "as before the restart"
            self._standing = Standing(level, reason, Cause.POWER, self._monotonic())

    def _learn(self, done: Finished, tokens: int) -> None:
        grant, today = self._grant, self._clock()
        if done.calls > 0:
            sample = of_finished(grant, done, today)
        elif grant.overdrawn:
            worked_s, per_core = self._vitals.memory.worker.cpu_s, self._account.watts_per_core
            sample = of_stopped(grant, worked_s, done.wall_s, per_core, today)
        else:
            return
        if sample.cpu_s <= 0:  # nothing ran: the worker could not be seen, or never began
            return
        # Under the length that was asked for: that is what the next job will ask for as well.
        length = grant.tokens or tokens
        self._costs.learn(grant.model, length, grant.allowance.threads, sample)

    def _sample(self, now: float) -> Vitals:
        vitals = self._sensors.sample(now) if self._read is None else self._read(now)
        return with_meter(self._settings, self._meter, vitals)

    def _follow_schedule(self) -> None:
        if not self._written.schedule and self._rule is None:
            return
        local = time.localtime(self._clock())
        moment = Moment(local.tm_wday, local.tm_hour * 60 + local.tm_min)
        rule = rule_at(self._written, moment, on_battery=self._vitals.supply.on_battery)
        if rule != self._rule:
            log.info("schedule", before=_name(self._rule), now=_name(rule))
            self._rule, self._settings = rule, under(self._written, rule)
            self._account.put_in_force(self._settings)

    def _worker_room(self) -> float:
        if self._standing.level is Level.PAUSED:
            return 0.0
        hold_s = self._settings.hysteresis_s
        return self._room.plan_mb(self._vitals.at, hold_s) * self._squeeze * PLANNED_SHARE

    def _pushed(self) -> bool:
        memory = self._vitals.memory
        return memory.worker.resident_mb > worker_room(memory, self._settings)

    def _plan_memory(self, now: float) -> None:
        """Give way to a neighbour that grew; take back in small steps when it is gone."""
        room = worker_room(self._vitals.memory, self._settings)
        self._room.observe(now, room, self._settings.hysteresis_s)
        alarm = (
            self._standing.cause in (Cause.MEMORY, Cause.PRESSURE)
            and RANK[self._standing.level] >= RANK[Level.RULES_ONLY]
        )
        if now - self._squeezed_at < self._settings.hysteresis_s:
            return
        calm = self._standing.level in (Level.FULL, Level.ECO)
        share = squeeze(self._squeeze, over=alarm, calm=calm)
        if share != self._squeeze:
            self._squeeze, self._squeezed_at = share, now

    def _move_fence(self) -> None:
        room = max(LEAST_FENCE_MB, self._worker_room() / PLANNED_SHARE)
        if abs(room - self._fenced_mb) > FENCE_STEP_MB and tighten(self._fence, room):
            self._fenced_mb = room

    def _situation(self) -> Situation:
        account = self._account
        return Situation(
            self._standing,
            account.bucket,
            account.base_watts,
            account.watts_per_core,
            self._vitals.cores,
        )


def _tell(before: Standing, after: Standing) -> None:
    if before.level is after.level:
        return
    # Between the levels that use the model it goes to and fro all day.
    without_model = max(RANK[before.level], RANK[after.level]) >= RANK[Level.RULES_ONLY]
    write = log.info if without_model else log.debug
    write("governor_level", before=str(before.level), now=str(after.level), reason=after.reason)


def _name(rule: ScheduleSection | None) -> str | None:
    return None if rule is None else rule.name


def _check_version(document: Mapping[str, object]) -> None:
    if document["version"] != SNAPSHOT_VERSION:
        raise ValueError(f"version {document['version']}, not {SNAPSHOT_VERSION}")


def _sources(settings: GovernSection) -> tuple[object, ...]:
    return (
        settings.sensor_root,
        settings.power_sensor,
        settings.power_rails,
        settings.heat_limit_c,
    )
