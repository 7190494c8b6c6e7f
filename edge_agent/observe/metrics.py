"""The health document as Prometheus metrics. Pure; imported only where metrics are switched on.

Names follow Prometheus's conventions: base units (bytes, seconds, joules, ratios), ``_total`` for
counters. Labels are bounded: levels, states and loops are few, machines are capped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_agent.domain.level import Level

Report = Mapping[str, Any]

MEGABYTE = 1e6
LONGEST_LABEL = 100
SOURCES = ("model", "rules")
VERDICTS = ("diagnosed", "undetermined")
WORKER_STATES = ("stopped", "ready", "busy", "unavailable", "backing-off")


@dataclass(frozen=True, slots=True)
class Number:
    """A metric without labels: one value of the report."""

    name: str
    text: str
    path: tuple[str, ...]
    scale: float = 1.0
    counter: bool = False


def _counter(name: str, text: str, *path: str) -> Number:
    return Number(name, text, path, counter=True)


NUMBERS = (
    Number("uptime_seconds", "Since the daemon started.", ("agent", "uptime_s")),
    Number("clock_trusted", "1 while the wall clock is believed.", ("agent", "clock_trusted")),
    Number("mqtt_connected", "1 while the broker is connected.", ("mqtt", "connected")),
    _counter("mqtt_connections", "Connections since the start.", "mqtt", "generation"),
    _counter(
        "mqtt_sessions_lost", "Times the broker had lost our session.", "mqtt", "sessions_lost"
    ),
    Number("mqtt_unacked_messages", "Received and not yet durable.", ("mqtt", "unacked")),
    _counter("telemetry_messages", "Messages taken in.", "intake", "messages"),
    _counter("telemetry_readings", "Readings decoded from them.", "intake", "readings"),
    _counter("telemetry_refused_messages", "Messages that no format fits.", "intake", "refused"),
    _counter("telemetry_shed_messages", "Messages dropped for room.", "intake", "shed"),
    Number("telemetry_waiting_messages", "Received and not yet decoded.", ("intake", "waiting")),
    Number("outbox_messages", "Waiting to be sent.", ("store", "outbox", "waiting")),
    Number("outbox_bytes", "Their payloads.", ("store", "outbox", "bytes")),
    Number("outbox_parked_messages", "Refused by the broker.", ("store", "outbox", "parked")),
    _counter("outbox_shed_messages", "Dropped for room.", "store", "outbox", "shed"),
    _counter("outbox_expired_messages", "Dropped for age.", "store", "outbox", "expired"),
    Number("store_bytes", "Size of the database and its log.", ("store", "mb"), MEGABYTE),
    Number("lives_broken_off", "Ends without a shutdown in a row.", ("store", "lives_broken_off")),
    _counter("published_messages", "Acknowledged by the broker.", "publisher", "acked"),
    _counter("publish_refusals", "Publishes that the broker refused.", "publisher", "refused"),
    Number("power_watts", "Power of the gateway now.", ("governor", "watts")),
    Number("power_average_watts", "Over the budget's window.", ("governor", "average_watts")),
    Number("power_budget_watts", "Budget for the average.", ("governor", "budget_watts")),
    Number("power_measured", "1: by a sensor; 0: estimated.", ("governor", "watts_measured")),
    Number("energy_store_joules", "Left in the store.", ("governor", "joules_in_store")),
    Number("memory_budget_bytes", "Of both processes.", ("governor", "memory_budget_mb"), MEGABYTE),
    Number(
        "host_memory_available_bytes",
        "Left on the host.",
        ("governor", "host_available_mb"),
        MEGABYTE,
    ),
    Number("temperature_celsius", "The hottest zone.", ("governor", "hottest_c")),
    Number("temperature_headroom_celsius", "Left to its trip point.", ("governor", "headroom_c")),
    Number("cpu_busy_cores", "Of the whole host.", ("governor", "busy_cores")),
    Number("cpu_cores", "That affinity and quota leave us.", ("governor", "cores")),
    Number("battery_charge_ratio", "0 to 1.", ("governor", "charge_percent"), 0.01),
    _counter("worker_jobs", "Requests to the model.", "worker", "jobs"),
    _counter("worker_restarts", "Times the worker was replaced.", "worker", "restarts"),
    _counter("diagnosis_joules", "Energy of all diagnoses.", "results", "joules"),
)


def families(report: Report, max_equipment: int) -> Iterator[Metric]:
    """Every metric that the report has a value for."""
    for number in NUMBERS:
        value = _look_up(report, number.path)
        if isinstance(value, bool | int | float):
            kind = CounterMetricFamily if number.counter else GaugeMetricFamily
            yield kind(_named(number.name), number.text, value=float(value) * number.scale)
    yield from _info(report)
    yield from _loops(report)
    yield from _levels(report)
    yield from _work(report)
    yield from _memory(report)
    yield from _equipment(_part(report, "equipment"), max_equipment)


def names() -> set[str]:
    """Every series name that may come, for the check of the dashboard."""
    full: dict[str, Any] = {}
    for number in NUMBERS:
        node = full
        for step in number.path[:-1]:
            node = node.setdefault(step, {})
        node[number.path[-1]] = 1.0
    full["agent"] |= {"id": "gateway", "version": "0"}
    full["loops"] = {"intake": 0.0}
    full["governor"] |= {"level": "full", "daemon_mb": 1.0, "worker_mb": 1.0}
    full["worker"] |= {"state": "ready", "model": "m"}
    full["store"] |= {"jobs": {"queued": 1}}
    full["results"] |= {
        "incidents": {"opened": 1},
        "diagnoses": [{"source": "model", "verdict": "diagnosed", "count": 1}],
        "tokens_in": 1,
        "tokens_out": 1,
        "seconds": 1.0,
    }
    full["equipment"] = {"m": {"state": "quiet", "learned": 1, "rows": 1, "score": 0}}
    return {sample.name for family in families(full, 1) for sample in family.samples}


class HealthCollector(Collector):
    """Asks for a fresh report at each scrape."""

    def __init__(self, report: Callable[[], Report], max_equipment: int) -> None:
        self._report = report
        self._max_equipment = max_equipment

    def collect(self) -> Iterable[Metric]:
        """The metrics of now."""
        return families(self._report(), self._max_equipment)


def _named(name: str) -> str:
    return f"edge_agent_{name}"


def _part(report: Report, *path: str) -> Report:
    found = _look_up(report, path)
    return found if isinstance(found, Mapping) else {}


def _look_up(report: Report, path: tuple[str, ...]) -> object:
    node: object = report
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _info(report: Report) -> Iterator[Metric]:
    agent, worker = _part(report, "agent"), _part(report, "worker")
    labels = {
        "agent": str(agent.get("id", "")),
        "version": str(agent.get("version", "")),
        "model": str(worker.get("model", ""))[:LONGEST_LABEL],
    }
    family = GaugeMetricFamily(_named("info"), "Who reports; always 1.", labels=list(labels))
    family.add_metric(list(labels.values()), 1.0)
    yield family


def _loops(report: Report) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        _named("loop_age_seconds"), "Since each loop's last sign of life.", labels=["loop"]
    )
    for name, age in _part(report, "loops").items():
        family.add_metric([name], float(age))
    yield family


def _levels(report: Report) -> Iterator[Metric]:
    """One series for each state, 1 for the one that holds: alerts need not know the others."""
    level = GaugeMetricFamily(_named("level"), "The governor's level.", labels=["level"])
    for one in Level:
        level.add_metric([one.value], float(_part(report, "governor").get("level") == one.value))
    yield level
    state = GaugeMetricFamily(_named("worker_state"), "How the model stands.", labels=["state"])
    for name in WORKER_STATES:
        state.add_metric([name], float(_part(report, "worker").get("state") == name))
    yield state


def _work(report: Report) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(_named("jobs"), "Diagnosis jobs in the store.", labels=["state"])
    for state, count in _part(report, "store", "jobs").items():
        jobs.add_metric([state], float(count))
    yield jobs
    results = _part(report, "results")
    incidents = CounterMetricFamily(
        _named("incidents"), "Findings since the start.", labels=["phase"]
    )
    for phase in ("opened", "updated", "closed"):
        incidents.add_metric([phase], float(_part(results, "incidents").get(phase, 0)))
    yield incidents
    made = results.get("diagnoses") or ()
    diagnoses = CounterMetricFamily(
        _named("diagnoses"), "Diagnoses since the start.", labels=["source", "verdict"]
    )
    # All of them from the start: a counter that first shows at 1 has never increased.
    counts = dict.fromkeys(product(SOURCES, VERDICTS), 0)
    counts |= {(one["source"], one["verdict"]): one["count"] for one in made}
    for labels, count in counts.items():
        diagnoses.add_metric(labels, float(count))
    yield diagnoses
    yield SummaryMetricFamily(
        _named("diagnosis_seconds"),
        "Time that diagnoses took.",
        count_value=sum(one["count"] for one in made),
        sum_value=float(results.get("seconds", 0.0)),
    )
    tokens = CounterMetricFamily(
        _named("diagnosis_tokens"), "Tokens read and written.", labels=["direction"]
    )
    for direction in ("in", "out"):
        tokens.add_metric([direction], float(results.get(f"tokens_{direction}", 0)))
    yield tokens


def _memory(report: Report) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        _named("memory_bytes"), "Resident memory of our processes.", labels=["process"]
    )
    for process in ("daemon", "worker"):
        megabytes = _part(report, "governor").get(f"{process}_mb")
        if megabytes is not None:
            family.add_metric([process], float(megabytes) * MEGABYTE)
    yield family


def _equipment(machines: Report, most: int) -> Iterator[Metric]:
    known = {name: one for name, one in machines.items() if isinstance(one, Mapping)}
    states = GaugeMetricFamily(_named("machines"), "Machines by state.", labels=["state"])
    counts = dict.fromkeys(("learning", "quiet", "open", "cooling"), 0)
    for one in known.values():
        state = str(one.get("state"))
        counts[state] = counts.get(state, 0) + 1
    for state, count in counts.items():
        states.add_metric([state], float(count))
    yield states
    shown = sorted(known, key=lambda name: (known[name].get("state") != "open", name))[:most]
    yield GaugeMetricFamily(
        _named("machines_without_series"),
        "Machines beyond observe.metrics.max_equipment.",
        value=len(known) - len(shown),
    )
    labels = ["equipment"]
    score = GaugeMetricFamily(_named("equipment_score"), "1 opens an incident.", labels=labels)
    incident = GaugeMetricFamily(
        _named("equipment_incident"), "1 while one is open.", labels=labels
    )
    learned = GaugeMetricFamily(
        _named("equipment_learned_ratio"), "Of the rows to learn.", labels=labels
    )
    rows = CounterMetricFamily(_named("equipment_rows"), "Rows judged.", labels=labels)
    for label_text, name in {name[:LONGEST_LABEL]: name for name in shown}.items():
        one, label = known[name], [label_text]
        score.add_metric(label, float(one.get("score") or 0.0))
        incident.add_metric(label, float(one.get("state") == "open"))
        learned.add_metric(label, float(one.get("learned") or 0.0))
        rows.add_metric(label, float(one.get("rows") or 0))
    yield from (score, incident, learned, rows)
