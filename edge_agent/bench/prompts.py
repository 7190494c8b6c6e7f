"""The prompts that every engine is asked in a bench: one card, changing evidence, one schema."""

from __future__ import annotations

from typing import Any

SYSTEM = (
    "You are a maintenance engineer for rotating machines. You read sensor evidence and explain "
    "which fault of the catalogue fits it. You answer in JSON and use only what is given."
)

_FAULTS = (
    ("bearing_wear", "The rolling bearing is worn", "vibration and bearing temperature rise"),
    ("cavitation", "Vapour bubbles collapse in the impeller", "flow and suction pressure fall"),
    (
        "seal_leak",
        "The shaft seal leaks",
        "discharge pressure falls, the motor runs lighter",
    ),
    ("blocked_outlet", "The discharge line is blocked", "pressure rises, flow falls"),
    ("misalignment", "Motor and pump shafts are out of line", "vibration rises at once"),
    ("low_voltage", "The supply voltage is low", "current rises, speed falls a little"),
)

CARD = (
    "Machine: centrifugal pump P-101 with a 15 kW motor, pumping cooling water.\n"
    "Signals: flow (L/min), suction pressure (bar), discharge pressure (bar), vibration (mm/s), "
    "bearing temperature (°C), motor current (A), voltage (V).\nFault catalogue:\n"
    + "\n".join(
        f"- {name}: {title}. What it does: {effect}. It is confirmed by an inspection on site and "
        "must not be assumed where another fault explains the evidence better."
        for name, title, effect in _FAULTS
    )
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "fault": {"type": "string", "enum": [name for name, _, _ in _FAULTS]},
        "confidence": {"type": "string", "enum": ["low", "medium", "high"]},
        "key_evidence": {
            "type": "array",
            "items": {"type": "string", "enum": ["e1", "e2", "e3"]},
            "minItems": 1,
            "maxItems": 3,
        },
        "explanation": {"type": "string", "minLength": 150, "maxLength": 300},
        "urgency": {"type": "string", "enum": ["now", "this_week", "next_service"]},
    },
    "required": ["fault", "confidence", "key_evidence", "explanation", "urgency"],
    "additionalProperties": False,
}
MAX_TOKENS = 256


def evidence(number: int) -> str:
    """The changing part; each ``number`` gives other measured values."""
    vibration = 4.1 + 0.37 * (number % 9)
    temperature = 61 + 3 * (number % 7)
    return (
        f"Evidence since 06:{number % 60:02d}:\n"
        f"e1: vibration rose from 2.1 to {vibration:.2f} mm/s ({vibration * 2.2:.1f} sigma).\n"
        f"e2: bearing temperature rose from 54 to {temperature} °C.\n"
        f"e3: flow stayed at {312 + number % 5} L/min.\n"
        "Which fault of the catalogue fits best, and why? Answer in JSON."
    )


def whole_diagnosis_schema() -> dict[str, Any]:
    """What a peer has to write if the model is asked for the published document itself."""
    number, text = {"type": "number"}, {"type": "string", "maxLength": 80}
    fault = {
        "type": "object",
        "properties": {"id": text, "title": text, "probability": number},
        "required": ["id", "title", "probability"],
        "additionalProperties": False,
    }
    item = {
        "type": "object",
        "properties": {
            "id": {"enum": ["e1", "e2", "e3"]},
            "signal": text,
            "unit": {"type": "string", "maxLength": 8},
            "baseline": number,
            "now": number,
            "sigma": number,
            "direction": {"enum": ["up", "down", "normal"]},
        },
        "required": ["id", "signal", "unit", "baseline", "now", "sigma", "direction"],
        "additionalProperties": False,
    }
    properties = {
        "diagnosis_id": text,
        "equipment": text,
        "verdict": {"enum": ["diagnosed", "undetermined"]},
        "fault": fault,
        "alternatives": {"type": "array", "items": fault, "minItems": 2, "maxItems": 2},
        "severity": {"enum": ["info", "warning", "critical"]},
        "explanation": {"type": "string", "minLength": 150, "maxLength": 300},
        "evidence": {"type": "array", "items": item, "minItems": 3, "maxItems": 3},
        "recommended_actions": {"type": "array", "items": text, "minItems": 2, "maxItems": 2},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
