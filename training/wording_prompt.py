"""How a model with an adapter for wording is asked to explain a fault. Pure.

The evidence as the gateway tells it, the fault as its card does, and nothing of the other
faults. Belongs to ``training`` and not to the daemon as long as no adapter of this task ships: see
``docs/embedded-model.md``.
"""

from __future__ import annotations

from typing import Any

from edge_agent.diagnose.prompt import DESCRIPTION_CHARS, DEVIATIONS, plain
from edge_agent.diagnose.wording import deviating, deviation, label
from edge_agent.domain.card import CardFault
from edge_agent.domain.completion import CompletionRequest
from edge_agent.domain.finding import Direction, Finding

WORDING_SYSTEM = "Explain the fault from the evidence."
WORDING_VERSION = "1"
CALM = 3
LONGEST_CHARS = 360
MOST_TOKENS = 160


def wording_question(finding: Finding, fault: CardFault) -> str:
    """Evidence and fault."""
    lines = [plain(deviation(one), 160) for one in deviating(finding)[:DEVIATIONS]]
    calm = [one for one in finding.evidence if one.direction is Direction.NORMAL][:CALM]
    lines += [f"{plain(label(one.signal), 80)} as usual [{one.id}]" for one in calm]
    lines.append(f"Fault: {plain(fault.title, 120)}")
    lines.append(plain(fault.description, DESCRIPTION_CHARS))
    return "\n".join(lines)


def wording_schema() -> dict[str, Any]:
    """The explanation and nothing else."""
    text = {"type": "string", "minLength": 20, "maxLength": LONGEST_CHARS}
    return {
        "type": "object",
        "properties": {"explanation": text},
        "required": ["explanation"],
        "additionalProperties": False,
    }


def wording_request(
    request_id: str, finding: Finding, fault: CardFault, adapter: str, max_tokens: int = MOST_TOKENS
) -> CompletionRequest:
    """The whole request. Without dice: what was learned is to copy numbers, and the penalty on what
    stands in the prompt already would forbid just that."""
    return CompletionRequest(
        request_id=request_id,
        system=WORDING_SYSTEM,
        context="",
        question=wording_question(finding, fault),
        json_schema=wording_schema(),
        max_tokens=max_tokens,
        adapter=adapter,
        greedy=True,
    )
