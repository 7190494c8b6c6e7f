from __future__ import annotations

import resource
import struct

import pytest
from modelpush import ModelGateway

from edge_agent.inference.gguf import MAGIC

KEY = struct.pack("<Q", 1) + b"k"
HEADERS = {
    "tensors": MAGIC + struct.pack("<IQQ", 3, 1 << 60, 1),
    "keys": MAGIC + struct.pack("<IQQ", 3, 1, 1 << 60),
    "length of a key": MAGIC + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62),
    "string": MAGIC + struct.pack("<IQQ", 3, 0, 1) + KEY + struct.pack("<IQ", 8, 1 << 62),
    "array": MAGIC + struct.pack("<IQQ", 3, 0, 1) + KEY + struct.pack("<IIQ", 9, 8, 1 << 40),
    "array in an array": MAGIC + struct.pack("<IQQ", 3, 0, 1) + KEY + struct.pack("<IIQ", 9, 9, 9),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_fault_38_huge_counts_are_refused_before_anything_is_allocated(
    gateway: ModelGateway, header: bytes
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = gateway.push(header + bytes(4096))
    assert report["state"] == "rejected"
    assert "new" in report["reason"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert gateway.switch.status().pid is None, "no worker was started for it"
    assert gateway.still_answers()
