"""Chooses the HTTP proxy between the handler and the API server, from the kubeconfig or the environment.

The HTTP library does not support CIDR in `NO_PROXY`, while every Kubernetes installer writes the service network in
that form. The rules here are those of Go's HTTP client, and therefore of kubectl.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from handler_service.errors import ConfigurationError

_SUPPORTED: Final = ("http", "https")
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


def choose(server: str, configured: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the proxy's URL, or None for a direct connection; raises ConfigurationError.

    `configured` is the `proxy-url` of the kubeconfig. It takes precedence, and `NO_PROXY` does not apply to it.
    """
    if configured:
        return _checked(configured, "argument --kubeconfig: proxy-url", "name an HTTP proxy, or remove proxy-url")
    parts = urlsplit(server)
    name = f"{parts.scheme.upper()}_PROXY"
    found = next((variable for variable in (name, name.lower()) if environment.get(variable)), None)
    if found is None or _is_direct(parts, environment.get("NO_PROXY") or environment.get("no_proxy") or ""):
        return None
    advice = f"name an HTTP proxy, or add {parts.hostname} to NO_PROXY"
    return _checked(environment[found], f"environment variable {found}", advice)


def _checked(proxy: str, origin: str, advice: str) -> str:
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        valid, _ = bool(parts.hostname), parts.port
    except ValueError:
        parts, valid = urlsplit(""), False
    # The URL may hold a password, so the message does not quote it.
    if valid and parts.scheme not in _SUPPORTED:
        raise ConfigurationError(f"{origin}: a proxy of the type {parts.scheme} is not supported; {advice}")
    if not valid:
        raise ConfigurationError(f"{origin}: this is not the URL of a proxy; {advice}")
    return url


def _is_direct(server: SplitResult, no_proxy: str) -> bool:
    host = (server.hostname or "").rstrip(".")
    port = server.port or _PORTS.get(server.scheme, 0)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry, host, port, address) for entry in no_proxy.replace(",", " ").lower().split())


def _matches(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        return address is not None and address in network
    name, separator, number = entry.rpartition(":")
    if separator and number.isdecimal() and _address(entry) is None:
        if int(number) != port:
            return False
        entry = name
    entry = entry.removeprefix("[").removesuffix("]")
    named = _address(entry)
    if named is not None or address is not None:
        return named is not None and named == address
    domain = entry.removeprefix("*")
    return (host == domain and not domain.startswith(".")) or host.endswith("." + domain.removeprefix("."))


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
