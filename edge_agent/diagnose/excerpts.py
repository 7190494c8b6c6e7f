"""Which passages of the manuals go with a diagnosis. Pure but for the search that it is given.

What manuals say is shown to the model as data and published as a quotation. No word of it is taken
into what a sentence may say (``claims``), and no action comes from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edge_agent.diagnose.prompt import PASSAGE_CHARS, plain
from edge_agent.diagnose.rules import Ranking
from edge_agent.diagnose.wording import deviating, label
from edge_agent.domain.audit import Circumstances
from edge_agent.domain.card import Card, CardFault
from edge_agent.domain.diagnosis import ManualPassage
from edge_agent.domain.finding import Finding

PASSAGES = 3
QUERY_WORDS = 32
_WORD = re.compile(r"[^\W_]{3,}")

Search = Callable[[Sequence[str], Sequence[str], int], Sequence[ManualPassage]]
"""(words, files as patterns, how many) → the best passages, best first."""


def passages_for(
    given: Circumstances, ranking: Ranking, search: Search | None
) -> tuple[ManualPassage, ...]:
    """Passages on the likeliest fault: those of the card first, then what the search finds, within
    the characters that the settings allow."""
    card, settings = given.card, given.settings
    if card is None or not ranking.faults or settings.manual_chars == 0:
        return ()
    fault = next(one for one in card.faults if one.id == ranking.faults[0][0])
    found = [ManualPassage(source=one.source, text=one.text) for one in fault.manual]
    if search is not None and settings.manuals is not None:
        found += search(query_words(card, fault, given.job.finding), card.manuals, PASSAGES)
    return tuple(within(found[:PASSAGES], settings.manual_chars))


def query_words(card: Card, fault: CardFault, finding: Finding) -> list[str]:
    """What to look for: the words of the fault and of the signals that deviate."""
    labels = [label(one.signal, card) for one in deviating(finding)[:8]]
    texts = [fault.title, *labels, fault.description, card.title]
    words = (word.lower() for text in texts for word in _WORD.findall(text))
    return list(dict.fromkeys(words))[:QUERY_WORDS]


def within(found: Sequence[ManualPassage], chars: int) -> list[ManualPassage]:
    """The first of ``found``, cut so that sources, headings and texts take ``chars`` at most."""
    kept: list[ManualPassage] = []
    for one in found:
        source, section = plain(one.source, 200), plain(one.section, 120)
        room = chars - len(source) - len(section)
        text = plain(one.text, min(room, PASSAGE_CHARS)) if room > 0 else ""
        if not text:
            break
        kept.append(ManualPassage(source=source, section=section, text=text))
        chars -= len(source) + len(section) + len(text)
    return kept
