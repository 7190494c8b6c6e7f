"""Which of several models the memory that is left allows: the ladder from large to small."""

from __future__ import annotations

from pathlib import Path

from edge_agent.config.inference import InferenceSection
from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import resolve
from edge_agent.inference.gguf import Header, read_header
from edge_agent.inference.manifest import check_licence
from edge_agent.inference.plan import fit

USEFUL_CONTEXT = 1024
"""Tokens; a large model with less than a card, its evidence and an answer is worth less than a
smaller one with all of them."""


class TierChoice:
    """Chooses among models by their headers; each header is read once while its file stays."""

    def __init__(self, settings: InferenceSection, models_dir: Path) -> None:
        self._settings = settings
        self._models_dir = models_dir
        self._headers: dict[Path, tuple[tuple[int, int], Header]] = {}

    def choose(self, model: str, room_mb: float) -> str:
        """``model`` where it fits into ``room_mb``, else the first of ``inference.fallbacks`` that
        does and may be loaded; ``model`` again if none does, so that its own refusal is told."""
        if self._settings.socket is not None:
            return model
        ladder = [model, *(one for one in self._settings.fallbacks if one != model)]
        if len(ladder) == 1 or self._unreadable(model):
            return model
        return next((one for one in ladder if self._fits(one, room_mb)), model)

    def no_room(self, room_mb: float) -> str | None:
        """Why ``room_mb`` holds no model of the settings; None where one fits, or where what keeps
        a model from loading is not memory."""
        settings = self._settings
        ladder = (settings.model, *settings.fallbacks)
        if settings.socket is not None or self._unreadable(settings.model):
            return None
        if any(self._fits(one, room_mb) for one in ladder):
            return None
        return f"none of the models {', '.join(ladder)} fits into the {room_mb:.0f} MB left for it"

    def _unreadable(self, model: str) -> bool:
        try:
            self._header(model)
        except (BadConfig, OSError):
            return True  # memory is not what keeps it from loading: its client tells the reason
        return False

    def _fits(self, model: str, room_mb: float) -> bool:
        wanted = self._settings.context
        try:
            plan = fit(self._header(model), wanted, self._settings.kv_type, room_mb)
        except (BadConfig, OSError):
            return False
        return plan.context >= min(wanted, USEFUL_CONTEXT)

    def _header(self, model: str) -> Header:
        file = resolve(model, self._models_dir)
        check_licence(file.manifest, self._settings.accepted_licences)
        status = file.path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._headers.get(file.path)
        if known is None or known[0] != stamp:
            known = (stamp, read_header(file.path))
            self._headers[file.path] = known
        return known[1]
