"""Has a model read a card's fault texts into a symptom table: what ``card compile`` does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.config.inference import InferenceSection
from edge_agent.diagnose.compiled import (
    CompiledCard,
    FaultReading,
    Reader,
    labels_of,
    text_sha256,
)
from edge_agent.diagnose.fault_reading import (
    SIGNAL_WORDS,
    SPEED_QUESTION,
    SPEED_WORDS,
    AnswerKind,
    reading_prefix,
    signal_question,
    tempered,
)
from edge_agent.diagnose.language import foreign
from edge_agent.domain.card import Card, CardFault
from edge_agent.domain.completion import Question, Reading, ReadingRequest
from edge_agent.errors import BadConfig
from edge_agent.inference.adapter import FAULT_READING, AdapterFile, adapter_for, adapters
from edge_agent.inference.catalog import resolve, sha256_of
from edge_agent.inference.client import WorkerClient

WORKER_MB = 4096
TEXTS_AT_ONCE = 8
"""Texts of one request: progress is seen, and a cancellation is quick."""
RELIABILITY = "cell_accuracy"
"""Name of the figure in an adapter's manifest."""
MOST_CELLS = 20_000
"""Faults by signals that are read at once: a quarter of an hour on a slow core."""
LEAST_CLAUSE = 8
"""Characters; shorter scraps are no clause."""
_CLAUSE = re.compile(r"(?<=[.;:,!?])\s+|\s+(?=(?:while|but|whereas|and the|because)\b)")

Ask = Callable[[ReadingRequest], Reading]


