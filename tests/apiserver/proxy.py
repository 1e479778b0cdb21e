"""A TCP proxy in front of the API server: it simulates the failures of a network.

It forwards bytes without parsing them, so TLS passes through, and a client sees what it would see of a network.
"""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.cluster.ports import free_port

CHUNK = 1 << 16
# Seconds between two checks of the test's commands; far below anything that is measured here.
LOOK = 0.01


class Proxy:
    """Listens on loopback between enter and exit, always on the same port."""

    def __init__(self, url: str) -> None:
        """`url` is the API server's."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._port = free_port()
        self._listener: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.RLock()
        self._hung: set[socket.socket] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The address for clients; the API server's certificate is valid for it."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        return len(self._peers) // 2

    def __enter__(self) -> Self:
        self.restore()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self.break_off()
        self._selector.close()

    def cut(self) -> None:
        """Reset every connection; accept new ones."""
        with self._lock:
            for one in list(self._peers):
                self._drop(one)

    def break_off(self) -> None:
        """Reset every connection and refuse new ones until `restore()`."""
        with self._lock:
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
            self.cut()

    def restore(self) -> None:
        """Accept new connections again."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self._port))
                self._listener.setblocking(False)
                self._selector.register(self._listener, selectors.EVENT_READ)

    def hang(self) -> None:
        """Drop all bytes on the current connections, in both directions, without closing them; accept new ones.

        This happens when a firewall or a node on the path loses its connection table.
        """
        with self._lock:
            for one in self._peers.keys() - self._hung:
                self._selector.unregister(one)
                self._hung.add(one)

    # --- inside ---

    def _run(self) -> None:
        while not self._ending.is_set():
            ready = self._selector.select(LOOK)
            with self._lock:
                for key, _ in ready:
                    self._serve(key.fileobj)

    def _serve(self, ready: object) -> None:
        if ready is self._listener:
            self._accept()
        elif isinstance(ready, socket.socket) and ready in self._peers:
            self._carry(ready)

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, source: socket.socket) -> None:
        try:
            data = source.recv(CHUNK)
            if data:
                self._peers[source].sendall(data)
                return
        except OSError:
            pass
        self._drop(source)

    def _drop(self, one: socket.socket) -> None:
        other = self._peers.get(one)
        for end in (one, other):
            if end is not None and self._peers.pop(end, None) is not None:
                if end not in self._hung:
                    self._selector.unregister(end)
                self._hung.discard(end)
                with contextlib.suppress(OSError):
                    # Reset instead of an orderly close: a client that is about to read gets an error.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.close()
