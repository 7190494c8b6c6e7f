"""Explanations to learn from: evidence, a fault, and sentences that the checker bears out. Pure.

A case is a finding about a generated card, made as the gateway makes it: some of what the fault's
text says shows, now and then something else does too. The answers say what moved with its numbers,
which of it is typical of the fault by its text, and what is less typical; each sentence is put
through the gateway's own check, and a case with a sentence that falls is drawn again.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.diagnose.claims import sentences, verified
from edge_agent.diagnose.wording import deviating, label
from edge_agent.domain.card import Card as Equipment
from edge_agent.domain.card import CardFault, CardSignal
from edge_agent.domain.finding import Direction, Finding, IncidentPhase, SignalEvidence, Window
from training.generate import Source, card
from training.labels import UNITS
from training.reading import best
from training.wording_prompt import wording_question

ANSWERS = 2
SHOWS, STRAYS, TELLS = 0.9, 0.1, 2
WAYS = {
    "up": Direction.UP,
    "down": Direction.DOWN,
    "noisy": Direction.NOISY,
    "stuck": Direction.FROZEN,
}
MOVES = (Direction.UP, Direction.DOWN)


@dataclass(frozen=True, slots=True)
class Explained:
    """One fault to explain, and some ways to do so."""

    finding: Finding
    equipment: Equipment
    fault: CardFault
    answers: tuple[str, ...]

    @property
    def question(self) -> str:
        """What the gateway asks."""
        return wording_question(self.finding, self.fault)


def as_answer(text: str) -> str:
    """The JSON that the gateway's schema asks for."""
    return json.dumps({"explanation": text}, ensure_ascii=False, separators=(",", ":"))


def explained(origin: Source, rng: random.Random) -> Explained:
    """One case. Draws until every sentence of its answers stands."""
    while True:
        case = _case(origin, rng)
        if case is not None and all(_stands(one, case) for one in case.answers):
            return case


def _stands(answer: str, case: Explained) -> bool:
    kept = verified(answer, case.finding, case.equipment)
    return len(sentences(kept)) == len(sentences(answer))


def _case(origin: Source, rng: random.Random) -> Explained | None:
    drawn = card(origin, rng)
    number = rng.randrange(len(drawn.faults))
    text, names = drawn.faults[number], [_name(one) for one in drawn.labels]
    if len(set(names)) < len(names):
        return None
    machine = next(one for one in origin.machines if one.name == drawn.machine)
    title = _title(machine.parts, origin, rng)
    fault = CardFault(id="f1", title=title, description=text.text)
    evidence, said = _evidence(names, [best(t) for t in text.signals], origin, rng)
    signals = {one.signal: CardSignal(unit=one.unit) for one in evidence}
    equipment = Equipment(equipment="m", title=drawn.machine, signals=signals, faults=(fault,))
    finding = Finding(
        incident_id="i",
        phase=IncidentPhase.UPDATED,
        equipment="m",
        opened_at=0.0,
        at=0.0,
        score=2.0,
        reason="",
        window=Window(start=0.0, end=0.0),
        evidence=tuple(evidence),
        fingerprint="",
    )
    if not any(one.direction in MOVES for one in evidence):
        return None
    answers = tuple(_answer(finding, fault, said, rng) for _ in range(ANSWERS))
    return Explained(finding, equipment, fault, answers)


