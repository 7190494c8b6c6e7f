"""Finds the fastest way to run a model on this machine whose answers stay close to the original's.

One thing is varied at a time, from the best found so far: quantization, threads, batch, flash
attention, KV type. Each variant runs in a process of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.inference.catalog import ModelFile, sha256_of
from edge_agent.inference.tuning import Trial, Tuning, Variant, write_tuning

LARGEST_KL = 0.05
"""Nats: farther from the original than this, a variant is not chosen however fast it is."""
LEAST_AGREEMENT = 0.90
PROMPT, ANSWER = 100, 80
"""New prompt tokens and decode calls of a usual warm diagnosis: what "fastest" refers to."""
REQUANTIZED = ("Q4_0", "Q8_0", "Q4_K_M")
TRIAL_S = 1800.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How far from the original an answer may be."""

    kl: float = LARGEST_KL
    agreement: float = LEAST_AGREEMENT

    def hold(self, trial: Trial) -> bool:
        """Whether ``trial`` is close enough."""
        return trial.kl <= self.kl and trial.agreement >= self.agreement


def tune(
    model: ModelFile,
    models_dir: Path,
    *,
    threads: int,
    limits: Limits,
    tried: Callable[[Variant, Trial | str], None],
) -> Tuning:
    """Measure, choose, write the choice to ``models_dir``. ``tried`` hears of each variant: its
    figures, or why it could not run. Raises ``Unavailable`` if the original itself can't run."""
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tune-", dir=models_dir) as folder:
        bench = _Bench(model, Path(folder))
        original = bench.run(Variant(threads=threads))
        tried(original.variant, original)
        best = original
        for variants in _stages(threads):
            for variant in variants(best.variant):
                try:
                    trial = bench.run(variant)
                except Unavailable as error:
                    tried(variant, str(error))
                    continue
                tried(variant, trial)
                if limits.hold(trial) and _time(trial) < 0.97 * _time(best):
                    best = trial
        if best is not original:
            # The machine may have been busy with something else: only a second win counts
            original = _better(original, bench.run(original.variant))
            best = _better(best, bench.run(best.variant))
            tried(original.variant, original)
            tried(best.variant, best)
            if _time(best) >= _time(original):
                best = original
        return _keep(model, models_dir, bench, best, original)


def _better(first: Trial, second: Trial) -> Trial:
    """The least disturbed figures of two measurements of one variant."""
    faster = {
        "prefill_tokens_per_second": max(
            first.prefill_tokens_per_second, second.prefill_tokens_per_second
        ),
        "decode_ms": min(first.decode_ms, second.decode_ms),
    }
    return first.model_copy(update=faster)


def _time(trial: Trial) -> float:
    return trial.seconds(PROMPT, ANSWER)


def _stages(threads: int) -> Iterator[Callable[[Variant], list[Variant]]]:
    def vary(key: str, values: list[object]) -> Callable[[Variant], list[Variant]]:
        return lambda best: [
            best.model_copy(update={key: value}) for value in values if getattr(best, key) != value
        ]

    yield vary("quantization", list(REQUANTIZED))
    yield vary("threads", [count for count in (1, 2, 4, 8) if count <= threads])
    yield vary("batch", [128, 256])
    yield vary("flash_attention", [False])
    yield vary("kv_type", ["q8_0"])


class _Bench:
    """Runs trials; re-quantized files are made once, in a folder of ours."""

    def __init__(self, model: ModelFile, folder: Path) -> None:
        self._model = model
        self._folder = folder
        self._reference = folder / "reference.npy"

    def file(self, quantization: str) -> Path:
        """The file with these weights, made if need be."""
        if quantization == "original":
            return self._model.path
        path = self._folder / f"{quantization.lower()}.gguf"
        if not path.exists():
            # Q8_0 of a 4-bit file is about twice its size, which is the largest that we make
            needed = 2.2 * self._model.path.stat().st_size
            if shutil.disk_usage(self._folder).free < needed:
                raise Unavailable(f"{needed / 1e6:.0f} MB of free disk are needed to try it")
            self._program("--quantize", quantization, str(path))
        return path

    def run(self, variant: Variant) -> Trial:
        """Measure one variant. Raises ``Unavailable`` with the reason if it can't run."""
        flash = {None: "auto", True: "on", False: "off"}[variant.flash_attention]
        words = ["--threads", str(variant.threads), "--batch", str(variant.batch)]
        words += ["--kv-type", variant.kv_type, "--flash-attention", flash]
        words += ["--reference", str(self._reference)]
        figures = self._program(*words, file=self.file(variant.quantization))
        return Trial.model_validate({"variant": variant, **figures})

    def _program(self, *words: str, file: Path | None = None) -> dict[str, float]:
        command = [sys.executable, "-m", "edge_agent.inference.trial"]
        command += ["--file", str(file or self._model.path), *words]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=TRIAL_S
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"it took longer than {TRIAL_S:.0f} s") from None
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise Unavailable(f"it ended with code {done.returncode}: {last[:200]}")
        figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return figures


def _keep(
    model: ModelFile, models_dir: Path, bench: _Bench, best: Trial, original: Trial
) -> Tuning:
    """Move the chosen file beside the manifest and write the choice."""
    name, quantization = model.manifest.name, best.variant.quantization
    file, digest = None, None
    if quantization != "original":
        file = f"{name}.{quantization.lower()}.gguf"
        made = bench.file(quantization)
        digest = sha256_of(made)
        made.replace(models_dir / file)
    for old in models_dir.glob(f"{name}.*.gguf"):
        if old.name != file and old != model.path:
            old.unlink()
    tuning = Tuning(
        model=name,
        original_sha256=sha256_of(model.path),
        file=file,
        sha256=digest,
        chosen=best,
        original=original,
    )
    try:
        write_tuning(tuning, models_dir)
    except OSError as error:
        raise BadConfig(f"{models_dir} can't be written: {error.strerror}") from None
    return tuning
