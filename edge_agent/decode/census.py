"""Which machines and signals were seen, and the caps on both. Pure."""

from __future__ import annotations

from edge_agent.decode.name import shown


class Census:
    """Admits names up to the caps; what was said of a cap is said once.

    A name is admitted with its first reading, so that unreadable payloads use up no cap.
    """

    def __init__(self, max_equipment: int, max_signals: int) -> None:
        self._max_equipment = max_equipment
        self._max_signals = max_signals
        self._signals: dict[str, set[str]] = {}
        self._told: set[str] = set()
        self._news: list[str] = []
        self.over_equipment = 0
        """Values of machines past the cap."""
        self.over_signals = 0
        """Values of signals past their machine's cap."""

    def admit(self, equipment: str, signal: str) -> bool:
        """Whether readings of this signal are taken."""
        known = self._signals.get(equipment)
        if known is None:
            if len(self._signals) >= self._max_equipment:
                self.over_equipment += 1
                self.tell(
                    "",
                    f"telemetry.max_equipment = {self._max_equipment} machines are known: readings"
                    f" of {shown(equipment)} and further ones are dropped",
                )
                return False
            known = self._signals[equipment] = set()
        if signal in known:
            return True
        if len(known) >= self._max_signals:
            self.over_signals += 1
            self.tell(
                equipment,
                f"{shown(equipment)} has telemetry.max_signals = {self._max_signals} signals:"
                f" {shown(signal)} and further ones are dropped",
            )
            return False
        known.add(signal)
        return True

    def knows(self, equipment: str) -> bool:
        """Whether readings of this machine were taken before."""
        return equipment in self._signals

    def news(self) -> list[str]:
        """What an operator should hear, once; empties the list."""
        news, self._news = self._news, []
        return news

    def counts(self) -> tuple[int, int]:
        """Machines and signals known."""
        return len(self._signals), sum(map(len, self._signals.values()))

    def tell(self, about: str, text: str) -> None:
        """Have ``text`` said once; ``about`` is what it is about."""
        if about not in self._told:
            self._told.add(about)
            self._news.append(text)
