"""Whether a text is English, by its small words and its script. Pure."""

from __future__ import annotations

import re

OTHER_SCRIPT = 0.3
"""Share of letters beyond Latin from which on a text is in another script."""
LATIN_ENDS = "ɏ"
"""The last letter of Latin Extended-B."""

_WORD = re.compile(r"[^\W\d_]+")
_ENGLISH = re.compile(
    r"the|of|and|is|in|to|a|an|at|are|as|it|with|on|by|or|its|be|that|than|no|not|more|from"
)
_OTHER = re.compile(
    r"der|die|das|und|ist|im|den|dem|ein|eine|nicht|auf|mit|von|wird|sich|bei|zu|zum|zur|steigt|"
    r"le|la|les|des|du|est|une|et|dans|sur|pas|au|aux|un|par|qui|ou|en|augmente|baisse|"
    r"el|los|las|del|es|y|una|por|con|se|al|sube|baja|il|lo|gli|della|nel|e|di|che|non|"
    r"het|een|van|niet|op|voor|naar|og|er|til|av|och|att|som|för"
)


def foreign(text: str) -> bool:
    """Whether a text is probably not English: most of its small words are another language's, or
    its letters another script's. A text without any small word passes."""
    words = [word.lower() for word in _WORD.findall(text)]
    letters = [letter for word in words for letter in word]
    if letters and sum(letter > LATIN_ENDS for letter in letters) > OTHER_SCRIPT * len(letters):
        return True
    english = sum(_ENGLISH.fullmatch(word) is not None for word in words)
    others = sum(_OTHER.fullmatch(word) is not None for word in words)
    return others >= 2 and others > english
