"""An equipment card: what a machine is, what it measures, and how it can fail.

The engineer writes it; detection takes units and limits from it, the rules and the model its
faults. Reading the files (folders, inheritance, ``equipment.json``) is ``diagnose.library``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from edge_agent.config.section import Section
from edge_agent.domain.diagnosis import Severity

SYMPTOM_WORDS: dict[str, str] = {
    "rises": "up",
    "up": "up",
    "high": "up",
    "falls": "down",
    "down": "down",
    "low": "down",
    "noisy": "noisy",
    "fluctuates": "noisy",
    "frozen": "frozen",
    "stuck": "frozen",
    "unchanged": "normal",
    "normal": "normal",
}
"""What an engineer may write for a symptom → the direction that the evidence carries."""

HEDGES: tuple[str, ...] = ("may", "clearly")
"""Words before a symptom: ``may rises`` is believed less, ``clearly falls`` more."""


def symptom_parts(word: str) -> tuple[str, str]:
    """A symptom as (hedge or empty, symptom word): ``"may fluctuates"`` → ``("may",
    "fluctuates")``."""
    first, _, rest = word.partition(" ")
    return (first, rest) if first in HEDGES and rest else ("", word)


Word = Literal["up", "down", "same", "noisy", "stuck", "none"]
CellReading = dict[Word, float] | str
"""What a text says of one signal: word → probability, as a model read it; or a symptom word."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class CardSignal(Section):
    """One measured quantity."""

    unit: str = Field(default="", max_length=32)
    """Unit of the readings, for people: ``bar``, ``L/min``, ``°C``."""
    meaning: str = Field(default="", max_length=300)
    """What it measures and where."""
    called: str = Field(default="", max_length=100)
    """How the fault texts call it, where its name is a code; from the card's type."""
    label: str = Field(default="", max_length=100)
    """How results call it; default: its name, in words."""
    normal: tuple[float, float] | None = None
    """Usual range in operation; leaving it is evidence whatever the baseline says."""
    physical: tuple[float, float] | None = None
    """What the sensor can measure at all; a value outside is the sensor's fault."""

    drifts: bool = False
    """It wanders by itself, with room, season or load: a small shift of it says little."""

    quantity: str = Field(default="", max_length=100)
    """What it measures together with others: sensors with the same word here (two thermometers of
    one bearing) count as one piece of evidence, and one that strays alone is a sensor's fault."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> CardSignal:
        for name, limits in (("normal", self.normal), ("physical", self.physical)):
            if limits is not None and not limits[0] < limits[1]:
                raise ValueError(f"{name} = {list(limits)}: the lower limit comes first")
        return self


class ManualExcerpt(Section):
    """A passage of a manual that belongs to a fault; shown with the fault, never obeyed."""

    source: str = Field(min_length=1, max_length=200)
    """Where it stands: document and section."""
    text: Text


class CardStates(Section):
    """The signal that says what the machine is doing: off, starting, running, a load level."""

    signal: str = Field(min_length=1, max_length=200)
    """Its name in the telemetry; a change of its value is a change of state."""
    names: dict[str, Annotated[str, StringConstraints(min_length=1, max_length=64)]] = {}
    """Value → name for people: ``{"0" = "off", "1" = "running"}``."""

    @model_validator(mode="after")
    def _numbers(self) -> CardStates:
        for code in self.names:
            try:
                float(code)
            except ValueError:
                raise ValueError(
                    f"names.{code}: the value that the signal has in that state, as a number"
                ) from None
        return self


class CardFault(Section):
    """One way to fail."""

    id: Identifier
    """Stable name for programs."""
    title: Text
    """Short name for people."""
    description: Text
    """What happens and what it does to the signals, in plain language."""
    symptoms: dict[str, str] = {}
    """Optional, formal: signal → ``rises``, ``falls``, ``noisy``, ``frozen`` or ``unchanged``, with
    ``may`` or ``clearly`` before it where it is uncertain or always seen."""
    development: Literal["", "sudden", "slow", "days"] = ""
    """How it comes about: at once, over minutes or hours, over days; empty: either way."""
    order: tuple[str, ...] = Field(default=(), max_length=32)
    """Signals in the order in which they leave normal, the first one first; those that come at the
    same time, or whose order differs from case to case, are left out."""
    severity: Severity = Severity.WARNING
    """How urgent it is."""
    actions: tuple[Text, ...] = ()
    """What to do, in order; nothing else is ever recommended."""
    manual: tuple[ManualExcerpt, ...] = Field(default=(), max_length=8)
    """Passages of the manual that belong to it."""

    read: dict[str, CellReading] = {}
    """What a model read out of ``description``, by signal: comes from the table beside the card
    (``edge-agent card compile``), or with a card that is pushed. Formal symptoms win over it."""
    read_speed: dict[Literal["slow", "sudden", "none"], float] = {}
    """The same for how fast it comes about."""

    @model_validator(mode="after")
    def _known_words(self) -> CardFault:
        set_by_hand = {name: cell for name, cell in self.read.items() if isinstance(cell, str)}
        for signal, word in (self.symptoms | set_by_hand).items():
            if symptom_parts(word)[1] not in SYMPTOM_WORDS:
                allowed = ", ".join(SYMPTOM_WORDS)
                raise ValueError(
                    f"symptoms.{signal} = {word!r}: write one of {allowed}; "
                    "'may' or 'clearly' may stand before it"
                )
        return self


class FaultTexts(Section):
    """A fault in another language."""

    title: str = Field(default="", max_length=2000)
    description: str = Field(default="", max_length=2000)
    actions: tuple[Text, ...] = ()
    """As many as the fault has, in the same order; absent: those of the card."""


class CardTexts(Section):
    """A card in another language; what is left out stays as the card has it."""

    title: str = Field(default="", max_length=200)
    description: str = Field(default="", max_length=4000)
    signals: dict[str, Annotated[str, StringConstraints(min_length=1, max_length=100)]] = {}
    """Signal → how results call it."""
    faults: dict[str, FaultTexts] = {}
    """Fault id → its texts."""


Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]


class Calibration(Section):
    """How far the rules' likelihood is to be believed, fitted on labelled events."""

    temperature: float = Field(default=1.0, ge=0.1, le=100)
    """Every log likelihood is divided by this: above 1, answers become less sure."""
    unknown: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of incidents, before any evidence, that are a fault which the card does not know."""
    nothing: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of incidents, before any evidence, that are no fault at all."""


