"""One measurement of one variant of a model: ``python -m edge_agent.inference.trial``.

A process of its own, so that memory is given back, and so that a variant that llama.cpp aborts on
costs only itself. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.native import (
    LOG_ERROR,
    Context,
    ContextShape,
    LoadedModel,
    Row,
    quantize,
    route_log,
)
from edge_agent.inference.sampling import log_probabilities

CALIBRATION = (
    "Pump P-101 moves cooling water. Since 06:20 the vibration rose from 2.1 to 5.3 mm/s and the "
    "bearing temperature from 54 to 73 °C, while the flow stayed at 312 L/min and the discharge "
    "pressure at 4.2 bar. A worn rolling bearing raises vibration and temperature together. "
    "Cavitation would lower the suction pressure and make the flow fluctuate. A leaking shaft seal "
    "would lower the discharge pressure slowly and unload the motor. The evidence therefore points "
    'to the bearing. {"fault":"bearing_wear","confidence":"high","key_evidence":["e1","e2"],'
    '"explanation":"Vibration and bearing temperature rose together while flow and pressure did '
    'not change, which is what a worn bearing does.","urgency":"this_week"} The technician should '
    "check lubrication, listen for metallic noise and plan the replacement of the bearing."
)
POSITIONS = 128
REPEATS = 3
DECODED = 16


def distributions(context: Context, tokens: list[int]) -> NDArray[np.float32]:
    """Log-probabilities after each of the last ``POSITIONS`` tokens; one row each."""
    first = max(0, len(tokens) - POSITIONS)
    size = context.shape.outputs
    if first:
        context.decode([Row(token, i, 0) for i, token in enumerate(tokens[:first])])
    rows = []
    for start in range(first, len(tokens), size):
        part = tokens[start : start + size]
        context.decode([Row(t, start + i, 0, logits=True) for i, t in enumerate(part)])
        rows += [log_probabilities(context.logits(i)).astype(np.float32) for i in range(len(part))]
    context.drop(0)
    return np.stack(rows)


def speeds(context: Context, tokens: list[int]) -> tuple[float, float]:
    """Best prefill rate (tokens/s) and best time of one decoded token (ms) of some tries: on a
    machine that does other work, the best is the least disturbed."""
    prompt = (tokens * (256 // len(tokens) + 1))[:256]
    prefill, decode = 0.0, float("inf")
    for _ in range(REPEATS):
        context.drop(0)
        started = time.perf_counter()
        for start in range(0, len(prompt), context.shape.batch):
            part = prompt[start : start + context.shape.batch]
            context.decode([Row(t, start + i, 0) for i, t in enumerate(part)])
        prefill = max(prefill, len(prompt) / (time.perf_counter() - started))
        for position in range(DECODED):
            started = time.perf_counter()
            context.decode([Row(prompt[position], len(prompt) + position, 0, logits=True)])
            context.logits(0)
            decode = min(decode, 1000 * (time.perf_counter() - started))
    context.drop(0)
    return prefill, decode


def distance(reference: NDArray[np.float32], found: NDArray[np.float32]) -> tuple[float, float]:
    """Mean KL divergence (nats) of ``found`` from ``reference``, share of equal best tokens."""
    kl = np.sum(np.exp(reference) * (reference - found), axis=1, dtype=np.float64)
    agreement = np.mean(np.argmax(reference, axis=1) == np.argmax(found, axis=1))
    return max(0.0, float(kl.mean())), float(agreement)


def _errors(level: int, text: str) -> None:
    if level == LOG_ERROR:
        sys.stderr.write(text + "\n")


def main() -> None:
    """Quantize, or measure."""
    parser = argparse.ArgumentParser(prog="edge-agent model tune (one trial)")
    parser.add_argument("--file", required=True)
    parser.add_argument("--quantize", nargs=2, metavar=("TYPE", "TARGET"))
    parser.add_argument("--reference", type=Path, help="log-probabilities of the original")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--kv-type", default="f16")
    parser.add_argument("--flash-attention", choices=["auto", "on", "off"], default="auto")
    options = parser.parse_args()
    route_log(_errors)
    if options.quantize:
        quantize(options.file, options.quantize[1], options.quantize[0], options.threads)
        sys.stdout.write("{}\n")
        return
    flash = {"auto": None, "on": True, "off": False}[options.flash_attention]
    shape = ContextShape(
        1024,
        sequences=1,
        batch=options.batch,
        kv_type=options.kv_type,
        threads=options.threads,
        flash_attention=flash,
    )
    model = LoadedModel(options.file)
    context = Context(model, shape)
    tokens = model.tokenize(CALIBRATION)
    found = distributions(context, tokens)
    if not options.reference.exists():
        np.save(options.reference, found)
    kl, agreement = distance(np.load(options.reference), found)
    prefill, decode = speeds(context, tokens)
    figures = {"prefill_tokens_per_second": prefill, "decode_ms": decode}
    sys.stdout.write(json.dumps({**figures, "kl": kl, "agreement": agreement}) + "\n")


if __name__ == "__main__":
    main()
