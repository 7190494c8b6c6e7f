"""A card that is of a type takes the type's signals and faults over, under its own names. Pure.

    equipment = "P-101"
    type = "process-pump"
    [signals.FI_101]
    is = "flow"              # this machine's name for the type's signal
    [[faults]]
    id = "wear_ring"         # the same id: replaces the type's; another id: comes on top

Without a ``signals`` table the type's names stand. With one, the signals that it does not name are
not measured here: they and the symptoms that speak of them are left out. ``without`` names faults
that this machine cannot have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.errors import BadConfig

Document = Mapping[str, Any]
TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
OWN = ("equipment", "type", "without", "signals", "faults", "translations")


def inherited(document: Document, type_of: Callable[[str], Document], where: str) -> dict[str, Any]:
    """``document`` with what its type gives it; itself where it has none. ``type_of`` finds the
    document of a type. Raises ``BadConfig`` for a type, signal or fault that does not exist."""
    name = document.get("type")
    if name is None and "without" in document:
        raise BadConfig(f"{where}: without: goes with a type; name one, or remove it")
    if name is None:
        return dict(document)
    if not isinstance(name, str) or not TYPE_NAME.fullmatch(name):
        raise BadConfig(f"{where}: type: {name!r} is no name of a type, such as process-pump")
    base = type_of(name)
    if "type" in base:
        raise BadConfig(f"{where}: type: {name} is of a type itself; types do not inherit")
    names = _names(document, base, where)
    return {
        **{key: value for key, value in base.items() if key not in OWN},
        **{key: value for key, value in document.items() if key not in OWN},
        "equipment": document.get("equipment", ""),
        "type": name,
        "signals": _signals(document, base, names),
        "faults": _faults(document, base, names, where),
        "translations": _translations(document, base, names),
    }


def _names(document: Document, base: Document, where: str) -> dict[str, str]:
    """The type's signal → this machine's name for it, for the signals that it measures."""
    theirs = _tables(base.get("signals"))
    if "signals" not in document:
        return {name: name for name in theirs}
    names: dict[str, str] = {}
    for own, table in _tables(document["signals"]).items():
        meant = table.get("is", own)
        if meant in theirs:
            names[meant] = own
        elif "is" in table:
            known = ", ".join(theirs) or "none"
            raise BadConfig(
                f"{where}: signals.{own}.is: the type has no signal {meant!r}; it has: {known}"
            )
    return names


def _signals(document: Document, base: Document, names: Mapping[str, str]) -> dict[str, Any]:
    theirs = _tables(base.get("signals"))
    found: dict[str, Any] = {own: dict(theirs[meant]) for meant, own in names.items()}
    for own, table in _tables(document.get("signals")).items():
        more = {key: value for key, value in table.items() if key != "is"}
        found[own] = {**found.get(own, {}), **more}
        if "is" in table and table["is"] != own:
            found[own].setdefault("called", str(table["is"]).replace("_", " "))
    return found


def _faults(
    document: Document, base: Document, names: Mapping[str, str], where: str
) -> list[dict[str, Any]]:
    known = {str(one.get("id")): one for one in _list(base.get("faults"))}
    own = {str(one.get("id")): dict(one) for one in _list(document.get("faults"))}
    left_out = document.get("without", [])
    for fault in left_out if isinstance(left_out, list) else [left_out]:
        if fault not in known:
            raise BadConfig(
                f"{where}: without: the type has no fault {fault!r}; it has: {', '.join(known)}"
            )
    kept = [
        own.pop(fault) if fault in own else _renamed(table, names)
        for fault, table in known.items()
        if fault not in left_out
    ]
    return [*kept, *own.values()]


def _translations(document: Document, base: Document, names: Mapping[str, str]) -> dict[str, Any]:
    """The type's texts in other languages under this machine's names, its own texts over them.
    Texts of a fault that the machine writes itself are its own alone."""
    left_out = document.get("without", [])
    replaced = {str(one.get("id")) for one in _list(document.get("faults"))}
    gone = replaced | set(left_out if isinstance(left_out, list) else [])
    found: dict[str, Any] = {}
    theirs, own = _tables(base.get("translations")), document.get("translations", {})
    if not isinstance(own, Mapping):
        return {"": own}  # refused by the validation, with its place
    for language in {**theirs, **own}:
        type_texts, mine = theirs.get(language, {}), own.get(language, {})
        if not isinstance(mine, Mapping):
            found[language] = mine
            continue
        labels = _tables(type_texts.get("signals"), of=str)
        faults = _tables(type_texts.get("faults"))
        found[language] = {
            **type_texts,
            **mine,
            "signals": {names[name]: text for name, text in labels.items() if name in names}
            | _tables(mine.get("signals"), of=object),
            "faults": {name: text for name, text in faults.items() if name not in gone}
            | _tables(mine.get("faults"), of=object),
        }
    return found


def _renamed(fault: Document, names: Mapping[str, str]) -> dict[str, Any]:
    """The type's fault with this machine's names in its symptoms and their order."""
    symptoms = _tables(fault.get("symptoms"), of=str)
    found = dict(fault)
    if symptoms:
        found["symptoms"] = {names[one]: word for one, word in symptoms.items() if one in names}
    if isinstance(order := fault.get("order"), list):
        found["order"] = [names[one] for one in order if one in names]
    return found


def _tables(value: object, of: type = dict) -> dict[str, Any]:
    """A table of tables, as far as it is one; the validation after this names what is wrong."""
    if not isinstance(value, Mapping):
        return {}
    return {name: one for name, one in value.items() if isinstance(one, of)}


def _list(value: object) -> list[Any]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
