"""The model: that it is what it should be, that it fits, and that it answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from edge_agent.domain.completion import CompletionRequest
from edge_agent.errors import EdgeAgentError
from edge_agent.govern.memory import host_available
from edge_agent.inference import catalog, gguf, plan
from edge_agent.inference.client import WorkerClient
from edge_agent.inference.manifest import check_licence
from edge_agent.preflight.line import Line, Subject, ok, warning
from edge_agent.unitlimits import worker_budget_mb

CHECK = "model"
SMOKE = "smoke run"
ALONE = "without it the rules answer alone"
SMOKE_S = 120.0


def model(about: Subject) -> Iterator[Line]:
    """The model is there, is what it should be, is licensed, and fits."""
    inference = about.settings.inference
    folder = about.settings.models_dir
    try:
        found = catalog.resolve(inference.model, folder)
        check_licence(found.manifest, inference.accepted_licences)
        header = gguf.read_header(found.path)
        digest = catalog.verify(found, folder)
        room = worker_budget_mb(about.settings)
        fitted = plan.fit(header, inference.context, inference.kv_type, room)
    except EdgeAgentError as problem:
        yield warning(CHECK, str(problem), ALONE)
        return
    expected = "as expected" if found.manifest.sha256 else "nothing to compare it with"
    yield ok(
        CHECK,
        f"{found.manifest.name}: sha256 {digest[:12]}… {expected}, licence "
        f"{found.manifest.licence}",
    )
    parts = f"weights {fitted.weights / 1e6:.0f}, KV cache {fitted.kv / 1e6:.0f}"
    text = (
        f"{fitted.total_mb:.0f} of {room} MB with {fitted.context} tokens of context "
        f"({parts}, computing {fitted.compute / 1e6:.0f}, process {fitted.process / 1e6:.0f} MB)"
    )
    if fitted.context < min(inference.context, header.number("context_length")):
        yield warning("memory plan", text, "raise govern.memory_mb for the whole context")
    else:
        yield ok("memory plan", text)


def smoke_run(about: Subject) -> Iterator[Line]:
    """One token of the model, in a worker of its own (or in the one that is a unit)."""
    inference = about.settings.inference
    available = host_available(about.settings.govern.sensor_root).value
    room = worker_budget_mb(about.settings)
    if inference.socket is None and available is not None and available < room:
        text = f"left out: {available:.0f} MB are available, and a second worker may take {room} MB"
        yield warning(SMOKE, text, "stop the agent and check again")
        return
    request = CompletionRequest(
        request_id="check",
        system="Answer with one word.",
        context="",
        question="Say yes.",
        json_schema={"type": "string", "enum": ["yes"]},
        max_tokens=8,
        threads=inference.threads or 2,
        deadline_s=SMOKE_S,
        greedy=True,
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-")))
        client = WorkerClient(
            inference.model_copy(update={"prefix_cache_mb": 0}),
            runtime_dir=folder,
            models_dir=about.settings.models_dir,
            memory_limit_mb=lambda: room,
        )
        stack.callback(client.close, 0.0)
        try:
            done = client.complete(request, lambda: False)
        except EdgeAgentError as problem:
            yield warning(SMOKE, str(problem), ALONE)
            return
    speed = done.tokens_in / max(done.prefill_seconds, 1e-3)
    yield ok(
        SMOKE,
        f"{done.model.name} answered {done.text} in {done.seconds:.1f} s; "
        f"it reads {speed:.0f} tokens/s",
    )
