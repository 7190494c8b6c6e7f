"""The fastest way to a schema-valid answer on a CPU: one loaded model, several answers at a time.

``admit`` computes what is new of a prompt (the card's prefix is kept) and scores the choices;
``step`` then decodes one batch for all answers in the making: the token just chosen for each, with
the tokens that its grammar forces behind it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.domain.completion import (
    Completion,
    CompletionRequest,
    ModelIdentity,
    Reading,
    ReadingRequest,
)
from edge_agent.errors import BadAnswer, EdgeAgentError, Unavailable
from edge_agent.inference import template
from edge_agent.inference.adapter import AdapterFile
from edge_agent.inference.answer import Answer, Deadline, Meter, Prompt, Ticket
from edge_agent.inference.cells import Cells
from edge_agent.inference.constraint import Constraint, grammar_for
from edge_agent.inference.contention import ThreadChoice
from edge_agent.inference.drafts import ROWS, PromptLookup, drafts_pay
from edge_agent.inference.likelihood import score_choice
from edge_agent.inference.lora import Adapters, no_adapter
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.native import (
    Aborted,
    CacheFull,
    Context,
    ContextShape,
    LoadedModel,
    Row,
    release_unused,
)
from edge_agent.inference.prefix_store import PrefixStore
from edge_agent.inference.prefixes import Prefix
from edge_agent.inference.reading import read
from edge_agent.inference.sampling import Sampler, greedy

STORED_TOKENS = 64
"""Shorter prefixes are computed faster than read."""
MAX_ANSWERS = 16
"""Answers in the making at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A ticket that left the engine, with its completion or the error that ended it."""

    ticket: Ticket
    result: Completion | EdgeAgentError


@dataclass(frozen=True, slots=True)
class _Fed:
    """An answer whose last token was computed: its logits stand in the batch's ``row``, those of
    the draft behind it in the rows after that."""

    answer: Answer
    row: int
    draft: list[int]


def _rows(answer: Answer, tokens: list[int], asked: int) -> list[Row]:
    """The next ``tokens`` of ``answer``, with logits for the last ``asked`` of them."""
    first = len(tokens) - asked
    return [
        Row(token, answer.position + i, answer.sequence, logits=i >= first)
        for i, token in enumerate(tokens)
    ]


class NoRoom(Unavailable):
    """The answers in the making leave no room for another; it can be admitted after them."""


class Engine:
    """Owns model, context and everything in the KV cache. One thread; ``interrupt`` from any."""

    def __init__(
        self,
        path: str,
        manifest: Manifest,
        sha256: str,
        shape: ContextShape,
        store: PrefixStore | None = None,
        find_adapter: Callable[[str], AdapterFile] = no_adapter,
        drafts: bool | None = None,
    ) -> None:
        """``drafts``: whether to use draft tokens; None measures whether they pay here."""
        self._store = store
        self.identity = ModelIdentity(name=manifest.name, sha256=sha256, tier=manifest.tier)
        self._manifest = manifest
        self.model = LoadedModel(path)
        try:
            self.context = Context(self.model, shape)
        except BaseException:
            self.model.close()
            raise
        self._tokenizer = self.model.constraint_tokenizer()
        release_unused()
        self._ends = frozenset(self.model.ends)
        self._pieces: dict[int, bytes] = {}
        self._adapters = Adapters(self.model, self.context, find_adapter)
        self.cells = Cells(self.context)
        self._running: list[Answer] = []
        self._wake = threading.Event()
        self._threads = shape.threads
        self._choice = ThreadChoice()
        self.last_constraint_s = 0.0
        """Time that the last finished answer spent in its grammar (for benches)."""
        self.last_meter = Meter()
        """What the last finished answer took (for benches)."""
        self.drafts = drafts_pay(self.context) if drafts is None else drafts
        """Whether answers are drafted."""

    @property
    def busy(self) -> bool:
        """Whether answers are in the making."""
        return bool(self._running)

    @property
    def has_room(self) -> bool:
        """Whether another ticket may be tried now."""
        if len(self._running) >= MAX_ANSWERS or len(self.cells.free) < 4:
            return False
        return self._cells_free() > 0

    def interrupt(self) -> None:
        """Stop computing at once and look at the tickets again; callable from any thread."""
        self.context.abort()
        self._wake.set()

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Completion:
        """One request, start to end. Raises ``BadAnswer`` or ``Unavailable``."""
        ticket = Ticket(request, cancelled)
        self.admit(ticket)
        while True:
            for outcome in self.step():
                if outcome.ticket is ticket:
                    if isinstance(outcome.result, EdgeAgentError):
                        raise outcome.result
                    return outcome.result

    def admit(self, ticket: Ticket) -> None:
        """Compute the prompt of ``ticket`` and let its answer begin.

        Raises ``BadAnswer`` for what can't be answered, ``Unavailable`` if it ended meanwhile,
        ``NoRoom`` if it must wait for others.
        """
        request = ticket.request
        meter, cpu = Meter(), time.process_time()
        constraint = Constraint(self._tokenizer, grammar_for(request.json_schema))
        self._use(request.adapter)
        prompt = self._tokenized(request)
        self._check_length(prompt.length, request)
        self._threads = request.threads
        reserved = prompt.reserve(request.max_tokens)
        prefix, meter.cached = self._prefix(prompt.head, reserved, ticket)
        sampler = None
        if not request.greedy:
            sampler = Sampler(self._manifest.sampling, request.seed, prompt.tokens)
        answer = Answer(ticket, self.cells.free.pop(), prefix, constraint, meter, sampler)
        answer.lookup = PromptLookup(prompt.tokens) if self.drafts else None
        prefix.users += 1
        answer.reserved = reserved
        self._running.append(answer)
        try:
            self._prefill(answer, prompt)
            begin = constraint.begin()
            answer.pending = [*prompt.tail, *begin]
            answer.take(begin, forced=len(begin))
        except BaseException:
            self._release(answer)
            raise
        meter.prompt = prompt.length
        meter.prefill_s = time.monotonic() - meter.started
        meter.cpu_s = time.process_time() - cpu

    def read(self, request: ReadingRequest, cancelled: Callable[[], bool]) -> Reading:
        """Answer short questions about texts. Raises ``BadAnswer``, ``Unavailable``, and ``NoRoom``
        while answers are in the making."""
        if self._running:
            raise NoRoom("answers are in the making; a card is read after them")
        started = time.monotonic()
        self._use(request.adapter)
        self._threads = request.threads
        deadline = Deadline(cancelled, request.deadline_s)
        while self.cells.evict():  # the whole cache is the texts'
            pass
        probabilities, tokens = read(self, deadline, request)
        return Reading(
            probabilities=probabilities,
            tokens=tokens,
            seconds=round(time.monotonic() - started, 3),
            model=self.identity,
            adapter_sha256=self._adapters.current.sha256,
        )

    def _use(self, name: str) -> None:
        """Compute with the adapter ``name`` from now on."""
        if name == self._adapters.current.name:
            return
        if self._running:
            raise NoRoom("answers with another adapter are in the making; try again later")
        self._adapters.use(name)

    def step(self) -> list[Outcome]:
        """Decode one batch for all answers in the making; returns those that ended."""
        outcomes = self._sweep()
        if not self._running:
            return outcomes
        started, cpu = time.monotonic(), time.process_time()
        fed = self._decode_pending()
        for one in fed:
            outcome = self._advance(one)
            if outcome is not None:
                outcomes.append(outcome)
        self._charge([one.answer for one in fed], started, cpu, outcomes)
        for outcome in outcomes:
            self._forget(outcome.ticket)
        self._pause()
        return outcomes

    def close(self) -> None:
        """Free everything."""
        self.context.close()
        self.model.close()

    def _check_length(self, prompt: int, request: CompletionRequest) -> None:
        if prompt + request.max_tokens + 1 > self.context.tokens:
            raise BadAnswer(
                f"the prompt of {prompt} tokens and an answer of {request.max_tokens} exceed the "
                f"context of {self.context.tokens} tokens; shorten the card or the evidence"
            )

    def _tokenized(self, request: CompletionRequest) -> Prompt:
        style, tokenize = self._manifest.template, self.model.tokenize
        parts = template.prefix_parts(style, request.system, request.context)
        head = template.tokens_of(parts, tokenize)
        if self.model.start_token not in (None, head[0]):
            head.insert(0, self.model.start_token)
        tail = template.tokens_of([template.answer_part(style)], tokenize)
        asked = [tokenize(template.SEPARATOR + c.question) + tail for c in request.choices]
        return Prompt(tuple(head), tokenize(request.question), tail, asked)

    def _prefix(self, tokens: tuple[int, ...], more: int, ticket: Ticket) -> tuple[Prefix, int]:
        """The kept prefix of these tokens and how many of them came from the cache."""
        known = self.cells.prefixes.find(self._adapters.current.sha256, tokens)
        if known is not None:
            known.users += 1  # must not be evicted to make room for its own answer
            try:
                self._make_room(more)
            finally:
                known.users -= 1
            return known, len(tokens)
        while self.cells.prefixes.full and self.cells.evict():
            pass
        self._make_room(len(tokens) + more)
        sequence = self.cells.free.pop()
        try:
            cached = self._restored(sequence, tokens)
            if not cached:
                self.feed(sequence, 0, list(tokens), ticket)
                if self._store is not None and len(tokens) >= STORED_TOKENS:
                    self._store.save(
                        tokens, self.context.state(sequence), self._adapters.current.sha256
                    )
        except BaseException:
            self.cells.give_back([sequence])
            raise
        return self.cells.prefixes.keep(self._adapters.current.sha256, tokens, sequence), cached

    def _restored(self, sequence: int, tokens: tuple[int, ...]) -> int:
        """How many of ``tokens`` could be had from disk: all or none."""
        state = self._store.load(tokens, self._adapters.current.sha256) if self._store else None
        if state is None or not self.context.restore(sequence, state):
            return 0
        return len(tokens)

    def _prefill(self, answer: Answer, prompt: Prompt) -> None:
        self.context.drop(answer.sequence)
        self.context.copy(answer.prefix.sequence, answer.sequence)
        answer.position = len(answer.prefix.tokens)
        self.feed(answer.sequence, answer.position, prompt.question, answer.ticket)
        answer.position += len(prompt.question)
        for choice, asked in zip(answer.request.choices, prompt.asked, strict=True):
            answer.probabilities[choice.name] = score_choice(
                self, answer.ticket, (answer.sequence, answer.position), asked, choice
            )

    def feed(self, sequence: int, position: int, tokens: list[int], ticket: Deadline) -> None:
        """Compute ``tokens`` of one sequence, batch by batch, without logits."""
        size = self.context.shape.batch
        for start in range(0, len(tokens), size):
            rows = [
                Row(token, position + start + i, sequence)
                for i, token in enumerate(tokens[start : start + size])
            ]
            self.decode(rows, ticket)

    def decode(self, rows: list[Row], ticket: Deadline) -> None:
        """One batch for one ticket; repeated if it was interrupted on behalf of another."""
        while True:
            self.context.rearm()
            reason = ticket.ended()
            if reason is not None:
                raise Unavailable(reason)
            try:
                self._compute(rows)
            except Aborted:
                self._undo(rows)
            except CacheFull:
                self._undo(rows)
                if not self.cells.evict():
                    raise Unavailable("the KV cache is full; try again later") from None
            else:
                return

    def _compute(self, rows: list[Row]) -> None:
        """One batch, with as many threads as the machine has cores to spare."""
        started, cpu = time.monotonic(), time.process_time()
        threads = self._choice.pick(self._threads, started)
        self.context.set_threads(threads)
        self.context.decode(rows)
        now = time.monotonic()
        self._choice.observe(threads, now - started, time.process_time() - cpu, now)

    def _undo(self, rows: list[Row]) -> None:
        first: dict[int, int] = {}
        for row in rows:
            first[row.sequence] = min(row.position, first.get(row.sequence, row.position))
        for sequence, position in first.items():
            self.context.drop(sequence, position)

    def _decode_pending(self) -> list[_Fed]:
        """Feed what is pending, with drafts behind it; returns the answers that now have logits."""
        rows: list[Row] = []
        fed: list[_Fed] = []
        taken: list[tuple[Answer, int]] = []
        for i, answer in enumerate(self._running):
            room = self.context.shape.batch - len(rows) - (len(self._running) - 1 - i)
            feed, draft, asked = answer.pending[:room], [], 0
            if len(feed) == len(answer.pending):
                draft = answer.draft(min(room - len(feed), ROWS // len(self._running)))
                asked = 1 + len(draft)
                fed.append(_Fed(answer, len(rows) + len(feed) - 1, draft))
            rows += _rows(answer, feed + draft, asked)
            taken.append((answer, len(feed)))
        if not self._computed(rows):
            return []
        for answer, count in taken:
            answer.position += count
            del answer.pending[:count]
            answer.meter.decode_calls += 1
        return fed

    def _computed(self, rows: list[Row]) -> bool:
        """One batch for all; False if it has to be tried again."""
        self.context.rearm()
        try:
            self._compute(rows)
        except Aborted:
            self._undo(rows)
            return False
        except CacheFull:
            self._undo(rows)
            if not self.cells.evict():
                raise Unavailable("the KV cache is full") from None
            return False
        return True

    def _advance(self, fed: _Fed) -> Outcome | None:
        """Choose the next token from the logits, and on through the draft while it holds; an
        outcome if that ended the answer."""
        answer, draft = fed.answer, fed.draft
        answer.meter.drafted += len(draft)
        try:
            kept = self._choose(fed)
            if answer.lookup is not None:
                answer.lookup.judge(len(draft), kept)
            answer.position += kept
            if kept < len(draft):
                self.context.drop(answer.sequence, answer.position)
            if answer.pending:
                return None
            self.last_constraint_s, self.last_meter = answer.constraint.seconds, answer.meter
            result: Completion | EdgeAgentError = answer.completion(
                self._piece, self._ends, self.identity
            )
        except EdgeAgentError as error:
            result = error
        return Outcome(answer.ticket, result)

    def _choose(self, fed: _Fed) -> int:
        """Choose tokens while their logits are there; how much of the draft was chosen. Nothing is
        pending afterwards if the answer ended."""
        answer, kept = fed.answer, 0
        pick = greedy if answer.sampler is None else answer.sampler.pick
        while True:
            token = answer.constraint.choose(self.context.logits(fed.row + kept), pick)
            kept += answer.advance(token, fed.draft[kept:])
            if answer.constraint.finished or token in self._ends:
                answer.pending.clear()
                return kept
            if answer.pending:
                return kept

    def _piece(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.model.piece(token)
        return piece

    def _sweep(self) -> list[Outcome]:
        """Remove the answers that need not go on."""
        outcomes = []
        for answer in list(self._running):
            reason = answer.ticket.ended()
            if reason is not None:
                outcomes.append(Outcome(answer.ticket, Unavailable(reason)))
                self._release(answer)
        return outcomes

    def _charge(
        self, answers: list[Answer], started: float, cpu: float, outcomes: list[Outcome]
    ) -> None:
        """Share the cost of a step among the answers that it served."""
        if not answers:
            return
        wall = time.monotonic() - started
        used = (time.process_time() - cpu) / len(answers)
        for answer in answers:
            answer.meter.decode_s += wall
            answer.meter.cpu_s += used
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome.result, Completion):
                meter = next(a.meter for a in answers if a.ticket is outcome.ticket)
                changes = {"decode_seconds": meter.decode_s, "cpu_seconds": meter.cpu_s}
                outcomes[i] = Outcome(outcome.ticket, outcome.result.model_copy(update=changes))

    def _pause(self) -> None:
        """The governor's gap between tokens; the widest among those that are in the making."""
        gap = max((answer.request.token_gap_s for answer in self._running), default=0.0)
        if gap > 0:
            self._wake.wait(gap)
        self._wake.clear()

    def _forget(self, ticket: Ticket) -> None:
        for answer in list(self._running):
            if answer.ticket is ticket:
                self._release(answer)

    def _release(self, answer: Answer) -> None:
        self.cells.give_back([answer.sequence])
        answer.prefix.users -= 1
        self._running.remove(answer)

    def _cells_free(self) -> int:
        reserved = sum(answer.reserved for answer in self._running)
        return self.cells.left(reserved)

    def _make_room(self, tokens: int) -> None:
        while self._cells_free() < tokens:
            if not self.cells.evict():
                if self._running:
                    raise NoRoom("the KV cache is full of other answers; try again later")
                raise BadAnswer(
                    f"{tokens} tokens do not fit into the context of {self.context.tokens}"
                )
