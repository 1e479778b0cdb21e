"""A wrong value of each flag ends each program at once: status 2, and one line that names flag and value."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from testbed.processes import script

_AGENT = [
    ("--libvirt-uri", "http://example.org"),
    ("--libvirt-uri", "qemu+tcp://host/system"),
    ("--domain", ""),
    ("--handler-socket", ""),
    ("--handler-socket", "/run/"),
    ("--admin-socket", "/run/" + "x" * 120),
    ("--namespace", "Not A Label"),
    ("--name", "-"),
    ("--log-level", "loud"),
    ("--log-format", "xml"),
]
_HANDLER = [
    ("--endpoint", "vm=/tmp/x.sock"),
    ("--endpoint", "UPPER/vm=/tmp/x.sock"),
    ("--endpoint", "default/vm=/does/not/exist/x.sock"),
    ("--publisher", "carrier-pigeon"),
    ("--file-dir", "/does/not/exist"),
    ("--endpoints-dir", "/does/not/exist"),
    ("--admin-socket", "/does/not/exist/admin.sock"),
    ("--admin-address", "0.0.0.0:8186"),
    ("--admin-address", "8186"),
    ("--metrics-address", ":0"),
    ("--node-name", "no node"),
    ("--opener", "/does/not/exist/opener.sock"),
    ("--kubeconfig", "/does/not/exist"),
    ("--api-timeout", "soon"),
    ("--watch-timeout", "0s"),
    ("--heartbeat-interval", "5"),
    ("--heartbeat-interval", "1ms"),
    ("--lease", "1h"),
    ("--log-level", "loud"),
    ("--log-format", "xml"),
]


def _run(
    program: str, *arguments: str, env: Mapping[str, str] | None = None, expected: int = 2
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [script(program), *arguments], capture_output=True, text=True, check=False, timeout=120, env=env
    )
    assert done.returncode == expected, done.stderr
    return done


def _assert_one_line(error: str, *parts: str) -> None:
    assert error.count("\n") == 1, error
    for part in parts:
        assert part in error


@pytest.mark.parametrize(("flag", "value"), _AGENT)
def test_the_agent_refuses_a_wrong_value(flag: str, value: str) -> None:
    done = _run("launcher-agent", f"{flag}={value}")
    _assert_one_line(done.stderr, f"launcher-agent: error: argument {flag}", value[:40])


@pytest.mark.parametrize(("flag", "value"), _HANDLER)
def test_the_handler_refuses_a_wrong_value(flag: str, value: str, tmp_path: Path) -> None:
    good = [f"--endpoint=default/vm={tmp_path}/h.sock", f"--file-dir={tmp_path}", f"--admin-socket={tmp_path}/a.sock"]
    done = _run("handler-service", *good, f"{flag}={value}")
    _assert_one_line(done.stderr, f"handler-service: error: argument {flag}: ", value)


@pytest.mark.parametrize(("program", "flag"), [("launcher-agent", "--log-level"), ("handler-service", "--lease")])
def test_a_wrong_value_from_the_environment_names_the_variable(program: str, flag: str) -> None:
    """Every flag can be set by a variable."""
    variable = f"{program}{flag}".upper().replace("--", "-").replace("-", "_")
    done = _run(program, env={variable: "nonsense"})
    _assert_one_line(done.stderr, flag, variable, "nonsense")


def test_a_query_policy_that_does_not_exist_is_refused_by_its_variable() -> None:
    done = _run("launcher-agent", env={"LAUNCHER_AGENT_QUERY": "maybe"})
    _assert_one_line(done.stderr, "--query", "LAUNCHER_AGENT_QUERY", "maybe")


def test_what_only_goes_together_is_refused_alone(tmp_path: Path) -> None:
    """Nothing to serve, nowhere to publish, and a lease that no heartbeat could keep."""
    admin = f"--admin-socket={tmp_path}/a.sock"
    endpoint = f"--endpoint=default/vm={tmp_path}/h.sock"
    _assert_one_line(_run("handler-service", admin, f"--file-dir={tmp_path}").stderr, "--endpoint")
    _assert_one_line(_run("handler-service", admin, endpoint).stderr, "--file-dir")
    both = (admin, endpoint, f"--file-dir={tmp_path}")
    _assert_one_line(_run("handler-service", *both, endpoint).stderr, "--endpoint", "twice")
    _assert_one_line(_run("handler-service", *both, "--lease=1s").stderr, "--lease")
    _assert_one_line(_run("handler-service", *both, f"--endpoints-dir={tmp_path}").stderr, "--endpoints-dir")


@pytest.mark.parametrize("program", ["launcher-agent", "handler-service"])
def test_help_has_examples_and_version_is_one_line(program: str) -> None:
    """Both end with status 0."""
    assert "example" in _run(program, "--help", expected=0).stdout
    assert _run(program, "--version", expected=0).stdout.startswith(f"{program} ")


@pytest.mark.parametrize("program", ["launcher-agent", "handler-service"])
def test_help_has_examples_whose_flags_exist(program: str) -> None:
    """Users copy these lines; a renamed flag would make them fail."""
    flags, _, examples = _run(program, "--help", expected=0).stdout.partition("examples:\n")
    mine = [line for line in examples.splitlines() if "grpcurl" not in line and "servicestatus.v1" not in line]
    used = set(re.findall(r"(?<![\w-])--[a-z-]+", "\n".join(mine)))
    assert used
    assert used <= set(re.findall(r"(?<![\w-])--[a-z-]+", flags))


def test_a_missing_flag_says_what_is_needed() -> None:
    """Without any flag, the handler asks for those without a usable default, and for no others."""
    _assert_one_line(_run("handler-service").stderr, "argument --endpoint: or --endpoints-dir is", "--publisher auto")
