"""A flood of broken messages is counted whole and told in a few notes."""

from __future__ import annotations

from edge_agent.deadletter import NOTES_PER_MINUTE, DeadLetters
from edge_agent.domain.telemetry import Message


def test_notes_are_limited_and_say_how_many_went_without() -> None:
    notes: list[int] = []
    letters = DeadLetters(lambda _message, _reason, suppressed: notes.append(suppressed))
    message = Message(topic="plant/x", payload=b"{", arrived=0.0)
    for _ in range(1000):
        letters.add(message, "not JSON", now=10.0)
    assert len(notes) == NOTES_PER_MINUTE
    letters.add(message, "not JSON", now=70.0)
    assert notes[-1] == 1000 - NOTES_PER_MINUTE
    assert letters.count == 1001
