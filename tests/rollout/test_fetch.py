"""Fetching a model file from servers and folders that behave and that do not."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rollout.https_files import Files

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.rollout.fetch import Means, Order, fetch

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "server").mkdir()
    with Files(tmp_path / "server", {"/m.gguf": CONTENT}) as server:
        yield server


@pytest.fixture
def means(tmp_path: Path, files: Files) -> Means:
    return Means(tmp_path / "models", ca=files.ca, socket_timeout_s=0.3)


def order_of(source: str, content: bytes = CONTENT) -> Order:
    return Order(source, len(content), hashlib.sha256(content).hexdigest(), "m.gguf")


def get(order: Order, means: Means) -> Path:
    return fetch(order, means, lambda _: None, lambda: False)


def test_a_file_comes_over_https_and_is_not_fetched_again(files: Files, means: Means) -> None:
    heard: list[int] = []
    path = fetch(order_of(files.url("/m.gguf")), means, heard.append, lambda: False)
    assert path.read_bytes() == CONTENT
    assert heard[-1] == len(CONTENT)
    get(order_of(files.url("/m.gguf")), means)
    assert len(files.asked) == 1


def test_a_stall_at_99_percent_is_resumed(files: Files, means: Means) -> None:
    files.stall_at = len(CONTENT) * 99 // 100
    with pytest.raises(Unavailable, match="stalled"):
        get(order_of(files.url("/m.gguf")), means)
    assert (means.folder / "m.gguf.part").stat().st_size == files.stall_at
    assert get(order_of(files.url("/m.gguf")), means).read_bytes() == CONTENT
    assert files.asked[-1] == ("/m.gguf", f"bytes={files.stall_at}-")


def test_a_server_without_ranges_is_read_from_the_start(files: Files, means: Means) -> None:
    files.ranges = False
    means.folder.mkdir()
    (means.folder / "m.gguf.part").write_bytes(b"x" * 1000)
    assert get(order_of(files.url("/m.gguf")), means).read_bytes() == CONTENT


def test_redirects_are_followed_a_little_and_never_to_plain_http(
    files: Files, means: Means
) -> None:
    files.redirects = {"/a": "/m.gguf", "/loop": "/loop", "/plain": "http://127.0.0.1/m.gguf"}
    assert get(order_of(files.url("/a")), means).read_bytes() == CONTENT
    (means.folder / "m.gguf").unlink()
    for path, told in (("/loop", "redirects"), ("/plain", "not https"), ("/none", "404")):
        with pytest.raises(BadConfig, match=told):
            get(order_of(files.url(path)), means)


def test_a_busy_server_is_asked_again_later(files: Files, means: Means) -> None:
    files.statuses = [503]
    with pytest.raises(Unavailable, match="503"):
        get(order_of(files.url("/m.gguf")), means)


def test_an_unknown_certificate_is_refused(files: Files, means: Means) -> None:
    with pytest.raises(BadConfig, match="certificate"):
        get(order_of(files.url("/m.gguf")), replace(means, ca=None))


def test_other_bytes_of_the_same_length_are_refused_and_not_kept(
    files: Files, means: Means
) -> None:
    wrong = replace(order_of(files.url("/m.gguf")), sha256="0" * 64)
    with pytest.raises(BadConfig, match="expected 0000"):
        get(wrong, means)
    assert list(means.folder.iterdir()) == []


def test_a_file_longer_than_announced_is_cut_off(files: Files, means: Means) -> None:
    with pytest.raises(BadConfig, match="longer than"):
        get(replace(order_of(files.url("/m.gguf")), size=1000), means)
    assert (means.folder / "m.gguf.part").stat().st_size <= 1000


def test_a_shorter_file_is_tried_again(files: Files, means: Means) -> None:
    with pytest.raises(Unavailable, match="ended after"):
        get(replace(order_of(files.url("/m.gguf")), size=400_000), means)


def test_a_full_disk_is_noticed_before_a_byte_comes(files: Files, means: Means) -> None:
    with pytest.raises(Unavailable, match="make room"):
        get(order_of(files.url("/m.gguf")), replace(means, disk_reserve=1 << 60))
    assert files.asked == []


def test_stopping_keeps_what_is_here(files: Files, means: Means) -> None:
    calls = iter([False, False, True, True])
    with pytest.raises(Unavailable, match="stops"):
        fetch(order_of(files.url("/m.gguf")), means, lambda _: None, lambda: next(calls))
    part = means.folder / "m.gguf.part"
    assert 0 < part.stat().st_size < len(CONTENT)
    assert get(order_of(files.url("/m.gguf")), means).read_bytes() == CONTENT


def test_local_files_come_from_their_folder_only(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    means = Means(tmp_path / "models", import_dir=stick)
    with pytest.raises(Unavailable, match="not there"):
        get(order_of("file:m.gguf"), means)
    (stick / "real.bin").write_bytes(CONTENT)
    (stick / "m.gguf").symlink_to(stick / "real.bin")
    with pytest.raises(BadConfig):
        get(order_of("file:m.gguf"), means)
    os.mkfifo(stick / "pipe")
    with pytest.raises(BadConfig, match="plain file"):
        get(order_of("file:pipe"), means)
    with pytest.raises(BadConfig, match="model_import_dir"):
        get(order_of("file:real.bin"), replace(means, import_dir=None))
    assert get(order_of("file:real.bin"), means).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["m.gguf.part", "m.gguf"])
def test_links_in_the_models_folder_are_not_followed(
    files: Files, means: Means, tmp_path: Path, name: str
) -> None:
    means.folder.mkdir()
    (means.folder / name).symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("keep me")
    with pytest.raises(BadConfig):
        get(order_of(files.url("/m.gguf")), means)
    assert (tmp_path / "precious").read_text() == "keep me"


def test_a_name_that_is_taken_is_refused(files: Files, means: Means) -> None:
    means.folder.mkdir()
    (means.folder / "m.gguf").write_bytes(b"another model")
    with pytest.raises(BadConfig, match="new name"):
        get(order_of(files.url("/m.gguf")), means)
