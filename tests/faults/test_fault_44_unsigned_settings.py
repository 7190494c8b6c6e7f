from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto
from plant import Client, Daemon, write_settings
from pushes import DESIRED, desired, online, reported

from edge_agent.rollout.envelope import Envelope, close_envelope
from edge_agent.rollout.signature import generate_key, public_text, sign


def test_fault_44_where_a_key_is_set_only_its_signature_counts(
    broker: Mosquitto, tmp_path: Path
) -> None:
    key, foreign = generate_key(), generate_key()
    anchors = tmp_path / "anchors.toml"
    anchors.write_text(f'[keys.fleet]\npublic = "{public_text(key)}"\n')
    config = write_settings(
        tmp_path, broker.port, rollout={"probation_s": 1, "trust_anchors": str(anchors)}
    )

    def body(revision: int) -> bytes:
        return desired(revision, {"health": {"interval_s": 10 + revision}}).encode()

    good = sign(body(4), key, "fleet")
    forgeries = [
        body(1),
        close_envelope(Envelope(body(2), "fleet", sign(body(1), key, "fleet").signature)),
        close_envelope(sign(body(3), foreign, "fleet")),
    ]
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", online())
        for revision, payload in enumerate(forgeries, start=1):
            client.say(DESIRED, payload)
            report = client.wait_for(
                "edge/gw1/config/reported",
                lambda one, n=revision: (
                    len(client.on("edge/gw1/config/reported")) >= n  # type: ignore[misc]
                    and one.json["state"] == "rejected"
                ),
            ).json
            assert "sign" in report["reason"]
            assert report["effective"]["revision"] is None
        client.say(DESIRED, close_envelope(good))
        assert reported(client, 4, "confirmed")["effective"]["revision"] == 4
        assert daemon.terminate() == 0
    assert daemon.log.count('"settings_applied"') == 1
