"""The worker as a real process: answers, keeps deadlines, is found in a unit of its own. How it
is killed, hangs and is replaced stands in ``tests/faults``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from brokers import wait_until
from workers import LONG_REQUEST, Make, gone, make, never, request

from edge_agent.errors import BadAnswer, Unavailable

__all__ = ["make"]


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


def test_requests_that_come_together_are_answered_as_if_alone(make: Make) -> None:
    client = make()
    asked = [request(question=f"Vibration rose to {n} mm/s.") for n in range(6)]
    alone = [client.complete(one, never).text for one in asked]
    pid = client.status().pid
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda one: client.complete(one, never).text, asked))
    assert together == alone
    assert (client.status().pid, client.status().jobs) == (pid, 2 * len(asked))


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
            wait_until(path.exists)
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
