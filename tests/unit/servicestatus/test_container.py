"""How both programs start in a container: the scripts of the images, run as the images run them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "hack/images.d"
PROGRAMS = {"launcher-agent": "launcher_agent", "handler-service": "handler_service", "controller": "controller"}
OPENER = "socket-opener"
TIMEOUT = 60


def _python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-IOO", *arguments], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )


@pytest.mark.parametrize("name", [*PROGRAMS, OPENER])
def test_the_script_of_an_image_runs_the_program(name: str) -> None:
    script = SCRIPTS / name
    assert script.read_text().startswith("#!/usr/bin/python3.13 -IOO\n")
    assert script.stat().st_mode & 0o777 == 0o755
    done = _python(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name} ")


@pytest.mark.parametrize("package", PROGRAMS.values())
def test_nothing_large_is_imported_before_the_signal_is_handled(package: str) -> None:
    code = f"import sys; from {package} import container; print([m for m in ('asyncio', 'grpc') if m in sys.modules])"
    assert _python("-c", code).stdout == "[]\n"


def test_a_signal_before_the_program_is_there_ends_it_at_once() -> None:
    """Without the handler process 1 would not notice it, and another process would end with status -15."""
    # Python calls a handler between two instructions: one long sleep could begin just after the signal, and not be
    # interrupted.
    code = """
import time
from servicestatus.container import end_on_sigterm
end_on_sigterm()
print(flush=True)
while True:
    time.sleep(0.01)
"""
    with subprocess.Popen([sys.executable, "-IOO", "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"\n"
            process.terminate()
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


def test_the_agent_runs_without_ssl() -> None:
    """asyncio imports it where it can; it would take 0.7 MiB beside every VM."""
    code = (
        "import sys; sys.argv[1:] = ['--help']; import atexit; from launcher_agent.container import main;"
        "atexit.register(lambda: print('asyncio' in sys.modules, sys.modules['ssl'], '_ssl' in sys.modules)); main()"
    )
    done = _python("-c", code)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "True None False"
