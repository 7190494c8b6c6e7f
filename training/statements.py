"""Sentences that say what signals do, with what they say as labels. Pure.

A hedge ("may rise") keeps the direction and takes a part of its probability over to ``none``; a
negated change ("does not rise") is ``same``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.labels import PREPOSITIONS, Signal, reference, shared_reference
from training.phrases import Bank, Form, inflect

HEDGED = 0.75
"""Probability that a hedged symptom keeps."""
PLAIN = 0.25
"""Share of clauses with one of the verbs that engineers use most."""
FIRST = 0.6
"""Of the direction that is named first of two."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """What one fault does to a group of signals that are spoken of together."""

    group: tuple[int, ...]
    way: str
    hedged: bool = False
    other: str = ""
    """A second direction that it may take instead: "falls or becomes noisy"."""

    @property
    def target(self) -> dict[str, float]:
        """The answer for each signal of the group."""
        if self.other:
            return {self.way: FIRST, self.other: 1 - FIRST}
        return {self.way: HEDGED, "none": 1 - HEDGED} if self.hedged else {self.way: 1.0}


@dataclass(slots=True)
class Speaker:
    """Puts symptoms of one card into words."""

    signals: Sequence[Signal]
    bank: Bank
    rng: random.Random

    def subject(self, symptom: Symptom) -> tuple[str, Form]:
        """A noun phrase for the symptom's signals, and the form of the verb after it."""
        group, rng = symptom.group, self.rng
        if len(group) == 1:
            signal = self.signals[group[0]]
            text = reference(signal, self.signals, self.bank, rng)
            return text, Form.SEVERAL if signal.name.endswith("vibrations") else Form.ONE
        kinds = {self.signals[i].quantity for i in group}
        quantity = next(iter(kinds))
        whole = [i for i, s in enumerate(self.signals) if s.quantity == quantity]
        if len(kinds) == 1 and quantity and tuple(whole) == group and rng.random() < 0.8:
            text = shared_reference(quantity, len(group), self.bank, rng)
            many = text.startswith(("all", "both", "the ")) and text.endswith("s")
            many = many or text.endswith("s everywhere")
            return text, Form.SEVERAL if many else Form.ONE
        if len(kinds) == 1 and quantity and rng.random() < 0.5:
            text = self._places(group)
            if text:
                return text, Form.ONE if rng.random() < 0.6 else Form.SEVERAL
        parts = [reference(self.signals[i], self.signals, self.bank, rng) for i in group]
        if rng.random() < 0.4:
            parts = [part.removeprefix("the ") for part in parts]
        return listed(parts, rng), Form.SEVERAL

    def _places(self, group: Sequence[int]) -> str:
        """ "the vibration at the motor and at the gearbox"; empty where a place has two of them."""
        entry = self.bank.quantities[self.signals[group[0]].quantity]
        words = [word for word in entry["words"] if "{" not in word]
        rivals = [s.place for s in self.signals if s.quantity == self.signals[group[0]].quantity]
        places = [self.signals[i].place for i in group]
        if not words or not all(places) or any(rivals.count(place) > 1 for place in places):
            return ""
        where = listed([self.signals[i].at for i in group], self.rng)
        return f"the {self.rng.choice(words)} {where}"

    def split(self, first: Symptom, second: Symptom) -> str:
        """One clause about two signals of one quantity that part: "the vibration rises at the motor
        and falls at the fan"; empty where they are not such a pair."""
        if len(first.group) != 1 or len(second.group) != 1 or first.hedged or second.hedged:
            return ""
        one, two = self.signals[first.group[0]], self.signals[second.group[0]]
        rivals = [s.place for s in self.signals if s.quantity == one.quantity]
        words = self.bank.quantities.get(one.quantity, {}).get("words", ())
        words = [word for word in words if "{" not in word]
        alike = one.quantity == two.quantity and first.other == second.other == ""
        if not alike or not words or not all(rivals) or len(set(rivals)) < len(rivals):
            return ""
        phrase = self.rng.choice(self.bank.text["splits"])
        phrase = phrase.replace("at {p}", one.at).replace("at {q}", two.at)
        if "{p}" in phrase:
            if any(s.place.startswith(PREPOSITIONS) for s in (one, two)):
                return ""
            phrase = phrase.replace("{p}", f"the {one.place}").replace("{q}", f"the {two.place}")
        for key, symptom in (("{a}", first), ("{b}", second)):
            phrase = phrase.replace(key, inflect(self._verb(symptom.way), Form.ONE))
        return phrase.replace("{w}", self.rng.choice(words))

    def either(self, symptom: Symptom) -> str:
        """ "the flow falls or becomes noisy"."""
        subject, form = self.subject(symptom)
        first, second = (inflect(self._verb(way), form) for way in (symptom.way, symptom.other))
        phrase = self.rng.choice(self.bank.text["either"])
        return phrase.replace("{x}", subject).replace("{a}", first).replace("{b}", second)

    def clause(self, symptom: Symptom, adverb: str = "") -> str:
        """A main clause without a full stop."""
        rng, bank = self.rng, self.bank
        if symptom.other:
            return f"{self.either(symptom)} {adverb}".strip()
        special = self._special(symptom)
        subject, form = self.subject(symptom)
        verb = self._verb(symptom.way)
        if special and rng.random() < 0.3:
            phrase = special
        elif symptom.hedged and rng.random() < 0.85 and "can no longer" not in verb:
            phrase = self._helped(verb, subject)
        else:
            lead = rng.choice(bank.hedges["lead"]) if symptom.hedged else ""
            phrase = lead + f"{subject} {inflect(verb, form)}".strip()
            if not symptom.hedged and rng.random() < 0.1:
                sure = rng.choice(bank.hedges["sure"])
                phrase = f"{subject} {sure} {inflect(verb, form)}"
        if not adverb:
            return phrase
        return f"{adverb} {phrase}" if rng.random() < 0.2 else f"{phrase} {adverb}"

    def _helped(self, verb: str, subject: str) -> str:
        may = self.rng.choice(self.bank.hedges["may"])
        verb = inflect(verb, Form.BARE).replace("do not ", "not ", 1).replace("neither ", "not ", 1)
        return f"{subject} {may} {verb}".strip()

    def _verb(self, way: str) -> str:
        """A verb phrase; one of the plain few more often than its share."""
        ways = self.bank.ways[way]
        plain = ways.get("plain") if self.rng.random() < PLAIN else None
        return self._numbers(self.rng.choice(plain or ways["verbs"]))

    def _numbers(self, phrase: str) -> str:
        """Fills in numbers: ``{n}`` is the smaller of two."""
        low = self.rng.randint(2, 40)
        return phrase.replace("{n}", str(low)).replace("{m}", str(low + self.rng.randint(2, 60)))

    def _special(self, symptom: Symptom) -> str:
        """A way to say it that belongs to the quantity: "the bearing runs hot"."""
        if len(symptom.group) != 1 or symptom.way not in ("up", "down", "same"):
            return ""
        signal = self.signals[symptom.group[0]]
        ways = self.bank.quantities.get(signal.quantity, {}).get(symptom.way, ())
        if not ways or not signal.place:
            return ""
        phrase = self.rng.choice(ways)
        if symptom.hedged:
            helper = self.rng.choice(self.bank.hedges["may"])
            phrase = inflect(phrase, Form.BARE).replace("{p} ", f"{{p}} {helper} ", 1)
        if signal.place.startswith(PREPOSITIONS):
            return ""
        return inflect(phrase, Form.ONE).replace("{p}", f"the {signal.place}")

    def noun(self, symptom: Symptom) -> str:
        """A noun phrase: "a drop in flow"."""
        subject, _ = self.subject(symptom)
        subject = subject.removeprefix("the ") if self.rng.random() < 0.6 else subject
        phrase = self.rng.choice(self.bank.ways[symptom.way]["nouns"]).replace("{x}", subject)
        return f"possibly {phrase}" if symptom.hedged else phrase

    def caused(self, symptom: Symptom, helped: bool = True) -> str:
        """A verb phrase for a cause: "lowers the flow"."""
        subject, _ = self.subject(symptom)
        verb = self.rng.choice(self.bank.ways[symptom.way]["causes"])
        if symptom.hedged and helped:
            may = self.rng.choice(self.bank.hedges["may"])
            phrase = f"{may} {inflect(verb, Form.BARE).replace('do not', 'not')}"
        else:
            phrase = inflect(verb, Form.ONE)
        return phrase.replace("{x}", subject)

    def mark(self, symptom: Symptom) -> str:
        """Note style: "flow low"."""
        subject, _ = self.subject(symptom)
        phrase = self.rng.choice(self.bank.ways[symptom.way]["marks"])
        phrase = phrase.replace("{x}", subject.removeprefix("the "))
        return f"{phrase} (possible)" if symptom.hedged else phrase


def listed(parts: Sequence[str], rng: random.Random) -> str:
    """``a, b and c``."""
    if len(parts) == 1:
        return parts[0]
    last = rng.choice((" and ", " and ", " as well as ", ", and "))
    return ", ".join(parts[:-1]) + last + parts[-1]