class Card(Section):
    """What a diagnoser may know of a machine."""

    equipment: str = Field(min_length=1, max_length=200)
    """Name in the telemetry; ``pump-*`` matches several machines of one kind."""
    type: str = Field(default="", max_length=64)
    """The type whose signals and faults it takes over (a card in ``library`` or ``public``)."""
    title: str = Field(default="", max_length=200)
    """Name for people."""
    description: str = Field(default="", max_length=4000)
    """What the machine is and does."""
    simulated: bool = False
    """The telemetry comes from a simulator; every result then says so."""
    sample_period_s: float | None = Field(default=None, gt=0)
    """Usual time between two readings of a signal, seconds; absent: learned."""
    kind: Literal["machine", "process"] = "machine"
    """A ``process`` (a plant under closed-loop control) may move several signals normally."""
    signals: dict[str, CardSignal] = Field(default={}, max_length=300)
    """Signals by their name in the telemetry."""
    states: CardStates | None = None
    """Operating states by a signal; absent: learned from the levels that the machine takes up."""
    faults: tuple[CardFault, ...] = Field(default=(), max_length=500)
    """The fault catalogue."""
    area: str = Field(default="", max_length=100)
    """Part of the plant that it stands in, for shift summaries; ``report.areas`` wins over it."""
    manuals: tuple[str, ...] = Field(default=(), max_length=32)
    """Files below ``diagnose.manuals`` that speak of it (``pumps/*.md``); empty: all of them."""
    translations: dict[Language, CardTexts] = Field(default={}, max_length=16)
    """Its texts in other languages, by code (``de``); ``diagnose.language`` chooses."""
    calibration: Calibration | None = None
    """How far the rules are to be believed on this machine, from ``edge-agent eval diagnose
    --fit`` with its own labelled events; absent: the program's."""

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if self.states is not None and self.states.signal not in self.signals:
            known = ", ".join(self.signals) or "none"
            raise ValueError(
                f"states.signal: no signal {self.states.signal!r}; the card has: {known}"
            )
        seen: set[str] = set()
        for fault in self.faults:
            if fault.id in seen:
                raise ValueError(f"faults: the id {fault.id!r} stands twice")
            seen.add(fault.id)
            for signal in (*fault.symptoms, *fault.read):
                if signal not in self.signals:
                    known = ", ".join(self.signals) or "none"
                    raise ValueError(
                        f"faults.{fault.id}.symptoms: no signal {signal!r}; the card has: {known}"
                    )
            _check_order(fault, self.signals)
        return self

    @model_validator(mode="after")
    def _translations_fit(self) -> Card:
        faults = {fault.id: fault for fault in self.faults}
        for language, texts in self.translations.items():
            place = f"translations.{language}"
            for signal in texts.signals:
                if signal not in self.signals:
                    raise ValueError(f"{place}.signals: the card has no signal {signal!r}")
            for fault_id, told in texts.faults.items():
                if fault_id not in faults:
                    raise ValueError(f"{place}.faults: the card has no fault {fault_id!r}")
                wanted = len(faults[fault_id].actions)
                if told.actions and len(told.actions) != wanted:
                    raise ValueError(
                        f"{place}.faults.{fault_id}.actions: {len(told.actions)} where the fault "
                        f"has {wanted}; translate each, in the same order"
                    )
        return self

    def matches(self, equipment: str) -> bool:
        """Whether this card describes the machine of that name (``*`` stands for any text)."""
        return matches(self.equipment, equipment)


def _check_order(fault: CardFault, signals: Mapping[str, CardSignal]) -> None:
    for at, signal in enumerate(fault.order):
        if signal not in signals:
            known = ", ".join(signals) or "none"
            raise ValueError(
                f"faults.{fault.id}.order: no signal {signal!r}; the card has: {known}"
            )
        if signal in fault.order[:at]:
            raise ValueError(f"faults.{fault.id}.order: {signal!r} stands twice; leave one out")


def matches(pattern: str, equipment: str) -> bool:
    """Whether ``pattern``, in which ``*`` stands for any text, means the machine of that name."""
    text = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(text, equipment) is not None
