"""Synthetic cards: machine, labels, faults in words, and what the words say. Pure, by seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from training.labels import PREPOSITIONS, Signal, dress, reference
from training.machines import Machine, machines
from training.phrases import Bank, Form, inflect, load
from training.reading import Card, FaultText
from training.spoil import spoil
from training.statements import Speaker, Symptom, listed

WAYS = {"up": 0.38, "down": 0.32, "same": 0.13, "noisy": 0.11, "stuck": 0.06}
OTHER = {"up": "noisy", "down": "noisy", "noisy": "down"}
"""A second direction that a text may name with "or"."""
COUNTS = {0: 3, 1: 13, 2: 28, 3: 28, 4: 18, 5: 7, 6: 3}


@dataclass(frozen=True, slots=True)
class Source:
    """Where cards come from: machine types and phrase banks."""

    machines: tuple[Machine, ...]
    bank: Bank
    faults: tuple[int, int] = (3, 5)


def source(*, held_machines: bool = False, held_phrases: bool = False) -> Source:
    """The training source, or one with held-out machine types, phrasings or both."""
    return Source(machines(held_machines), load(held_phrases))


def cards(origin: Source, seed: int) -> Iterator[Card]:
    """Cards without end; the same seed gives the same ones."""
    rng = random.Random(seed)  # noqa: S311 -- synthetic texts, no secret
    while True:
        yield card(origin, rng)


def card(origin: Source, rng: random.Random) -> Card:
    """One card."""
    machine = rng.choice(origin.machines)
    names = list(machine.signals)
    rng.shuffle(names)
    names = names[: rng.randint(min(4, len(names)), len(names))]
    kind = rng.random()
    if kind < 0.1:
        twin = rng.choice([n for n in names if origin.bank.quantity(n)] or names)
        at = names.index(twin)
        names[at : at + 1] = [f"{twin} 1", f"{twin} 2"]
    elif kind < 0.5:
        names += _twins(names, origin.bank, rng)
    rng.shuffle(names)
    signals = dress(names, origin.bank, rng)
    count = rng.randint(*origin.faults)
    faults = tuple(fault(machine, signals, origin.bank, rng) for _ in range(count))
    return Card(machine.name, tuple(signal.label for signal in signals), faults)


def _twins(names: Sequence[str], bank: Bank, rng: random.Random) -> list[str]:
    """Names of further sensors of a quantity that the card has already, at other places."""
    found: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        model = rng.choice(names)
        word = next(
            (
                n
                for n in bank.quantities.get(bank.quantity(model), {"names": ()})["names"]
                if n in model
            ),
            "",
        )
        place = rng.choice(bank.text["places"])
        name = f"{word} {place}" if place.startswith(PREPOSITIONS) else f"{place} {word}"
        if word and bank.quantity(name) == bank.quantity(model) and name not in (*names, *found):
            found.append(name)
    return found


def fault(machine: Machine, signals: Sequence[Signal], bank: Bank, rng: random.Random) -> FaultText:
    """One fault: its text and what it says of each signal and of the speed."""
    symptoms = _symptoms(signals, rng)
    speed = rng.choices(("none", "slow", "sudden"), (0.62, 0.2, 0.18))[0]
    writer = _Writer(machine, Speaker(signals, bank, rng), speed)
    text, rest = writer.text(symptoms)
    targets = [{"same": 1.0} if rest else {"none": 1.0} for _ in signals]
    for symptom in symptoms:
        for index in symptom.group:
            targets[index] = symptom.target
    return FaultText(spoil(text, rng), tuple(targets), {speed: 1.0})


def _symptoms(signals: Sequence[Signal], rng: random.Random) -> list[Symptom]:
    """Disjoint groups of signals with what happens to them, in random order."""
    count = rng.choices(tuple(COUNTS), tuple(COUNTS.values()))[0]
    free = list(range(len(signals)))
    rng.shuffle(free)
    found = []
    while count > 0 and free:
        first = free.pop()
        group = [first]
        alike = [i for i in free if signals[i].quantity == signals[first].quantity != ""]
        chance = rng.random()
        if alike and chance < 0.25:
            group += alike if chance < 0.15 else alike[: rng.choice((1, 2))]
        elif free and chance < 0.45:
            group += free[: rng.choice((1, 1, 2, 2, 3, 4))]
        free = [i for i in free if i not in group]
        way = rng.choices(tuple(WAYS), tuple(WAYS.values()))[0]
        hedged = rng.random() < (0.2 if way in ("up", "down", "noisy") else 0.0)
        other = "" if hedged or rng.random() > 0.05 else OTHER.get(way, "")
        ordered = tuple(sorted(group)) if len(group) > 1 else (first,)
        found.append(Symptom(ordered, way, hedged, other))
        if alike and alike[0] in free and rng.random() < 0.35:
            rival = rng.choices(tuple(WAYS), tuple(WAYS.values()))[0]
            found.append(Symptom((alike[0],), rival))
            free.remove(alike[0])
        count -= len(group)
    return found


@dataclass(slots=True)
class _Writer:
    """Writes one fault's text."""

    machine: Machine
    speaker: Speaker
    speed: str

    def text(self, symptoms: Sequence[Symptom]) -> tuple[str, bool]:
        """The text, and whether it says that all other signals stay as they were."""
        rng = self.speaker.rng
        adverb, sentence = self._speed(bool(symptoms))
        opening = [self._cause(adverb if not symptoms else "")] if rng.random() < 0.6 else []
        while rng.random() < 0.35:
            mechanism = self._filled(rng.choice(self.speaker.bank.text["mechanisms"]))
            opening.insert(rng.randint(0, len(opening)), mechanism)
        if not symptoms and not opening:
            opening = [self._cause(adverb)]
        body = self._body(list(symptoms), adverb)
        extra = [sentence] if sentence else []
        extra += [self._aside()] if rng.random() < 0.12 else []
        extra += [self._remark()] if rng.random() < 0.15 else []
        rng.shuffle(extra)
        rest = bool(symptoms) and rng.random() < 0.06
        tail = [rng.choice(self.speaker.bank.text["rests"])] if rest else []
        title = [self._title()] if rng.random() < 0.4 else []
        pieces = title + (
            extra + opening + body if rng.random() < 0.1 else opening + body + tail + extra
        )
        if rest and tail[0] not in pieces:
            pieces += tail
        return " ".join(piece[:1].upper() + piece[1:] for piece in pieces), rest

    def _speed(self, has_symptoms: bool) -> tuple[str, str]:
        """Adverb or sentence that tells the speed; one of them, or none."""
        if self.speed == "none":
            return "", ""
        rng, phrases = self.speaker.rng, self.speaker.bank.speeds[self.speed]
        if rng.random() < 0.7 and has_symptoms:
            return rng.choice(phrases["adverbs"]), ""
        return "", rng.choice(phrases["sentences"])

    def _body(self, symptoms: list[Symptom], adverb: str) -> list[str]:
        """The sentences about the symptoms."""
        speaker, rng = self.speaker, self.speaker.rng
        if not symptoms:
            return []
        style = rng.choices(("clauses", "nouns", "notes", "caused"), (62, 14, 10, 14))[0]
        if any(symptom.other for symptom in symptoms):
            style = "clauses"
        if style == "notes":
            notes = rng.choice((", ", "; ", " / ")).join(speaker.mark(one) for one in symptoms)
            return [f"{notes}, {adverb}." if adverb else f"{notes}."]
        if style == "nouns":
            items = listed([speaker.noun(one) for one in symptoms], rng)
            sign = rng.choice(speaker.bank.text["signs"]).replace("{list}", items)
            return [sign[:-1] + f", {adverb}." if adverb else sign]
        sentences = []
        if style == "caused":
            first = symptoms.pop(0)
            agent = rng.choice(speaker.bank.text["agents"])
            part = f"The {rng.choice(self.machine.parts)}"
            subject = rng.choice(("It", "This", "The fault", part, agent, agent))
            words = [subject, speaker.caused(first), adverb]
            sentences.append(" ".join(word for word in words if word) + ".")
            adverb = ""
        while symptoms:
            taken = [symptoms.pop(0) for _ in range(min(len(symptoms), rng.choice((1, 2, 2, 3))))]
            sentences.append(self._sentence(taken, adverb))
            adverb = ""
        return sentences

    def _sentence(self, symptoms: Sequence[Symptom], adverb: str) -> str:
        """One sentence of one to three clauses."""
        speaker, rng = self.speaker, self.speaker.rng
        parted = speaker.split(*symptoms[:2]) if len(symptoms) > 1 and not adverb else ""
        text = parted or speaker.clause(symptoms[0], adverb)
        way = symptoms[bool(parted)]
        for number, symptom in enumerate(symptoms[1 + bool(parted) :], bool(parted)):
            alike = symptom.way == way.way and symptom.hedged == way.hedged
            alike = alike and symptom.other == way.other == ""
            if alike and way.way != "stuck" and rng.random() < 0.35:
                subject, form = speaker.subject(symptom)
                follow = rng.choice(speaker.bank.text["follows"]).replace("{x}", subject)
                text += ", and " + inflect(follow, form)
            elif not symptom.other and rng.random() < 0.12:
                text += ", which " + speaker.caused(symptom)
            elif not symptom.other and rng.random() < 0.06:
                agent = rng.choice(speaker.bank.text["agents"])
                text += f", and {agent[:1].lower()}{agent[1:]} {speaker.caused(symptom)}"
            elif rng.random() < 0.15 and not (symptom.hedged or symptom.other):
                text += ", with " + speaker.noun(symptom)
            else:
                last = number == len(symptoms) - 2
                join = rng.choice(speaker.bank.text["joins"]) if last else ", "
                text += join + speaker.clause(symptom)
            way = symptom
        return self._tail(text, symptoms) + "."

    def _tail(self, text: str, symptoms: Sequence[Symptom]) -> str:
        """Sometimes a condition, a reason, or a signal that is only compared with."""
        speaker, rng = self.speaker, self.speaker.rng
        chance = rng.random()
        if chance < 0.12:
            text += f" {self._filled(rng.choice(speaker.bank.text['tails']))}"
        spoken = {i for symptom in symptoms for i in symptom.group}
        rest = [s for i, s in enumerate(speaker.signals) if i not in spoken]
        if 0.12 < chance < 0.18 and rest and symptoms[-1].way in ("up", "down"):
            name = reference(rng.choice(rest), speaker.signals, speaker.bank, rng)
            beside = rng.choice(speaker.bank.text["besides"]).replace("{x}", name)
            text += f" {inflect(beside, Form.ONE)}".replace("the the ", "the ")
        return text

    def _part(self) -> tuple[str, str]:
        rng = self.speaker.rng
        places = [
            signal.place
            for signal in self.speaker.signals
            if signal.place
            and signal.quantity != "valve"
            and not signal.place[-1].isdigit()
            and not signal.place.startswith(PREPOSITIONS)
        ]
        known = places if places and rng.random() < 0.25 else self.machine.parts
        return rng.choice(known), rng.choice(self.speaker.bank.text["defects"])

    def _filled(self, phrase: str) -> str:
        part, defect = self._part()
        several = part.endswith("s") and not part.endswith(("ss", "us"))
        for key, word in (("part", part), ("defect", defect)):
            phrase = phrase.replace(f"{{{key}}}", word)
            phrase = phrase.replace(f"{{{key.title()}}}", word[:1].upper() + word[1:])
        return inflect(phrase, Form.SEVERAL if several else Form.ONE)

    def _cause(self, adverb: str) -> str:
        text = self._filled(self.speaker.rng.choice(self.speaker.bank.text["causes"]))
        return f"{text[:-1]} {adverb}." if adverb else text

    def _title(self) -> str:
        return self._filled(self.speaker.rng.choice(self.speaker.bank.text["titles"])) + "."

    def _remark(self) -> str:
        return self._filled(self.speaker.rng.choice(self.speaker.bank.text["remarks"]))

    def _aside(self) -> str:
        speaker, rng = self.speaker, self.speaker.rng
        signal = rng.choice(list(speaker.signals))
        name = reference(signal, speaker.signals, speaker.bank, rng).removeprefix("the ")
        return self._filled(rng.choice(speaker.bank.text["asides"]).replace("{x}", name))


def without_hedges(text: FaultText) -> FaultText:
    """The same with each answer sure: what the accuracy of cells is counted against."""
    return replace(text, signals=tuple({max(t, key=lambda w: t[w]): 1.0} for t in text.signals))
