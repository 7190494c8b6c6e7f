"""ed25519 signatures over exact bytes, and the keys that may sign.

Trust anchors are a TOML file, one table per key::

    [keys.fleet-2026]
    public = "base64 of the 32 bytes"
    revoked = false

``cryptography`` is imported where it is used: a gateway without anchors never loads it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StringConstraints

from edge_agent.config.load import read_toml, validate
from edge_agent.config.section import Section
from edge_agent.errors import BadConfig
from edge_agent.rollout.envelope import Envelope

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNED_PREFIX = b"edge-agent signed document 1\n"
"""Stands before the body when signing: a signature made for another purpose fits nothing here."""


def _public_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("base64 of an ed25519 public key is expected") from None
    if len(raw) != 32:
        raise ValueError(f"an ed25519 public key has 32 bytes, this has {len(raw)}")
    return text


KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
PublicKey = Annotated[str, AfterValidator(_public_key)]


class Anchor(Section):
    """One key that may sign, or no longer may."""

    public: PublicKey
    """The public key, base64."""
    revoked: bool = False
    """True: whatever it signs is refused, and says so."""


class TrustAnchors(Section):
    """The keys of the fleet's owner."""

    keys: dict[KeyName, Anchor] = Field(min_length=1, max_length=16)
    """By name."""

    @property
    def digest(self) -> str:
        """SHA-256, independent of how they were written."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_anchors(path: Path) -> TrustAnchors:
    """The trust anchors in ``path``. Raises ``BadConfig``: then nothing signed is accepted."""
    return validate(TrustAnchors, read_toml(path), where=str(path))


def verify(envelope: Envelope, anchors: TrustAnchors) -> str:
    """The name of the anchor that signed ``envelope``. Raises ``BadConfig`` if none did."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if envelope.signature is None or envelope.key is None:
        raise BadConfig(
            "the document is not signed, and this gateway has trust anchors; sign it with"
            " `edge-agent config sign`"
        )
    anchor = anchors.keys.get(envelope.key)
    if anchor is None:
        known = ", ".join(sorted(anchors.keys))
        raise BadConfig(f"signed with the unknown key {envelope.key[:64]!r}; trusted are: {known}")
    if anchor.revoked:
        raise BadConfig(f"signed with the key {envelope.key!r}, which has been revoked")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(anchor.public))
    try:
        public.verify(envelope.signature, SIGNED_PREFIX + envelope.body)
    except InvalidSignature:
        raise BadConfig(
            f"the signature does not fit the document and the key {envelope.key!r}: it was"
            " altered on the way, or signed with another key of that name"
        ) from None
    return envelope.key


def sign(body: bytes, key: Ed25519PrivateKey, name: str) -> Envelope:
    """``body`` in an envelope signed by ``key``, which the gateways know as ``name``."""
    return Envelope(body=body, key=name, signature=key.sign(SIGNED_PREFIX + body))


def generate_key() -> Ed25519PrivateKey:
    """A new private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half of ``key`` as the anchors file writes it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode("ascii")


def write_private_key(key: Ed25519PrivateKey, path: Path) -> None:
    """Write ``key`` as PEM, readable by its owner alone. Refuses to overwrite (``BadConfig``)."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise BadConfig(f"{path}: exists already; a key is never overwritten") from None
    except OSError as error:
        raise BadConfig(f"{path}: cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The ed25519 key in the PEM file ``path``. Raises ``BadConfig``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BadConfig(f"{path}: no unencrypted PEM private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadConfig(f"{path}: not an ed25519 key; make one with `edge-agent config keygen`")
    return key
