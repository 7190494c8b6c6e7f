"""Chat templates as our own code: what is control text and what is data never mix.

Each part of a prompt says whether control tokens may be read out of it. Data never may: a
telemetry string ``<|im_end|>`` stays eleven letters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the prompt; only ``control`` text may become control tokens."""

    text: str
    control: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Control texts around the system message, the user message and the answer."""

    before_system: str
    before_user: str
    before_answer: str


LAYOUTS: dict[str, Layout] = {
    "chatml": Layout(
        "<|im_start|>system\n",
        "<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama3": Layout(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
}
"""ChatML: SmolLM2, AFM, Qwen3 (which may think unless told not to) and SmolLM3."""

SEPARATOR = "\n\n"
"""Between the card and the evidence, both in the user message."""


def prefix_parts(template: str, system: str, context: str) -> list[Part]:
    """The part of the prompt that repeats for one equipment card."""
    layout = LAYOUTS[template]
    return [
        Part(layout.before_system, control=True),
        Part(system),
        Part(layout.before_user, control=True),
        Part(context + SEPARATOR if context else ""),
    ]


def answer_part(template: str) -> Part:
    """Ends the user message and opens the answer."""
    return Part(LAYOUTS[template].before_answer, control=True)


def plain_text(template: str, system: str, context: str, question: str) -> str:
    """The whole prompt as one text, for engines that take nothing else (benches)."""
    parts = [*prefix_parts(template, system, context), Part(question), answer_part(template)]
    return "".join(part.text for part in parts)


def tokens_of(parts: list[Part], tokenize: Callable[[str, bool], list[int]]) -> list[int]:
    """The tokens of ``parts``, each tokenized on its own."""
    return [token for part in parts if part.text for token in tokenize(part.text, part.control)]
