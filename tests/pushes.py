"""Settings pushed over MQTT to a daemon."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from plant import Client, Heard

DESIRED, REPORTED = "edge/gw1/config/desired", "edge/gw1/config/reported"


def desired(revision: int, patch: dict[str, Any]) -> str:
    """The unsigned document for gw1."""
    return json.dumps({"kind": "config", "agent": "gw1", "revision": revision, "patch": patch})


def reported(client: Client, revision: int, state: str) -> dict[str, Any]:
    """The report that ``revision`` came to ``state``, once it is there and final."""

    def holds(one: Heard) -> bool:
        report = one.json
        return (report["revision"], report["state"], report["final"]) == (revision, state, True)

    return client.wait_for(REPORTED, holds).json


def online() -> Callable[[Heard], bool]:
    """For ``wait_for`` on the status."""
    return lambda one: one.json["state"] == "online"
