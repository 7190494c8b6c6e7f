"""The real governor in a model of a memory-limited group: a neighbour grows and shrinks at will.

The worker loads within two seconds into what it was given, is stopped when it holds more than is
left, and asks again each second.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Level
from edge_agent.govern.gauge import Gauge, missing
from edge_agent.govern.governor import Governor
from edge_agent.govern.heat import Heat
from edge_agent.govern.memory import MemoryUse, ProcessUse
from edge_agent.govern.vitals import Vitals

LIMIT_MB, DAEMON_MB = 600.0, 50.0
LEAST_MB, WANTED_MB = 180.0, 260.0
"""The smallest plan of the model, and the one with the whole context."""
FASTEST_MB = 30.0
"""The neighbour takes this much a second at most; the reserve covers two."""


@dataclass
class Group:
    """Everything in one control group, a second at a time."""

    seed: int
    neighbour_most: float
    now: float = 1000.0
    neighbour: float = 0.0
    target: float = 0.0
    worker: float = 0.0
    planned: float = 0.0
    loads: int = 0
    served: int = 0
    most: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.governor = Governor(
            GovernSection(memory_mb=500),
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            state=None,
            read=self.read,
        )

    @property
    def used(self) -> float:
        return DAEMON_MB + self.worker + self.neighbour

    def read(self, now: float) -> Vitals:
        memory = MemoryUse(
            ProcessUse(DAEMON_MB),
            ProcessUse(self.worker),
            missing("-"),
            Gauge(LIMIT_MB - self.used),
        )
        return Vitals(now, missing("-"), Gauge(0.5), 0.0, 2.0, memory, Heat(missing("-")))

    def second(self) -> None:
        if self.random.random() < 0.05:
            self.target = self.random.uniform(0, self.neighbour_most)
        step = self.random.uniform(0, FASTEST_MB)
        change = max(-200.0, min(step, self.target - self.neighbour))
        self.neighbour = max(0.0, self.neighbour + change)
        self.worker = min(self.planned, self.worker + self.planned / 2)
        self.most = max(self.most, self.used)
        self.now += 1.0
        self.governor.sample()
        if self.governor.worker_must_yield():
            self.planned = self.worker = 0.0
        elif not self.planned:
            room = self.governor.worker_memory_mb()
            if self.governor.admit(1, 600).may_use_model and room >= LEAST_MB:
                self.planned = min(room, WANTED_MB)
                self.loads += 1
        self.served += self.planned > 0 and self.worker == self.planned


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, LIMIT_MB - DAEMON_MB - 1))
def test_memory_never_reaches_its_limit(seed: int, neighbour_most: float) -> None:
    group = Group(seed, neighbour_most)
    for _ in range(600):
        group.second()
        assert group.used < LIMIT_MB
    assert group.loads <= 600 / 5, "it does not come and go all the time"


def test_a_small_neighbour_costs_no_service() -> None:
    group = Group(1, 150.0)
    for _ in range(600):
        group.second()
    assert group.served > 500
    assert group.loads == 1


def test_service_returns_when_the_neighbour_leaves() -> None:
    group = Group(2, 0.0)
    group.target = 480.0
    for _ in range(60):
        group.random.seed(1)  # the first number drawn is above 0.05: the target stays
        group.second()
    assert group.planned == 0
    assert group.governor.status().level in (Level.FULL, Level.ECO, Level.PAUSED)
    group.target = 0.0
    for _ in range(240):
        group.second()
    assert group.worker >= LEAST_MB
