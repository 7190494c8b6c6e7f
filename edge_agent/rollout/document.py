"""Settings documents: what is desired, how it meets the local file, what may be shown. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from edge_agent.config.load import validate
from edge_agent.config.settings import Settings
from edge_agent.domain.finding import Record
from edge_agent.errors import BadConfig
from edge_agent.rollout.envelope import Envelope, read_object
from edge_agent.rollout.signature import Anchor, KeyName

LARGEST_REVISION = 2**53 - 1
"""Every JSON reader still holds it exactly."""

PINNED_KEYS = (
    "agent.id",
    "store.state_dir",
    "rollout.trust_anchors",
    "rollout.remote",
    "observe.runtime_dir",
    "observe.metrics",
)
"""Only the local file sets these: they are who the gateway is, where its memory lies, whom it
obeys, whether it obeys at all, and which files and ports of the host it opens for others."""

HOME_SECTIONS = ("agent", "mqtt", "store", "rollout")
"""Sections that tie a gateway to its place: left out of a whole document, they stay as the file
has them; removing one is refused."""

RESTART_KEYS = (
    "agent.topic_prefix",
    "mqtt",
    "store.state_dir",
    "telemetry.inbox_messages",
    "telemetry.inbox_mb",
    "telemetry.sparkplug_host_id",
    "detect.snapshot_s",
    "inference",
    "govern.sensor_root",
    "observe",
    "publish.window",
)
"""Keys (or whole sections) whose change takes effect by a restart of the daemon; every other one
is applied while it runs."""

SECRET_WORDS = frozenset({"password", "passphrase", "secret", "username", "token", "credential"})
"""A key with one of these among its words (split at ``_``) is shown as ``(set)``. Other paths are
shown: the secrets themselves lie in files and never in a document."""


class Addressed(Record):
    """What every desired document begins with."""

    agent: str | None = Field(default=None, max_length=64)
    """The one gateway that it is for, or …"""
    group: str | None = Field(default=None, max_length=64)
    """… the group (``rollout.groups``) that it is for."""
    revision: int = Field(ge=1, le=LARGEST_REVISION, strict=True)
    """Grows with every document; a gateway never goes back."""
    not_before: AwareDatetime | None = None
    """Counts only while the gateway's clock is trusted; until then the document waits."""
    expires: AwareDatetime | None = None
    """Counts only while the gateway's clock is trusted."""

    @model_validator(mode="after")
    def _one_addressee(self) -> Self:
        if (self.agent is None) == (self.group is None):
            raise ValueError("name either agent or group: whom it is for")
        return self


class Desired(Addressed):
    """The body of a configuration document."""

    kind: Literal["config"] = "config"
    settings: dict[str, Any] | None = None
    """Whole settings."""
    patch: dict[str, Any] | None = None
    """RFC 7396 merge patch on the settings of the gateway's own file."""
    restore: int | None = Field(default=None, ge=0, le=LARGEST_REVISION, strict=True)
    """Back to the content of that earlier revision; 0: to the local file alone."""
    trust: dict[KeyName, Anchor] | None = Field(default=None, max_length=16)
    """From its confirmation on, these keys sign instead of those before. Alone, it leaves the
    settings as they are."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        parts = sum(part is not None for part in (self.settings, self.patch, self.restore))
        if parts > 1 or (parts == 0 and self.trust is None):
            raise ValueError("give one of settings (whole), patch (RFC 7396) and restore")
        if self.trust is not None and all(anchor.revoked for anchor in self.trust.values()):
            raise ValueError("trust: at least one key must stay that may sign")
        return self


class Signed(Record):
    """A verified document, as it is kept."""

    revision: int
    digest: str
    """SHA-256 of the signed body."""
    signed_by: str | None
    not_before: float | None = None
    """Unix seconds."""


class Content(Signed):
    """What a revision makes of the settings."""

    settings: dict[str, Any] | None = None
    patch: dict[str, Any] | None = None
    """Both None: nothing but the local file."""
    trust: dict[str, Anchor] | None = None
    """The keys that sign instead of those of the anchors file; carried from content to content."""
    trust_base: str | None = None
    """SHA-256 of the anchors file at that time: a later edit of it wins over ``trust``."""


def read_desired(envelope: Envelope) -> Desired:
    """The verified body of ``envelope``. Raises ``BadConfig`` with key, value and what may be."""
    return validate(Desired, read_object(envelope.body, "body"), where="desired document")


def merge_patch(target: object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396, section 2, for a patch that is an object; neither argument is changed."""
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = merge_patch(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def compose(file_document: Mapping[str, Any], content: Content | None) -> dict[str, Any]:
    """The document that is effective: the local file's, with the remote content over it.

    A patch changes the keys that it names; all others follow the file, also after a later edit
    of it. Whole settings stand for themselves, but for ``HOME_SECTIONS`` that they leave out.
    Raises ``BadConfig`` where a pinned key would change or a home section would be removed.
    """
    if content is None or (content.settings is None and content.patch is None):
        return dict(file_document)
    if content.patch is not None:
        for section in HOME_SECTIONS:
            if section in content.patch and not isinstance(content.patch[section], Mapping):
                raise BadConfig(
                    f"{section}: a patch may not remove or replace this section as a whole: the"
                    " gateway would lose its way back; name the keys to change"
                )
        document = merge_patch(file_document, content.patch)
    else:
        whole = content.settings or {}
        kept = {key: file_document[key] for key in HOME_SECTIONS if key in file_document}
        document = {**kept, **whole}
        for key in PINNED_KEYS:
            _carry_over(file_document, document, key)
    for key in PINNED_KEYS:
        here, wanted = look_up(file_document, key), look_up(document, key)
        if here != wanted:
            raise BadConfig(
                f"{key}: only the gateway's own file sets it (here {here!r}, desired {wanted!r})"
            )
    return document


def _carry_over(source: Mapping[str, Any], target: dict[str, Any], key: str) -> None:
    """Give ``target`` the value of a pinned key that it does not name itself."""
    section, _, name = key.partition(".")
    value = look_up(source, key)
    there = target.get(section, {})
    if value is not None and isinstance(there, Mapping) and name not in there:
        target[section] = {**there, name: value}


def look_up(document: Mapping[str, Any], key: str) -> object:
    """The value at a dotted key, None where there is none."""
    node: object = document
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the settings with all defaults, independent of how they were written."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """The dotted keys that differ, in order."""
    left, right = _flat(before.model_dump(mode="json")), _flat(after.model_dump(mode="json"))
    return tuple(
        key for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)
    )


def restart_needed(before: Settings, after: Settings) -> tuple[str, ...]:
    """The changed keys that only a restart brings into effect."""
    return tuple(
        key
        for key in changed_keys(before, after)
        if any(key == name or key.startswith(f"{name}.") for name in RESTART_KEYS)
    )


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as they may be published: secrets by ``SECRET_WORDS`` hidden."""
    return _hide(settings.model_dump(mode="json"))


def _hide(document: Mapping[str, Any]) -> dict[str, Any]:
    hidden: dict[str, Any] = {}
    for key, value in document.items():
        if value is not None and _is_secret(key):
            hidden[key] = "(set)"
        elif isinstance(value, Mapping):
            hidden[key] = _hide(value)
        elif isinstance(value, list):
            hidden[key] = [_hide(part) if isinstance(part, Mapping) else part for part in value]
        else:
            hidden[key] = value
    return hidden


def _is_secret(key: str) -> bool:
    return not SECRET_WORDS.isdisjoint(key.lower().split("_"))
