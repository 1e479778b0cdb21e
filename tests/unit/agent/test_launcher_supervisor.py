"""Process 1 of the agent's container, compiled as in the image, with small programs in the agent's place."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

SOURCE = Path(__file__).parents[3] / "launcher_agent" / "launcher_supervisor.c"
#: Says that it runs, and ends well at SIGTERM.
GOOD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("runs", flush=True)
while True: time.sleep(100)
"""
FAILS = "import sys; print('runs', flush=True); sys.exit(3)"
HANGS = GOOD.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled with the image's warnings as errors; see Dockerfile.launcher."""
    program = tmp_path_factory.mktemp("supervisor") / "launcher-supervisor"
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "no C compiler is here (Debian: gcc libc6-dev)"
    flags = ("-std=gnu17", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", str(program), str(SOURCE)], check=True)
    return program


def supervised(supervisor: Path, folder: Path, code: str, *arguments: str) -> ManagedProcess:
    return ManagedProcess([supervisor, sys.executable, "-c", code, *arguments], log=folder / "log")


def child(process: ManagedProcess) -> int:
    (only,) = children(process)
    return only


def children(process: ManagedProcess) -> list[int]:
    first = process.pid
    return [int(number) for number in Path(f"/proc/{first}/task/{first}/children").read_text().split()]


def test_a_killed_agent_is_started_again_by_the_same_process(supervisor: Path, tmp_path: Path) -> None:
    with supervised(supervisor, tmp_path, GOOD) as process:
        process.wait_for_log("runs")
        before = child(process)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: process.log_text().count("runs"), lambda count: count == 2, what="it was started again")
        assert child(process) != before
        assert "ended: signal 9 (Killed); it is started again in 0." in process.log_text()


def test_the_pauses_of_a_crash_loop_grow(supervisor: Path, tmp_path: Path) -> None:
    """0.05 to 0.1 s, then 0.1 to 0.2, 0.2 to 0.4, 0.4 to 0.8."""
    with supervised(supervisor, tmp_path, FAILS) as process:
        wait_until(lambda: pauses(process), lambda seen: len(seen) >= 4, what="it has ended four times")
    assert "ended: exit status 3;" in process.log_text()
    for pause, ceiling in zip(pauses(process), (0.1, 0.2, 0.4, 0.8), strict=False):
        assert ceiling / 2 <= pause <= ceiling


def pauses(process: ManagedProcess) -> list[float]:
    lines = (line for line in process.log_text().splitlines() if line.endswith(" s"))
    return [float(line.split()[-2]) for line in lines]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_and_then_the_container(
    supervisor: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with supervised(supervisor, tmp_path, GOOD) as process:
        process.wait_for_log("runs")
        process.signal(number)
        wait_until(lambda: process.returncode, lambda status: status == 0, what="it ends well")
    assert "started again" not in process.log_text()


def test_a_signal_before_the_agent_has_a_handler_ends_both_at_once(supervisor: Path, tmp_path: Path) -> None:
    """The agent is no process 1, so the kernel ends it."""
    with ManagedProcess([supervisor, "/bin/sleep", "100"], log=tmp_path / "log") as process:
        wait_until(lambda: children(process), what="there is a child")
        process.signal(signal.SIGTERM)
        wait_until(lambda: process.returncode, lambda status: status == 0, what="it ends well")


def test_a_signal_between_two_starts_ends_the_container(supervisor: Path, tmp_path: Path) -> None:
    with supervised(supervisor, tmp_path, FAILS) as process:
        wait_until(lambda: len(pauses(process)) >= 5 and not children(process), what="a pause of 0.8 s or more")
        process.signal(signal.SIGTERM)
        wait_until(lambda: process.returncode, lambda status: status == 0, what="it ends well")


def test_an_agent_that_ignores_the_signal_is_killed_after_five_seconds(supervisor: Path, tmp_path: Path) -> None:
    with supervised(supervisor, tmp_path, HANGS) as process:
        process.wait_for_log("runs")
        start = time.monotonic()
        process.signal(signal.SIGTERM)
        wait_until(lambda: process.returncode, lambda status: status == 0, what="it ends")
        assert time.monotonic() - start >= 5
    assert "did not end within 5 s of SIGTERM; it is killed" in process.log_text()


@pytest.mark.parametrize("question", ["--help", "-h", "--version"])
def test_a_question_is_answered_once(supervisor: Path, tmp_path: Path, question: str) -> None:
    """`docker run IMAGE --version` ends, with the agent's own status."""
    with supervised(supervisor, tmp_path, FAILS, question) as process:
        wait_until(lambda: process.returncode, lambda status: status == 3, what="it ends with the agent's status")
    assert process.log_text() == "runs\n"


def test_a_missing_program_is_named(supervisor: Path, tmp_path: Path) -> None:
    with ManagedProcess([supervisor, "/nowhere/agent"], log=tmp_path / "log") as process:
        process.wait_for_log("launcher-supervisor: /nowhere/agent: No such file or directory")
        process.wait_for_log("/nowhere/agent ended: exit status 127; it is started again in 0.")


def test_it_has_next_to_no_memory_of_its_own(supervisor: Path, tmp_path: Path) -> None:
    """Less than 200 KiB of its own beside every VM."""
    with supervised(supervisor, tmp_path, GOOD) as process:
        process.wait_for_log("runs")
        status = Path(f"/proc/{process.pid}/status").read_text()
        (anonymous,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
        assert anonymous < 200
