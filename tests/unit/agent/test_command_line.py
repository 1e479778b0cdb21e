"""The command line: what is meant, and one line for what cannot be."""

from pathlib import Path

import pytest

from launcher_agent.command_line import parse
from launcher_agent.config import Config
from launcher_agent.main import configuration
from launcher_agent.vm.query_policy import QueryPolicy

DEFAULTS = Config(
    libvirt_uri="qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock",
    domain=None,
    handler_socket=Path("/var/run/service-status/handler.sock"),
    admin_socket=Path("/var/run/service-status/agent.sock"),
    query=QueryPolicy.AUTO,
    namespace="",
    name="",
    log_level="info",
    log_format="text",
)


def test_the_defaults_fit_a_launcher_pod() -> None:
    assert parse([], {}, "1") == DEFAULTS
    assert configuration([], {"HOME": "/"}) == DEFAULTS


def test_one_flag_or_one_variable_is_heard() -> None:
    """Without either, nothing is parsed."""
    assert configuration(["--name=vm"], {}).name == "vm"
    assert configuration([], {"LAUNCHER_AGENT_NAME": "vm"}).name == "vm"


def test_every_flag_is_a_variable_too() -> None:
    environment = {
        "LAUNCHER_AGENT_LIBVIRT_URI": "qemu:///system",
        "LAUNCHER_AGENT_DOMAIN": "ns_vm",
        "LAUNCHER_AGENT_HANDLER_SOCKET": "/h.sock",
        "LAUNCHER_AGENT_ADMIN_SOCKET": "",
        "LAUNCHER_AGENT_QUERY": "false",
        "LAUNCHER_AGENT_NAMESPACE": "ns",
        "LAUNCHER_AGENT_NAME": "vm.example",
        "LAUNCHER_AGENT_LOG_LEVEL": "debug",
        "LAUNCHER_AGENT_LOG_FORMAT": "json",
    }
    expected = Config(
        libvirt_uri="qemu:///system",
        domain="ns_vm",
        handler_socket=Path("/h.sock"),
        admin_socket=None,
        query=QueryPolicy.NEVER,
        namespace="ns",
        name="vm.example",
        log_level="debug",
        log_format="json",
    )
    assert parse([], environment, "1") == expected
    flags = [
        "--libvirt-uri=qemu:///system",
        "--domain=ns_vm",
        "--handler-socket=/h.sock",
        "--admin-socket=",
        "--no-query",
        "--namespace=ns",
        "--name=vm.example",
        "--log-level=debug",
        "--log-format=json",
    ]
    assert parse(flags, {}, "1") == expected


def test_the_command_line_wins() -> None:
    assert parse(["--query=always"], {"LAUNCHER_AGENT_QUERY": "never"}, "1").query is QueryPolicy.ALWAYS
    assert parse(["--no-query"], {"LAUNCHER_AGENT_QUERY": "always"}, "1").query is QueryPolicy.NEVER


@pytest.mark.parametrize(("value", "policy"), [("true", QueryPolicy.AUTO), ("false", QueryPolicy.NEVER)])
def test_the_former_values_of_the_query_flag_are_valid(value: str, policy: QueryPolicy) -> None:
    assert parse([], {"LAUNCHER_AGENT_QUERY": value}, "1").query is policy


def test_a_relative_socket_is_meant_from_here(tmp_path: Path) -> None:
    assert parse(["--handler-socket=h.sock"], {}, "1").handler_socket == Path.cwd() / "h.sock"


WRONG = [
    ("--libvirt-uri", "", "'' must begin with qemu:/// or qemu+unix:///"),
    ("--libvirt-uri", "test:///default", "'test:///default' must begin with qemu:/// or qemu+unix:///"),
    ("--libvirt-uri", "qemu+ssh://host/system", "'qemu+ssh://host/system' must begin with qemu:/// or qemu+unix:///"),
    ("--libvirt-uri", "qemu://host/system", "'qemu://host/system' names the host 'host', but libvirt must be on this"),
    ("--libvirt-uri", "qemu:///embed", "'qemu:///embed' must have the path /system or /session"),
    ("--libvirt-uri", "qemu://[/system", "'qemu://[/system' is not a URI: Invalid IPv6 URL"),
    ("--domain", "", "it must not be empty"),
    ("--handler-socket", "", "it must not be empty"),
    ("--handler-socket", "/dir/", "'/dir/' is not the path of a socket"),
    ("--handler-socket", "/" + "s" * 81, "ends in a name of more than 80 bytes"),
    ("--admin-socket", "/dir/", "'/dir/' is not the path of a socket"),
    ("--admin-socket", "/var/run/service-status/handler.sock", "is the handler's socket"),
    ("--namespace", "NS", "'NS' is not a Kubernetes namespace"),
    ("--namespace", "a.b", "'a.b' is not a Kubernetes namespace"),
    ("--namespace", "a" * 64, "is not a Kubernetes namespace"),
    ("--name", "-vm", "'-vm' is not a Kubernetes name"),
    ("--name", "a..b", "'a..b' is not a Kubernetes name"),
    ("--name", "a" * 254, "is not a Kubernetes name"),
    ("--log-level", "loud", "invalid choice: 'loud'"),
    ("--log-format", "xml", "invalid choice: 'xml'"),
]


@pytest.mark.parametrize(("flag", "value", "problem"), WRONG)
def test_a_wrong_value_ends_the_program_with_one_line_that_names_flag_and_value(
    flag: str, value: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([f"{flag}={value}"], {}, "1")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"launcher-agent: error: argument {flag}: ")
    assert problem in line


def test_a_wrong_variable_is_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([], {"LAUNCHER_AGENT_QUERY": "maybe"}, "1")
    (line,) = capsys.readouterr().err.splitlines()
    assert "--query (from LAUNCHER_AGENT_QUERY)" in line
    assert "'maybe'" in line


def test_help_names_every_flag_and_gives_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"], {}, "1")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for field in Config.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in text
    assert "examples:" in text
    assert "grpcurl" in text
