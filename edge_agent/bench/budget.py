"""``bench budget``: the real worker under a power and a memory budget.

A queue that never empties asks the governor, runs a diagnosis-sized request on the real inference
worker, and is charged for it. Power comes from a made-up sensor that follows the worker's real
processor seconds (see ``plant``), so the whole loop is closed and its energy is known exactly.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from edge_agent.bench.neighbour import Neighbour
from edge_agent.bench.plant import Plant
from edge_agent.config.govern import GovernSection
from edge_agent.config.inference import InferenceSection
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.level import Allowance, GovernorStatus, Level
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.govern.governor import Governor
from edge_agent.inference.client import WorkerClient

ALONE_S = 5.0
"""The neighbour's latency without us is measured this long."""
MODEL = "bench"
UNBOUND = Allowance(
    Level.FULL, "at full speed", max_tokens=128, threads=len(os.sched_getaffinity(0))
)


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """What to hold, and for how long."""

    watts: float = 6.0
    memory_mb: int = 600
    idle_watts: float = 3.0
    watts_per_core: float = 4.0
    seconds: float = 180.0
    window_s: float = 120.0
    model: str = "smollm2-135m"
    full_speed: int = 2
    """Warm diagnoses at full speed that precede the run."""


@dataclass(slots=True)
class Trace:
    """One second of the run."""

    at: float
    """Seconds since the start."""
    status: GovernorStatus


@dataclass(slots=True)
class Outcome:
    """Everything that happened, for the report and the plot."""

    options: BudgetOptions
    full_joules: float
    """A diagnosis at full speed, above idle."""
    full_seconds: float
    started: float = 0.0
    ended: float = 0.0
    answers: list[Completion] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    """Above idle, of each answer, by the worker's processor seconds."""
    allowances: list[Allowance] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    rules_only: int = 0
    traces: list[Trace] = field(default_factory=list)
    alone_ms: dict[str, float] = field(default_factory=dict)
    beside_ms: dict[str, float] = field(default_factory=dict)
    plant: Plant | None = None