def _name(shown: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", shown.lower()).strip("_")


def _title(parts: Sequence[str], origin: Source, rng: random.Random) -> str:
    part, defect = rng.choice(parts), rng.choice(origin.bank.text["defects"])
    title = rng.choice((f"{defect} {part}", f"{part} {defect}", f"{part} fault", f"{part}"))
    return title[:1].upper() + title[1:]


def _evidence(
    names: Sequence[str], words: Sequence[str], origin: Source, rng: random.Random
) -> tuple[list[SignalEvidence], dict[str, bool]]:
    """What is seen, most telling first, and per evidence whether the text says so."""
    seen = []
    for name, word in zip(names, words, strict=True):
        way = WAYS.get(word, Direction.NORMAL)
        if rng.random() > SHOWS:
            way = Direction.NORMAL
        if way is Direction.NORMAL and rng.random() < STRAYS:
            way = rng.choice((*MOVES, Direction.NOISY))
        seen.append((way is Direction.NORMAL, rng.random(), name, way, way is WAYS.get(word)))
    seen.sort()
    found, said = [], {}
    for number, (_, _, name, way, fits) in enumerate(seen[:8]):
        found.append(_measured(f"e{number + 1}", name, way, origin, rng))
        said[f"e{number + 1}"] = fits
    return found, said


def _measured(
    key: str, name: str, way: Direction, origin: Source, rng: random.Random
) -> SignalEvidence:
    usual = rng.choice((1.0, 10.0, 100.0, 1000.0)) * rng.uniform(0.1, 9.9)
    usual = round(usual, rng.choice((0, 1, 2, 3))) or 1.0
    share = rng.uniform(0.01, 0.6) * {Direction.UP: 1, Direction.DOWN: -1}.get(way, 0)
    unit = rng.choice(UNITS[origin.bank.quantity(label(name))]) if rng.random() < 0.8 else ""
    sigma = rng.uniform(3, 20) * (1 if share >= 0 else -1)
    return SignalEvidence(
        id=key,
        signal=name,
        unit=unit,
        baseline=usual,
        now=usual * (1 + share),
        sigma=sigma,
        direction=way,
    )


def _answer(finding: Finding, fault: CardFault, said: dict[str, bool], rng: random.Random) -> str:
    moved = [one for one in deviating(finding) if one.direction in MOVES][:TELLS]
    fitting = [one for one in moved if said[one.id]]
    others = [one for one in moved if not said[one.id]]
    calm = [one for one in finding.evidence if one.direction is Direction.NORMAL]
    told = [_observed(moved, rng)]
    if fitting:
        told.append(_typical(fitting, fault.title, rng))
    if others:
        told.append(_less(others[0], rng))
    elif calm and rng.random() < 0.4:
        one = calm[0]
        told.append(
            rng.choice(
                (
                    f"The {label(one.signal)} [{one.id}] stayed normal.",
                    f"The {label(one.signal)} remained unchanged [{one.id}].",
                )
            )
        )
    return " ".join(one[:1].upper() + one[1:] for one in told)


def _observed(moved: Sequence[SignalEvidence], rng: random.Random) -> str:
    parts = [_moved(one, rng) for one in moved]
    joins = (", and ", ", while ", " while ", " and ")
    return ", ".join(parts[:-1]) + (rng.choice(joins) if len(parts) > 1 else "") + parts[-1] + "."


def _moved(one: SignalEvidence, rng: random.Random) -> str:
    up = one.direction is Direction.UP
    verb = rng.choice(("rose", "increased", "rose") if up else ("fell", "decreased", "fell"))
    unit = f" {one.unit}" if one.unit else ""
    numbers = f"from {one.baseline:.4g} to {one.now:.4g}{unit}"
    name = f"the {label(one.signal)}"
    return f"{name} {verb} {numbers} [{one.id}]"


def _noun(one: SignalEvidence, rng: random.Random) -> str:
    up = one.direction is Direction.UP
    noun = rng.choice(
        ("the rise of", "the increase of") if up else ("the fall of", "the decrease of")
    )
    return f"{noun} the {label(one.signal)} [{one.id}]"


def _typical(fitting: Sequence[SignalEvidence], title: str, rng: random.Random) -> str:
    nouns = [_noun(one, rng) for one in fitting]
    subject = ", ".join(nouns[:-1]) + (" and " if len(nouns) > 1 else "") + nouns[-1]
    several = len(nouns) > 1
    told: tuple[Callable[[], str], ...] = (
        lambda: f"{subject} {'are' if several else 'is'} typical of this fault, {title}.",
        lambda: f"{subject} {'fit' if several else 'fits'} the fault: {title}.",
        lambda: f"{subject} {'are' if several else 'is'} consistent with the fault: {title}.",
    )
    return rng.choice(told)()


def _less(other: SignalEvidence, rng: random.Random) -> str:
    return f"Less typical is {_noun(other, rng)}."
