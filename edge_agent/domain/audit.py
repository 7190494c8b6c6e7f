"""What a diagnosis was made from: enough to make it again, and to tell what changed since."""

from __future__ import annotations

from typing import Literal

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis, ManualPassage
from edge_agent.domain.feedback import SimilarIncident
from edge_agent.domain.finding import Record
from edge_agent.domain.job import Job
from edge_agent.domain.level import Allowance, Spent


class Program(Record):
    """Which code made a diagnosis."""

    version: str
    rules_sha256: str
    """Over every source of rules, prompt, wording and checks."""


class Circumstances(Record):
    """All that a diagnosis depends on but the model's answer."""

    agent_id: str
    created_at: str
    """RFC 3339, UTC; as published."""
    job: Job
    """With the finding and its window, as it was claimed."""
    card: Card | None
    settings: DiagnoseSection
    """Without the cards, which lie in ``card``."""
    confirmed: dict[str, int] = {}
    """Fault → how often operators had named it."""
    similar: tuple[SimilarIncident, ...] = ()
    passages: tuple[ManualPassage, ...] = ()
    allowance: Allowance
    program: Program


class DiagnosisRecord(Record):
    """One published diagnosis with everything that it was made from."""

    format: Literal[1] = 1
    circumstances: Circumstances
    request: CompletionRequest | None
    """The prompt, with its seed; None where no model was asked."""
    completion: Completion | None
    """What the model said, and which it was."""
    reason: str
    """Why there is no completion."""
    spent: Spent
    diagnosis: Diagnosis
    """As published."""
