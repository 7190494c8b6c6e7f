"""Lets a desired document in, or says why not: signature, addressee, validity in time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig
from edge_agent.rollout.document import Addressed, Signed
from edge_agent.rollout.envelope import Envelope, open_envelope
from edge_agent.rollout.signature import TrustAnchors, read_anchors, verify

Document = TypeVar("Document", bound=Addressed)


def anchors_of(settings: Settings) -> TrustAnchors | None:
    """The trust anchors that the settings name; None where they name none, and everything is
    accepted. Raises ``BadConfig`` where the file is not readable: then nothing is."""
    path = settings.rollout.trust_anchors
    return read_anchors(path) if path is not None else None


def admit(
    payload: bytes,
    read: Callable[[Envelope], Document],
    settings: Settings,
    anchors: TrustAnchors | None,
    trusted_now: float | None,
) -> tuple[Document, Signed]:
    """The verified document in ``payload``. ``trusted_now``: Unix seconds, None while the clock
    is not trusted. Raises ``BadConfig``, and nothing else, for any bytes."""
    envelope = open_envelope(payload)
    signed_by = verify(envelope, anchors) if anchors is not None else None
    document = read(envelope)
    _check_addressee(document, settings)
    expires, not_before = document.expires, document.not_before
    if expires is not None and trusted_now is not None and expires.timestamp() <= trusted_now:
        raise BadConfig(f"expires: it expired at {expires.isoformat()}; push it anew")
    signed = Signed(
        revision=document.revision,
        digest=hashlib.sha256(envelope.body).hexdigest(),
        signed_by=signed_by,
        not_before=not_before.timestamp() if not_before is not None else None,
    )
    return document, signed


def _check_addressee(document: Addressed, settings: Settings) -> None:
    if document.agent is not None and document.agent != settings.agent.id:
        raise BadConfig(
            f"agent: it is for {document.agent!r}; this gateway is {settings.agent.id!r}"
        )
    if document.group is not None and document.group not in settings.rollout.groups:
        groups = ", ".join(settings.rollout.groups) or "none"
        raise BadConfig(f"group: it is for {document.group!r}; the groups here: {groups}")
