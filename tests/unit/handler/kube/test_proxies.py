"""Which proxy is used for which API server: the rules of Go's HTTP client, and so of kubectl."""

import pytest

from handler_service.errors import ConfigurationError
from handler_service.kube import proxies

PROXY = "http://192.0.2.1:3128"
SERVICE = "https://10.96.0.1:443"


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [
        (SERVICE, "", PROXY),
        (SERVICE, "10.96.0.0/12", None),
        (SERVICE, "192.168.0.0/16,10.96.0.0/12", None),
        (SERVICE, "10.0.0.0/16", PROXY),
        (SERVICE, "10.96.0.1", None),
        (SERVICE, "10.96.0.1:443", None),
        (SERVICE, "10.96.0.1:6443", PROXY),
        (SERVICE, "10.96.0.10", PROXY),
        (SERVICE, ".0.1", PROXY),
        (SERVICE, "*", None),
        (SERVICE, "nonsense/12,/,:,[", PROXY),
        ("https://[fd00::1]:6443", "fd00::/8", None),
        ("https://[fd00::1]:6443", "fd00::1", None),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", None),
        ("https://[fd00::1]:6443", "fe80::/10", PROXY),
        ("https://api.example.org", "example.org", None),
        ("https://api.example.org", ".example.org", None),
        ("https://api.example.org", "*.example.org", None),
        ("https://api.example.org", "API.Example.org", None),
        ("https://api.example.org", "ample.org", PROXY),
        ("https://example.org", ".example.org", PROXY),
        ("https://example.org", "example.org:443", None),
        ("https://127.0.0.1:6443", "", None),
        ("https://[::1]:6443", "", None),
        ("https://localhost:6443", "", None),
    ],
)
def test_no_proxy_names_addresses_networks_and_domains(server: str, no_proxy: str, expected: str | None) -> None:
    """Loopback is always reached directly."""
    assert proxies.choose(server, None, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"https_proxy": PROXY}, PROXY),
        ({"https_proxy": PROXY, "no_proxy": "10.96.0.0/12"}, None),
        ({"HTTPS_PROXY": "192.0.2.1:3128"}, PROXY),
        ({"HTTPS_PROXY": "https://user:secret@proxy.example:3129"}, "https://user:secret@proxy.example:3129"),
    ],
)
def test_a_proxy_comes_from_the_variable_of_the_servers_scheme(
    environment: dict[str, str], expected: str | None
) -> None:
    assert proxies.choose(SERVICE, None, environment) == expected


def test_the_kubeconfigs_own_proxy_takes_precedence() -> None:
    """NO_PROXY does not apply to it, as with kubectl."""
    environment = {"HTTPS_PROXY": "socks5://192.0.2.9:1080", "NO_PROXY": "*"}
    assert proxies.choose(SERVICE, PROXY, environment) == PROXY


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("socks5://user:secret@192.0.2.1:1080", "a proxy of the type socks5 is not supported"),
        ("socks5h://192.0.2.1", "a proxy of the type socks5h is not supported"),
        ("http://", "this is not the URL of a proxy"),
        ("http://192.0.2.1:port", "this is not the URL of a proxy"),
        ("http://[", "this is not the URL of a proxy"),
    ],
)
def test_another_kind_of_proxy_is_refused_by_the_name_of_its_variable(proxy: str, problem: str) -> None:
    """With what to do next, and without the password that the URL may hold."""
    with pytest.raises(ConfigurationError) as raised:
        proxies.choose(SERVICE, None, {"https_proxy": proxy})
    advice = "name an HTTP proxy, or add 10.96.0.1 to NO_PROXY"
    assert str(raised.value) == f"environment variable https_proxy: {problem}; {advice}"
    with pytest.raises(ConfigurationError, match=r"argument --kubeconfig: proxy-url: .* or remove proxy-url"):
        proxies.choose(SERVICE, proxy, {})


def test_a_proxy_that_is_not_used_may_be_anything() -> None:
    assert proxies.choose(SERVICE, None, {"HTTPS_PROXY": "socks5://192.0.2.1", "NO_PROXY": "10.0.0.0/8"}) is None