def run(options: BudgetOptions, progress: Callable[[str], None]) -> Outcome:
    """Measure; about ``options.seconds`` and half a minute more."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-budget-")))
        governor: list[Governor] = []
        client = WorkerClient(
            InferenceSection(model=options.model, context=1024),
            runtime_dir=folder,
            models_dir=folder / "models",
            memory_limit_mb=lambda: (
                governor[0].worker_memory_mb() if governor else options.memory_mb
            ),
        )
        stack.callback(client.close, 2.0)
        plant = Plant(
            folder / "root",
            options.idle_watts,
            options.watts_per_core,
            lambda: client.status().pid,
        )
        stack.callback(plant.stop)
        progress("a few diagnoses at full speed, for comparison")
        outcome = _full_speed(options, client, plant)
        outcome.plant = plant
        progress("the neighbour alone")
        with Neighbour() as neighbour:
            time.sleep(ALONE_S)
            outcome.alone_ms = neighbour.latency()
        section = GovernSection(
            power_watts=options.watts,
            power_window_s=options.window_s,
            idle_watts=options.idle_watts,
            watts_per_core=options.watts_per_core,
            memory_mb=options.memory_mb,
            sensor_root=folder / "root",
        )
        governor.append(Governor(section, clock=time.time, monotonic=time.monotonic, state=None))
        with Neighbour() as neighbour:
            _governed(outcome, governor[0], client, progress)
            outcome.beside_ms = neighbour.latency()
        return outcome


def _full_speed(options: BudgetOptions, client: WorkerClient, plant: Plant) -> Outcome:
    """Joules above idle and seconds of a warm diagnosis that nothing holds back."""
    joules, seconds = [], []
    for number in range(1 + options.full_speed):
        start = time.monotonic()
        client.complete(request(number, UNBOUND), lambda: False)
        end = time.monotonic()
        time.sleep(1.0)
        rest = time.monotonic()
        joules.append(plant.joules(start, rest) - options.idle_watts * (rest - start))
        seconds.append(end - start)
    return Outcome(options, median(joules[1:]), median(seconds[1:]))


def _governed(
    outcome: Outcome, governor: Governor, client: WorkerClient, progress: Callable[[str], None]
) -> None:
    stop = threading.Event()
    outcome.started = time.monotonic()
    sampler = threading.Thread(
        target=_sample, args=(outcome, governor, client, stop, progress), daemon=True
    )
    sampler.start()
    number = 0
    end = outcome.started + outcome.options.seconds
    while (now := time.monotonic()) < end:
        allowance = governor.admit(1, 640, MODEL)
        if allowance.wait_s > 0:
            time.sleep(min(allowance.wait_s, max(0.0, end - now)))
        elif not allowance.may_use_model:
            outcome.rules_only += 1
            time.sleep(min(1.0, max(0.0, end - now)))  # the next job of the queue
        else:
            number += 1
            outcome.allowances.append(allowance)
            _diagnose(outcome, governor, client, request(number, allowance), end)
    outcome.ended = time.monotonic()
    stop.set()
    sampler.join()


def _diagnose(
    outcome: Outcome,
    governor: Governor,
    client: WorkerClient,
    asked: CompletionRequest,
    end: float,
) -> None:
    start = time.monotonic()

    def cancelled() -> bool:
        return governor.must_stop() or time.monotonic() > end

    try:
        answer = client.complete(asked, cancelled)
    except (BadAnswer, Unavailable) as error:
        if time.monotonic() <= end:
            outcome.failures[str(error)[:80]] += 1
        governor.charge(time.monotonic() - start, 0.0, 0, 0, None)
        return
    outcome.answers.append(answer)
    outcome.joules.append(answer.cpu_seconds * outcome.options.watts_per_core)
    wall = time.monotonic() - start
    governor.charge(
        wall,
        answer.cpu_seconds,
        answer.tokens_in,
        answer.tokens_out,
        None,
        tokens_forced=answer.tokens_forced,
    )


def _sample(
    outcome: Outcome,
    governor: Governor,
    client: WorkerClient,
    stop: threading.Event,
    progress: Callable[[str], None],
) -> None:
    while not stop.wait(1.0):
        governor.observe_worker(client.status().pid)
        governor.sample()
        status = governor.status()
        at = time.monotonic() - outcome.started
        outcome.traces.append(Trace(at, status))
        progress(
            f"{at:4.0f} s  {status.watts:5.2f} W now  {status.average_watts:5.2f} W on average  "
            f"{status.level}  {len(outcome.answers)} diagnoses"
        )


CARD = """Equipment: cooling water pump P-101, centrifugal, 5.5 kW.
Signals: flow (l/min), inlet pressure (bar), outlet pressure (bar), motor current (A), vibration
(mm/s), bearing temperature (degrees C), water temperature (degrees C).
Faults:
cavitation: the suction side starves; flow falls, outlet pressure becomes unsteady, vibration rises.
bearing-wear: the bearing grinds; vibration and bearing temperature rise slowly, current a little.
valve-closing: the discharge valve closes; flow falls, outlet pressure rises, current falls.
leak: water is lost behind the pump; outlet pressure falls, flow rises.
motor-overload: the rotor is braked; current and temperature rise, flow falls a little.
sensor-drift: one signal leaves its place alone while all others stay."""

FAULTS = (
    "cavitation",
    "bearing-wear",
    "valve-closing",
    "leak",
    "motor-overload",
    "sensor-drift",
)
LONG, SHORT = 200, 120
"""Characters of the explanation at most; a short answer must end within fewer tokens."""


def schema(max_tokens: int) -> dict[str, Any]:
    """The answer's schema; its text is bounded so that it ends within ``max_tokens``."""
    most = LONG if max_tokens >= 128 else SHORT
    explanation = {"type": "string", "minLength": most // 2, "maxLength": most}
    return {
        "type": "object",
        "properties": {
            "fault": {"enum": list(FAULTS)},
            "explanation": explanation,
            "confidence": {"enum": ["low", "medium", "high"]},
        },
        "required": ["fault", "explanation", "confidence"],
        "additionalProperties": False,
    }


def request(number: int, allowance: Allowance) -> CompletionRequest:
    """A diagnosis-sized question: a card that stays and evidence that changes."""
    evidence = "\n".join(
        f"{signal}: usual {usual}, now {usual * (1 + shift * (1 + number % 7 / 10)):.2f}"
        for signal, usual, shift in (
            ("flow", 124.0, -0.12),
            ("inlet pressure", 1.2, -0.2),
            ("outlet pressure", 3.4, -0.05),
            ("motor current", 9.8, 0.01),
            ("vibration", 1.6, 0.8),
            ("bearing temperature", 47.0, 0.02),
        )
    )
    return CompletionRequest(
        request_id=f"bench-{number}",
        system="You are a maintenance engineer. Answer in JSON.",
        context=CARD,
        question=f"Readings of window {number}:\n{evidence}\nWhich fault, and why?",
        json_schema=schema(allowance.max_tokens),
        max_tokens=min(128, allowance.max_tokens),
        seed=number,
        threads=allowance.threads,
        token_gap_s=allowance.token_gap_s,
    )
