from __future__ import annotations

import hashlib

from inference.conftest import TinyModel
from modelpush import ModelGateway


def test_fault_36_a_model_that_is_not_the_announced_one_is_refused(
    gateway: ModelGateway, tiny_model: TinyModel
) -> None:
    wanted = tiny_model("llama").read_bytes()
    other = bytearray(wanted)
    other[-1] ^= 1
    report = gateway.push(bytes(other), sha256=hashlib.sha256(wanted).hexdigest())
    assert report["state"] == "rejected"
    assert "not the file of the manifest" in report["reason"]
    assert gateway.still_answers()
