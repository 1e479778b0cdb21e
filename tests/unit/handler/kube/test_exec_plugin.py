"""Credential plugins are real programs here: shell scripts."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from handler_service.kube import exec_plugin
from handler_service.kube.exec_plugin import ExecCredential, ExecPluginError
from testbed.waiting import wait_until_async

SECRET = "t"  # noqa: S105  # of a test
VERSION = "client.authentication.k8s.io/v1"


def plugin(folder: Path, text: str) -> dict[str, Any]:
    """A script as the `exec` of a kubeconfig, named relative to it."""
    script = folder / "plugin"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return {"command": "./plugin", "apiVersion": VERSION}


def answering(folder: Path, version: str = VERSION, **status: str) -> dict[str, Any]:
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    return plugin(folder, f"cat <<'END'\n{answer}\nEND")


async def run(config: Any, folder: Path, limit: float = 20.0) -> ExecCredential:
    return await exec_plugin.run(config, folder, limit, os.environ)


async def test_a_token_and_its_expiry_are_read(tmp_path: Path) -> None:
    config = answering(tmp_path, token=SECRET, expirationTimestamp="2023-11-14T22:13:20Z")
    assert await run(config, tmp_path) == ExecCredential({"token": SECRET}, 1_700_000_000.0)


async def test_a_client_certificate_becomes_the_kubeconfigs_data(tmp_path: Path) -> None:
    config = answering(tmp_path, clientCertificateData="C", clientKeyData="K")
    expected = {"client-certificate-data": "Qw==", "client-key-data": "Sw=="}
    assert await run(config, tmp_path) == ExecCredential(expected, None)


async def test_arguments_and_variables_reach_the_plugin(tmp_path: Path) -> None:
    """And what it is asked for, in the variable that the protocol names."""
    answer = '{"apiVersion": "%s", "status": {"token": "%s %s %s"}}'
    config = plugin(tmp_path, f"printf '{answer}' {VERSION} $1 $NAME ${{#KUBERNETES_EXEC_INFO}}")
    config |= {"args": ["one"], "env": [{"name": "NAME", "value": "two"}]}
    asked = len(json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}))
    assert (await run(config, tmp_path)).user == {"token": f"one two {asked}"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo 'log in\nfirst' >&2; exit 3", "ended with status 3: log in first"),
        ("exit 3", "ended with status 3: no message"),
        ("echo hello", "did not answer with an ExecCredential"),
        ("echo '[]'", "did not answer with an ExecCredential"),
        (f'echo \'{{"apiVersion": "{VERSION}", "status": {{}}}}\'', "with neither a token nor a client certificate"),
        (f'echo \'{{"apiVersion": "{VERSION}v9", "status": {{}}}}\'', f"in version {VERSION}v9, not {VERSION}"),
    ],
)
async def test_a_plugin_that_gives_no_credential_is_named_with_the_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ExecPluginError) as raised:
        await run(plugin(tmp_path, text), tmp_path)
    assert "plugin" in str(raised.value)
    assert problem in str(raised.value)


async def test_a_plugin_that_is_not_installed_shows_the_hint(tmp_path: Path) -> None:
    config = {"command": "no-such-plugin", "apiVersion": VERSION, "installHint": "apt install\nit"}
    with pytest.raises(ExecPluginError, match="exec plugin no-such-plugin was not found: apt install it"):
        await run(config, tmp_path)


async def test_a_plugin_that_may_not_be_run_is_told_as_such(tmp_path: Path) -> None:
    config = plugin(tmp_path, "")
    (tmp_path / "plugin").chmod(0o644)
    with pytest.raises(ExecPluginError, match=r"exec plugin ./plugin cannot be run: Permission denied"):
        await run(config, tmp_path)


@pytest.mark.parametrize("config", [7, [], {}, {"command": "x"}, {"command": "x", "apiVersion": "y", "env": [1]}])
async def test_a_malformed_exec_section_is_an_error(tmp_path: Path, config: Any) -> None:
    with pytest.raises(ExecPluginError, match="is missing or malformed"):
        await run(config, tmp_path)


async def test_a_plugin_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """Within its time limit; the error names it."""
    config = plugin(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(ExecPluginError, match=r"exec plugin ./plugin gave no answer within 2 s and was killed"):
        await run(config, tmp_path, limit=2)
    await ended(int((tmp_path / "child").read_text()))


async def test_a_plugin_whose_caller_is_cancelled_is_killed(tmp_path: Path) -> None:
    """As a request's time limit does it."""
    pid = tmp_path / "pid"
    task = asyncio.create_task(run(plugin(tmp_path, f"echo $$ > {pid}; exec sleep 1000"), tmp_path, limit=1000))
    await wait_until_async(lambda: pid.exists() and pid.read_text(), what="the plugin runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended(int(pid.read_text()))


async def ended(pid: int) -> None:
    """A zombie that waits for its parent has ended too."""

    def state() -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return ""

    await wait_until_async(state, lambda seen: seen in ("", "Z"), what=f"process {pid} has ended")
