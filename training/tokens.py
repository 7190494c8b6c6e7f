"""The gateway's own tokenizer: llama.cpp's, from the vocabulary of the base model's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.packing import Tokenize

Tokenizer = Callable[..., list[int]]
"""Text to tokens, without a start token; with a second argument that is true, control tokens are
read out of the text."""


def tokenizer_of(path: Path) -> Tokenizer:
    """The tokenizer of a model's file."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)

    def tokenize(text: str, control: bool = False) -> list[int]:
        return [int(t) for t in model.tokenize(text.encode(), add_bos=False, special=control)]

    return tokenize


def single(tokenize: Tokenize, words: tuple[str, ...]) -> list[int]:
    """The tokens that say each of ``words`` after a colon; each must be one token."""
    found = [tokenize(" " + word) for word in words]
    if any(len(tokens) != 1 for tokens in found):
        raise ValueError(f"not each of {words} is one token of this model")
    return [tokens[0] for tokens in found]
