"""`python -m hack.builds`: what it prints and how it fails."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from hack.builds import parts
from testbed.waiting import wait_until

ROOT = Path(__file__).parents[4]
TIMEOUT = 200
# The parts of the test suite, as hack/part.sh knows them.
PARTS = ("libvirt", "host", "apiserver", "faults", "hostile", "node", "bench", "kubevirt")


def _run(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "hack.builds", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
    )


def test_the_folder_of_the_go_programs_is_known_before_one_is_built(tmp_path: Path) -> None:
    done = _run("gotools", "--dir", cache=tmp_path)
    folder = Path(done.stdout.removesuffix("\n"))
    assert (done.returncode, done.stderr) == (0, "")
    assert folder.parent == tmp_path / "vmi-service-status/tools"
    assert not folder.exists()


def test_a_mistake_is_one_line_on_standard_error(tmp_path: Path) -> None:
    done = _run("images", "agent", cache=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hack.builds: there is no image agent; there are: launcher-agent, handler-service\n"


def test_a_part_that_needs_nothing_is_ready(tmp_path: Path) -> None:
    done = _run("parts", "lint", "unit", cache=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_build_in_the_background_has_a_process_group_and_a_log(tmp_path: Path) -> None:
    done = _run("--background", "gotools", "no-such-program", cache=tmp_path)
    group = int(done.stdout)
    log = tmp_path / "vmi-service-status/build.log"
    wait_until(lambda: "no-such-program" in log.read_text(), what="the log says why it failed", timeout=TIMEOUT)
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(group, signal.SIGKILL)


def test_what_each_part_needs_is_known() -> None:
    assert set(parts.NEEDS) == set(PARTS)
