from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from brokers import Mosquitto, wait_until
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

RULES = Path(__file__).parents[2] / "configs" / "broker" / "acl.example"
USERS = ("controller", "gateway", "pump-1", "pump-2")
MAY = [
    ("pump-1", "plant/pump-1/telemetry", True),
    ("pump-1", "plant/pump-2/telemetry", False),
    ("pump-1", "edge/gateway/config/desired", False),
    ("pump-1", "edge/gateway/diagnosis/pump-1", False),
    ("pump-1", "edge/gateway/cmd/diagnose", False),
    ("gateway", "edge/gateway/diagnosis/pump-1", True),
    ("gateway", "edge/gateway/cmd/status/response", True),
    ("gateway", "edge/gateway/config/desired", False),
    ("gateway", "edge/other/diagnosis/pump-1", False),
    ("gateway", "plant/pump-1/telemetry", False),
    ("controller", "edge/gateway/config/desired", True),
    ("controller", "edge/gateway/model/desired", True),
    ("controller", "edge/gateway/cmd/diagnose", True),
    ("controller", "edge/gateway/diagnosis/pump-1", False),
]


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
def test_fault_48_the_shipped_access_rules_let_nobody_speak_for_another(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("".join(f"{user}:{user}\n" for user in USERS))
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    config = [f"acl_file {RULES}", f"password_file {passwords}", "allow_anonymous false"]
    with Mosquitto(config) as broker:
        for user, topic, allowed in MAY:
            assert may_write(broker, user, topic) is allowed, f"{user} → {topic}"


def may_write(broker: Mosquitto, user: str, topic: str) -> bool:
    answers: list[bool] = []

    def on_publish(
        _client: paho.Client, _data: object, _mid: int, reason: ReasonCode, _props: object
    ) -> None:
        answers.append(not reason.is_failure)

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user, user)
    client.on_publish = on_publish
    client.connect(broker.host, broker.port)
    client.loop_start()
    wait_until(client.is_connected)
    client.publish(topic, b"{}", qos=1)
    wait_until(lambda: answers)
    client.disconnect()
    client.loop_stop()
    return answers[0]
