"""``edge-agent bench inference``: seconds per diagnosis, ours and those of what a user would pick.

All engines get the same file, prompts, schema, sampling and threads. They are asked in turns, one
question each, so that whatever else the machine does meets all of them alike. Processor seconds
stand beside the wall's: they hold on a busy machine, too.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.bench import prompts
from edge_agent.bench.contender import Contender, start
from edge_agent.inference.gguf import read_header
from edge_agent.inference.plan import plan_for

OURS = "edge_agent_engine"
TUNED = "edge_agent_engine, tuned"
PEERS = ("llama_cpp_python", "llama_server")
STORM = 16
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    """How it is measured."""

    rounds: int
    context: int
    greedy: bool


def question(
    number: int, schema: dict[str, Any], max_tokens: int, *, greedy: bool = False
) -> dict[str, Any]:
    """The bench's question ``number``: same card, evidence of its own. ``greedy``: always the most
    probable token, so that what is drawn makes no engine's answer longer than another's."""
    return {
        "system": prompts.SYSTEM,
        "context": prompts.CARD,
        "question": prompts.evidence(number),
        "schema": schema,
        "max_tokens": max_tokens,
        "seed": number,
        "greedy": greedy,
    }


def run_bench(  # noqa: PLR0913 - one argument per setting of the bench
    model: Path,
    *,
    tuned: Path | None = None,
    peers: Sequence[str],
    python: str | None,
    rounds: int,
    threads: int,
    context: int,
    greedy: bool = False,
    say: Report,
) -> dict[str, Any]:
    """Measure; the result has the keys that ``--json`` prints. ``python`` runs ``llama_server``.
    ``tuned`` is the file that ``model tune`` made for our own engine, if any: it is measured
    beside the file that all share."""
    contenders: dict[str, Contender] = {}
    ours = {OURS: model} | ({TUNED: tuned} if tuned is not None else {})
    try:
        for name, file in (ours | dict.fromkeys(peers, model)).items():
            say(f"loading {name}")
            interpreter = python if name == "llama_server" else None
            program = OURS if name in ours else name
            contenders[name] = start(
                program, file, python=interpreter, threads=threads, context=context
            )
        result = _measure(contenders, model, _Run(rounds, context, greedy), say)
        return {**result, "threads": threads, "greedy": greedy}
    finally:
        for contender in contenders.values():
            contender.close()


def _measure(
    contenders: dict[str, Contender], model: Path, run: _Run, say: Report
) -> dict[str, Any]:
    rounds, context = run.rounds, run.context
    asked: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        say("cold" if number == 0 else f"warm, round {number} of {rounds}")
        for name, contender in contenders.items():
            one = question(number, prompts.SCHEMA, prompts.MAX_TOKENS, greedy=run.greedy)
            asked[name].append(contender.call({"ask": one}))
    results = {name: _summary(contenders[name], replies) for name, replies in asked.items()}
    _storm(contenders, results, run, say)
    for name, contender in contenders.items():
        results[name]["resident_mb"] = round(contender.call({"memory": True})["resident_mb"], 1)
    if "llama_server" in contenders:
        say("llama_server writes the whole document")
        results["llama_server"]["whole_document_seconds"] = round(
            _whole_document(contenders["llama_server"], rounds), 4
        )
    ours, tuned = results.pop(OURS), results.pop(TUNED, None)
    plan = plan_for(read_header(model), context, "f16")
    kept = (plan.weights + plan.kv) / 1e6
    ours |= {"planned_mb": plan.total_mb, "resident_per_weights_and_kv": ours["resident_mb"] / kept}
    peers = {name: {**peer, **_ratios(ours, peer)} for name, peer in results.items()}
    result = {"model": model.name, "rounds": rounds, **ours, "peers": peers}
    if tuned is not None:
        against = {name: _ratios(tuned, peer) for name, peer in results.items()}
        result["tuned"] = {**tuned, "ratios": against}
    return result


def _summary(contender: Contender, replies: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the warm rounds; the first reply is the cold one."""
    cold, warm = replies[0], replies[1:]

    def median(key: str) -> float:
        return float(statistics.median(reply[key] for reply in warm))

    result = {
        "load_seconds": contender.ready["load_seconds"],
        "cold_seconds": cold["seconds"],
        "warm_seconds": median("seconds"),
        "warm_cpu_seconds": median("cpu_seconds"),
        "prompt_tokens": median("prompt_tokens"),
        "answer_tokens": median("answer_tokens"),
        "seconds_per_answer_token": statistics.median(
            reply["seconds"] / reply["answer_tokens"] for reply in warm
        ),
    }
    if "decode_seconds" in cold:
        computed = cold["prompt_tokens"] - cold.get("cached_tokens", 0)
        result["prefill_tokens_per_second"] = computed / cold["prefill_seconds"]
        result["decode_ms"] = statistics.median(
            1000 * reply["decode_seconds"] / reply["answer_tokens"] for reply in warm
        )
    if "decode_calls" in cold:
        result["decode_calls"] = median("decode_calls")
        tokens = sum(reply["answer_tokens"] for reply in warm)
        result["accepted_share"] = sum(reply["accepted_tokens"] for reply in warm) / tokens
        result["forced_share"] = sum(reply["forced_tokens"] for reply in warm) / tokens
        result["constraint_share"] = sum(reply["constraint_seconds"] for reply in warm) / sum(
            reply["decode_seconds"] for reply in warm
        )
    return {key: round(value, 4) for key, value in result.items()}


def _storm(
    contenders: dict[str, Contender], results: dict[str, dict[str, Any]], run: _Run, say: Report
) -> None:
    """Sixteen incidents at once, the best of some attempts taken in turns."""
    attempts = 1 if run.rounds < 5 else 2
    storm = [
        question(i, prompts.SCHEMA, prompts.MAX_TOKENS, greedy=run.greedy)
        for i in range(100, 100 + STORM)
    ]
    for attempt in range(1, attempts + 1):
        for name, contender in contenders.items():
            say(f"{STORM} at once, {name}, {attempt} of {attempts}")
            reply = contender.call({"storm": storm})
            rate = round(reply["answers"] / reply["seconds"], 4)
            results[name]["storm_per_second"] = max(rate, results[name].get("storm_per_second", 0))


def _whole_document(server: Contender, rounds: int) -> float:
    schema = prompts.whole_diagnosis_schema()
    numbers = range(200, 200 + max(1, rounds // 2))
    seconds = [server.call({"ask": question(n, schema, 900)})["seconds"] for n in numbers]
    return float(statistics.median(seconds))


def _ratios(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """Our time over theirs (below 1: we are faster), our throughput over theirs (above 1)."""
    compared = {
        "warm_ratio": "warm_seconds",
        "warm_cpu_ratio": "warm_cpu_seconds",
        "cold_ratio": "cold_seconds",
        "warm_ratio_per_token": "seconds_per_answer_token",
        "storm_ratio": "storm_per_second",
    }
    ratios = {ratio: ours[key] / peer[key] for ratio, key in compared.items()}
    if "whole_document_seconds" in peer:
        ratios["published_ratio"] = ours["warm_seconds"] / peer["whole_document_seconds"]
    return {key: round(value, 3) for key, value in ratios.items()}
