"""The Sparkplug B host against a node that follows the specification, and against worse ones."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.sparkplug import METRICS, MOVES, REBIRTH_EVERY_S, NodeState, SparkplugHost
from edge_agent.decode.sparkplug_pb2 import Payload  # type: ignore[attr-defined]
from edge_agent.decode.sparkplug_wire import host_state
from edge_agent.domain.telemetry import Message, Quality, Reading
from edge_agent.errors import BadPayload

T = 1_700_000_000.0


class Plant:
    """One edge node with one device, and a decoder that hears it."""

    def __init__(self, **source: Any) -> None:  # noqa: ANN401 - any setting
        section = SourceSection(topic="spBv1.0/#", format="sparkplug", **source)
        self.decoder = Decoder(TelemetrySection(sources=(section,)), "edge")
        self.seq = count()
        self.now = T

    def hear(self, kind: str, payload: Any, device: str | None = None) -> list[Reading]:  # noqa: ANN401
        topic = f"spBv1.0/plant/{kind}/node1" + (f"/{device}" if device else "")
        body = payload if isinstance(payload, bytes) else payload.SerializeToString()
        return self.decoder.decode(Message(topic, body, self.now))

    def payload(self, *metrics: dict[str, Any], seq: int | None = None) -> Any:  # noqa: ANN401
        wire = Payload(timestamp=int(self.now * 1000))
        wire.seq = next(self.seq) % 256 if seq is None else seq
        for metric in metrics:
            quality = metric.pop("quality", None)
            added = wire.metrics.add(**metric)
            if quality is not None:
                added.properties.keys.append("Quality")
                added.properties.values.add(type=3, int_value=quality)
        return wire

    def birth(self) -> None:
        self.seq = count()
        bdseq = {"name": "bdSeq", "datatype": 4, "long_value": 7}
        rebirth = {"name": "Node Control/Rebirth", "datatype": 11, "boolean_value": False}
        load = {"name": "load", "alias": 1, "datatype": 10, "double_value": 0.5}
        self.hear("NBIRTH", self.payload(bdseq, rebirth, load))
        flow = {"name": "Inputs/flow", "alias": 2, "datatype": 9, "float_value": 1.5}
        steps = {"name": "steps", "alias": 3, "datatype": 3, "int_value": 2**32 - 5}
        self.hear("DBIRTH", self.payload(flow, steps), "pump")


def told(readings: list[Reading]) -> list[tuple[str, str, float, Quality]]:
    return [(one.equipment, one.signal, one.value, one.quality) for one in readings]


def test_data_by_alias_has_the_name_type_and_machine_of_its_birth() -> None:
    plant = Plant()
    plant.birth()
    data = plant.payload({"alias": 2, "float_value": 2.5}, {"alias": 3, "int_value": 2**32 - 6})
    assert told(plant.hear("DDATA", data, "pump")) == [
        ("plant.node1.pump", "Inputs.flow", 2.5, Quality.GOOD),
        ("plant.node1.pump", "steps", -6.0, Quality.GOOD),
    ]
    node = plant.hear("NDATA", plant.payload({"alias": 1, "double_value": 0.25}))
    assert told(node) == [("plant.node1", "load", 0.25, Quality.GOOD)]
    assert plant.decoder.requests() == []


def test_machines_are_named_as_the_settings_say() -> None:
    plant = Plant(equipment="{device}", rename={"Inputs.flow": "flow"})
    plant.birth()
    readings = plant.hear("DDATA", plant.payload({"alias": 2, "float_value": 2.5}), "pump")
    assert told(readings) == [("pump", "flow", 2.5, Quality.GOOD)]


def test_null_historical_and_bad_values_are_told_apart() -> None:
    plant = Plant()
    plant.birth()
    data = plant.payload(
        {"alias": 2, "is_null": True},
        {"alias": 2, "float_value": 1, "is_historical": True, "timestamp": int(T * 1000) - 9000},
        {"alias": 3, "int_value": 2, "quality": 0},
        {"alias": 3, "int_value": 3, "quality": 500},
        {"alias": 3, "int_value": 4, "quality": 192},
    )
    readings = plant.hear("DDATA", data, "pump")
    assert [(one.value, one.quality) for one in readings] == [
        (1.0, Quality.REPLAY),
        (2.0, Quality.STALE),
        (3.0, Quality.STALE),
        (4.0, Quality.GOOD),
    ]
    assert readings[0].at == T - 9


def test_a_death_marks_every_metric_stale_and_a_death_of_an_older_session_none() -> None:
    plant = Plant()
    plant.birth()
    old = Payload(timestamp=1)
    old.metrics.add(name="bdSeq", datatype=4, long_value=6)
    assert plant.hear("NDEATH", old) == []
    old.metrics[0].long_value = 7
    assert {(one[0], one[1], one[3]) for one in told(plant.hear("NDEATH", old))} == {
        ("plant.node1", "load", Quality.STALE),
        ("plant.node1.pump", "Inputs.flow", Quality.STALE),
        ("plant.node1.pump", "steps", Quality.STALE),
    }


def test_a_device_death_marks_that_device_only() -> None:
    plant = Plant()
    plant.birth()
    assert {one.equipment for one in plant.hear("DDEATH", plant.payload(), "pump")} == {
        "plant.node1.pump"
    }


def test_messages_out_of_order_wait_for_those_before_them() -> None:
    plant = Plant()
    plant.birth()
    late, early = ({"alias": 2, "float_value": value} for value in (2.0, 1.0))
    first, second = next(plant.seq), next(plant.seq)
    assert plant.hear("DDATA", plant.payload(late, seq=second), "pump") == []
    readings = plant.hear("DDATA", plant.payload(early, seq=first), "pump")
    assert [one.value for one in readings] == [1.0, 2.0]
    assert plant.decoder.requests() == []


def test_a_lost_message_is_waited_for_and_then_a_birth_is_asked_for_once_a_minute() -> None:
    plant = Plant()
    plant.birth()
    next(plant.seq)
    seen: list[float] = []
    asked = 0
    for second in range(30):
        plant.now = T + second
        data = plant.payload({"alias": 2, "float_value": float(second)})
        seen += [one.value for one in plant.hear("DDATA", data, "pump")]
        if second % 5 == 0:
            next(plant.seq)
        asked += len(plant.decoder.requests())
    assert seen[:5] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert asked == 1
    plant.now = T + REBIRTH_EVERY_S + 40
    plant.hear("DDATA", plant.payload({"alias": 2, "float_value": 1.0}), "pump")
    assert len(plant.decoder.requests()) == 1
    plant.birth()
    readings = plant.hear("DDATA", plant.payload({"alias": 2, "float_value": 9.0}), "pump")
    assert [one.value for one in readings] == [9.0]


def test_the_sequence_wraps_after_255() -> None:
    plant = Plant()
    plant.birth()
    for number in range(600):
        plant.now = T + number
        data = plant.payload({"alias": 2, "float_value": float(number)})
        assert [one.value for one in plant.hear("DDATA", data, "pump")] == [float(number)]
    assert plant.decoder.requests() == []


def test_a_node_whose_birth_was_not_heard_is_asked_for_it() -> None:
    plant = Plant()
    assert plant.hear("DDATA", plant.payload({"alias": 2, "float_value": 1.0}), "pump") == []
    (request,) = plant.decoder.requests()
    assert request.topic == "spBv1.0/plant/NCMD/node1"
    command = Payload.FromString(request.payload)
    assert [(one.name, one.boolean_value) for one in command.metrics] == [
        ("Node Control/Rebirth", True)
    ]


def test_templates_and_data_sets_are_counted_and_passed_over() -> None:
    host = SparkplugHost("{node}")
    wire = Payload(timestamp=1, seq=0)
    wire.metrics.add(name="a", datatype=19, template_value=b"\x0a\x00")
    wire.metrics.add(name="b", datatype=16, dataset_value=b"\x08\x01")
    wire.metrics.add(name="c", datatype=10, double_value=1.0)
    found = host.take(Message("spBv1.0/g/NBIRTH/n", b"", T), wire.SerializeToString())
    assert [sample.key for sample in found] == ["c"]
    assert host.unread == 2


def test_state_and_commands_of_others_are_passed_over() -> None:
    plant = Plant()
    assert plant.hear("NCMD", b"\xff\xff") == []
    state = Message("spBv1.0/STATE/scada", b'{"online": true}', T)
    assert plant.decoder.decode(state) == []


def test_our_state_is_retained_with_the_same_time_in_birth_and_will() -> None:
    birth, will = (host_state("edge", online=online, since=T) for online in (True, False))
    assert birth.topic == will.topic == "spBv1.0/STATE/edge"
    assert birth.retain
    assert json.loads(birth.payload)["timestamp"] == json.loads(will.payload)["timestamp"]


def test_every_state_has_every_move() -> None:
    assert set(MOVES) == {
        (state, event) for state in NodeState for event in ("birth", "data", "gap", "death")
    }


def test_the_metrics_of_a_node_are_bounded() -> None:
    host = SparkplugHost("{node}")
    for start in range(0, METRICS + 4000, 2000):
        wire = Payload(timestamp=1, seq=0 if start == 0 else start // 2000)
        for number in range(2000):
            wire.metrics.add(name=f"m{start + number}", alias=start + number, int_value=1)
        kind = "NBIRTH/n" if start == 0 else "DBIRTH/n/d"
        host.take(Message(f"spBv1.0/g/{kind}", b"", T), wire.SerializeToString())
    assert len(host._nodes["g", "n"].metrics) == METRICS


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0",
        "spBv1.0/g",
        "spBv1.0/g/NDATA",
        "spBv1.0/g/XDATA/n",
        "spBv1.0/g/DDATA/n",
        "spBv1.0/g/NDATA/n/d",
        "spBv1.0/g/NDATA/",
        "spBv1.0/g/NDATA/\x01",
    ],
)
def test_topics_that_are_no_sparkplug(topic: str) -> None:
    with pytest.raises(BadPayload):
        Plant().decoder.decode(Message(topic, b"", T))


METRIC = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "bdSeq", "x/y", "\n", ""]),
        "alias": st.integers(0, 3),
        "timestamp": st.integers(0, 2**64 - 1),
        "datatype": st.integers(0, 40),
        "is_null": st.booleans(),
        "is_historical": st.booleans(),
        "float_value": st.floats(width=32),
        "quality": st.integers(0, 600),
    },
)
KINDS = st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"])
HEARD = st.tuples(
    KINDS,
    st.one_of(st.binary(max_size=60), st.lists(METRIC, max_size=4)),
    st.integers(0, 300),
    st.floats(0, 100),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(HEARD, max_size=12))
def test_any_sequence_of_anything_is_read_or_refused(
    heard: list[tuple[str, bytes | list[dict[str, Any]], int, float]],
) -> None:
    plant = Plant()
    for kind, content, seq, later in heard:
        plant.now += later
        body = content
        if isinstance(content, list):
            body = plant.payload(*(dict(metric) for metric in content), seq=seq)
        try:
            readings = plant.hear(kind, body, "d" if kind.startswith("D") else None)
        except BadPayload:
            continue
        assert all(type(one.value) is float for one in readings)
    assert len(plant.decoder.requests()) <= 1 + 12
