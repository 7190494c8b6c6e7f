"""Properties: signatures, revisions, merge patches; and the envelope's decoder under any bytes."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout.fleet import NOW, Gateway, patch

from edge_agent.errors import BadConfig
from edge_agent.rollout.decide import Rollout, RolloutState, Verdict, judge_revision
from edge_agent.rollout.document import Content, merge_patch, read_desired
from edge_agent.rollout.envelope import Envelope, close_envelope, open_envelope
from edge_agent.rollout.signature import (
    Anchor,
    TrustAnchors,
    generate_key,
    public_text,
    read_anchors,
    read_private_key,
    sign,
    verify,
    write_private_key,
)

KEY = generate_key()
ANCHORS = TrustAnchors(keys={"fleet": Anchor(public=public_text(KEY))})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(st.text(max_size=200))
def test_what_was_signed_verifies_after_the_journey(text: str) -> None:
    body = text.encode("utf-8", "replace")
    arrived = open_envelope(close_envelope(sign(body, KEY, "fleet")))
    assert arrived.body == body
    assert verify(arrived, ANCHORS) == "fleet"


@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_changed_bit_is_noticed(body: bytes, data: st.DataObject) -> None:
    envelope = sign(body, KEY, "fleet")
    assert envelope.signature is not None
    both = bytearray(envelope.signature + body)
    bit = data.draw(st.integers(0, len(both) * 8 - 1))
    both[bit // 8] ^= 1 << bit % 8
    forged = Envelope(bytes(both[64:]), "fleet", bytes(both[:64]))
    with pytest.raises(BadConfig):
        verify(forged, ANCHORS)


@given(st.binary(max_size=100))
def test_any_bytes_as_a_signature_are_refused(signature: bytes) -> None:
    with pytest.raises(BadConfig):
        verify(Envelope(b"{}", "fleet", signature), ANCHORS)


def test_a_revoked_key_signs_nothing() -> None:
    revoked = TrustAnchors(keys={"fleet": Anchor(public=public_text(KEY), revoked=True)})
    with pytest.raises(BadConfig, match="revoked"):
        verify(sign(b"{}", KEY, "fleet"), revoked)


def test_a_bare_ed25519_signature_of_the_body_is_not_enough() -> None:
    with pytest.raises(BadConfig):
        verify(Envelope(b"{}", "fleet", KEY.sign(b"{}")), ANCHORS)


def test_keys_survive_their_files(tmp_path: Path) -> None:
    private, anchors = tmp_path / "fleet.pem", tmp_path / "anchors.toml"
    write_private_key(KEY, private)
    assert private.stat().st_mode & 0o777 == 0o600
    anchors.write_text(f'[keys.fleet]\npublic = "{public_text(KEY)}"\n')
    assert verify(sign(b"x", read_private_key(private), "fleet"), read_anchors(anchors)) == "fleet"
    with pytest.raises(BadConfig, match="exists already"):
        write_private_key(KEY, private)
    for text in ("", "[keys]\n", '[keys.a]\npublic = "AAAA"\n', '[keys."a b"]\npublic = "x"\n'):
        anchors.write_text(text)
        with pytest.raises(BadConfig):
            read_anchors(anchors)


@given(st.binary(max_size=300))
def test_any_bytes_open_or_are_bad_config(payload: bytes) -> None:
    try:
        read_desired(open_envelope(payload))
    except BadConfig:
        return


ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "body": VALUES | OBJECTS.map(json.dumps) | st.just('{"revision": NaN}'),
        "key": VALUES,
        "signature": VALUES
        | st.binary(max_size=80).map(lambda raw: base64.b64encode(raw).decode()),
        "revision": VALUES,
        "patch": VALUES,
        "agent": VALUES,
        "not_before": VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.binary(max_size=80) | ENVELOPES.map(lambda e: json.dumps(e).encode()), max_size=4)
)
def test_any_bytes_leave_a_rejected_report_and_nothing_else(payloads: list[bytes]) -> None:
    gateway = Gateway()
    before = gateway.boot()
    for payload in payloads:
        gateway.rollout.handle_desired(payload, NOW)
        report = gateway.rollout.reported()
        assert report["state"] in ("none", "rejected")
        json.dumps(report)
    assert gateway.running == before
    assert "apply" not in gateway.calls
    assert gateway.boot() == before


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"patch": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}",
        b'{"revision": 1' + b"0" * 5000 + b"}",
        b'{"revision": 1e400}',
        b'{"revision": NaN}',
        b'{"revision": 1, "revision": 2}',
        b'{"body": "{}", "body": "{}"}',
        b'{"body": "\\ud800"}',
        b'{"agent": "\\udfff", "revision": 1, "patch": {}}',
        b'{"body": "{}", "signature": "!!", "key": "fleet"}',
        b'{"body": "{}", "signature": "AAAA"}',
        b'{"body": "{}", "extra": 1}',
        b'{"body": "{\\"body\\": \\"{}\\"}"}',
        b" " * (1 << 20) + b"{}",
        b'{"agent": "gw-1", "revision": true, "patch": {}}',
        b'{"agent": "gw-1", "revision": 9007199254740993, "patch": {}}',
        b'{"kind": "model", "agent": "gw-1", "revision": 1, "patch": {}}',
    ],
)
def test_hostile_documents_are_bad_config(payload: bytes) -> None:
    with pytest.raises(BadConfig):
        read_desired(open_envelope(payload))


@given(OBJECTS, OBJECTS)
def test_merge_patch_follows_the_rfc(target: dict[str, Any], change: dict[str, Any]) -> None:
    kept = copy.deepcopy((target, change))
    merged = merge_patch(target, change)
    assert (target, change) == kept
    for key in target.keys() | change.keys():
        if key not in change:
            assert merged[key] == target[key]
        elif change[key] is None:
            assert key not in merged
        elif isinstance(change[key], dict):
            assert merged[key] == merge_patch(target.get(key), change[key])
        else:
            assert merged[key] == change[key]
    assert merge_patch(merged, change) == merged


@pytest.mark.parametrize(
    ("target", "change", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (["a", "b"], {"a": "b"}, {"a": "b"}),
    ],
)
def test_merge_patch_examples_of_the_rfc(
    target: object, change: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert merge_patch(target, change) == merged


REVISIONS = st.integers(1, 6)


@given(st.lists(st.tuples(REVISIONS, st.sampled_from("xy"), st.booleans()), max_size=12))
def test_revisions_never_go_back(pushes: list[tuple[int, str, bool]]) -> None:
    """Whatever comes in whatever order: what is new is higher than all before it."""
    rollout = Rollout()
    for revision, digest_of, good in pushes:
        digest = f"{revision}{digest_of}"
        verdict, why = judge_revision(rollout, revision, digest)
        assert (verdict is Verdict.NEW) == (revision > rollout.highest)
        if verdict is Verdict.REPLAYED:
            assert why.startswith("revision: ")
        if verdict is Verdict.NEW:
            content = Content(revision=revision, digest=digest, signed_by=None)
            rollout = rollout.model_copy(
                update={
                    "highest": revision,
                    "highest_digest": digest,
                    "candidate": content,
                    "confirmed": content if good else rollout.confirmed,
                    "state": RolloutState.CONFIRMED if good else RolloutState.REJECTED,
                }
            )


def test_a_10_mb_document_is_refused_and_not_kept() -> None:
    gateway = Gateway()
    gateway.boot()
    gateway.push(patch(1, {"log": {"level": "x" * 10_000_000}}))
    assert gateway.rollout.reported()["state"] == "rejected"
    assert gateway.disk is not None
    assert len(gateway.disk) < 2000
