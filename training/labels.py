"""How a card shows its signals and how a text refers to them. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.phrases import Bank

UNITS = {
    "temperature": ("C", "°C", "degC", "K"),
    "pressure": ("bar", "Pa", "kPa", "mbar"),
    "vibration": ("mm/s", "g", "rms g", "mm s"),
    "current": ("A",),
    "power": ("kW", "Nm", "%"),
    "flow": ("L/min", "m3/h", "kg/s", "L per min"),
    "level": ("%", "mm"),
    "speed": ("rpm", "1/min", "Hz"),
    "valve": ("%", "0..1", "cmd"),
    "": ("%", ""),
}
LETTERS = {
    "temperature": "TI",
    "pressure": "PI",
    "vibration": "VI",
    "current": "II",
    "power": "JI",
    "flow": "FI",
    "level": "LI",
    "speed": "SI",
    "valve": "ZI",
    "": "AI",
}
SHORT = {"temperature": "temp", "pressure": "press", "vibration": "vib", "position": "pos"}


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its plain name, how the card shows it, what it measures, and where."""

    name: str
    label: str
    quantity: str
    place: str
    """Its name without the quantity; empty if the name is nothing else."""

    def here(self, word: str) -> str:
        """``word`` where the signal is: "vibration at the motor", "pressure before the filter"."""
        return f"{word} {self.at}"

    @property
    def at(self) -> str:
        """The place with its preposition."""
        return self.place if self.place.startswith(PREPOSITIONS) else f"at the {self.place}"


PREPOSITIONS = ("at ", "in ", "before ", "after ", "behind ")


def dress(names: Sequence[str], bank: Bank, rng: random.Random) -> tuple[Signal, ...]:
    """The card's signals with labels in one style."""
    style = rng.choices(("plain", "unit", "short", "code", "behind"), (50, 13, 10, 10, 17))[0]
    found = []
    for name in names:
        quantity = bank.quantity(name)
        word = next(
            (n for n in bank.quantities.get(quantity, {}).get("names", ()) if n in name), ""
        )
        place = " ".join(name.replace(word, "").split()) if word else ""
        found.append(Signal(name, _label(name, quantity, word, style, rng), quantity, place))
    return tuple(found)


def _label(name: str, quantity: str, word: str, style: str, rng: random.Random) -> str:
    place = " ".join(name.replace(word, "").split())
    match style:
        case "unit":
            return f"{name} {rng.choice(UNITS[quantity])}".strip()
        case "short":
            return " ".join(SHORT.get(part, part) for part in name.split())
        case "code":
            return f"{LETTERS[quantity]}{rng.randint(100, 999)} {name}"
        case "behind" if word and place and not place.startswith(PREPOSITIONS):
            ways = (f"{word} {place}", f"{word} at the {place}", f"{word}, {place}")
            return rng.choice((*ways, f"{word} of the {place}"))
        case _:
            return name


def reference(signal: Signal, signals: Sequence[Signal], bank: Bank, rng: random.Random) -> str:
    """A noun phrase for one signal, which no other signal of the card shares."""
    ways = [f"the {signal.name}"] * 5 + [
        signal.name,
        signal.name,
        f"the {signal.label}",
        f"the {signal.name} reading",
    ]
    entry = bank.quantities.get(signal.quantity, {})
    words = [word for word in entry.get("words", ()) if "{" not in word]
    alike = [one for one in signals if one.quantity == signal.quantity and one is not signal]
    if not signal.quantity or any(one.place == signal.place for one in alike):
        return rng.choice(ways)
    if not alike and rng.random() < 0.3:
        return f"the {rng.choice([*entry.get('alone', ()), signal.name])}"
    if not signal.place:
        return rng.choice(ways)
    if alike and rng.random() < 0.35:
        return f"the {signal.here(rng.choice(words or [signal.quantity]))}"
    for word in rng.sample(words, min(2, len(words))):
        ways += [f"the {signal.here(word)}"] * 2
        if not signal.place.startswith(PREPOSITIONS):
            ways += [f"the {word} of the {signal.place}", f"the {signal.place} {word}"]
            ways += [f"the {signal.place}'s {word}"]
    return rng.choice(ways)


def shared_reference(quantity: str, count: int, bank: Bank, rng: random.Random) -> str:
    """A noun phrase for all signals of one quantity on the card: "both temperatures"."""
    word = rng.choice([w for w in bank.quantities[quantity]["words"] if "{" not in w] or [quantity])
    several = word if word.endswith("s") else f"{word}s"
    ways = [f"all {several}", f"the {several}", f"every {word}", f"{several} everywhere"]
    ways += [several, f"the {word}"]
    if count == 2:
        ways += [f"both {several}"] * 3
    if quantity == "vibration":
        ways += ["vibration", "the vibration", "the vibrations", "vibration everywhere"]
    return rng.choice(ways)
