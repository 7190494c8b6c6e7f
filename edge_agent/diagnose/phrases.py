"""The sentences that code composes, by language. Pure.

Another language falls back to English; what a card translates is shown in it all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of one language, for ``str.format``; ``decimal`` is its decimal sign."""

    language: str
    name: str
    """In English, for the model."""
    decimal: str
    rose: str
    fell: str
    noisy: str
    frozen: str
    missing: str
    calm: str
    since: str
    one_more: str
    more: str
    sensor: str
    fits: str
    no_card: str
    nothing_alone: str
    unclear: str
    less_likely: str
    candidates: str
    look_at: str
    checkup_quiet: str
    checkup_drifts: str
    furthest: str
    apart: str
    """No signal stands out, but together they do."""
    summary_none: str
    summary_some: str
    summary_open: str
    summary_most: str
    reasons: dict[str, str] = field(default_factory=dict)
    """Detection's sentences for people → the same in this language."""

    def number(self, value: float) -> str:
        """Four significant digits, with the language's decimal sign."""
        return f"{value:.4g}".replace(".", self.decimal)


ENGLISH = Phrases(
    language="en",
    name="English",
    decimal=".",
    rose="{signal} rose from {baseline} to {now}{unit} [{id}]",
    fell="{signal} fell from {baseline} to {now}{unit} [{id}]",
    noisy="{signal} fluctuates far more than usual [{id}]",
    frozen="{signal} stands still at {now}{unit} [{id}]",
    missing="{signal} stopped coming [{id}]",
    calm="{signal} is as usual [{id}]",
    since="Since {when}: {told}.",
    one_more="and one more signal",
    more="and {count} more signals",
    sensor="Only the instrument seems to be at fault, not the machine.",
    fits="This fits: {title}.",
    no_card="There is no equipment card for this machine, so no fault can be named.",
    nothing_alone="No signal stands out by itself, so no fault of the card fits.",
    unclear="No fault of the card fits this picture clearly.",
    less_likely="Less likely: {title}.",
    candidates="Candidates: {first}, or {second}.",
    look_at="Look at {signal} to tell them apart.",
    checkup_quiet="Check-up: nothing deviates; signals looked at: {count}.",
    checkup_drifts="Check-up without an incident. {told}",
    furthest="Furthest from its usual value: {signal}, {sigma} σ [{id}].",
    apart="Signals no longer move together as they usually do.",
    summary_none="No incident in {area} from {start} to {end}.",
    summary_some="Incidents in {area} from {start} to {end}: {count}, on {machines} machine(s).",
    summary_open="Still open: {count}.",
    summary_most="Most on {equipment}: {count}.",
)
GERMAN = Phrases(
    language="de",
    name="German",
    decimal=",",
    rose="{signal} stieg von {baseline} auf {now}{unit} [{id}]",
    fell="{signal} fiel von {baseline} auf {now}{unit} [{id}]",
    noisy="{signal} schwankt weit mehr als sonst [{id}]",
    frozen="{signal} steht still bei {now}{unit} [{id}]",
    missing="{signal} kommt nicht mehr [{id}]",
    calm="{signal} ist wie sonst [{id}]",
    since="Seit {when}: {told}.",
    one_more="und ein weiteres Signal",
    more="und {count} weitere Signale",
    sensor="Nur das Messgerät scheint gestört zu sein, nicht die Maschine.",
    fits="Dazu passt: {title}.",
    no_card="Für diese Maschine gibt es keine Karte, deshalb lässt sich kein Fehler nennen.",
    nothing_alone="Kein Signal fällt für sich allein auf, deshalb passt kein Fehler der Karte.",
    unclear="Kein Fehler der Karte passt deutlich zu diesem Bild.",
    less_likely="Weniger wahrscheinlich: {title}.",
    candidates="In Frage kommen: {first}, oder {second}.",
    look_at="Unterscheiden lassen sie sich an: {signal}.",
    checkup_quiet="Kontrolle: nichts weicht ab; betrachtete Signale: {count}.",
    checkup_drifts="Kontrolle ohne Störfall. {told}",
    furthest="Am weitesten vom üblichen Wert: {signal}, {sigma} σ [{id}].",
    apart="Die Signale bewegen sich nicht mehr zusammen wie sonst.",
    summary_none="Kein Störfall in {area} von {start} bis {end}.",
    summary_some="Störfälle in {area} von {start} bis {end}: {count}, an {machines} Maschine(n).",
    summary_open="Noch offen: {count}.",
    summary_most="Die meisten an {equipment}: {count}.",
    reasons={
        "a sensor says things that cannot be": "Ein Messgerät meldet Unmögliches",
        "signals no longer move together as they usually do": (
            "Die Signale bewegen sich nicht mehr zusammen wie sonst"
        ),
    },
)
LANGUAGES = {one.language: one for one in (ENGLISH, GERMAN)}


def phrases_of(language: str) -> Phrases:
    """The sentences of ``language``, or the English ones."""
    return LANGUAGES.get(language, ENGLISH)


def language_note(language: str) -> str:
    """What to tell whoever asked for a language that code has no sentences of; empty otherwise."""
    if language in LANGUAGES:
        return ""
    known = ", ".join(LANGUAGES)
    return (
        f"diagnose.language = {language!r}: sentences are composed in English (there are: {known});"
        " what cards translate into it is shown in it"
    )
