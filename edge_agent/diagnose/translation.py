"""A card in another language: what its ``translations`` say, the rest as it is. Pure.

Faults are ranked on the card as written; only what people and the model read is translated.
"""

from __future__ import annotations

from edge_agent.domain.card import Card, CardFault, FaultTexts


def translated(card: Card, language: str) -> Card:
    """``card`` with the texts of ``language``; itself where it has none."""
    texts = card.translations.get(language)
    if texts is None:
        return card
    signals = {
        name: signal.model_copy(update={"label": texts.signals.get(name, signal.label)})
        for name, signal in card.signals.items()
    }
    return card.model_copy(
        update={
            "title": texts.title or card.title,
            "description": texts.description or card.description,
            "signals": signals,
            "faults": tuple(_fault(one, texts.faults.get(one.id)) for one in card.faults),
        }
    )


def _fault(fault: CardFault, texts: FaultTexts | None) -> CardFault:
    if texts is None:
        return fault
    return fault.model_copy(
        update={
            "title": texts.title or fault.title,
            "description": texts.description or fault.description,
            "actions": texts.actions or fault.actions,
        }
    )
