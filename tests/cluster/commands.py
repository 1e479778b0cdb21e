"""Runs short system commands (ip, mount...) with a deadline; the error contains their output."""

import subprocess
from pathlib import Path

from testbed.waiting import scaled

TIMEOUT = 120.0


class CommandError(Exception):
    """A command failed; the message is its standard error output."""


def run(*command: str | Path, check: bool = True, timeout: float = TIMEOUT) -> str:
    """Return its standard output. With `check` false a failure is not an error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(timeout))
    if check and done.returncode:
        raise CommandError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout
