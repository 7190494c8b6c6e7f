"""The check and the load are the same bytes, however fast the file changes meanwhile."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from inference.conftest import TinyModel

from edge_agent.errors import Unavailable
from edge_agent.inference import holder
from edge_agent.inference.catalog import sha256_of
from edge_agent.inference.holder import HolderSettings, ModelHolder

TRIES = 150


class Loaded:
    """Stands where llama.cpp would read the file, and remembers what it read."""

    drafts = False

    def __init__(self, path: str, identity: object, *_: object) -> None:
        self.identity = identity
        self.sha256 = sha256_of(Path(path))

    def close(self) -> None:
        return


def rename(target: Path, good: Path, evil: Path) -> Callable[[], None]:
    """Put another file at the name, as a package upgrade or an attacker does."""

    def swap() -> None:
        for number, source in enumerate((evil, good)):
            fresh = target.with_suffix(f".{number}")
            shutil.copy(source, fresh)
            fresh.replace(target)

    return swap


def overwrite(target: Path, good: Path, evil: Path) -> Callable[[], None]:
    """Write into the file that is there."""
    contents = [evil.read_bytes(), good.read_bytes()]

    def swap() -> None:
        for content in contents:
            with target.open("r+b") as file:
                file.write(content)
            time.sleep(0.01)  # the times of a file are told in ticks of 4 ms

    return swap


@pytest.mark.parametrize("way", [rename, overwrite])
def test_fault_37_what_is_loaded_is_what_was_verified(
    tmp_path: Path,
    tiny_model: TinyModel,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[Path, Path, Path], Callable[[], None]],
) -> None:
    good, evil = tmp_path / "good", tmp_path / "evil"
    shutil.copy(tiny_model("llama"), good)
    content = bytearray(good.read_bytes())
    content[-1000:] = os.urandom(1000)
    evil.write_bytes(content)
    models = tmp_path / "models"
    models.mkdir()
    target = models / "m.gguf"
    shutil.copy(good, target)
    digest = sha256_of(good)
    (models / "m.model.toml").write_text(f'name = "m"\nsource = "m.gguf"\nsha256 = "{digest}"\n')
    monkeypatch.setattr(holder, "Engine", Loaded)
    settings = HolderSettings(model="m", models_dir=models, cache_dir=models, context=512)
    stop = threading.Event()
    swap = way(target, good, evil)

    def storm() -> None:
        while not stop.is_set():
            swap()

    attacker = threading.Thread(target=storm)
    attacker.start()
    loaded = refused = 0
    try:
        for _ in itertools.repeat(None, TRIES):
            try:
                engine = ModelHolder(settings).load()
            except Unavailable:
                refused += 1
                continue
            loaded += 1
            assert engine.sha256 == digest  # type: ignore[attr-defined]
    finally:
        stop.set()
        attacker.join(10)
    assert refused, "the file did change under it"
    assert loaded + refused == TRIES
    shutil.copy(good, target)
    assert ModelHolder(settings).load().sha256 == digest  # type: ignore[attr-defined]
