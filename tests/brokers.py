"""A real mosquitto on a free port, and a TCP proxy that cuts, stalls and drops.

Use ``Mosquitto`` and ``Proxy`` as context managers, or take the fixtures ``broker`` and ``proxy``
(``from brokers import broker, proxy`` in a conftest, or ``pytest_plugins = ["brokers"]``).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pytest

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/sbin")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 15.0, what: str = "") -> None:
    """Poll ``condition`` until it is true; fail the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what or condition}")
        time.sleep(0.01)


class Mosquitto:
    """A mosquitto process; its port and its persistence directory outlive ``kill`` and ``restart``.

    ``config``: further lines of mosquitto.conf (``["max_queued_messages 10"]``). A line that
    starts with ``listener``, ``allow_anonymous`` or ``persistence`` replaces our own.
    """

    def __init__(
        self, config: Sequence[str] = (), *, folder: Path | None = None, port: int | None = None
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mosquitto-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.host = "127.0.0.1"
        self.config = list(config)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """Everything the broker has logged so far."""
        path = self.folder / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def database(self) -> Path:
        """The file where it keeps sessions; delete it while stopped to lose them."""
        return self.folder / "mosquitto.db"

    def start(self) -> Mosquitto:
        """Start it and return once it accepts connections."""
        assert MOSQUITTO, "no mosquitto on the PATH"
        conf = self.folder / "mosquitto.conf"
        conf.write_text("\n".join(self._lines()) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-c", str(conf), "-v"], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"mosquitto ended with {self.process.returncode}:\n{self.log}")
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return self
            time.sleep(0.01)
        pytest.fail(f"mosquitto does not answer on port {self.port}:\n{self.log}")

    def stop(self) -> None:
        """SIGTERM: it saves its sessions and ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what it had not saved is gone."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False, lose_sessions: bool = False) -> None:
        """Stop (or kill) and start on the same port."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        if lose_sessions:
            self.database.unlink(missing_ok=True)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay open, nothing answers."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
            if number is not signal.SIGKILL:
                self.process.send_signal(signal.SIGCONT)
            self.process.wait(20)
        self.process = None

    def _lines(self) -> list[str]:
        own = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self.folder}/",
        ]
        words = {line.split()[0] for line in self.config if line.strip()}
        # As root, mosquitto drops to its own user, who may not enter a private test folder.
        return [line for line in own if line.split()[0] not in words] + self.config + ["user root"]


class Proxy:
    """A TCP proxy in front of a broker: ``cut`` connections, ``stall`` or ``drop`` bytes.

    ``client_filter`` and ``server_filter`` see each chunk on its way to the broker or from it and
    return what goes on (``b""`` swallows it).
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.target = (target_host, target_port)
        self.host = "127.0.0.1"
        self.client_filter: Callable[[bytes], bytes] = lambda chunk: chunk
        self.server_filter: Callable[[bytes], bytes] = lambda chunk: chunk
        self.accepting = True
        self.connections = 0
        """Connections accepted so far."""
        self.bytes_up = 0
        """Bytes that the client has sent so far."""
        self._flow = threading.Event()
        self._flow.set()
        self._byte_gap_s = 0.0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Reset every connection (RST, not FIN)."""
        with self._lock:
            doomed, self._sockets = self._sockets, set()
        for sock in doomed:
            with contextlib.suppress(OSError):
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def stall(self) -> None:
        """Become a black hole: connections stay open, nothing passes in either direction."""
        self._flow.clear()

    def resume(self) -> None:
        """Let bytes pass again, at full speed."""
        self._byte_gap_s = 0.0
        self._flow.set()

    def trickle(self, gap_s: float) -> None:
        """Pass one byte each ``gap_s`` seconds in either direction."""
        self._byte_gap_s = gap_s

    def refuse(self, refuse: bool = True) -> None:
        """Accept no new connection (they are closed at once) until called with False."""
        self.accepting = not refuse

    def close(self) -> None:
        """End every connection and the listener."""
        self._closed = True
        self._listener.close()
        self._flow.set()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.accepting:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self.connections += 1
            with self._lock:
                self._sockets |= {client, server}
            for source, sink, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, up), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                self._flow.wait()
                if up:
                    self.bytes_up += len(chunk)
                chunk = (self.client_filter if up else self.server_filter)(chunk)
                gap = self._byte_gap_s
                if not gap:
                    sink.sendall(chunk)
                    continue
                for position in range(len(chunk)):
                    sink.sendall(chunk[position : position + 1])
                    time.sleep(self._byte_gap_s)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            with self._lock:
                self._sockets.discard(sock)


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A mosquitto with persistence that accepts anyone."""
    with Mosquitto() as running:
        yield running


@pytest.fixture
def proxy(broker: Mosquitto) -> Iterator[Proxy]:
    """A proxy in front of ``broker``."""
    with Proxy(broker.port) as running:
        yield running
