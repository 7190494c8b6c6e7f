"""The roll-out machine: outcomes, refusals, pushes that meet, and a crash at every step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rollout.fleet import NOW, Crash, Gateway, patch

from edge_agent.errors import BadConfig, IllegalTransition
from edge_agent.rollout.decide import MAX_FAILURES, TRANSITIONS, Rollout, RolloutState, move
from edge_agent.rollout.document import Content
from edge_agent.rollout.envelope import close_envelope
from edge_agent.rollout.signature import generate_key, public_text, sign

SLOW = {"health": {"interval_s": 300}}
SLOWER = {"health": {"interval_s": 600}}
OTHER_BROKER = {"mqtt": {"host": "broker-2"}}


@pytest.fixture
def gateway() -> Gateway:
    made = Gateway()
    made.boot()
    return made


def interval(gateway: Gateway) -> float:
    assert gateway.running is not None
    return float(gateway.running.health.interval_s)


def test_a_good_patch_is_applied_proven_and_confirmed(gateway: Gateway) -> None:
    assert gateway.push(patch(1, SLOW))["state"] == "probation"
    assert interval(gateway) == 300
    report = gateway.pass_time(60)
    assert (report["state"], report["result"], report["revision"]) == ("confirmed", "ok", 1)
    assert report["effective"]["revision"] == 1
    states = [one["state"] for one in gateway.reports]
    order = ["received", "verified", "staged", "applying", "probation", "confirmed"]
    assert sorted(dict.fromkeys(states), key=order.index) == order


def test_a_change_of_the_broker_goes_through_a_restart(gateway: Gateway) -> None:
    report = gateway.push(patch(1, OTHER_BROKER))
    assert (report["state"], gateway.restarts) == ("applying", 1)
    assert report["restart_pending"] == ["mqtt.host"]
    report = gateway.pass_time(61)
    assert report["state"] == "confirmed"
    assert gateway.running is not None
    assert gateway.running.mqtt.host == "broker-2"


@pytest.mark.parametrize("content", [SLOW, OTHER_BROKER])
def test_unhealthy_is_undone_with_the_reason(gateway: Gateway, content: dict[str, Any]) -> None:
    before = gateway.running
    gateway.push(patch(1, content))
    report = gateway.pass_time(400, unhealthy="the broker is unreachable")
    assert report["state"] == "rolled_back"
    assert "the broker is unreachable" in report["reason"]
    assert gateway.running == before
    assert report["effective"]["revision"] is None


def test_a_new_broker_is_tried_alternately_with_the_old_one(gateway: Gateway) -> None:
    gateway.push(patch(1, OTHER_BROKER))
    hosts = []
    for second in range(200):
        if gateway.restarts:
            gateway.restarts = 0
            hosts.append(gateway.boot().mqtt.host)
        there = second >= 150 and len(hosts) == 3
        gateway.rollout.tick(NOW + second, None if there else "the broker is not reachable")
    assert hosts == ["broker-2", "localhost", "broker-2"]
    assert gateway.pass_time(61)["state"] == "confirmed"


@pytest.mark.parametrize("content", [SLOW, {**SLOW, "inference": {"context": 512}}])
def test_telemetry_that_stops_undoes(gateway: Gateway, content: dict[str, Any]) -> None:
    for second in range(-30, 0):
        gateway.readings += 5
        gateway.rollout.tick(NOW + second)
    gateway.push(patch(1, content))
    report = gateway.pass_time(90)
    assert report["state"] == "rolled_back"
    assert "no telemetry for" in report["reason"]


def test_where_no_telemetry_came_none_is_missed(gateway: Gateway) -> None:
    gateway.readings = 7
    for second in range(-400, 0):
        gateway.rollout.tick(NOW + second)
    gateway.push(patch(1, SLOW))
    assert gateway.pass_time(61)["state"] == "confirmed"


def test_a_push_ends_the_alternation(gateway: Gateway) -> None:
    gateway.push(patch(1, OTHER_BROKER))
    report = gateway.pass_time(70, unhealthy="the broker is not reachable")
    assert (report["state"], report["final"]) == ("failed", False)
    gateway.push(patch(1, OTHER_BROKER))
    assert gateway.rollout.reported()["state"] == "failed"
    gateway.push(patch(2, SLOW))
    assert gateway.pass_time(62)["effective"]["revision"] == 2


def test_a_short_complaint_does_not_undo(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(30, unhealthy="connecting")
    assert gateway.pass_time(62)["state"] == "confirmed"


def test_a_flapping_candidate_is_undone_in_bounded_time(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    for second in range(300):
        gateway.rollout.tick(NOW + second, "loop late" if second % 20 == 0 else None)
    assert gateway.rollout.reported()["state"] == "rolled_back"


def test_a_clock_that_jumps_ends_no_probation(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.rollout.tick(NOW)
    gateway.rollout.tick(NOW + 315e6)
    gateway.rollout.tick(NOW - 315e6)
    assert gateway.rollout.reported()["state"] == "probation"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (patch(2, {"health": {"interval_s": "soon"}}), "health.interval_s"),
        (patch(2, {"health": {"intervall_s": 5}}), "allowed here: interval_s"),
        (patch(2, {"mqtt": None}), "mqtt: a patch may not remove"),
        (patch(2, {"mqtt": 5}), "mqtt: a patch may not remove"),
        (patch(2, {"agent": {"id": "gw-9"}}), "agent.id: only the gateway's own file"),
        (patch(2, {"store": {"state_dir": "/srv/x"}}), "store.state_dir"),
        (patch(2, {"rollout": {"trust_anchors": "/srv/x"}}), "rollout.trust_anchors"),
        (patch(2, {"mqtt": {"port": 8883}}), "mqtt.tls.enabled"),
        (patch(1, SLOWER), "used for another document"),
        (patch(0, SLOWER), "revision"),
        (patch(2.5, SLOWER), "revision"),
        (patch(2, SLOWER, agent="gw-2"), "it is for 'gw-2'"),
        ({"group": "pumps", "revision": 2, "patch": SLOWER}, "groups here: none"),
        (patch(2, SLOWER, group="pumps"), "either agent or group"),
        (patch(2, SLOWER, settings={}), "give one of"),
        (patch(2, SLOWER, expires="2020-01-01T00:00:00Z"), "expired"),
        ({"agent": "gw-1", "revision": 2, "restore": 77}, "77 is not kept"),
        (patch(2, {"health": {"interval_s": "x" * 2_000_000}}), "more than 1048576"),
    ],
)
def test_bad_documents_are_refused_and_nothing_moves(
    gateway: Gateway, body: dict[str, Any], told: str
) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(60)
    before = gateway.rollout.reported()["effective"]
    applied = gateway.calls.count("apply")
    report = gateway.push(body)
    assert report["state"] == "rejected"
    assert told in report["reason"]
    assert report["effective"] == before
    assert gateway.calls.count("apply") == applied
    assert gateway.push(patch(3, SLOWER))["state"] == "probation"


def test_a_revision_that_goes_back_is_refused(gateway: Gateway) -> None:
    gateway.push(patch(5, SLOW))
    gateway.pass_time(60)
    assert "goes back" in gateway.push(patch(4, SLOWER))["reason"]


def test_identical_content_and_redelivery_apply_nothing(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(60)
    saves = len(gateway.calls)
    gateway.push(patch(1, SLOW))
    assert len(gateway.calls) == saves
    report = gateway.push(patch(2, {"health": {"interval_s": 300.0}}))
    assert (report["state"], report["effective"]["revision"]) == ("confirmed", 2)
    assert gateway.calls.count("apply") == 1


def test_after_a_forgery_the_retained_original_is_still_confirmed(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(60)
    assert gateway.push({"nonsense": 1})["state"] == "rejected"
    assert gateway.push(patch(1, SLOW))["state"] == "confirmed"
    assert gateway.calls.count("apply") == 1


def test_a_known_outcome_is_not_tried_again(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(70, unhealthy="telemetry stopped")
    gateway.push({"nonsense": 1})
    report = gateway.push(patch(1, SLOW))
    assert report["state"] == "rolled_back"
    assert "telemetry stopped" in report["reason"]


def test_three_failures_put_a_revision_aside(gateway: Gateway) -> None:
    gateway.apply_error = OSError("disk full")
    for tried in range(1, MAX_FAILURES + 3):
        report = gateway.push(patch(1, SLOW))
        gateway.pass_time(2)
        assert report["state"] == "failed"
        assert report["failures"] == min(tried, MAX_FAILURES)
    assert "put aside" in report["reason"]
    gateway.apply_error = None
    assert gateway.push(patch(1, SLOW))["state"] == "failed"
    assert gateway.push(patch(2, SLOW))["state"] == "probation"


def test_a_push_during_probation_waits_and_the_newest_wins(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.push(patch(2, SLOWER))
    report = gateway.push(patch(3, {"health": {"interval_s": 900}}))
    assert (report["state"], report["revision"], report["waiting_revision"]) == ("probation", 1, 3)
    assert "goes back" in gateway.push(patch(2, SLOWER))["refused"]["reason"]
    report = gateway.pass_time(62)
    assert (report["state"], report["revision"]) == ("probation", 3)
    assert gateway.pass_time(62)["effective"]["revision"] == 3


def test_a_forgery_during_probation_does_not_disturb_it(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    report = gateway.push({"agent": "gw-2", "revision": 9, "patch": {}})
    assert (report["state"], report["waiting_revision"]) == ("probation", None)
    assert "gw-2" in report["refused"]["reason"]


def test_not_before_waits_only_while_the_clock_is_trusted(gateway: Gateway) -> None:
    later = "2026-09-23T14:00:00Z"
    assert gateway.push(patch(1, SLOW, not_before=later))["state"] == "verified"
    gateway.clock_trusted = False
    gateway.rollout.tick(NOW)
    assert gateway.rollout.reported()["state"] == "probation"


def test_a_newer_push_supersedes_one_that_waits_for_its_time(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW, not_before="2036-01-01T00:00:00Z"))
    gateway.push(patch(2, SLOWER))
    assert gateway.pass_time(62)["effective"]["revision"] == 2
    assert interval(gateway) == 600


def test_restore_goes_back_by_a_new_revision(gateway: Gateway) -> None:
    for revision, content in ((1, SLOW), (2, SLOWER)):
        gateway.push(patch(revision, content))
        gateway.pass_time(62)
    gateway.push({"agent": "gw-1", "revision": 3, "restore": 1})
    gateway.pass_time(62)
    assert interval(gateway) == 300
    gateway.push({"agent": "gw-1", "revision": 4, "restore": 0})
    gateway.pass_time(62)
    assert interval(gateway) == 60


def test_a_later_edit_of_the_file_moves_what_the_patch_does_not_name(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(60)
    gateway.file = {**gateway.file, "log": {"level": "debug"}, "health": {"interval_s": 30}}
    settings = gateway.boot()
    assert (settings.log.level, settings.health.interval_s) == ("debug", 300)


def test_the_file_takes_back_control(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.pass_time(60)
    gateway.file = {**gateway.file, "rollout": {"remote": False}}
    assert gateway.boot().health.interval_s == 60
    assert gateway.push(patch(2, SLOWER))["revision"] == 1


def test_an_edit_that_no_longer_fits_the_revision_leaves_the_file_in_effect(
    gateway: Gateway,
) -> None:
    gateway.push(patch(1, {"mqtt": {"password_file": "/run/pw"}, "health": {"interval_s": 5}}))
    assert gateway.rollout.reported()["state"] == "rejected"
    gateway.file = {**gateway.file, "mqtt": {"username": "gw-1"}}
    gateway.boot()
    gateway.push(patch(2, {"mqtt": {"password_file": "/run/pw"}}))
    assert gateway.pass_time(62)["state"] == "confirmed"
    gateway.file = {"agent": {"id": "gw-1"}}
    assert gateway.boot().mqtt.password_file is None


def test_unreadable_state_starts_with_the_file(gateway: Gateway) -> None:
    gateway.disk = b"\x00garbage"
    assert gateway.boot().health.interval_s == 60
    assert gateway.push(patch(1, SLOW))["state"] == "probation"


def test_secrets_are_not_reported() -> None:
    gateway = Gateway(
        file={
            "agent": {"id": "gw-1"},
            "mqtt": {"username": "plant", "password_file": "/run/pw"},
        }
    )
    gateway.boot()
    text = json.dumps(gateway.rollout.reported())
    assert "plant" not in text.replace("plant/{equipment}", "")
    assert "/run/pw" not in text
    assert '"max_tokens": 160' in text


def test_signatures_are_asked_for_where_there_are_anchors(tmp_path: Path) -> None:
    key, stranger = generate_key(), generate_key()
    anchors = tmp_path / "anchors.toml"
    anchors.write_text(f'[keys.fleet]\npublic = "{public_text(key)}"\n')
    gateway = Gateway(file={"agent": {"id": "gw-1"}, "rollout": {"trust_anchors": str(anchors)}})
    gateway.boot()
    body = json.dumps(patch(1, SLOW)).encode()
    assert "not signed" in gateway.push(patch(1, SLOW))["reason"]
    gateway.rollout.handle_desired(close_envelope(sign(body, stranger, "fleet")), NOW)
    assert "does not fit" in gateway.rollout.reported()["reason"]
    gateway.rollout.handle_desired(close_envelope(sign(body, key, "other")), NOW)
    assert gateway.rollout.reported()["state"] == "rejected"
    gateway.rollout.handle_desired(close_envelope(sign(body, key, "fleet")), NOW)
    report = gateway.pass_time(60)
    assert (report["state"], report["effective"]["signed_by"]) == ("confirmed", "fleet")
    assert report["secured"]
    anchors.unlink()
    gateway.rollout.handle_desired(b'{"agent": "gw-1", "revision": 2, "patch": {}}', NOW)
    assert "no such file" in gateway.rollout.reported()["reason"]


def test_keys_rotate_by_a_push_signed_with_the_old_key(tmp_path: Path) -> None:
    old, new = generate_key(), generate_key()
    anchors = tmp_path / "anchors.toml"
    anchors.write_text(f'[keys.old]\npublic = "{public_text(old)}"\n')
    gateway = Gateway(file={"agent": {"id": "gw-1"}, "rollout": {"trust_anchors": str(anchors)}})
    gateway.boot()

    def push(body: dict[str, Any], key: Ed25519PrivateKey, name: str) -> dict[str, Any]:
        envelope = sign(json.dumps({"agent": "gw-1", **body}).encode(), key, name)
        gateway.rollout.handle_desired(close_envelope(envelope), NOW)
        return gateway.pass_time(61)

    push({"revision": 1, "patch": SLOW}, old, "old")
    trust: dict[str, dict[str, object]] = {
        "new": {"public": public_text(new)},
        "old": {"public": public_text(old), "revoked": True},
    }
    dead = {"old": {**trust["old"], "revoked": True}}
    assert "must stay" in push({"revision": 2, "trust": dead}, old, "old")["reason"]
    assert push({"revision": 2, "trust": trust}, new, "new")["state"] == "rejected"
    report = push({"revision": 2, "trust": trust}, old, "old")
    assert (report["state"], report["effective"]["trusted_keys"]) == ("confirmed", ["new"])
    assert interval(gateway) == 300  # the settings stay
    assert "revoked" in push({"revision": 3, "patch": SLOWER}, old, "old")["reason"]
    assert push({"revision": 3, "patch": SLOWER}, new, "new")["state"] == "confirmed"
    gateway.boot()
    assert gateway.rollout.reported()["effective"]["trusted_keys"] == ["new"]
    third = generate_key()
    anchors.write_text(f'[keys.third]\npublic = "{public_text(third)}"\n')
    assert gateway.rollout.reported()["effective"]["trusted_keys"] == ["third"]


def test_trust_is_not_taken_where_nothing_was_trusted(gateway: Gateway) -> None:
    trust = {"mine": {"public": public_text(generate_key())}}
    report = gateway.push({"agent": "gw-1", "revision": 1, "trust": trust})
    assert "rollout.trust_anchors first" in report["reason"]


def test_illegal_moves_raise_and_change_nothing() -> None:
    for before, allowed in TRANSITIONS.items():
        rollout = Rollout(state=before)
        for after in RolloutState:
            if after in allowed:
                assert move(rollout, after).state is after
            else:
                with pytest.raises(IllegalTransition):
                    move(rollout, after)
        assert rollout.state is before


def _scenario(gateway: Gateway, content: dict[str, Any], unhealthy: str | None) -> None:
    gateway.push(patch(2, content))
    gateway.pass_time(400, unhealthy)


@pytest.mark.parametrize("crash_before", [True, False])
@pytest.mark.parametrize("unhealthy", [None, "telemetry stopped"])
@pytest.mark.parametrize("content", [SLOWER, {**SLOWER, **OTHER_BROKER}])
def test_a_crash_at_any_step_ends_confirmed_or_rolled_back(
    content: dict[str, Any], unhealthy: str | None, crash_before: bool
) -> None:
    """Power is cut at each save and each effect in turn, before and after it took place."""
    crashes = 0
    for step in range(80):
        gateway = Gateway()
        gateway.boot()
        gateway.push(patch(1, SLOW))
        gateway.pass_time(60)
        good = gateway.running
        gateway.crash_at, gateway.crash_before = len(gateway.calls) + step, crash_before
        try:
            _scenario(gateway, content, unhealthy)
        except Crash:
            crashes += 1
            gateway.restarts = 0
            gateway.boot()
            gateway.push(patch(2, content))  # the retained message comes again
            gateway.pass_time(400, unhealthy)
        report = gateway.rollout.reported()
        assert report["revision"] == 2, step
        if unhealthy is None:
            assert report["state"] == "confirmed", step
            assert interval(gateway) == 600
        else:
            assert report["state"] == "rolled_back", step
            assert gateway.running == good, step
        assert gateway.running == gateway.rollout.settings
        assert gateway.boot() == gateway.rollout.settings  # and a restart changes nothing
        if gateway.crash_at is not None:
            break
    assert crashes >= 6


def test_a_candidate_that_kills_the_daemon_is_put_aside() -> None:
    gateway = Gateway()
    gateway.boot()
    good = gateway.running
    gateway.push(patch(1, OTHER_BROKER))
    starts = 0
    while gateway.boot() != good:  # it dies before the first tick
        starts += 1
        assert starts <= MAX_FAILURES
    report = gateway.rollout.reported()
    assert (starts, report["state"]) == (MAX_FAILURES, "rolled_back")
    assert "died in 3 starts" in report["reason"]


def test_a_restart_that_is_asked_for_holds_everything_until_it_comes(gateway: Gateway) -> None:
    gateway.push(patch(1, OTHER_BROKER))
    gateway.rollout.tick(NOW)
    assert gateway.push(patch(2, SLOW))["waiting_revision"] == 2
    assert gateway.rollout.reported()["state"] == "applying"
    gateway.pass_time(62)
    assert gateway.pass_time(62)["effective"]["revision"] == 2


def test_undo_whose_apply_fails_restarts(gateway: Gateway) -> None:
    gateway.push(patch(1, SLOW))
    gateway.apply_error = OSError("no")
    for second in range(70):
        gateway.rollout.tick(NOW + second, "unhealthy")
    assert gateway.restarts == 1
    gateway.apply_error = None
    assert gateway.boot().health.interval_s == 60


def test_a_saved_candidate_that_no_longer_fits_the_file_is_undone(gateway: Gateway) -> None:
    gateway.file = {"agent": {"id": "gw-1"}, "mqtt": {"username": "gw-1"}}
    gateway.boot()
    gateway.push(patch(1, {"mqtt": {"password_file": "/run/pw"}}))
    gateway.file = {"agent": {"id": "gw-1"}}
    gateway.boot()
    report = gateway.rollout.reported()
    assert report["state"] == "rolled_back"
    assert "local file was changed" in report["reason"]


def test_the_local_file_must_be_valid_itself() -> None:
    with pytest.raises(BadConfig):
        Gateway(file={"nonsense": 1}).boot()


def test_content_with_neither_part_is_the_file_alone(gateway: Gateway) -> None:
    content = Content(revision=1, digest="0", signed_by=None)
    assert (content.settings, content.patch) == (None, None)
