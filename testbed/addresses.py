"""Addresses of a VNC server, for each of QEMU's three transports. Their text form is that of a command line."""

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class TcpAddress:
    port: int
    host: str = LOOPBACK

    def __str__(self) -> str:
        return f"tcp:{self.host}:{self.port}"


@dataclass(frozen=True)
class WebsocketAddress:
    port: int
    host: str = LOOPBACK

    def __str__(self) -> str:
        return f"ws:{self.host}:{self.port}"


Address = UnixAddress | TcpAddress | WebsocketAddress


def parse(text: str) -> Address:
    """The reverse of `str(address)`."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return UnixAddress(Path(rest))
    host, _, port = rest.rpartition(":")
    return TcpAddress(int(port), host) if kind == "tcp" else WebsocketAddress(int(port), host)
