"""Models come in: by HTTPS from a server that breaks off, from a file, from a package."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.inference.add import Wanted, add_model, remove_model
from edge_agent.inference.catalog import resolve, verify
from edge_agent.inference.fetch import Download, fetch
from edge_agent.inference.gguf import BadModel
from edge_agent.inference.manifest import EMBEDDED


class Server:
    """HTTPS on a free port. ``breaks`` says after how many bytes each answer breaks off."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.content = content
        self.breaks: list[int] = []
        self.ranges = True
        self.redirect: str | None = None
        self.asked: list[str | None] = []
        certificate = self_signed(folder)
        self.client_tls = ssl.create_default_context(cafile=str(certificate))
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(certificate)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.socket = server_tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}/tiny.gguf"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            return
        if handler.path != "/tiny.gguf":
            handler.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            total = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.end_headers()
        handler.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def server(tmp_path: Path, tiny_model: Callable[..., Path]) -> Iterator[Server]:
    server = Server(tmp_path, tiny_model().read_bytes())
    yield server
    server.close()


def quiet(_done: int, _total: int | None) -> None:
    """No progress bar."""


def download(server: Server, target: Path, **more: object) -> Download:
    fields = {"url": server.url, "target": target, "pause_s": 0.01, "tls": server.client_tls}
    return Download(**(fields | more))  # type: ignore[arg-type]  # tests give the right kinds


def test_download_is_resumed_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 0, 250_000]
    seen: list[int] = []
    digest = fetch(download(server, tmp_path / "m.gguf"), lambda done, _total: seen.append(done))
    assert (tmp_path / "m.gguf").read_bytes() == server.content
    assert digest == hashlib.sha256(server.content).hexdigest()
    assert server.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=350000-"]
    assert seen == sorted(seen)
    assert not (tmp_path / "m.gguf.part").exists()


def test_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = [100_000], False
    fetch(download(server, tmp_path / "m.gguf"), quiet)
    assert (tmp_path / "m.gguf").read_bytes() == server.content


def test_network_that_stays_away_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.breaks = [5_000] + [0] * 20
    with pytest.raises(Unavailable, match="5000 bytes are kept and will be resumed from"):
        fetch(download(server, tmp_path / "m.gguf"), quiet)
    server.breaks = []
    fetch(download(server, tmp_path / "m.gguf"), quiet)
    assert server.asked[-1] == "bytes=5000-"


def test_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="is not the expected file: its sha256 is"):
        fetch(download(server, tmp_path / "m.gguf", sha256="0" * 64), quiet)
    with pytest.raises(BadModel, match="where 5 are expected"):
        fetch(download(server, tmp_path / "m.gguf", size=5), quiet)
    assert not list(tmp_path.glob("m.gguf*"))


def test_only_https_and_no_way_out_of_it(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="over https only"):
        fetch(download(server, tmp_path / "m", url="http://127.0.0.1/x.gguf"), quiet)
    server.redirect = "http://127.0.0.1/x.gguf"
    with pytest.raises(BadConfig, match="not HTTPS: refused"):
        fetch(download(server, tmp_path / "m"), quiet)


def test_wrong_address_and_unknown_authority_are_said(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="404"):
        fetch(download(server, tmp_path / "m", url=server.url + "x"), quiet)
    with pytest.raises(Unavailable, match="certificate"):
        fetch(download(server, tmp_path / "m", tls=ssl.create_default_context()), quiet)


def test_file_is_added_resolved_and_removed(
    tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    models = tmp_path / "models"
    added = add_model(
        Wanted(str(tiny_model()), "mine", licence="arcee-model-license"), models, quiet
    )
    found = resolve("mine", models)
    assert found == added
    assert found.manifest.architecture == "arcee"
    assert verify(found, models) == found.manifest.sha256
    removed = remove_model("mine", models)
    assert {path.name for path in removed} == {"mine.gguf", "mine.model.toml"}
    with pytest.raises(BadConfig, match="nothing of a model mine"):
        remove_model("mine", models)


def test_unsound_file_leaves_the_old_model(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    models = tmp_path / "models"
    before = add_model(Wanted(str(tiny_model()), "mine"), models, quiet)
    broken = tmp_path / "mine.gguf"
    broken.write_bytes(tiny_model().read_bytes()[:-5000])
    with pytest.raises(BadModel, match="truncated"):
        add_model(Wanted(str(broken)), models, quiet)
    assert resolve("mine", models) == before


def test_package_resource_is_added_by_reference(tmp_path: Path) -> None:
    added = add_model(Wanted(EMBEDDED.source, "small"), tmp_path, quiet)
    assert added.manifest.sha256 == EMBEDDED.sha256
    assert resolve("small", tmp_path).path == added.path
    assert not list(tmp_path.glob("*.gguf"))


def test_nonsense_source_lists_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no model of the catalogue.*afm-4\.5b"):
        add_model(Wanted("nonsense"), tmp_path, quiet)
