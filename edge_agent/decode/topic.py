"""Topic templates: which topics a source reads, and the names that it takes from them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

NAME = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")


@dataclass(frozen=True, slots=True)
class TopicTemplate:
    """``plant/{site}/{equipment}/_/#`` taken apart.

    ``levels``: the text that a level must equal, or None where any text will do; ``names``: level
    index → the name in braces; ``rest``: whether a last ``#`` matches what follows.
    """

    levels: tuple[str | None, ...]
    names: dict[int, str]
    rest: bool

    @classmethod
    def parse(cls, text: str) -> TopicTemplate:
        """Raises ``ValueError`` with the fault for a template that cannot work."""
        words = text.split("/")
        rest = words[-1] == "#"
        levels: list[str | None] = []
        names: dict[int, str] = {}
        for index, word in enumerate(words[:-1] if rest else words):
            name = NAME.fullmatch(word)
            if name:
                if name[1] in names.values():
                    raise ValueError(f"{{{name[1]}}} stands twice in {text!r}")
                names[index] = name[1]
            elif word not in ("_", "+") and set(word) & set("{}+#\0"):
                raise ValueError(
                    f"level {word!r} of {text!r}: a level is plain text, one {{name}} (small"
                    " letters), _ for any text, or a last # for the rest"
                )
            levels.append(None if name or word in ("_", "+") else word)
        if not levels and not rest:
            raise ValueError("the topic is empty")
        return cls(levels=tuple(levels), names=names, rest=rest)

    @property
    def filter(self) -> str:
        """The MQTT filter that subscribes to it."""
        words = ["+" if level is None else level for level in self.levels]
        return "/".join([*words, "#"] if self.rest else words)

    def captured(self, levels: Sequence[str]) -> dict[str, str]:
        """The names in braces with the text of their levels, for a topic that matches."""
        return {name: levels[index] for index, name in self.names.items()}


@dataclass(slots=True)
class _Node:
    """One level of the tree of templates."""

    words: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    ends: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)


class TopicTree:
    """Finds the templates that a topic matches, in time that grows with the topic's levels and
    not with the number of templates."""

    def __init__(self, templates: Sequence[TopicTemplate]) -> None:
        self._root = _Node()
        for number, template in enumerate(templates):
            node = self._root
            for level in template.levels:
                if level is None:
                    node.any = node.any or _Node()
                    node = node.any
                else:
                    node = node.words.setdefault(level, _Node())
            (node.rest if template.rest else node.ends).append(number)

    def first(self, levels: Sequence[str]) -> int | None:
        """Index of the first template, in the order of the settings, that matches the topic.

        As in MQTT, ``#`` also matches its parent level, and a topic whose first level starts with
        ``$`` is matched by no wildcard there.
        """
        found: list[int] = []
        nodes = [self._root]
        for index, word in enumerate(levels):
            hidden = index == 0 and word.startswith("$")
            following: list[_Node] = []
            for node in nodes:
                if not hidden:
                    found += node.rest
                    if node.any is not None:
                        following.append(node.any)
                child = node.words.get(word)
                if child is not None:
                    following.append(child)
            nodes = following
        for node in nodes:
            found += node.ends
            found += node.rest
        return min(found, default=None)
