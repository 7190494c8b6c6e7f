"""Heat, processor, memory and control groups on a made-up /sys and /proc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.govern import GovernSection
from edge_agent.govern import cgroup, cpu, heat, memory
from edge_agent.govern.gauge import Gauge
from edge_agent.govern.sensors import Sensors

Put = Callable[[str, object], Path]
ZONE = "sys/class/thermal/thermal_zone"


def zone(put: Put, number: int, millidegrees: object, **trips: int) -> None:
    put(f"{ZONE}{number}/type", f"cpu{number}")
    put(f"{ZONE}{number}/temp", millidegrees)
    for index, (kind, value) in enumerate(trips.items()):
        put(f"{ZONE}{number}/trip_point_{index}_type", kind)
        put(f"{ZONE}{number}/trip_point_{index}_temp", value)


def test_headroom_is_that_of_the_zone_nearest_its_first_trip_point(root: Path, put: Put) -> None:
    zone(put, 0, 70_000, active=50_000, passive=85_000, critical=100_000)
    zone(put, 1, 60_000, hot=70_000, passive=-274_000)
    nearest = heat.read_heat(root, limit_c=95)
    assert nearest.headroom_c.value == pytest.approx(10)
    assert nearest.zone == "cpu1"


def test_a_zone_without_trip_points_is_held_to_the_setting(root: Path, put: Put) -> None:
    zone(put, 0, 70_000)
    assert heat.read_heat(root, limit_c=80).headroom_c.value == pytest.approx(10)


@pytest.mark.parametrize("value", ["garbage", "-99999999", "999999999", ""])
def test_a_broken_zone_does_not_hide_the_others(root: Path, put: Put, value: str) -> None:
    zone(put, 0, value)
    assert heat.read_heat(root, 80).headroom_c.value is None
    zone(put, 1, 50_000)
    assert heat.read_heat(root, 80).headroom_c.value == pytest.approx(30)


def test_raspberry_flags_tell_now_not_since_boot(root: Path, put: Put) -> None:
    put(str(heat.THROTTLED), "50005")
    assert heat.read_flags(root) == {"under-voltage", "throttled"}
    put(str(heat.THROTTLED), "50000")
    assert heat.read_flags(root) == frozenset()


def test_host_time_counts_neither_waiting_nor_steal(root: Path, put: Put) -> None:
    put("proc/stat", "cpu  100 0 100 800 50 0 0 0 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5")
    before = cpu.read_host_time(root)
    put("proc/stat", "cpu  200 0 200 1000 100 0 0 350 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5")
    after = cpu.read_host_time(root)
    assert cpu.busy_cores(before, after).value == pytest.approx(200 / 800 * 2)
    assert cpu.busy_cores(None, after).value is None
    assert cpu.busy_cores(after, before).value is None


def test_pressure_reads_what_the_kernel_tells(root: Path, put: Put) -> None:
    put("proc/pressure/memory", "some avg10=12.50 avg60=1 avg300=0 total=5\nfull avg10=3.00 a")
    put("proc/pressure/io", "some avg10=x\nfull avg10=900.0")
    assert cpu.read_pressure(root) == cpu.Pressure(memory_some=12.5, memory_full=3.0)


def groups_v2(root: Path, put: Put) -> cgroup.Groups:
    put("proc/self/cgroup", "0::/system.slice/edge-agent.service")
    put("sys/fs/cgroup/cgroup.controllers", "cpu memory")
    put("sys/fs/cgroup/system.slice/edge-agent.service/memory.max", "max")
    return cgroup.find_groups(root)


def test_version_2_takes_the_least_limit_on_the_way_up(root: Path, put: Put) -> None:
    groups = groups_v2(root, put)
    assert cgroup.cpu_quota(groups) is None
    assert cgroup.memory_room(groups).value is None
    put("sys/fs/cgroup/system.slice/cpu.max", "50000 100000")
    put("sys/fs/cgroup/system.slice/edge-agent.service/cpu.max", "150000 100000")
    put("sys/fs/cgroup/system.slice/memory.max", 500_000_000)
    put("sys/fs/cgroup/system.slice/memory.current", 300_000_000)
    put("sys/fs/cgroup/system.slice/memory.stat", "anon 5\ninactive_file 100000000")
    assert cgroup.cpu_quota(groups) == pytest.approx(0.5)
    assert cgroup.memory_limit_mb(groups) == pytest.approx(500)
    assert cgroup.memory_room(groups).value == pytest.approx(300)
    assert cpu.whole_threads(cpu.usable_cores(groups)) == 1


def test_version_1_quota_and_limit(root: Path, put: Put) -> None:
    put("proc/self/cgroup", "4:memory:/box\n1:cpu,cpuacct:/box\n0::/")
    put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", 200_000_000)
    put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", 150_000_000)
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", 25_000)
    put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", 100_000)
    groups = cgroup.find_groups(root)
    assert cgroup.cpu_quota(groups) == pytest.approx(0.25)
    assert cgroup.memory_limit_mb(groups) == pytest.approx(200)
    assert cgroup.memory_room(groups).value == pytest.approx(50)


def test_a_path_outside_of_the_container_means_the_mount_point(root: Path, put: Put) -> None:
    put("proc/self/cgroup", "0::/../../docker/abc")
    put("sys/fs/cgroup/cgroup.controllers", "memory")
    put("sys/fs/cgroup/memory.max", 64_000_000)
    assert cgroup.memory_limit_mb(cgroup.find_groups(root)) == pytest.approx(64)


def use(
    daemon: float, worker: float, available: float | None = None, room: float | None = None
) -> memory.MemoryUse:
    return memory.MemoryUse(
        memory.ProcessUse(daemon), memory.ProcessUse(worker), Gauge(available), Gauge(room)
    )


def test_worker_room_is_the_least_of_budget_group_and_host() -> None:
    settings = GovernSection(memory_mb=600, host_reserve_mb=100)
    assert memory.worker_room(use(50, 0), settings) == pytest.approx(534)
    assert memory.worker_room(use(50, 200, available=150), settings) == pytest.approx(250)
    assert memory.worker_room(use(50, 200, room=44), settings) == pytest.approx(180)
    assert memory.worker_room(use(50, 0, available=20), settings) == 0


def test_a_neighbour_that_grows_is_a_stress() -> None:
    settings = GovernSection(memory_mb=1000, host_reserve_mb=100)
    calm, _ = memory.memory_stress(use(50, 250, available=4000), settings)
    tight, words = memory.memory_stress(use(50, 250, available=45), settings)
    assert calm == pytest.approx(0.3)
    assert tight > 1
    assert "host" in words


def test_available_memory(root: Path, put: Put) -> None:
    put("proc/meminfo", "MemTotal: 8 kB\nMemAvailable:  1000000 kB")
    assert memory.host_available(root).value == pytest.approx(1024)
    put("proc/meminfo", "MemAvailable:  lots kB")
    assert memory.host_available(root).value is None


def test_heat_that_leaps_is_believed_only_if_it_stays(root: Path, put: Put) -> None:
    sensors = Sensors(GovernSection(sensor_root=root, heat_limit_c=90))
    zone(put, 0, 50_000)
    assert sensors.sample(0.0).heat.headroom_c.value == pytest.approx(40)
    zone(put, 0, 140_000)
    for second in (1.0, 2.0, 3.0):
        vitals = sensors.sample(second)
        assert vitals.heat.headroom_c.value is None
        assert "heat" in vitals.lost
    assert sensors.sample(4.0).heat.headroom_c.value == pytest.approx(-50)
    zone(put, 0, 51_000)
    assert sensors.sample(5.0).heat.headroom_c.value is None
    assert sensors.sample(9.0).heat.headroom_c.value == pytest.approx(39)
