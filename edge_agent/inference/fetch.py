"""A model file over HTTPS: resumed where it broke off, bounded, kept only if its hash fits."""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.inference.catalog import sha256_of
from edge_agent.inference.gguf import BadModel

CHUNK = 1 << 18
TIMEOUT_S = 30.0
ATTEMPTS = 8
"""In a row without a new byte."""
MAX_BYTES = 64 << 30
SPARE_BYTES = 64 << 20
"""Left free on the disk beyond the file."""


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch and what it must be."""

    url: str
    target: Path
    sha256: str | None = None
    size: int | None = None
    pause_s: float = 1.0
    """Before the first repetition; doubles, up to 30 s."""
    tls: ssl.SSLContext | None = None
    """None: the system's authorities."""


class _StaySecure(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise BadConfig(f"{req.full_url} redirects to {newurl}, which is not HTTPS: refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(download: Download, progress: Callable[[int, int | None], None]) -> str:
    """Fetch to ``download.target`` and return the file's SHA-256.

    What has arrived stays in ``TARGET.part``, also when this raises, and is resumed from.
    ``progress`` gets bytes so far and in all. Raises ``BadConfig`` for an address that will not
    do, ``Unavailable`` where the network fails, ``BadModel`` where the file is not the right one.
    """
    if not download.url.startswith("https://"):
        raise BadConfig(f"{download.url}: models are fetched over https only")
    part = download.target.with_name(download.target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, pause = 0, download.pause_s
    while True:
        before = _size(part)
        try:
            done = _continue(download, part, progress)
        except (OSError, http.client.HTTPException) as error:
            done, reason = False, _reason(error)
        else:
            reason = "the connection ended early"
        if done:
            break
        failures = failures + 1 if _size(part) == before else 0
        if failures >= ATTEMPTS:
            raise Unavailable(
                f"{download.url} could not be fetched ({reason}); {_size(part)} bytes are kept "
                "and will be resumed from: run the command again"
            )
        time.sleep(pause if failures else 0)
        pause = min(2 * pause, 30.0) if failures else download.pause_s
    return _accept(download, part)


def _continue(download: Download, part: Path, progress: Callable[[int, int | None], None]) -> bool:
    """One request, from where ``part`` ends; whether the file is whole afterwards."""
    have = _size(part)
    if download.size is not None and have >= download.size:
        return True
    request = urllib.request.Request(download.url)  # noqa: S310 -- https is checked by the caller
    if have:
        request.add_header("Range", f"bytes={have}-")
    handler = urllib.request.HTTPSHandler(context=download.tls or ssl.create_default_context())
    opener = urllib.request.build_opener(handler, _StaySecure())
    try:
        response = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:
                part.unlink()  # more than the server has: begin anew
                return False
            if 400 <= error.code < 500 and error.code not in (408, 429):
                raise BadConfig(
                    f"{download.url}: the server answers {error.code} {error.reason}; "
                    "check the address"
                ) from None
            raise
    with response:
        resumed = response.status == 206 and str(
            response.headers.get("Content-Range", "")
        ).startswith(f"bytes {have}-")
        start = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else download.size
        _check_size(download, total, part)
        with part.open("ab" if resumed else "wb") as file:
            return _copy(response, file, (start, total), progress)


def _copy(
    response: IO[bytes],
    file: IO[bytes],
    extent: tuple[int, int | None],
    progress: Callable[[int, int | None], None],
) -> bool:
    done, total = extent
    progress(done, total)
    while chunk := response.read(CHUNK):
        file.write(chunk)
        done += len(chunk)
        if done > (total or MAX_BYTES):
            raise BadModel("the server sends more than it announced; the file was not kept")
        progress(done, total)
    return total is None or done == total


def _check_size(download: Download, total: int | None, part: Path) -> None:
    if download.size is not None and total is not None and total != download.size:
        raise BadModel(
            f"{download.url} has {total} bytes where {download.size} are expected: refused"
        )
    if total is not None and total > MAX_BYTES:
        raise BadModel(f"{download.url} claims {total} bytes: refused")
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - _size(part) + SPARE_BYTES > free:
        raise Unavailable(
            f"{total / 1e6:.0f} MB are to be fetched and {free / 1e6:.0f} MB are free in "
            f"{part.parent}; make room"
        )


def _accept(download: Download, part: Path) -> str:
    digest = sha256_of(part)
    if download.sha256 is not None and digest != download.sha256:
        part.unlink()
        raise BadModel(
            f"{download.url} is not the expected file: its sha256 is {digest}, not "
            f"{download.sha256}; nothing was kept"
        )
    part.replace(download.target)
    return digest


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__
