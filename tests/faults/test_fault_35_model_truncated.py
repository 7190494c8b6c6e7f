from __future__ import annotations

import pytest
from inference.conftest import TinyModel
from modelpush import ModelGateway


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, -1])
def test_fault_35_a_truncated_model_is_refused_and_the_old_one_stays(
    gateway: ModelGateway, tiny_model: TinyModel, kept: float
) -> None:
    whole = tiny_model("llama").read_bytes()
    size = int(len(whole) * kept) if 0 < kept < 1 else int(kept) % len(whole)
    report = gateway.push(whole[:size])
    assert report["state"] == "rejected"
    assert any(word in report["reason"] for word in ("truncated", "ends inside", "no GGUF", "size"))
    assert gateway.still_answers()
