"""Plays an example of the docs: the scene is set, the command runs, the scene goes on, the output is compared.

A scene is a generator. Up to its `yield` it makes what has to be so before the command starts; there it is given the
running command, and may wait for its output and change things.
"""

import contextlib
from collections.abc import Generator, Mapping
from pathlib import Path

from testbed.documents import Example
from testbed.processes import ManagedProcess
from testbed.waiting import WaitTimeoutError, wait_until

Scene = Generator[None, ManagedProcess, None]

# Seconds that a command is given to end by itself when it has printed what it should: a watch never ends.
END = 0.5


def play(example: Example, scene: Scene, folder: Path, environment: Mapping[str, str]) -> None:
    """Fails where it prints anything else than the page says."""
    for name, text in example.files.items():
        (folder / name).write_text(text)
    next(scene)
    shell = ["bash", "-c", f"cd {folder} && {example.command}"]
    with ManagedProcess(shell, log=folder / ".output", env=environment) as command:
        with contextlib.suppress(StopIteration):
            scene.send(command)
        _wait_until_printed(example, command)
        with contextlib.suppress(WaitTimeoutError):
            wait_until(lambda: not command.running, what="it ends", timeout=END)
    output = command.log_text()
    assert example.printed_by(output), _difference(example, output)


def _wait_until_printed(example: Example, command: ManagedProcess) -> None:
    def done() -> bool:
        return not command.running or example.printed_by(command.log_text())

    try:
        wait_until(done, what="it has printed what the page says", interval=0.02)
    except WaitTimeoutError as error:
        raise AssertionError(_difference(example, command.log_text())) from error


def _difference(example: Example, output: str) -> str:
    return f"{example}\n$ {example.command}\n--- the page says\n{example.output}\n--- it printed\n{output}"
