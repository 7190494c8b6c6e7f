"""What the redactor hides, and what it leaves readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.logs.redaction import MASK, Redactor

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA\n-----END EC PRIVATE KEY-----"


@given(secret=st.text(st.characters(codec="ascii", min_codepoint=33), min_size=4, max_size=40))
def test_a_known_secret_never_comes_out(secret: str) -> None:
    if secret in MASK:
        return
    cleaned = Redactor([f"{secret}\n"]).clean(f"a {secret} b{secret}c\n{secret}")
    assert secret not in cleaned.replace(MASK, "")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"before {KEY} after", f"before {MASK} after"),
        ("mqtt://me:pw@broker:1883/x", f"mqtt://{MASK}@broker:1883/x"),
        ("Authorization: Bearer abcdef123456", f"Authorization: Bearer {MASK}"),
        ('password = "x y"', f"password = {MASK}"),
        ("MQTT_PASSWORD=geheim rest", f"MQTT_PASSWORD={MASK} rest"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": ' + MASK + ', "n": 1}'),
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(text: str, left: str) -> None:
    assert Redactor().clean(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "password_file = /run/credentials/edge-agent.service/mqtt-password",
        '{"tokens_in": 768, "tokens_out": 56}',
        "max_tokens = 200",
        "http://broker:8080/metrics",
        "secrets: ok",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor(["abcd"]).clean(text) == text


def test_a_short_secret_is_hidden_as_a_word_only() -> None:
    assert Redactor(["pw"]).clean("pw and pwd") == f"{MASK} and pwd"
