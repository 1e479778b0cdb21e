"""Runs the credential plugin that a kubeconfig names (`exec`), within a time limit.

The Kubernetes client's own runner has no time limit, leaves the plugin running when the caller gives up, and logs an
error instead of raising it. The input and output are those of `client.authentication.k8s.io`.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

#: Characters of the plugin's own error text in a message.
_MAX_ERROR: Final = 300


class ExecPluginError(Exception):
    """The plugin returned no credential; the text names the plugin and the reason."""


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """Holds the answer of a plugin."""

    #: Keys of a kubeconfig's user: a token, or a client certificate with its key.
    user: Mapping[str, str]
    #: Wall time after which the plugin must run again; None if the plugin names none.
    expires: float | None


async def run(plugin: Any, base: Path, limit: float, environment: Mapping[str, str]) -> ExecCredential:
    """Run `plugin`, the `exec` of a kubeconfig in the directory `base`; raises ExecPluginError.

    A plugin that does not end within `limit` seconds, or whose caller is cancelled, is killed with its children.
    """
    try:
        command, version = str(plugin["command"]), str(plugin["apiVersion"])
        arguments = [str(argument) for argument in plugin.get("args") or ()]
        variables = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or ()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ExecPluginError(f"exec: command, apiVersion, args or env is missing or malformed ({error})") from error
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    variables = {**environment, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    # A relative path is relative to the kubeconfig; a bare name is looked up in PATH.
    program = str(base / command) if "/" in command else command
    try:
        output = await _output(program, arguments, variables, limit)
    except FileNotFoundError as error:
        hint = " ".join(str(plugin.get("installHint") or "install it, or correct the kubeconfig").split())
        raise ExecPluginError(f"exec plugin {command} was not found: {hint}") from error
    except TimeoutError as error:
        raise ExecPluginError(f"exec plugin {command} gave no answer within {limit:g} s and was killed") from error
    except OSError as error:
        raise ExecPluginError(f"exec plugin {command} cannot be run: {error.strerror}") from error
    return _credential(command, version, output)


async def _output(program: str, arguments: list[str], environment: Mapping[str, str], limit: float) -> bytes:
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a group of its own, so that its children end with it
    )
    try:
        async with asyncio.timeout(limit):
            output, errors = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode != 0:
        text = " ".join(errors.decode(errors="replace").split())[:_MAX_ERROR]
        raise ExecPluginError(f"exec plugin {program} ended with status {process.returncode}: {text or 'no message'}")
    return output


def _credential(command: str, version: str, output: bytes) -> ExecCredential:
    try:
        answer = json.loads(output)
        status = answer["status"]
        if answer["apiVersion"] != version:
            raise ExecPluginError(f"exec plugin {command} answered in version {answer['apiVersion']}, not {version}")
        user: dict[str, str] = {}
        if status.get("token"):
            user["token"] = str(status["token"])
        if status.get("clientCertificateData"):
            user["client-certificate-data"] = _base64(status["clientCertificateData"])
            user["client-key-data"] = _base64(status["clientKeyData"])
        expiry = status.get("expirationTimestamp")
        expires = datetime.fromisoformat(expiry).timestamp() if expiry else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExecPluginError(f"exec plugin {command} did not answer with an ExecCredential ({error})") from error
    if not user:
        raise ExecPluginError(f"exec plugin {command} answered with neither a token nor a client certificate")
    return ExecCredential(user, expires)


def _base64(text: str) -> str:
    return base64.standard_b64encode(text.encode()).decode()
