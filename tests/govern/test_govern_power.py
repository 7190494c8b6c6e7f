"""Power sensors on a made-up /sys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.govern import GovernSection
from edge_agent.govern.gauge import Gauge
from edge_agent.govern.power import (
    EnergyReading,
    EnergyZone,
    board_watts,
    find_energy_zones,
    find_rails,
    read_energy,
    read_supply,
    watts_between,
)
from edge_agent.govern.sensors import Frozen, Sensors

Put = Callable[[str, object], Path]
RAPL = "sys/class/powercap"
HWMON = "sys/class/hwmon/hwmon0"


def rapl(put: Put, zone: str, name: str, energy: int, limit: object = 262_143_328_850) -> None:
    put(f"{RAPL}/{zone}/name", name)
    put(f"{RAPL}/{zone}/energy_uj", energy)
    put(f"{RAPL}/{zone}/max_energy_range_uj", limit)


def test_rapl_adds_packages_and_memory_but_not_cores(root: Path, put: Put) -> None:
    rapl(put, "intel-rapl:0", "package-0", 1_000_000)
    rapl(put, "intel-rapl:0:0", "core", 500_000)
    rapl(put, "intel-rapl:0:1", "dram", 100_000)
    zones = find_energy_zones(root)
    assert [zone.name for zone in zones] == ["intel-rapl:0 package-0", "intel-rapl:0:1 dram"]
    before = read_energy(zones, 10.0)
    rapl(put, "intel-rapl:0", "package-0", 13_000_000)
    rapl(put, "intel-rapl:0:1", "dram", 2_100_000)
    after = read_energy(zones, 12.0)
    assert isinstance(before, EnergyReading)
    assert isinstance(after, EnergyReading)
    assert watts_between(zones, before, after).value == pytest.approx((12 + 2) / 2)


@given(
    start=st.integers(0, 10**9), step=st.integers(10**5, 10**8), limit=st.integers(10**9, 10**12)
)
def test_rapl_wraps_around_once(start: int, step: int, limit: int) -> None:
    zones = [EnergyZone("package-0", Path("unused"), float(limit))]
    before = EnergyReading(0.0, {"package-0": float(start)})
    after = EnergyReading(1.0, {"package-0": float((start + step) % limit)})
    watts = watts_between(zones, before, after)
    assert watts.value == pytest.approx(step / 1e6)


def test_rapl_that_goes_back_without_a_range_is_no_measurement() -> None:
    zones = [EnergyZone("package-0", Path("unused"), None)]
    before = EnergyReading(0.0, {"package-0": 5e6})
    after = EnergyReading(1.0, {"package-0": 1e6})
    watts = watts_between(zones, before, after)
    assert watts.value is None
    assert "backwards" in watts.reason


def test_rapl_without_permission_says_what_to_do(root: Path, put: Put) -> None:
    rapl(put, "intel-rapl:0", "package-0", 1)
    zones = find_energy_zones(root)
    zones[0].counter.chmod(0)
    if os.geteuid() == 0:  # root reads everything: ask as nobody
        zones[0].counter.parent.chmod(0o755)
        for parent in zones[0].counter.parents:
            if str(parent).startswith("/tmp") and parent != Path("/tmp"):  # noqa: S108
                parent.chmod(0o755)
        os.seteuid(65_534)
    try:
        answer = read_energy(zones, 0.0)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    assert isinstance(answer, Gauge)
    assert "permission" in answer.reason


def test_ina3221_multiplies_millivolts_and_milliamperes(root: Path, put: Put) -> None:
    put(f"{HWMON}/name", "ina3221")
    for channel, (label, millivolts, milliamperes) in enumerate(
        [("VDD_GPU", 5000, 300), ("VDD_CPU", 5000, 500)], start=1
    ):
        put(f"{HWMON}/in{channel}_label", label)
        put(f"{HWMON}/in{channel}_input", millivolts)
        put(f"{HWMON}/curr{channel}_input", milliamperes)
    assert board_watts(find_rails(root)).value == pytest.approx(4.0)
    put(f"{HWMON}/in3_label", "VDD_IN")
    put(f"{HWMON}/in3_input", 12_000)
    put(f"{HWMON}/curr3_input", 700)
    total = board_watts(find_rails(root))
    assert total.value == pytest.approx(8.4), "the input rail holds the others already"
    assert "VDD_IN" in total.reason


def test_ina226_tells_microwatts_and_a_graphics_card_is_not_the_board(root: Path, put: Put) -> None:
    put("sys/class/hwmon/hwmon1/name", "amdgpu")
    put("sys/class/hwmon/hwmon1/power1_average", 55_000_000)
    assert find_rails(root) == []
    put(f"{HWMON}/name", "ina226")
    put(f"{HWMON}/power1_input", 6_125_000)
    assert board_watts(find_rails(root)).value == pytest.approx(6.125)
    wanted = find_rails(root, ["amdgpu/power1"])
    assert board_watts(wanted).value == pytest.approx(55.0)


@pytest.mark.parametrize("value", ["", "abc", "-5", "9" * 400, "1e99", b"\xff\xfe", "12.5", "0"])
def test_a_broken_rail_is_no_measurement(root: Path, put: Put, value: object) -> None:
    put(f"{HWMON}/name", "ina226")
    put(f"{HWMON}/power1_input", value)
    answer = board_watts(find_rails(root))
    assert answer.value is None
    assert answer.reason


def battery(put: Put, **files: object) -> None:
    for name, value in {"type": "Battery", **files}.items():
        put(f"sys/class/power_supply/BAT0/{name}", value)


def test_battery_tells_charge_and_power(root: Path, put: Put) -> None:
    assert read_supply(root).on_battery is None
    battery(put, status="Discharging", capacity=41, voltage_now=12_000_000, current_now=-500_000)
    put("sys/class/power_supply/AC/type", "Mains")
    put("sys/class/power_supply/AC/online", 0)
    supply = read_supply(root)
    assert supply.on_battery is True
    assert supply.charge_percent == 41
    assert supply.watts.value == pytest.approx(6.0)
    put("sys/class/power_supply/AC/online", 1)
    assert read_supply(root).on_battery is False


def test_a_mouse_is_no_supply(root: Path, put: Put) -> None:
    battery(put, status="Discharging", capacity=3, scope="Device")
    assert read_supply(root).on_battery is None


def test_a_sensor_that_disappears_is_reported_lost(root: Path, put: Put) -> None:
    put(f"{HWMON}/name", "ina226")
    path = put(f"{HWMON}/power1_input", 6_000_000)
    sensors = Sensors(GovernSection(sensor_root=root))
    assert sensors.sample(0.0).watts.value == pytest.approx(6.0)
    path.unlink()
    vitals = sensors.sample(1.0)
    assert vitals.watts.value is None
    assert "power" in vitals.lost
    put(f"{HWMON}/power1_input", 5_000_000)
    assert sensors.sample(2.0).lost == ()


def test_a_sensor_stuck_while_the_load_changes_is_no_measurement() -> None:
    frozen = Frozen()
    stuck = Gauge(6.0, "hwmon")
    for second in range(60):
        assert frozen.check(stuck, 0.1, float(second)).value == 6.0, "an even load explains it"
    assert frozen.check(stuck, 1.5, 60.0).value is None
    assert frozen.check(Gauge(6.1, "hwmon"), 1.5, 61.0).value == 6.1


@given(
    data=st.dictionaries(
        st.sampled_from(
            [
                f"{HWMON}/power1_input",
                f"{RAPL}/intel-rapl:0/energy_uj",
                f"{RAPL}/intel-rapl:0/max_energy_range_uj",
                "sys/class/power_supply/BAT0/capacity",
                "sys/class/power_supply/BAT0/power_now",
                "sys/class/thermal/thermal_zone0/temp",
                "sys/class/thermal/thermal_zone0/trip_point_0_temp",
                "sys/devices/platform/soc/soc:firmware/get_throttled",
                "proc/stat",
                "proc/meminfo",
                "proc/pressure/memory",
                "proc/self/cgroup",
                "sys/fs/cgroup/memory.max",
                "sys/fs/cgroup/cpu.max",
            ]
        ),
        st.one_of(st.binary(max_size=64), st.integers(-(10**30), 10**30).map(lambda n: b"%d" % n)),
    )
)
def test_no_content_of_any_sensor_file_raises(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("root")
    fixed = {
        f"{HWMON}/name": b"ina226",
        f"{RAPL}/intel-rapl:0/name": b"package-0",
        "sys/class/power_supply/BAT0/type": b"Battery",
        "sys/class/power_supply/BAT0/status": b"Discharging",
        "sys/class/thermal/thermal_zone0/trip_point_0_type": b"passive",
        "sys/fs/cgroup/cgroup.controllers": b"cpu memory",
    }
    for name, content in (fixed | data).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sensors = Sensors(GovernSection(sensor_root=root))
    for second in range(2):
        vitals = sensors.sample(float(second))
        assert vitals.watts.value is None or 0.05 <= vitals.watts.value <= 3000
        assert vitals.watts.value is not None or vitals.watts.reason
        assert vitals.cores > 0
