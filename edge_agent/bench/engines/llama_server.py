"""llama-server with four slots (through ``xllamacpp``, which may live in another environment).

Imports nothing of ours: it runs under whatever Python has that package.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

SLOTS = 4


def serve(path: str, threads: int, context: int) -> Any:  # noqa: ANN401 -- untyped package
    """The server with its defaults, but for model, threads, slots and context."""
    xllamacpp: Any = importlib.import_module("xllamacpp")

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = context
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.port = 0
    parameters.n_gpu_layers = 0
    return xllamacpp.Server(parameters)


def ask(address: str, asked: dict[str, Any]) -> dict[str, Any]:
    """One chat completion under the schema, over HTTP as a user would."""
    where = urlsplit(address)
    body = {
        "messages": [
            {"role": "system", "content": asked["system"]},
            {"role": "user", "content": asked["context"] + "\n\n" + asked["question"]},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"schema": asked["schema"]}},
        "temperature": 0.0 if asked["greedy"] else 0.5,
        "top_k": 50,
        "top_p": 0.95,
        "repeat_penalty": 1.0 if asked["greedy"] else 1.1,
        "max_tokens": asked["max_tokens"],
        "seed": asked["seed"],
        "cache_prompt": True,
    }
    started = time.perf_counter()
    connection = http.client.HTTPConnection(where.hostname or "localhost", where.port, timeout=3600)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    answer = json.loads(connection.getresponse().read())
    connection.close()
    if "usage" not in answer:
        raise SystemExit(f"llama-server refused: {answer}")
    timings = answer.get("timings", {})
    return {
        "seconds": time.perf_counter() - started,
        "prompt_tokens": answer["usage"]["prompt_tokens"],
        "cached_tokens": timings.get("cache_n", 0),
        "answer_tokens": answer["usage"]["completion_tokens"],
        "prefill_seconds": timings.get("prompt_ms", 0) / 1000,
        "decode_seconds": timings.get("predicted_ms", 0) / 1000,
        "text": answer["choices"][0]["message"]["content"],
    }


def main() -> None:
    """Load, then answer line by line."""
    path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    server = serve(path, threads, context)
    address = server.listening_address
    reply({"load_seconds": time.perf_counter() - started})
    with ThreadPoolExecutor(16) as pool:
        for line in sys.stdin:
            message = json.loads(line)
            if "ask" in message:
                cpu = time.process_time()
                answered = ask(address, message["ask"])
                reply(answered | {"cpu_seconds": time.process_time() - cpu})
            elif "storm" in message:
                started = time.perf_counter()
                answers = list(pool.map(lambda one: ask(address, one), message["storm"]))
                reply({"seconds": time.perf_counter() - started, "answers": len(answers)})
            else:
                reply({"resident_mb": resident_mb()})


def resident_mb() -> float:
    """Resident memory of this process, megabytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- stays dependency-free
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def reply(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
