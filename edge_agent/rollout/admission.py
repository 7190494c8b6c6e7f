"""Lets a desired document in, or says why not: signature, addressee, validity in time."""

from __future__ import annotations

import hashlib

from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig
from edge_agent.rollout.document import Content, Desired, read_desired
from edge_agent.rollout.envelope import Envelope, open_envelope
from edge_agent.rollout.signature import TrustAnchors, read_anchors, verify


def anchors_of(settings: Settings) -> TrustAnchors | None:
    """The trust anchors that the settings name; None where they name none, and everything is
    accepted. Raises ``BadConfig`` where the file is not readable: then nothing is."""
    path = settings.rollout.trust_anchors
    return read_anchors(path) if path is not None else None


def admit(
    payload: bytes, settings: Settings, anchors: TrustAnchors | None, trusted_now: float | None
) -> tuple[Desired, Content]:
    """The verified document in ``payload``. ``trusted_now``: Unix seconds, None while the clock
    is not trusted. Raises ``BadConfig``, and nothing else, for any bytes."""
    envelope = open_envelope(payload)
    signed_by = verify(envelope, anchors) if anchors is not None else None
    desired = read_desired(envelope)
    _check_addressee(desired, settings)
    if (
        desired.expires is not None
        and trusted_now is not None
        and desired.expires.timestamp() <= trusted_now
    ):
        raise BadConfig(f"expires: it expired at {desired.expires.isoformat()}; push it anew")
    return desired, _content(desired, envelope, signed_by)


def _content(desired: Desired, envelope: Envelope, signed_by: str | None) -> Content:
    return Content(
        revision=desired.revision,
        digest=hashlib.sha256(envelope.body).hexdigest(),
        signed_by=signed_by,
        not_before=desired.not_before.timestamp() if desired.not_before else None,
        settings=desired.settings,
        patch=desired.patch,
    )


def _check_addressee(desired: Desired, settings: Settings) -> None:
    if desired.agent is not None and desired.agent != settings.agent.id:
        raise BadConfig(
            f"agent: it is for {desired.agent!r}; this gateway is {settings.agent.id!r}"
        )
    if desired.group is not None and desired.group not in settings.rollout.groups:
        groups = ", ".join(settings.rollout.groups) or "none"
        raise BadConfig(f"group: it is for {desired.group!r}; the groups of this gateway: {groups}")
