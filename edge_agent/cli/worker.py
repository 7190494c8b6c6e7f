"""``edge-agent worker``: the inference worker as a systemd unit of its own."""

from __future__ import annotations

import os
from pathlib import Path

from edge_agent.cli.run import ConfigOption


def worker(config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml")) -> None:
    """Serve the model of the settings on ``inference.socket`` until SIGTERM.

    For ``edge-agent-inference.service``; without ``inference.socket`` the daemon spawns its own
    worker and this command refuses to run.
    """
    from edge_agent.config import load_settings
    from edge_agent.errors import BadConfig
    from edge_agent.inference.process import worker_arguments
    from edge_agent.inference.worker import main
    from edge_agent.logs.setup import configure_logs
    from edge_agent.unitlimits import worker_budget_mb

    settings = load_settings(config)
    configure_logs(settings.log)
    socket = settings.inference.socket
    if socket is None:
        raise BadConfig(
            "inference.socket is not set: the daemon would not find this worker. Set it to "
            '"/run/edge-agent-inference/inference.sock" in the settings of both'
        )
    models_dir = settings.models_dir
    cache = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    main(
        worker_arguments(
            settings.inference,
            socket=socket,
            models_dir=models_dir,
            cache_dir=Path(cache) if cache else models_dir,
            memory_mb=worker_budget_mb(settings),
        )
    )
