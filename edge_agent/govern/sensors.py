"""All sensors below one root, read once a second: files in, ``Vitals`` out, never an exception."""

from __future__ import annotations

import psutil

from edge_agent.config.govern import GovernSection
from edge_agent.govern import cgroup, cpu, heat, memory, power
from edge_agent.govern.doubt import HEAT_LEAP_C, HEAT_STAYS_S, Doubt
from edge_agent.govern.gauge import Gauge, missing
from edge_agent.govern.vitals import Vitals

REDISCOVER_S = 60.0
"""Drivers come and go: what is there is looked up this often."""
FROZEN_S = 30.0
"""A power sensor that says the same to the last digit for so long, while the load changed by
half a core or more, is stuck."""
FROZEN_CORES = 0.5


class Sensors:
    """Knows which sensors there are and what they said last. Not thread-safe."""

    def __init__(self, settings: GovernSection) -> None:
        self._settings = settings
        self._root = settings.sensor_root
        self._daemon = psutil.Process()
        self._worker: psutil.Process | None = None
        self._worker_cpu_s: float | None = None
        self._host: cpu.HostTime | None = None
        self._groups = cgroup.Groups()
        self._zones: list[power.EnergyZone] = []
        self._energy: power.EnergyReading | None = None
        self._last_at: float | None = None
        self._discovered_at: float | None = None
        self._power_seen = False
        self._heat_seen = False
        self._frozen = Frozen()
        self._headroom_c: float | None = None
        self._doubt = Doubt(HEAT_STAYS_S, follow=True)

    @property
    def groups(self) -> cgroup.Groups:
        """Our control groups, as last looked up."""
        return self._groups

    def watch_worker(self, pid: int | None) -> None:
        """Count ``pid`` as the inference worker from now on; None: there is none."""
        if self._worker is not None and self._worker.pid == pid and self._worker.is_running():
            return
        self._worker_cpu_s = None
        try:
            self._worker = None if pid is None else psutil.Process(pid)
        except psutil.Error:
            self._worker = None

    def sample(self, now: float) -> Vitals:
        """Read everything. ``now``: monotonic seconds."""
        if self._discovered_at is None or now - self._discovered_at >= REDISCOVER_S:
            self._discover(now)
        host = cpu.read_host_time(self._root)
        busy = self._busy_cores(host)
        worker = memory.process_use(self._worker)
        worker_cores = self._worker_cores(worker, now)
        supply = power.read_supply(self._root)
        watts = self._frozen.check(self._watts(supply, now), busy.value, now)
        warmth = self._believed(heat.read_heat(self._root, self._settings.heat_limit_c), now)
        lost = self._lost(watts, warmth)
        self._last_at = now
        return Vitals(
            at=now,
            watts=watts,
            busy_cores=busy,
            worker_cores=worker_cores,
            cores=cpu.usable_cores(self._groups),
            memory=memory.MemoryUse(
                memory.process_use(self._daemon),
                worker,
                memory.host_available(self._root),
                cgroup.memory_room(self._groups),
            ),
            heat=warmth,
            pressure=cpu.read_pressure(self._root),
            supply=supply,
            flags=heat.read_flags(self._root),
            frequency_share=heat.frequency_share(self._root),
            lost=lost,
        )

    def _discover(self, now: float) -> None:
        self._groups = cgroup.find_groups(self._root)
        self._rails = power.find_rails(self._root, self._settings.power_rails)
        zones = power.find_energy_zones(self._root)
        if zones != self._zones:
            self._zones, self._energy = zones, None
        self._discovered_at = now

    def _busy_cores(self, host: cpu.HostTime | None) -> Gauge:
        """Since the last sample; the first time, and in between two ticks, since the boot."""
        if host is not None and (self._host is None or host.total == self._host.total):
            self._host = self._host or host
            return cpu.busy_cores(cpu.HostTime(0.0, 0.0, host.cores), host)
        before, self._host = self._host, host
        return cpu.busy_cores(before, host)

    def _worker_cores(self, use: memory.ProcessUse, now: float) -> float:
        before, self._worker_cpu_s = self._worker_cpu_s, use.cpu_s
        if before is None or self._last_at is None or now <= self._last_at:
            return 0.0
        return max(0.0, use.cpu_s - before) / (now - self._last_at)

    def _watts(self, supply: power.Supply, now: float) -> Gauge:
        """The first source that answers; the reasons of all where none does."""
        wanted = self._settings.power_sensor
        if wanted == "estimate":
            return missing("the settings ask for the estimate")
        reasons = []
        if wanted in ("auto", "hwmon"):
            board = power.board_watts(self._rails)
            if board.value is not None:
                return board
            reasons.append(board.reason)
        if wanted in ("auto", "battery") and supply.on_battery:
            if supply.watts.value is not None:
                return supply.watts
            reasons.append(supply.watts.reason)
        if wanted in ("auto", "rapl"):
            energy = self._rapl(now)
            if energy.value is not None:
                return energy
            reasons.append(energy.reason)
        return missing("; ".join(reasons) or f"no {wanted} sensor answers")

    def _rapl(self, now: float) -> Gauge:
        if not self._zones:
            return missing("RAPL: no energy counter")
        after = power.read_energy(self._zones, now)
        if isinstance(after, Gauge):
            self._energy = None
            return after
        before, self._energy = self._energy, after
        if before is None:
            return missing("RAPL: first reading of the counters")
        return power.watts_between(self._zones, before, after)

    def _believed(self, warmth: heat.Heat, now: float) -> heat.Heat:
        """Without a headroom that leapt; the last one believed is what it leaps from."""
        last = self._headroom_c
        headroom = warmth.headroom_c
        if last is not None:
            leap = HEAT_LEAP_C
            headroom = self._doubt.check(headroom, last - leap, last + leap, now)
        self._headroom_c = last if headroom.value is None else headroom.value
        return warmth if headroom is warmth.headroom_c else heat.Heat(headroom)

    def _lost(self, watts: Gauge, warmth: heat.Heat) -> tuple[str, ...]:
        self._power_seen |= watts.value is not None
        self._heat_seen |= warmth.headroom_c.value is not None
        lost = []
        if self._power_seen and watts.value is None:
            lost.append("power")
        if self._heat_seen and warmth.headroom_c.value is None:
            lost.append("heat")
        return tuple(lost)


class Frozen:
    """Notices a power sensor that has stopped measuring but still answers."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._since = 0.0
        self._least = float("inf")
        self._most = float("-inf")

    def check(self, watts: Gauge, busy: float | None, now: float) -> Gauge:
        """``watts``, or no value once it has been the same too long under a changing load."""
        if watts.value is None or watts.value != self._value:
            self._value, self._since = watts.value, now
            self._least, self._most = float("inf"), float("-inf")
        if busy is not None:
            self._least, self._most = min(self._least, busy), max(self._most, busy)
        stale = now - self._since >= FROZEN_S and self._most - self._least >= FROZEN_CORES
        if watts.value is None or not stale:
            return watts
        return missing(f"{watts.reason}: {watts.value:.3g} W for {now - self._since:.0f} s: stuck")
