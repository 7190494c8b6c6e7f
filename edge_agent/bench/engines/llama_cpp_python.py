"""llama-cpp-python's own chat completion, for the bench: what its README tells a user to write."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Load, then answer line by line."""
    from llama_cpp import Llama

    path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    llama = Llama(path, n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)
    reply({"load_seconds": time.perf_counter() - started})
    for line in sys.stdin:
        message = json.loads(line)
        if "ask" in message:
            cpu = time.process_time()
            answered = ask(llama, message["ask"])
            reply(answered | {"cpu_seconds": time.process_time() - cpu})
        elif "storm" in message:
            started = time.perf_counter()
            for one in message["storm"]:
                ask(llama, one)
            reply({"seconds": time.perf_counter() - started, "answers": len(message["storm"])})
        else:
            reply({"resident_mb": resident_mb()})


def ask(llama: Any, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 -- untyped package
    """One chat completion under the schema."""
    started = time.perf_counter()
    answer = llama.create_chat_completion(
        messages=[
            {"role": "system", "content": asked["system"]},
            {"role": "user", "content": asked["context"] + "\n\n" + asked["question"]},
        ],
        response_format={"type": "json_object", "schema": asked["schema"]},
        temperature=0.0 if asked["greedy"] else 0.5,
        top_k=50,
        top_p=0.95,
        repeat_penalty=1.0 if asked["greedy"] else 1.1,
        max_tokens=asked["max_tokens"],
        seed=asked["seed"],
    )
    return {
        "seconds": time.perf_counter() - started,
        "prompt_tokens": answer["usage"]["prompt_tokens"],
        "answer_tokens": answer["usage"]["completion_tokens"],
        "text": answer["choices"][0]["message"]["content"],
    }


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
