"""Parses `HOST:PORT` of a command line."""

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
        raise ValueError("it is not HOST:PORT, with a port from 1 to 65535")
    host = host.removeprefix("[").removesuffix("]")
    if host:
        _is_loopback(host)
    return Address(host, int(port))


def parse_loopback(text: str) -> Address:
    """Parse as parse() does, and require an address that is reachable only within the host or the pod."""
    address = parse(text)
    if not address.host or not _is_loopback(address.host):
        raise ValueError("it is not a loopback address")
    return address


def _is_loopback(host: str) -> bool:
    """Return whether `host`, an IP address, is reachable only within the host or the pod; raises ValueError."""
    # Imported here: the agent needs no more than the class above, and saves 0.2 MiB for each VM.
    import ipaddress  # noqa: PLC0415

    return ipaddress.ip_address(host).is_loopback
