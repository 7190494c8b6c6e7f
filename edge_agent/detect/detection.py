"""All machines of the gateway. Pure: readings in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from edge_agent.config.detect import DetectSection
from edge_agent.detect.feedback import Muted, Opinion
from edge_agent.detect.machine import EquipmentStatus, Machine
from edge_agent.detect.snapshot import dump, load
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding
from edge_agent.domain.telemetry import Reading


class Detection:
    """Watches every machine that sends readings."""

    def __init__(
        self, settings: DetectSection, card_for: Callable[[str], Card | None], agent_id: str
    ) -> None:
        self._settings = settings
        self._card_for = card_for
        self._agent_id = agent_id
        self._machines: dict[str, Machine] = {}

    def observe(self, readings: Sequence[Reading]) -> list[Finding]:
        """Take readings in the order of their arrival; findings in order."""
        findings: list[Finding] = []
        for equipment, group in groupby(readings, attrgetter("equipment")):
            findings += self._machine(equipment).observe(group)
        return findings

    def flush(self) -> list[Finding]:
        """Judge what is half assembled, at shutdown."""
        return [found for machine in self._machines.values() for found in machine.flush()]

    def status(self) -> dict[str, EquipmentStatus]:
        """How each machine stands."""
        return {name: machine.status() for name, machine in self._machines.items()}

    def score(self, equipment: str) -> float:
        """The machine's score now, 1.0 opens; 0 for one that is unknown or still learned."""
        machine = self._machines.get(equipment)
        return machine.score if machine else 0.0

    def operating_state(self, equipment: str) -> str:
        """What the machine does now, for people; ``unknown`` while it is learned."""
        machine = self._machines.get(equipment)
        return machine.operating_state() if machine else "unknown"

    def current(self, equipment: str) -> Finding | None:
        """Evidence as of now; None for a machine that is unknown or still learned."""
        machine = self._machines.get(equipment)
        return machine.current() if machine else None

    def reset(self, equipment: str) -> bool:
        """Learn the machine anew; whether it was known."""
        if equipment not in self._machines:
            return False
        self._machines[equipment] = self._new(equipment)
        self._machines[equipment].changed = True
        return True

    def freeze(self, equipment: str, on: bool) -> bool:
        """Hold the machine's baseline as it is, or let it follow again; whether it was known."""
        machine = self._machines.get(equipment)
        if machine is None:
            return False
        machine.held, machine.changed = on, True
        return True

    def feedback(self, equipment: str, fingerprint: str, opinion: Opinion) -> bool:
        """What a person said of an incident's picture; whether the machine was known. An open
        incident of that picture that is none closes with the machine's next row."""
        machine = self._machines.get(equipment)
        if machine is None:
            return False
        machine.say(fingerprint, opinion)
        return True

    def muted(self, equipment: str) -> dict[str, Muted]:
        """Pictures of the machine that people said are none, by fingerprint."""
        machine = self._machines.get(equipment)
        return dict(machine.feedback.muted) if machine else {}

    def tick(self, now: float) -> list[Finding]:
        """Findings of machines that fell silent. Call it every few seconds with a clock that
        only has to run evenly; seconds."""
        found = (machine.tick(now) for machine in self._machines.values())
        return [finding for finding in found if finding is not None]

    def snapshots(self) -> dict[str, bytes]:
        """What was learned of each machine that changed since the last call, for ``restore``."""
        changed = {name: one for name, one in self._machines.items() if one.changed}
        for machine in changed.values():
            machine.changed = False
        return {name: dump(machine) for name, machine in changed.items()}

    def snapshots_of(self, equipments: Iterable[str]) -> dict[str, bytes]:
        """The same of these machines as they are now, to be kept with what they just said."""
        return {name: dump(self._machines[name]) for name in equipments if name in self._machines}

    def restore(self, snapshots: Mapping[str, bytes]) -> None:
        """Go on from snapshots; one that cannot be read only means learning anew."""
        for equipment, data in snapshots.items():
            machine = self._new(equipment)
            if load(machine, data):
                self._machines[equipment] = machine

    def _machine(self, equipment: str) -> Machine:
        machine = self._machines.get(equipment)
        if machine is None:
            machine = self._machines[equipment] = self._new(equipment)
        return machine

    def _new(self, equipment: str) -> Machine:
        return Machine(equipment, self._settings, self._card_for(equipment), self._agent_id)
