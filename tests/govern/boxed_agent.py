"""Run by a test inside a memory-limited control group: governor and real worker, no broker.

Writes a JSON line per second; ends on a line from stdin.
"""

from __future__ import annotations

import json
import select
import sys
import tempfile
import threading
import time
from pathlib import Path

from edge_agent.config.govern import GovernSection
from edge_agent.config.inference import InferenceSection
from edge_agent.config.settings import LogSection
from edge_agent.domain.completion import CompletionRequest
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.govern.governor import Governor
from edge_agent.inference.client import WorkerClient
from edge_agent.logs.setup import configure_logs

SCHEMA = {
    "type": "object",
    "properties": {"fault": {"enum": ["cavitation", "leak"]}},
    "required": ["fault"],
    "additionalProperties": False,
}


def main() -> None:
    configure_logs(LogSection(level="info"))
    section = GovernSection(memory_mb=600, host_reserve_mb=64, hysteresis_s=2.0)
    governor = Governor(section, clock=time.time, monotonic=time.monotonic, state=None)
    answered = refused = 0
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as name:
        client = WorkerClient(
            InferenceSection(context=1024),
            runtime_dir=Path(name),
            models_dir=Path(name),
            memory_limit_mb=governor.worker_memory_mb,
        )

        def diagnose() -> None:
            nonlocal answered, refused
            while not stop.wait(0.5):
                if not governor.admit(1, 64).may_use_model:
                    refused += 1
                    continue
                request = CompletionRequest(
                    request_id="1",
                    system="Answer in JSON.",
                    context="A pump.",
                    question="Which fault?",
                    json_schema=SCHEMA,
                    max_tokens=64,
                    threads=1,
                )
                try:
                    client.complete(request, governor.must_stop)
                    answered += 1
                except (BadAnswer, Unavailable) as error:
                    sys.stderr.write(f"{error}\n")
                    refused += 1

        thread = threading.Thread(target=diagnose)
        thread.start()
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            governor.observe_worker(client.status().pid)
            governor.sample()
            status = governor.status()
            if governor.worker_must_yield():
                client.give_way()
            figures = {
                "level": str(status.level),
                "reason": status.reason,
                "worker_mb": round(status.worker_mb),
                "room_mb": round(status.worker_room_mb),
                "answered": answered,
                "refused": refused,
            }
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()
        stop.set()
        thread.join()
        client.close(2.0)


if __name__ == "__main__":
    main()
