"""Our engine, for the bench: see ``edge_agent.bench.contender`` for the protocol."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.inference.answer import Ticket
from edge_agent.inference.catalog import describe
from edge_agent.inference.engine import Engine, NoRoom
from edge_agent.inference.gguf import read_header
from edge_agent.inference.native import ContextShape, route_log
from edge_agent.inference.worker import resident_mb


def request_of(asked: dict[str, Any], threads: int) -> CompletionRequest:
    """The bench's question as ours."""
    return CompletionRequest(
        request_id="bench",
        system=asked["system"],
        context=asked["context"],
        question=asked["question"],
        json_schema=asked["schema"],
        max_tokens=asked["max_tokens"],
        seed=asked["seed"],
        greedy=asked["greedy"],
        threads=threads,
        deadline_s=3600,
    )


def summary(completion: Completion, engine: Engine, seconds: float) -> dict[str, Any]:
    """What the bench wants to know of one answer."""
    return {
        "seconds": seconds,
        "prompt_tokens": completion.tokens_in,
        "cached_tokens": completion.tokens_cached,
        "answer_tokens": completion.tokens_out,
        "forced_tokens": completion.tokens_forced,
        "prefill_seconds": completion.prefill_seconds,
        "decode_seconds": completion.decode_seconds,
        "constraint_seconds": engine.last_constraint_s,
        "decode_calls": engine.last_meter.decode_calls,
        "drafted_tokens": engine.last_meter.drafted,
        "accepted_tokens": engine.last_meter.accepted,
        "text": completion.text,
    }


def storm(engine: Engine, requests: list[CompletionRequest]) -> list[Completion]:
    """Answer all, as many at once as there is room for."""
    waiting = [Ticket(one, lambda: False) for one in requests]
    done: list[Completion] = []
    while waiting or engine.busy:
        while waiting and engine.has_room:
            try:
                engine.admit(waiting[0])
            except NoRoom:
                break
            del waiting[0]
        for outcome in engine.step():
            if not isinstance(outcome.result, Completion):
                raise outcome.result
            done.append(outcome.result)
    return done


def main() -> None:
    """Load, then answer line by line."""
    path, threads, context = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    route_log(lambda _level, _text: None)
    started = time.perf_counter()
    shape = ContextShape(context, threads=threads)
    engine = Engine(str(path), describe(path, read_header(path)), "0" * 64, shape)
    reply({"load_seconds": time.perf_counter() - started, "drafts": engine.drafts})
    for line in sys.stdin:
        message = json.loads(line)
        started, cpu = time.perf_counter(), time.process_time()
        if "ask" in message:
            completion = engine.complete(request_of(message["ask"], threads), lambda: False)
            seconds = time.perf_counter() - started
            used = {"cpu_seconds": time.process_time() - cpu}
            reply(summary(completion, engine, seconds) | used)
        elif "storm" in message:
            done = storm(engine, [request_of(one, threads) for one in message["storm"]])
            reply({"seconds": time.perf_counter() - started, "answers": len(done)})
        else:
            reply({"resident_mb": resident_mb()})


def reply(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
