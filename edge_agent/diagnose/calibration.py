"""Probabilities as sure as they proved to be. Pure but for reading the shipped file.

A likelihood written from argument says which fault fits best, not how often that is right. Three
numbers make the difference, fitted on labelled events (``edge-agent eval diagnose --fit``): the
temperature that every log likelihood is divided by (Guo et al. 2017, one temperature for all
classes), and how often, before any evidence, an incident is a fault that the card does not know, or
none at all. ``calibration.json`` holds what was fitted and where it comes from; it is in use only
where it proved better than none on sets that it had not seen (docs/decisions/0027). A card may
bring its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from edge_agent.domain.card import Calibration

NOTHING, OTHER = "nothing", "none_of_these"
SHIPPED = Path(__file__).parent / "calibration.json"


@cache
def _shipped() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return document


@cache
def shipped_calibration() -> Calibration:
    """What counts where a card brings none."""
    found = _shipped()
    return Calibration.model_validate(found["calibration"]) if found["in_use"] else Calibration()


def shipped_held_out() -> dict[str, Calibration]:
    """Data set → what the fit gives without it: no set is judged by its own fit."""
    return {name: Calibration.model_validate(one) for name, one in _shipped()["held_out"].items()}


def fit_in_use() -> bool:
    """Whether the shipped fit proved better, on sets that it had not seen, than none."""
    return bool(_shipped()["in_use"])


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
