"""What the diagnosis asks of a model and what it gets back, whatever engine runs it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edge_agent.domain.finding import Record


class ModelIdentity(Record):
    """Which model answered, exactly."""

    name: str
    sha256: str
    tier: str
    prompt_version: str = ""


class Choice(Record):
    """An enumerated question that is answered by likelihood, not by generated text.

    The engine appends ``question`` to the prompt, scores each of ``options`` as its
    continuation, and returns the normalised probabilities.
    """

    name: str
    question: str
    options: tuple[str, ...]


class CompletionRequest(Record):
    """One prompt: a prefix that repeats (system text and card) and a suffix that does not."""

    request_id: str
    system: str
    """System message; together with ``context`` it forms the prefix kept in the KV cache."""
    context: str
    """The unchanging start of the user message: the equipment card."""
    question: str
    """The changing end of the user message: evidence and task."""
    json_schema: dict[str, Any]
    max_tokens: int = Field(gt=0)
    choices: tuple[Choice, ...] = ()
    adapter: str = ""
    """LoRA adapter of the catalogue to answer with; empty: the model as it is."""
    seed: int = 0
    greedy: bool = False
    token_gap_s: float = 0.0
    threads: int = 2
    deadline_s: float = 120.0


class Completion(Record):
    """The model's answer with its cost."""

    text: str
    """A JSON document valid under the request's schema."""
    probabilities: dict[str, dict[str, float]] = {}
    """For each ``Choice``: option → normalised likelihood."""
    tokens_in: int
    """Prompt tokens, those served from the cache included."""
    tokens_cached: int
    tokens_out: int
    tokens_forced: int
    """Output tokens that the schema left no choice about."""
    seconds: float
    prefill_seconds: float
    decode_seconds: float
    cpu_seconds: float
    model: ModelIdentity
    adapter_sha256: str = ""
    sampling: dict[str, float] = {}
    """How tokens were drawn; empty: the most probable one each time."""

    def by_prompt(self, version: str) -> Completion:
        """The same, its model saying which prompt made it."""
        model = self.model.model_copy(update={"prompt_version": version})
        return self.model_copy(update={"model": model})


class Question(Record):
    """What continues a text, and the words that may answer it, as they continue the question."""

    text: str
    options: tuple[str, ...]


class ReadingRequest(Record):
    """Questions to be asked of each of several texts, answered by the likelihood of one word.

    Texts and questions stand for themselves, without a chat template: it is how an adapter for
    reading was trained.
    """

    request_id: str
    texts: tuple[str, ...] = Field(min_length=1, max_length=500)
    questions: tuple[Question, ...] = Field(min_length=1, max_length=400)
    adapter: str = ""
    threads: int = 2
    deadline_s: float = 600.0


class Reading(Record):
    """The answers to a ``ReadingRequest``."""

    probabilities: tuple[tuple[tuple[float, ...], ...], ...]
    """Text → question → option; the options of a question sum to 1."""
    tokens: int
    """Computed."""
    seconds: float
    model: ModelIdentity
    adapter_sha256: str = ""
