"""The adapters of a loaded model: each is loaded once, one or none computes at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import BadAnswer, BadConfig
from edge_agent.inference.adapter import AdapterFile
from edge_agent.inference.native import Context, LoadedModel


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """An adapter in memory; ``handle`` None: the model as it is."""

    name: str
    sha256: str
    handle: Any | None


AS_IT_IS = LoadedAdapter("", "", None)


def no_adapter(name: str) -> AdapterFile:
    """Where there is no catalogue. Raises ``BadConfig``."""
    raise BadConfig(f"there is no catalogue to find the adapter {name!r} in")


class Adapters:
    """``find`` checks an adapter's file and raises ``BadConfig`` with the reason."""

    def __init__(
        self, model: LoadedModel, context: Context, find: Callable[[str], AdapterFile]
    ) -> None:
        self._model = model
        self._context = context
        self._find = find
        self._loaded: dict[str, LoadedAdapter] = {"": AS_IT_IS}
        self.current = AS_IT_IS

    def use(self, name: str) -> None:
        """Compute with the adapter ``name`` from now on; the model stays. Raises ``BadAnswer``."""
        adapter = self._loaded.get(name)
        if adapter is None:
            try:
                file = self._find(name)
            except BadConfig as error:
                raise BadAnswer(str(error)) from None
            handle = self._model.load_adapter(str(file.path))
            adapter = self._loaded[name] = LoadedAdapter(name, file.manifest.sha256, handle)
        self._context.use_adapter(adapter.handle)
        self.current = adapter
