"""How many of a model's sentences the gateway's own check bears out, asked through its own engine.

The model answers as on the gateway: worker process, chat template, JSON schema, quantized weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config.inference import InferenceSection
from edge_agent.diagnose.answer import read_explanation
from edge_agent.diagnose.claims import sentences, verified
from edge_agent.errors import BadAnswer
from edge_agent.inference.client import WorkerClient
from training.wording import Explained
from training.wording_prompt import wording_request

MEMORY_MB = 2048


@dataclass(frozen=True, slots=True)
class Standing:
    """Sentences over a set of cases."""

    cases: int
    sentences: int
    stood: int
    whole: int
    """Cases of which every sentence stood."""
    tokens_in: float
    tokens_out: float
    """Means per case."""
    fell: tuple[str, ...]
    """Some of the sentences that did not stand."""

    @property
    def share(self) -> float:
        """Of the sentences that stand."""
        return self.stood / max(1, self.sentences)


def standing(
    model: str, adapter: str, models_dir: Path, cases: Sequence[Explained], shown: int = 12
) -> Standing:
    """Ask for each case once and count. ``adapter`` empty: the model as it is."""
    said = stood = whole = tokens_in = tokens_out = 0
    fell: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edge-agent-") as folder:
        client = WorkerClient(
            InferenceSection(model=model, models_dir=models_dir, context=2048, threads=1),
            runtime_dir=Path(folder),
            models_dir=models_dir,
            memory_limit_mb=lambda: MEMORY_MB,
        )
        try:
            for number, case in enumerate(cases):
                request = wording_request(f"case-{number}", case.finding, case.fault, adapter)
                try:
                    answer = client.complete(request, lambda: False)
                except BadAnswer as error:
                    said, fell = said + 1, [*fell, f"no answer: {error}"]
                    continue
                told = sentences(read_explanation(answer.text))
                kept = set(sentences(verified(" ".join(told), case.finding, case.equipment)))
                said, stood = said + len(told), stood + sum(one in kept for one in told)
                whole += all(one in kept for one in told)
                tokens_in, tokens_out = tokens_in + answer.tokens_in, tokens_out + answer.tokens_out
                fell += [one for one in told if one not in kept]
        finally:
            client.close(0.0)
    count = max(1, len(cases))
    return Standing(
        len(cases), said, stood, whole, tokens_in / count, tokens_out / count, tuple(fell[:shown])
    )
