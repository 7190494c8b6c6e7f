"""Clients of a real worker process, and what happens to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import wait_until

from edge_agent.config.inference import InferenceSection
from edge_agent.domain.completion import CompletionRequest
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.inference.client import WorkerClient

SCHEMA = {
    "type": "object",
    "properties": {"fault": {"enum": ["leak", "wear"]}, "why": {"type": "string", "maxLength": 30}},
    "required": ["fault", "why"],
    "additionalProperties": False,
}
LONG = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}


def request(**more: object) -> CompletionRequest:
    fields: dict[str, Any] = {
        "request_id": "r",
        "system": "Answer in JSON.",
        "context": "A pump.",
        "question": "The flow fell. Which fault?",
        "json_schema": SCHEMA,
        "max_tokens": 40,
        "greedy": True,
        "threads": 1,
    }
    return CompletionRequest.model_validate(fields | more)


LONG_REQUEST = request(json_schema=LONG, max_tokens=900, token_gap_s=0.02)

Make = Callable[..., WorkerClient]


@pytest.fixture
def make(tmp_path: Path, tiny_model: Callable[..., Path]) -> Iterator[Make]:
    """Makes clients of a worker with a tiny model, or with what ``settings`` name; ``limit`` in
    megabytes, or a function that tells them."""
    clients = []
    usual = {"context": 1024, "model": str(tiny_model())}

    def build(
        limit: int | Callable[[], int] = 1024, stall_s: float = 20.0, **settings: object
    ) -> WorkerClient:
        client = WorkerClient(
            InferenceSection.model_validate(usual | settings),
            runtime_dir=tmp_path / "run",
            models_dir=tmp_path / "models",
            memory_limit_mb=limit if callable(limit) else lambda: limit,
            stall_s=stall_s,
        )
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close(0)


def never() -> bool:
    return False


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def in_background(client: WorkerClient, asked: CompletionRequest) -> list[Exception]:
    """Start a request; the list gets its error. Returns once the worker computes it."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            client.complete(asked, never)
        except (BadAnswer, Unavailable) as error:
            errors.append(error)

    threading.Thread(target=run, daemon=True).start()
    wait_until(lambda: client.status().state == "busy")
    return errors
