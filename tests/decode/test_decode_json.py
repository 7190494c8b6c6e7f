"""What the settings make of JSON payloads."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.domain.telemetry import Message, Quality, Reading
from edge_agent.errors import BadConfig, BadPayload

ARRIVED = 1_700_000_000.0


def decoder(**source: Any) -> Decoder:  # noqa: ANN401 - any setting
    source.setdefault("topic", "plant/{equipment}/telemetry")
    return Decoder(TelemetrySection(sources=(SourceSection(**source),)), "edge")


def message(
    payload: object, topic: str = "plant/pump/telemetry", *, retained: bool = False
) -> Message:
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    return Message(topic, body, ARRIVED, retained)


def pairs(readings: list[Reading]) -> dict[str, float]:
    return {reading.signal: reading.value for reading in readings}


def test_the_default_source_reads_a_flat_object_with_an_iso_time() -> None:
    payload = {"timestamp": "2026-11-23T06:00:00Z", "flow": 12.5, "pressure": 3}
    readings = Decoder(TelemetrySection(), "edge").decode(message(payload))
    at = 1_795_413_600.0
    assert readings == [
        Reading("pump", "flow", 12.5, at),
        Reading("pump", "pressure", 3.0, at),
    ]
    assert all(type(reading.value) is float for reading in readings)


def test_without_a_timestamp_the_arrival_counts() -> None:
    assert Decoder(TelemetrySection(), "edge").decode(message({"flow": 1.5}))[0].at == ARRIVED


@pytest.mark.parametrize(
    ("form", "zone", "stamp", "at"),
    [
        ("unix", "UTC", 1_700_000_000.5, 1_700_000_000.5),
        ("unix", "UTC", "1700000000", 1_700_000_000.0),
        ("unix_ms", "UTC", 1_700_000_000_500, 1_700_000_000.5),
        ("unix_us", "UTC", 1_700_000_000_500_000, 1_700_000_000.5),
        ("unix_ns", "UTC", 1_700_000_000_500_000_000, 1_700_000_000.5),
        ("iso8601", "UTC", "2023-11-14T22:13:20.123456789Z", 1_700_000_000.123456),
        ("iso8601", "Europe/Berlin", "2023-11-14T23:13:20", 1_700_000_000.0),
        ("iso8601", "Europe/Berlin", "2023-11-14T22:13:20+00:00", 1_700_000_000.0),
        ("%d.%m.%Y %H:%M:%S", "Europe/Berlin", "14.11.2023 23:13:20", 1_700_000_000.0),
    ],
)
def test_timestamps_come_in_the_unit_format_and_zone_of_the_source(
    form: str, zone: str, stamp: object, at: float
) -> None:
    reader = decoder(time="t", time_format=form, time_zone=zone)
    (reading,) = reader.decode(message({"t": stamp, "flow": 1.0}))
    assert reading.at == pytest.approx(at, abs=1e-6)
    assert reading.signal == "flow"


@pytest.mark.parametrize(
    "stamp", ["yesterday", "", 5, True, [[[]]], {"a": 1}, "9" * 500, "0001-01-01T00:00:00+23:59"]
)
def test_an_unreadable_timestamp_is_the_senders_fault(stamp: object) -> None:
    with pytest.raises(BadPayload, match="timestamp"):
        decoder(time="t").decode(message({"t": stamp, "flow": 1.0}))


@pytest.mark.parametrize("stamp", [1e30, -5, "nan", 10**400, 1_700_000_000_000_000])
def test_a_number_that_is_no_time_in_its_unit_is_refused(stamp: object) -> None:
    body = b'{"t":%s,"flow":1}' % (b'"nan"' if stamp == "nan" else str(stamp).encode())
    with pytest.raises(BadPayload):
        decoder(time="t", time_format="unix").decode(message(body))


def test_topic_levels_name_the_machine_and_the_signal() -> None:
    reader = decoder(
        topic="plant/{site}/_/{line}/{signal}", equipment="{site}-{line}", rename={"p1": "pressure"}
    )
    assert reader.filters == (("plant/+/+/+/+", 1),)
    assert reader.decode(message(3.5, "plant/north/x/7/p1")) == [
        Reading("north-7", "pressure", 3.5, ARRIVED)
    ]


@pytest.mark.parametrize(("value", "key"), [(None, "value"), ("v", "v")])
def test_an_object_around_the_signal_that_the_topic_names(value: str | None, key: str) -> None:
    reader = decoder(topic="plant/{equipment}/{signal}", value=value, time="ts", time_format="unix")
    for at in (5.0, 6.0):
        readings = reader.decode(message({"ts": at, key: 2.5, "unit": "bar"}, "plant/pump/p"))
        assert readings == [Reading("pump", "p", 2.5, at)]
    with pytest.raises(BadPayload, match="set value"):
        reader.decode(message({"ts": 7, "x": 2.5}, "plant/pump/p"))
    assert reader.decode(message({"ts": 7, key: None}, "plant/pump/p")) == []


def test_values_stand_below_a_path_and_nested_objects_get_dotted_names() -> None:
    reader = decoder(values="data.values", time="meta.ts", time_format="unix")
    readings = reader.decode(
        message(
            {"meta": {"ts": 5}, "data": {"values": {"flow": 1, "motor": {"temp": 2, "on": True}}}}
        )
    )
    assert pairs(readings) == {"flow": 1.0, "motor.temp": 2.0, "motor.on": 1.0}
    assert {reading.at for reading in readings} == {5.0}


def test_an_array_of_samples_has_a_time_each() -> None:
    reader = decoder(values="samples", time="t", time_format="unix")
    readings = reader.decode(message({"samples": [{"t": 1, "flow": 5}, {"t": 2, "flow": 6}]}))
    assert [(one.at, one.value) for one in readings] == [(1.0, 5.0), (2.0, 6.0)]


def test_each_signal_may_be_an_object_with_a_value_and_a_time_of_its_own() -> None:
    reader = decoder(value="v", time="t", time_format="unix")
    readings = reader.decode(
        message({"flow": {"v": 5, "t": 900}, "temp": {"v": 6, "t": 2}, "t": 77, "speed": 3})
    )
    assert {(one.signal, one.value, one.at) for one in readings} == {
        ("flow", 5.0, 900.0),
        ("temp", 6.0, 2.0),
        ("speed", 3.0, 77.0),
    }


def test_samples_may_carry_their_name_beside_the_value() -> None:
    reader = decoder(name="n", value="v", time="t", time_format="unix")
    readings = reader.decode(message([{"n": "a", "v": 1, "t": 5}, {"n": "b", "v": 2, "t": 6}]))
    assert [(one.signal, one.value, one.at) for one in readings] == [
        ("a", 1.0, 5.0),
        ("b", 2.0, 6.0),
    ]


def test_rename_and_ignore() -> None:
    reader = decoder(rename={"a/b": "flow"}, ignore=("serial",))
    assert pairs(reader.decode(message({"a/b": 1, "serial": 17, "temp": 2}))) == {
        "flow": 1.0,
        "temp": 2.0,
    }


def test_numbers_in_strings_only_where_allowed_and_words_where_named() -> None:
    payload = {"flow": "12,5 L/min", "state": "running", "x": 1}
    assert pairs(decoder().decode(message(payload))) == {"x": 1.0}
    reader = decoder(numbers_in_strings=True, words={"running": 2})
    assert pairs(reader.decode(message(payload))) == {"flow": 12.5, "state": 2.0, "x": 1.0}


def test_nulls_give_no_reading_and_no_fault() -> None:
    assert decoder().decode(message({"flow": None})) == []


@pytest.mark.parametrize(
    "text", [b'{"a":NaN,"b":1}', b'{"a":-Infinity,"b":1}', b'{"a":1e999,"b":1}']
)
def test_numbers_that_are_not_finite_are_marked(text: bytes) -> None:
    first, second = decoder().decode(message(text))
    assert first.quality is Quality.OUT_OF_RANGE
    assert not math.isfinite(first.value)
    assert second.quality is Quality.GOOD


def test_an_integer_too_large_for_a_float_is_not_finite() -> None:
    (reading,) = decoder().decode(message(b'{"a":1' + b"0" * 400 + b"}"))
    assert reading.quality is Quality.OUT_OF_RANGE


def test_retained_messages_are_replays_and_identical_ones_duplicates() -> None:
    reader = decoder(time="t", time_format="unix")
    assert reader.decode(message({"t": 5, "a": 1}, retained=True))[0].quality is Quality.REPLAY
    assert reader.decode(message({"t": 6, "a": 1}))[0].quality is Quality.GOOD
    assert reader.decode(message({"t": 6, "a": 1}))[0].quality is Quality.DUPLICATE
    assert reader.decode(message({"t": 6, "b": 1}))[0].quality is Quality.GOOD


def test_without_a_time_of_its_own_an_identical_payload_is_news() -> None:
    reader = decoder()
    assert [reader.decode(message({"a": 1}))[0].quality for _ in range(3)] == [Quality.GOOD] * 3


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"a/b": 1}, "no topic level"),
        ({"a\n": 1}, "control"),
        ({"": 1}, "empty"),
        ({"a" * 200: 1}, "200 characters"),
        ({"a": "text"}, "no number but the text"),
        ({"a": [1, 2]}, "an array"),
        ({}, "no signal"),
        ([], "no signal"),
        (12, "without a name"),
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deep"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "deeper than 16"),
        (b" " * 300_000, "max_payload_kb"),
    ],
)
def test_a_fault_names_its_reason(payload: object, words: str) -> None:
    with pytest.raises(BadPayload, match=words):
        decoder().decode(message(payload))


def test_payloads_that_are_no_telemetry_by_the_settings_are_counted() -> None:
    reader = decoder()
    assert reader.decode(message(b"online")) == []
    assert reader.counts.ignored == 1


def test_own_topics_are_never_telemetry() -> None:
    reader = decoder(topic="#", equipment="all")
    assert reader.decode(message({"a": 1}, "edge/gw1/deadletter")) == []
    assert pairs(reader.decode(message({"a": 1}, "other"))) == {"a": 1.0}


def test_caps_on_machines_and_signals_are_said_once() -> None:
    settings = TelemetrySection(max_equipment=2, max_signals=3)
    reader = Decoder(settings, "edge")
    for number in range(50):
        reader.decode(message({"s": 1}, f"plant/m{number}/telemetry"))
        reader.decode(message({f"s{number}": 1, f"t{number}": 2}, "plant/m0/telemetry"))
    assert reader.census.counts() == (2, 4)
    assert reader.census.over_equipment == 48
    assert reader.census.over_signals > 50
    assert len(reader.census.news()) == 2
    assert reader.census.news() == []


def test_unreadable_payloads_use_up_no_cap() -> None:
    reader = Decoder(TelemetrySection(max_equipment=1), "edge")
    for number in range(5):
        with pytest.raises(BadPayload):
            reader.decode(message(b"{", f"plant/junk{number}/telemetry"))
    assert reader.decode(message({"a": 1}))


def test_shared_subscriptions_carry_the_group() -> None:
    settings = TelemetrySection(share_group="plant7")
    assert Decoder(settings, "edge").filters == (("$share/plant7/plant/+/telemetry", 1),)


@pytest.mark.parametrize(
    "source",
    [
        {"topic": "plant/telemetry"},
        {"topic": "plant/{equipment}/{equipment}"},
        {"topic": "plant/#/{equipment}"},
        {"topic": "plant/pump-{equipment}"},
        {"topic": "plant/{equipment}", "signal": "{other}"},
        {"topic": "plant/{equipment}", "name": "n"},
    ],
)
def test_settings_that_cannot_work_are_refused(source: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="telemetry"):
        decoder(**source)


def test_the_report_names_the_clocks_that_are_furthest_off() -> None:
    reader = decoder(time="t", time_format="unix")
    for number in range(8):
        payload = {"t": ARRIVED - 100 * number, "a": 1, "note": "text"}
        reader.decode(message(payload, f"plant/m{number}/telemetry"))
    report = reader.report()
    assert report["skew_s"] == {f"m{number}": 100.0 * number for number in (7, 6, 5, 4, 3)}
    assert (report["machines"], report["signals"], report["skipped"]) == (8, 8, 8)


@pytest.mark.parametrize(("how", "value"), [("mean", 2.5), ("rms", math.sqrt(7.5)), ("last", 4.0)])
def test_an_array_of_bare_numbers_becomes_one_number_where_the_settings_say_how(
    how: str, value: float
) -> None:
    rows = decoder(topic="t/{equipment}/x", time="timestamp", arrays=how)
    payload = {"timestamp": "2026-01-01T00:00:00Z", "wave": [1, 2.0, 3, 4], "flow": 1.5}
    readings = rows.decode(message(payload, "t/p/x"))
    assert [(one.signal, one.value) for one in readings] == [("wave", value), ("flow", 1.5)]
    bare = decoder(topic="t/{equipment}/{signal}", arrays=how)
    (reading,) = bare.decode(message([1, 2.0, 3, 4], "t/p/wave"))
    assert (reading.signal, reading.value) == ("wave", value)


@pytest.mark.parametrize("payload", [[], [1, "a"], [1, None], [True, 1], [[1]], [1, {}]])
def test_an_array_of_anything_else_stays_unread(payload: object) -> None:
    source = decoder(topic="t/{equipment}/{signal}", arrays="mean")
    with pytest.raises(BadPayload):
        source.decode(message({"value": payload}, "t/p/wave"))


def test_an_array_is_refused_with_a_way_out() -> None:
    source = decoder(topic="t/{equipment}/{signal}")
    with pytest.raises(BadPayload, match="arrays = mean, rms or last"):
        source.decode(message({"value": [1, 2]}, "t/p/wave"))


def test_signals_without_end_are_capped_and_said_once() -> None:
    settings = TelemetrySection(
        sources=(SourceSection(topic="t/{equipment}/x"),), max_equipment=20, max_signals=100
    )
    reader = Decoder(settings, "edge")
    news: list[str] = []
    for number in range(100):
        payload = {f"s{number}-{key}": 1.5 for key in range(1_000)}
        reader.decode(message(payload, f"t/m{number % 50}/x"))
        news += reader.news()
    assert reader.census.counts() == (20, 2_000)
    assert reader.census.over_equipment + reader.census.over_signals == 10**5 - 2_000
    assert len(news) == 21


def test_topics_without_end_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.decode.decoder.ROUTES", 1_000)
    reader = decoder(topic="t/{equipment}/{signal}")
    for number in range(5_000):
        with suppress(BadPayload):
            reader.decode(Message(f"t/m{number}/s", b"1.5", ARRIVED))
        assert len(reader._routes) <= 1_000
    assert len(reader.decode(Message("t/m1/s", b"1.5", ARRIVED))) == 1


def test_ten_megabytes_are_refused_unread() -> None:
    reader = decoder(topic="t/{equipment}/x")
    with pytest.raises(BadPayload, match="max_payload_kb"):
        reader.decode(Message("t/p/x", b"[" * 10_000_000, ARRIVED))


def test_a_machine_whose_clock_says_1970_is_taken_at_its_own_pace() -> None:
    reader = decoder(topic="t/{equipment}/x", time="ts", time_format="unix")
    readings = [
        reader.decode(Message("t/p/x", b'{"ts": %d, "flow": 1.5}' % second, ARRIVED + second))[0]
        for second in range(20)
    ]
    assert {one.quality for one in readings} == {Quality.GOOD}
    assert reader.report()["skew_s"] == {"p": ARRIVED}
