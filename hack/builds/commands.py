"""Runs the programs that build things; a failure becomes one `BuildError` that names the command and what it said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class BuildError(Exception):
    """An artifact cannot be built; the message says why and what to do."""


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> None:
    """Run a command in the root of the tree. Its output is appended to the log, or goes to standard error."""
    if log is None:
        # Descriptor 2, since standard output belongs to the answer of `python -m hack.builds`.
        _check(command, subprocess.run(command, cwd=ROOT, env=_with(environment), stdout=2, check=False))
        return
    with log.open("ab") as file:
        done = subprocess.run(command, cwd=ROOT, env=_with(environment), stdout=file, stderr=file, check=False)
    _check(command, done)


def output(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    """Return what a command writes on standard output. It runs in the root of the tree, or in another folder."""
    done = subprocess.run(command, cwd=folder, env=_with(environment), capture_output=True, text=True, check=False)
    _check(command, done, done.stderr)
    return done.stdout


def succeeds(command: Sequence[str | Path]) -> bool:
    """Return whether a command can be started and ends with status 0."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _with(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(environment or {})}


def _check(command: Sequence[str | Path], done: subprocess.CompletedProcess[str] | object, said: str = "") -> None:
    status = getattr(done, "returncode", 0)
    if status:
        raise BuildError(f"`{' '.join(map(str, command))}` failed with status {status}{said and f': {said.strip()}'}")