@dataclass(frozen=True, slots=True)
class ModelReader:
    """A model, perhaps with an adapter, that answers reading requests."""

    ask: Ask
    about: Reader
    threads: int = 1
    temperatures: Mapping[AnswerKind, float] = field(default_factory=dict)
    """Of the answers; none: as the model gives them."""

    def read(
        self, labels: Sequence[str], texts: Sequence[str], progress: Callable[[int], None]
    ) -> list[list[tuple[float, ...]]]:
        """Per text: the probabilities over ``SIGNAL_WORDS`` for each label, at last those over
        ``SPEED_WORDS``. ``progress`` hears how many texts were just read. Raises ``BadAnswer`` or
        ``Unavailable``."""
        questions = [_question(signal_question(label), SIGNAL_WORDS) for label in labels]
        questions.append(_question(SPEED_QUESTION, SPEED_WORDS))
        found: list[list[tuple[float, ...]]] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            request = ReadingRequest(
                request_id=f"read-{start}",
                texts=tuple(reading_prefix(labels, text) for text in some),
                questions=tuple(questions),
                adapter=self.about.adapter,
                threads=self.threads,
            )
            found += [self._tempered(one) for one in self.ask(request).probabilities]
            progress(len(some))
        return found

    def _tempered(self, answers: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
        words = [SIGNAL_WORDS] * (len(answers) - 1) + [SPEED_WORDS]
        return [
            tempered(options, chances, self.temperatures)
            for options, chances in zip(words, answers, strict=True)
        ]


def _question(text: str, words: Sequence[str]) -> Question:
    return Question(text=text, options=tuple(f" {word}" for word in words))


@contextmanager
def open_reader(
    model: str, adapter: str | None, models_dir: Path, threads: int = 1
) -> Iterator[ModelReader]:
    """A worker with ``model``. ``adapter``: a name; empty: none; None: the one of the catalogue
    for this base, if there is any. Raises ``BadConfig`` for what does not go together."""
    file = resolve(model, models_dir)
    digest = file.manifest.sha256 or sha256_of(file.path)
    chosen = _chosen(adapter, digest, models_dir)
    about = Reader(
        model=file.manifest.name,
        model_sha256=digest,
        adapter=chosen.manifest.name if chosen else "",
        adapter_sha256=chosen.manifest.sha256 if chosen else "",
        reliability=chosen.manifest.figures.get(RELIABILITY) if chosen else None,
    )
    with tempfile.TemporaryDirectory(prefix="edge-agent-") as folder:
        client = WorkerClient(
            InferenceSection(model=model, models_dir=models_dir, context=2048, threads=threads),
            runtime_dir=Path(folder),
            models_dir=models_dir,
            memory_limit_mb=lambda: WORKER_MB,
        )
        try:
            yield ModelReader(
                lambda request: client.read(request, lambda: False),
                about,
                threads,
                chosen.manifest.temperatures if chosen else {},
            )
        finally:
            client.close(0.0)


def _chosen(adapter: str | None, base_sha256: str, models_dir: Path) -> AdapterFile | None:
    if adapter is None:
        return adapter_for(FAULT_READING, base_sha256, models_dir)
    if not adapter:
        return None
    found = adapters(models_dir).get(adapter)
    if found is None:
        raise BadConfig(f"no adapter is called {adapter!r}; see `edge-agent model list`")
    return found


def to_read(card: Card, known: CompiledCard | None, about: Reader) -> list[CardFault]:
    """The faults whose texts have not been read by this reader as they stand. A fault whose
    symptoms are all formal needs no reading."""
    entries = known.faults if known is not None and known.reader == about else {}
    return [
        fault
        for fault in card.faults
        if set(fault.symptoms) != set(card.signals)
        and (fault.id not in entries or entries[fault.id].text_sha256 != text_sha256(card, fault))
    ]


def compile_card(
    card: Card,
    known: CompiledCard | None,
    reader: ModelReader,
    progress: Callable[[int], None] = lambda _: None,
) -> CompiledCard:
    """The card's table: entries of ``known`` that still hold, the others read anew. Raises
    ``BadAnswer``, ``Unavailable``."""
    labels = labels_of(card)
    faults = to_read(card, known, reader.about)
    if len(faults) * len(labels) > MOST_CELLS:
        raise BadConfig(
            f"{card.equipment}: {len(faults)} texts about {len(labels)} signals are more than "
            f"{MOST_CELLS} cells to read; part the card, or write symptoms for faults that need no "
            "words"
        )
    answers = reader.read(list(labels.values()), [one.description for one in faults], progress)
    read = {
        fault.id: FaultReading(
            text_sha256=text_sha256(card, fault),
            speed=dict(zip(SPEED_WORDS, answer[-1], strict=True)),
            signals={
                name: dict(zip(SIGNAL_WORDS, cell, strict=True))
                for name, cell in zip(labels, answer[:-1], strict=True)
            },
        )
        for fault, answer in zip(faults, answers, strict=True)
    }
    kept = known.faults if known is not None else {}
    order = [fault.id for fault in card.faults if fault.id in read or fault.id in kept]
    return CompiledCard(
        reader=reader.about, faults={one: read.get(one) or kept[one] for one in order}
    )


def doubts(card: Card, compiled: CompiledCard) -> list[str]:
    """What a person should know of texts that cannot be read well, a sentence each."""
    found = []
    for fault in card.faults:
        entry = compiled.faults.get(fault.id)
        if entry is None:
            continue
        if foreign(fault.description):
            found.append(
                f"{fault.id}: its text does not seem to be English, which is all that the reader "
                "knows; write it in English, or set the symptoms yourself"
            )
        elif not fault.symptoms and all(likeliest(entry, s) == "none" for s in card.signals):
            found.append(
                f"{fault.id}: its text was read as saying nothing of any signal; name the signals, "
                "or set the symptoms yourself: this fault can never be found"
            )
    return found


def decisive_words(
    card: Card, fault: CardFault, reading: FaultReading, reader: ModelReader
) -> Mapping[str, str]:
    """Signal → the clause of the text without which the model would be least sure of what it reads
    of that signal: each clause is left out in turn and the text read again."""
    clauses = [one for one in _CLAUSE.split(fault.description) if len(one) >= LEAST_CLAUSE]
    labels = labels_of(card)
    said = {name: word for name in labels if (word := likeliest(reading, name)) != "none"}
    if len(clauses) < 2:
        return dict.fromkeys(said, fault.description.strip())
    without = [" ".join(c for c in clauses if c is not left_out) for left_out in clauses]
    answers = reader.read(list(labels.values()), without, lambda _: None)
    found = {}
    for place, name in enumerate(labels):
        if name in said:
            column = _column(said[name])
            lost = [answer[place][column] for answer in answers]
            found[name] = clauses[lost.index(min(lost))].strip(" .,;:")
    return found


def likeliest(reading: FaultReading, signal: str) -> str:
    """The most probable word for a signal, ``none`` where nothing was read of it; what a person
    set comes back as it was set."""
    cell = reading.signals.get(signal, {})
    if isinstance(cell, str):
        return cell
    return max(cell, key=lambda word: cell[word]) if cell else "none"


def _column(word: str) -> int:
    return next(i for i, one in enumerate(SIGNAL_WORDS) if one == word)
