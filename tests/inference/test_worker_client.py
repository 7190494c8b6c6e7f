"""The worker as a real process: answers, is killed, hangs, dies with its parent, is replaced."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.completion import CompletionRequest
from edge_agent.config.inference import InferenceSection
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
    """Makes clients of a worker with a tiny model, or with what ``settings`` name."""
    clients = []
    usual = {"context": 1024, "model": str(tiny_model())}

    def build(limit: int = 1024, stall_s: float = 20.0, **settings: object) -> WorkerClient:
        client = WorkerClient(
            InferenceSection.model_validate(usual | settings),
            runtime_dir=tmp_path / "run",
            models_dir=tmp_path / "models",
            memory_limit_mb=lambda: limit,
            stall_s=stall_s,
        )
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close(0)


def never() -> bool:
    return False


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


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
    wait_for(lambda: client.status().state == "busy")
    return errors


@pytest.mark.model
def test_answers_and_reports(make: Make) -> None:
    client = make(model="smollm2-135m")
    assert client.status().state == "stopped"
    completion = client.complete(request(), never)
    assert json.loads(completion.text)["fault"] in ("leak", "wear")
    status = client.status()
    assert (status.state, status.jobs, status.restarts, status.reason) == ("ready", 1, 0, "")
    assert status.pid is not None
    assert status.rss_mb > 90
    assert Path(f"/proc/{status.pid}/oom_score_adj").read_text(encoding="ascii").strip() == "800"
    again = client.complete(request(), never)
    assert again.text == completion.text
    assert again.tokens_cached > 0
    with pytest.raises(BadAnswer, match="exceed the context"):
        client.complete(request(question="word " * 4000), never)
    with pytest.raises(BadAnswer, match="schema"):
        client.complete(request(json_schema={"type": "nothing"}), never)
    assert client.status().pid == status.pid
    client.close(5)
    assert gone(status.pid)


def test_killed_worker_costs_one_attempt(make: Make) -> None:
    client = make()
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    errors = in_background(client, LONG_REQUEST)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: errors)
    assert "killed by SIGKILL" in str(errors[0])
    assert client.complete(request(), never).text
    assert client.status().restarts == 1
    assert client.status().pid != pid


def test_hung_worker_is_killed_and_replaced(make: Make) -> None:
    client = make(stall_s=2.0)
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="no sign of life"):
        client.complete(request(), never)
    assert gone(pid)
    assert client.complete(request(), never).text


def test_deadline_is_kept_by_the_worker_itself(make: Make) -> None:
    client = make()
    client.complete(request(), never)
    pid = client.status().pid
    with pytest.raises(Unavailable, match=r"deadline of 0\.3 s"):
        client.complete(LONG_REQUEST.model_copy(update={"deadline_s": 0.3}), never)
    assert client.status().pid == pid
    assert client.complete(request(), never).text


def test_cancelled_request_frees_the_worker(make: Make) -> None:
    client = make()
    client.complete(request(), never)
    pid = client.status().pid
    started = time.monotonic()
    with pytest.raises(Unavailable, match="cancelled"):
        client.complete(LONG_REQUEST, lambda: time.monotonic() - started > 0.3)
    assert client.complete(request(), never).text
    assert client.status().pid == pid


def test_breaker_opens_when_workers_keep_dying(make: Make) -> None:
    client = make()
    for _ in range(3):
        client.complete(request(), never) if client.status().jobs == 0 else None
        errors = in_background(client, LONG_REQUEST)
        wait_for(lambda: client.status().pid)
        pid = client.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(errors.__len__)
    with pytest.raises(Unavailable, match="failed 3 times in a row; next try in"):
        client.complete(request(), never)
    assert client.status().state == "backing-off"


def test_missing_and_broken_model_is_picked_up_when_it_is_there(
    make: Make, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    path = tmp_path / "models" / "mine.gguf"
    path.parent.mkdir()
    client = make(model=str(path))
    with pytest.raises(Unavailable, match=r"mine\.gguf does not exist"):
        client.complete(request(), never)
    assert client.status().state == "unavailable"
    assert "mine.gguf" in client.status().reason
    real = tiny_model()
    path.write_bytes(real.read_bytes()[:-1000])
    with pytest.raises(Unavailable, match="truncated"):
        client.complete(request(), never)
    shutil.copyfile(real, path)
    assert client.complete(request(), never).text
    assert client.status().reason == ""
    assert client.status().restarts == 0


def test_model_too_large_for_the_budget_is_refused(make: Make) -> None:
    with pytest.raises(Unavailable, match="100 MB are left for it"):
        make(limit=100, model="smollm2-135m").complete(request(), never)


def test_worker_is_recycled_after_its_jobs(make: Make) -> None:
    client = make(recycle_jobs=2)
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    client.complete(request(), never)
    assert gone(pid)
    client.complete(request(), never)
    assert client.status().restarts == 1


def test_worker_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from edge_agent.inference.process import WorkerProcess\n"
        "p = WorkerProcess(['--socket', sys.argv[1], '--model', 'smollm2-135m',"
        " '--models-dir', '.'])\n"
        "print(p.pid, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for((tmp_path / "s").exists)
        parent.kill()
    wait_for(lambda: gone(pid))


def test_worker_of_its_own_unit_is_found(
    make: Make, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    path = tmp_path / "unit.sock"
    client = make(socket=path)
    with pytest.raises(Unavailable, match="no inference worker answers at"):
        client.complete(request(), never)
    command = [sys.executable, "-m", "edge_agent.inference.worker", "--socket", str(path)]
    command += ["--model", str(tiny_model()), "--models-dir", str(tmp_path), "--context", "1024"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as unit:
        try:
            wait_for(path.exists)
            assert client.complete(request(), never).text
            assert client.status().pid == unit.pid  # so the governor counts what it takes
        finally:
            unit.terminate()


def test_daemon_side_imports_no_heavy_package() -> None:
    program = (
        "import sys, edge_agent.inference.client\n"
        "heavy = {'numpy', 'llama_cpp', 'llguidance', 'typer'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
