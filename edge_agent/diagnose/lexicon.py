"""The words by which claims are recognised, by language. Pure.

Whatever is not in here and not on the card or in the evidence, no published sentence may say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_agent.domain.finding import Direction, Shape


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What a language says of a signal."""

    directions: tuple[tuple[re.Pattern[str], Direction], ...]
    shapes: tuple[tuple[re.Pattern[str], Shape], ...]
    negation: re.Pattern[str]
    """A sentence that denies is never published: what is not there cannot be cited."""
    clause: re.Pattern[str]
    """What parts a sentence into clauses of one claim each."""
    earlier: re.Pattern[str]
    """What is named before such a word came no later than what is named after it."""
    later: re.Pattern[str]
    connecting: frozenset[str]
    """Words that a true sentence needs and that bring in nothing new."""
    baseline: frozenset[str]
    """Words before a number that make it the usual value, …"""
    now: frozenset[str]
    """… the value now, …"""
    change: frozenset[str]
    """… or the difference."""
    decimal: str
    durations: dict[str, float]
    """Unit of time → seconds."""


def _all(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0, "sec": 1.0}

ENGLISH = Lexicon(
    directions=(
        (
            _all(
                r"ris\w*",
                "rose",
                r"increas\w*",
                r"high\w*",
                r"climb\w*",
                "above",
                "elevated",
                "grew",
                r"grow\w*",
                "up",
            ),
            Direction.UP,
        ),
        (
            _all(
                r"fall\w*",
                "fell",
                r"drop\w*",
                r"decreas\w*",
                r"low\w*",
                r"declin\w*",
                "below",
                r"reduc\w*",
                "down",
            ),
            Direction.DOWN,
        ),
        (
            _all("unchanged", r"stay\w*", r"remain\w*", "stable", "as usual", r"normal\w*"),
            Direction.NORMAL,
        ),
        (_all(r"fluctuat\w*", r"oscillat\w*", "unsteady", "noisy", "erratic"), Direction.NOISY),
        (_all("frozen", "stuck", r"stands? still"), Direction.FROZEN),
        (_all("missing", "stopped coming"), Direction.MISSING),
    ),
    shapes=(
        (_all("sudden", "suddenly", "abrupt", "abruptly"), Shape.STEP),
        (_all("slow", "slowly", "gradual", "gradually"), Shape.RAMP),
    ),
    negation=re.compile(
        r"\b(?:not|no|never|without|neither|nor|none|cannot|hardly|nothing|instead)\b|n['’]t\b"
    ),
    clause=re.compile(
        r"[,;:()]|\b(?:and|or|while|whereas|but|because|although|as|since|with|when|which|that"
        r"|before|after|then|followed|following)\b"
    ),
    earlier=_all("before", "then", "followed"),
    later=_all("after", "following"),
    connecting=_words("""
        about above after also although and another are because been before being below between
        both but cause caused causes causing clear clearly consistent could decrease decreased
        decreases decreasing deviation during each erratic evidence fall fallen falling falls fault
        fell fits fluctuate fluctuates fluctuating for from frozen further had has have high higher
        increase increased increases increasing indicate indicated indicates indicating into its
        lead leading leads less like likely low lower lowered machine may more most missing
        normal normally noisy observed only oscillates other points reduced reduces remain remained
        remains rise risen rises rising rose same seen should show showed showing shown shows since
        slightly small some stands stay stayed stays still strong strongly stuck such suggest
        suggests than that the their them then there these they this those through together
        typical unchanged unsteady usual usually utc value values very was well were what when
        where which while will with within would sudden suddenly slow slowly gradual gradually
        abrupt abruptly standard deviations sigma seconds second minutes minute hours hour days day
        sec min stable elevated grew down drop drops dropped
        """),
    baseline=_words("from usual usually normally baseline"),
    now=_words("to at now reached reaches"),
    change=_words("by"),
    decimal=".",
    durations=_TIMES
    | dict.fromkeys(("second", "seconds"), 1.0)
    | dict.fromkeys(("minute", "minutes"), 60.0)
    | dict.fromkeys(("hour", "hours"), 3600.0)
    | dict.fromkeys(("day", "days"), 86_400.0),
)
GERMAN = Lexicon(
    directions=(
        (
            _all(
                r"steig\w*",
                r"stieg\w*",
                r"gestiegen\w*",
                r"erhöh\w*",
                r"hoch\w*",
                r"hohe\w*",
                r"höher\w*",
                "über",
                r"zunahm\w*",
                r"zunimm\w*",
                r"wächst",
            ),
            Direction.UP,
        ),
        (
            _all(
                r"fäll\w*",
                "fiel",
                "fielen",
                r"gefallen\w*",
                r"fallen\w*",
                r"sink\w*",
                "sank",
                r"sanken",
                r"gesunken\w*",
                r"niedrig\w*",
                r"abnahm\w*",
                r"abnimm\w*",
                "unter",
                r"verringer\w*",
                r"tief\w*",
            ),
            Direction.DOWN,
        ),
        (
            _all(r"unverändert\w*", r"bleib\w*", r"blieb\w*", "stabil", "wie sonst", r"normal\w*"),
            Direction.NORMAL,
        ),
        (_all(r"schwank\w*", r"unruhig\w*"), Direction.NOISY),
        (_all(r"steh\w* still", r"eingefroren\w*"), Direction.FROZEN),
        (_all(r"fehl(?:t|en)", r"kommt nicht mehr"), Direction.MISSING),
    ),
    shapes=(
        (_all("plötzlich", "schlagartig"), Shape.STEP),
        (_all("langsam", "allmählich"), Shape.RAMP),
    ),
    negation=_all(
        "nicht", r"kein\w*", "nie", "niemals", "ohne", "weder", "noch", "kaum", "nichts", "statt"
    ),
    clause=re.compile(
        r"[,;:()]|\b(?:und|oder|während|aber|sowie|weil|da|obwohl|wobei|mit|wenn|dass|die|der"
        r"|bevor|nachdem|dann|danach|gefolgt)\b"
    ),
    earlier=_all("bevor", "dann", "gefolgt"),
    later=_all("nachdem", "danach"),
    connecting=_words("""
        aber als also auch auf aus bei beide beiden beim bevor bis bleibt bleiben blieb blieben da
        dabei dadurch daher damit dann darauf das dass dem den der deren des deshalb deutet deutlich
        die dies diese diesem diesen dieser dieses durch ein eine einem einen einer eines erhöht
        etwas fallen fehler fiel fielen fällt für gefallen gestiegen gesunken gleich hat haben hin
        höher ihr ihre ist langsam leicht liegt liegen maschine mehr mit nachdem niedriger normal
        normalen oder passt passen sank sanken schwankt schwanken sehr seit sich sie signal signale
        sind sinkt sinken sonst sowie stark steht steigt steigen still stieg stiegen stabil tiefer
        uhr und unter unverändert üblich übliche üblichen über utc vom von war waren weil wenn wert
        werte wert wie wird wobei während zeigt zeigen zeigte zum zur zugleich zusammen plötzlich
        schlagartig allmählich standardabweichungen sigma sekunden sekunde minuten minute stunden
        stunde tage tagen tag min sek verringert
        """),
    baseline=_words("von vom üblich üblichen sonst"),
    now=_words("auf bei zu jetzt"),
    change=_words("um"),
    decimal=",",
    durations=_TIMES
    | dict.fromkeys(("sek", "sekunde", "sekunden"), 1.0)
    | dict.fromkeys(("minute", "minuten"), 60.0)
    | dict.fromkeys(("stunde", "stunden"), 3600.0)
    | dict.fromkeys(("tag", "tage", "tagen"), 86_400.0),
)
LEXICONS = {"en": ENGLISH, "de": GERMAN}


def lexicon_of(language: str) -> Lexicon:
    """The words of ``language``, or the English ones."""
    return LEXICONS.get(language, ENGLISH)
