"""Fetches one model file: resumable, at a limited rate, never past its size or the disk's reserve.

Files are opened below their folder by descriptor and without following links.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import ssl
import stat
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.rollout.model_document import PART

CHUNK = 64 * 1024
SOCKET_TIMEOUT_S = 20.0
"""A server that sends nothing for this long has stalled."""
TRICKLE_S, TRICKLE_BYTES = 60.0, 16 * 1024
"""Fewer bytes than these in that time are a stall as well."""
MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Order:
    """What to fetch."""

    source: str
    """``https://…`` or ``file:NAME``."""
    size: int
    sha256: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Means:
    """Where from, where to, and how fast."""

    folder: Path
    """Where the file shall lie."""
    import_dir: Path | None = None
    ca: Path | None = None
    bytes_per_s: float | None = None
    disk_reserve: int = 0
    """Bytes that stay free."""
    socket_timeout_s: float = SOCKET_TIMEOUT_S


Progress = Callable[[int], None]
"""Called with the bytes that are here."""


def fetch(order: Order, means: Means, progress: Progress, stopped: Callable[[], bool]) -> Path:
    """The verified file, complete below ``means.folder``; goes on from what is there already.

    Raises ``BadConfig`` where another try cannot help (wrong hash or size, refused source)
    and ``Unavailable`` where it can (network, stall, no room, ``stopped``).
    """
    means.folder.mkdir(parents=True, exist_ok=True)
    final = means.folder / order.file_name
    with _folder(means.folder) as folder:
        if _is_whole(folder, order):
            return final
        part = order.file_name + PART
        with _open_part(folder, part) as file:
            _check_disk(folder, order.size - file.tell(), means.disk_reserve)
            _fill(file, order, means, progress, stopped)
            file.flush()
            os.fsync(file.fileno())
        digest = _sha256(folder, part, stopped)
        if digest != order.sha256:
            os.unlink(part, dir_fd=folder)
            raise BadConfig(
                f"sha256: {order.source} is not the file of the manifest: its hash is {digest},"
                f" expected {order.sha256}; nothing of it was kept"
            )
        os.replace(part, order.file_name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    return final


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_whole(folder: int, order: Order) -> bool:
    """Whether the file lies here already, by size and hash."""
    try:
        found = os.stat(order.file_name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise BadConfig(f"{order.file_name}: there is something that is no plain file; remove it")
    if found.st_size == order.size and _sha256(folder, order.file_name) == order.sha256:
        return True
    raise BadConfig(
        f"name: {order.file_name} is here already with other content; give the new file a new name"
    )


@contextlib.contextmanager
def _open_part(folder: int, name: str) -> Iterator[BinaryIO]:
    """The part so far, for writing on."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        raise BadConfig(f"{name}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        file.seek(0, os.SEEK_END)
        yield file


def _check_disk(folder: int, missing: int, reserve: int) -> None:
    disk = os.fstatvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if missing + reserve > free:
        raise Unavailable(
            f"size: {missing / 1e6:.0f} MB are still to come and {reserve / 1e6:.0f} MB must stay"
            f" free, but the disk has {free / 1e6:.0f} MB; make room"
        )


def _fill(
    file: BinaryIO, order: Order, means: Means, progress: Progress, stopped: Callable[[], bool]
) -> None:
    have = file.tell()
    if have > order.size:  # of an earlier, other file of that name
        file.truncate(0)
        have = file.seek(0)
    if have == order.size:
        return
    pace = _Pace(means.bytes_per_s)
    with _source(order, means, have) as (chunks, begins):
        if begins != have:
            file.truncate(begins)
            have = file.seek(begins)
        for chunk in chunks:
            if stopped():
                raise Unavailable("the agent stops; the fetch goes on at the next start")
            have += len(chunk)
            if have > order.size:
                raise BadConfig(f"size: {order.source} is longer than {order.size} bytes")
            try:
                file.write(chunk)
            except OSError as error:
                raise Unavailable(f"{order.file_name}: {error.strerror}") from error
            progress(have)
            pace.wait(len(chunk))
    if have < order.size:
        raise Unavailable(f"{order.source} ended after {have} of {order.size} bytes")


@contextlib.contextmanager
def _source(order: Order, means: Means, have: int) -> Iterator[tuple[Iterator[bytes], int]]:
    """(chunks, the offset that they begin at): ``have`` if the source can resume, else 0."""
    if order.source.startswith("file:"):
        with _open_local(order.source.removeprefix("file:"), means.import_dir) as file:
            file.seek(have)
            yield iter(lambda: file.read(CHUNK), b""), have
        return
    with contextlib.closing(_request(order.source, means, have)) as answer:
        resumed = answer.response.status == http.client.PARTIAL_CONTENT
        yield _read(answer, order.source), have if resumed else 0


@contextlib.contextmanager
def _open_local(name: str, import_dir: Path | None) -> Iterator[BinaryIO]:
    if import_dir is None:
        raise BadConfig(f"source: file:{name} needs rollout.model_import_dir on this gateway")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        with _folder(import_dir) as folder:
            descriptor = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise Unavailable(f"source: {import_dir / name} is not there (yet)") from None
    except OSError as error:
        raise BadConfig(f"source: {import_dir / name}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadConfig(f"source: {import_dir / name} is no plain file")
        yield file


@dataclass(frozen=True, slots=True)
class _Answer:
    connection: http.client.HTTPSConnection
    response: http.client.HTTPResponse

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def _request(url: str, means: Means, have: int) -> _Answer:
    """The answer to a GET from ``have`` on; follows a few redirects, never away from https."""
    for _ in range(MAX_REDIRECTS + 1):
        answer = _get(url, means, have)
        status, reason = answer.response.status, answer.response.reason
        location = answer.response.getheader("Location")
        if status in (http.client.OK, http.client.PARTIAL_CONTENT):
            return answer
        answer.close()
        if status in (301, 302, 303, 307, 308) and location is not None:
            url = urllib.parse.urljoin(url, location)
            continue
        if status in (408, 425, 429) or status >= 500:
            raise Unavailable(f"{url} answers {status} {reason}")
        raise BadConfig(f"source: {url} answers {status} {reason}")
    raise BadConfig(f"source: more than {MAX_REDIRECTS} redirects, at last to {url[:200]}")


def _get(url: str, means: Means, have: int) -> _Answer:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise BadConfig(f"source: {url[:200]!r} is not https; no model comes over an open line")
    connection: http.client.HTTPSConnection | None = None
    try:
        connection = http.client.HTTPSConnection(
            parts.hostname,
            parts.port,
            timeout=means.socket_timeout_s,
            context=ssl.create_default_context(cafile=means.ca),
        )
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        headers = {"Range": f"bytes={have}-"} if have else {}
        connection.request("GET", path, headers=headers)
        answer = _Answer(connection, connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise BadConfig(f"source: {parts.hostname}: {error.verify_message}") from error
        raise Unavailable(f"{parts.hostname}: {error}") from error
    if answer.response.status == http.client.PARTIAL_CONTENT:
        given = answer.response.getheader("Content-Range") or ""
        if not given.startswith(f"bytes {have}-"):
            answer.close()
            raise BadConfig(f"source: {parts.hostname} was asked from byte {have}, sent {given!r}")
    return answer


def _read(answer: _Answer, source: str) -> Iterator[bytes]:
    """Chunks as they come; a server that trickles counts as stalled."""
    since, count = time.monotonic(), 0
    while True:
        try:
            chunk = answer.response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{source} stalled: {error}") from error
        if not chunk:
            return
        yield chunk
        count += len(chunk)
        if time.monotonic() - since > TRICKLE_S:
            if count < TRICKLE_BYTES:
                raise Unavailable(f"{source} stalled: {count} bytes in {TRICKLE_S:.0f} s")
            since, count = time.monotonic(), 0


class _Pace:
    """Holds a rate by sleeping after each chunk."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._rate = bytes_per_s
        self._began = time.monotonic()
        self._bytes = 0

    def wait(self, count: int) -> None:
        if self._rate is None:
            return
        self._bytes += count
        ahead = self._began + self._bytes / self._rate - time.monotonic()
        if ahead > 0:
            time.sleep(min(ahead, 10.0))


def _sha256(folder: int, name: str, stopped: Callable[[], bool] = lambda: False) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(1 << 20):
            if stopped():
                raise Unavailable("the agent stops; the check goes on at the next start")
            digest.update(chunk)
    return digest.hexdigest()
