"""Probabilities as sure as they proved to be. Pure but for reading the shipped file.

A likelihood written from argument says which fault fits best, not how often that is right. Three
numbers make the difference, fitted on labelled events (``edge-agent eval diagnose --fit``): the
temperature that every log likelihood is divided by (Guo et al. 2017, one temperature for all
classes), and how often, before any evidence, an incident is a fault that the card does not know, or
none at all. ``calibration.json`` holds them with where they come from; a card may bring its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edge_agent.card import Calibration

NOTHING, OTHER = "nothing", "none_of_these"
SHIPPED = Path(__file__).parent / "calibration.json"


@cache
def shipped_calibration() -> Calibration:
    """The calibration that comes with the program."""
    fitted = json.loads(SHIPPED.read_text(encoding="utf-8"))["calibration"]
    return Calibration.model_validate(fitted)


def shipped_held_out() -> dict[str, Calibration]:
    """Data set → what the fit gives without it: no set is judged by its own fit."""
    fitted = json.loads(SHIPPED.read_text(encoding="utf-8"))["held_out"]
    return {name: Calibration.model_validate(one) for name, one in fitted.items()}


def posterior(
    by: Calibration, scores: Mapping[str, float], shares: Mapping[str, float]
) -> dict[str, float]:
    """Probabilities of the faults, ``NOTHING`` and ``OTHER``, summing to 1. ``scores``: log
    likelihood ratio of each; ``shares``: how the faults share what is left of the prior."""
    faults = 1.0 - by.unknown - by.nothing
    priors = {name: faults * share for name, share in shares.items()}
    priors |= {NOTHING: by.nothing, OTHER: by.unknown}
    logs = {
        name: math.log(max(prior, 1e-12)) + scores[name] / by.temperature
        for name, prior in priors.items()
    }
    top = max(logs.values())
    weights = {name: math.exp(one - top) for name, one in logs.items()}
    total = sum(weights.values())
    return {name: one / total for name, one in weights.items()}
