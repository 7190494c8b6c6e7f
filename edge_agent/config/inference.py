"""``[inference]``: the model and the process that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_agent.config.section import Section


class InferenceSection(Section):
    """The inference worker."""

    model: str = "smollm2-135m"
    """A name in the catalogue (``edge-agent model list``), or a path to a GGUF file."""
    fallbacks: tuple[str, ...] = Field(default=("smollm2-135m",), max_length=8)
    """Smaller models, the largest first, for when memory leaves no room for ``model``; each
    diagnosis names the one that answered. Empty: the rules answer alone then."""
    models_dir: Path | None = None
    """Where added models lie; default ``models`` in the state directory."""
    socket: Path | None = None
    """Unix socket of a worker that runs as its own systemd unit; absent: spawn one."""
    context: int = Field(default=4096, ge=256, le=131_072)
    """Context length, tokens; the plan may choose less to fit the memory budget."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """Threads; absent: the cores that affinity and the cgroup's quota leave us."""
    kv_type: Literal["f16", "q8_0"] = "f16"
    """Type of the KV cache."""
    idle_unload_s: float = Field(default=900.0, ge=0)
    """Unload the model after this long without work, seconds; 0 keeps it."""
    load_timeout_s: float = Field(default=600.0, ge=1, le=7200)
    """Longest time until a request is begun: reading the model and waiting for others, seconds."""
    prefix_cache_mb: int = Field(default=256, ge=0, le=65_536)
    """Computed prompts of equipment cards kept on disk beside the models, megabytes; 0: none.
    They spare a restarted worker from reading each card again."""
    recycle_jobs: int = Field(default=500, ge=1)
    """Replace the worker after this many jobs: a leak never grows old."""
    accepted_licences: tuple[str, ...] = ()
    """Licences that ask for acceptance and have been accepted here, by name."""
