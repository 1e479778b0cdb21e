"""Parses `HOST:PORT` of a command line."""

import ipaddress
from typing import NamedTuple


class Address(NamedTuple):
    """The address on which a TCP server listens."""

    #: Empty: all addresses of the host or of the pod.
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Parse `127.0.0.1:8186`, `[::1]:8186` or `:8187`; raises ValueError with the cause."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("it is not HOST:PORT")
    host = host.removeprefix("[").removesuffix("]")
    if host:
        ipaddress.ip_address(host)
    return Address(host, int(port))


def parse_loopback(text: str) -> Address:
    """Parse as parse() does, and require an address that is reachable only within the host or the pod."""
    address = parse(text)
    if not address.host or not ipaddress.ip_address(address.host).is_loopback:
        raise ValueError("it is not a loopback address")
    return address
