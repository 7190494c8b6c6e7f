"""What ``…/model/desired`` and ``…/adapter/desired`` say: a manifest of one model or adapter file,
in a signed envelope. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from edge_agent.config.load import validate
from edge_agent.config.section import Section
from edge_agent.config.toml_text import key, value
from edge_agent.rollout.document import Addressed, Signed
from edge_agent.rollout.envelope import Envelope, read_object

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LARGEST_FILE = 1 << 40
PART = ".part"
"""Ends the name of a file that has not come whole yet."""


class ModelManifest(Section):
    """One model file, fully pinned: whatever a server sends, only these bytes are taken."""

    name: ModelName
    """New name in the gateway's catalogue; a name stands for one file for ever."""
    source: str = Field(min_length=1, max_length=1000)
    """``https://…``, or ``file:NAME`` in ``rollout.model_import_dir``."""
    sha256: Sha256
    size: int = Field(gt=0, le=LARGEST_FILE, strict=True)
    """Bytes."""
    title: str = Field(default="", max_length=200)
    architecture: str = Field(default="", max_length=64)
    """``general.architecture``; empty: whatever the header says."""
    licence: str = Field(default="unknown", max_length=64)
    template: str = Field(default="chatml", max_length=32)
    tier: str = Field(default="other", max_length=32)
    sampling: dict[str, float] = Field(default={}, max_length=8)
    base_sha256: Sha256 | None = None
    """Of an adapter (LoRA): hash of the model that it belongs to. Absent: this is a model."""
    task: Literal["", "fault-reading"] = ""
    """Of an adapter: what it was trained for."""

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source.startswith("file:"):
            inside = source.removeprefix("file:")
            if "/" in inside or "\\" in inside or "\0" in inside or inside in ("", ".", ".."):
                raise ValueError("file: takes the name of a file, without any folder")
        elif not source.startswith("https://"):
            raise ValueError("https://… or file:NAME is expected")
        return source

    @model_validator(mode="after")
    def _task_with_base(self) -> Self:
        if (self.base_sha256 is None) != (self.task == ""):
            raise ValueError("base_sha256 and task go together, and make it an adapter")
        return self

    @property
    def is_adapter(self) -> bool:
        """Whether it is a LoRA adapter and no model."""
        return self.base_sha256 is not None

    @property
    def entry_name(self) -> str:
        """Name of its entry in the catalogue."""
        return f"{self.name}.{'adapter' if self.is_adapter else 'model'}.toml"

    @property
    def file_name(self) -> str:
        """Name of the file below the models directory."""
        return f"{self.name}.gguf"

    def entry(self) -> dict[str, Any]:
        """A model's manifest as the catalogue has it: the file is the source."""
        document = self.model_dump(mode="json", exclude={"base_sha256", "task"})
        return {**document, "source": self.file_name}

    def as_toml(self) -> str:
        """The manifest as the catalogue keeps it, with the file as its source."""
        document: dict[str, Any]
        if self.is_adapter:
            document = {
                "name": self.name,
                "file": self.file_name,
                "size": self.size,
                "sha256": self.sha256,
                "task": self.task,
                "base": self.title or "see base_sha256",
                "base_sha256": self.base_sha256,
                "licence": self.licence,
            }
        else:
            document = self.entry()
        sampling: dict[str, float] = document.pop("sampling", {})
        lines = [f"{key(name)} = {value(one)}" for name, one in document.items()]
        if sampling:
            lines.append("[sampling]")
            lines += [f"{key(name)} = {value(one)}" for name, one in sampling.items()]
        return "\n".join(lines) + "\n"


class DesiredModel(Addressed):
    """The body of a model document."""

    kind: Literal["model", "adapter"]
    model: ModelManifest | None = None
    restore: bool = False
    """Back to the model before the present one."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.model is not None) == self.restore:
            raise ValueError("give a model, or restore = true")
        if self.model is not None and self.model.is_adapter != (self.kind == "adapter"):
            raise ValueError(f"kind = {self.kind} and the manifest do not go together")
        return self


class ModelContent(Signed):
    """A revision's model as it is kept; None: the one that the settings name."""

    model: ModelManifest | None = None


def read_desired_model(envelope: Envelope) -> DesiredModel:
    """The verified body of ``envelope``. Raises ``BadConfig`` with key, value and what may be."""
    document: dict[str, Any] = read_object(envelope.body, "body")
    return validate(DesiredModel, document, where="desired model")
