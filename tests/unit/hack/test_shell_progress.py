"""What scripts report while they run (hack/common.sh), and that the report ends with the script."""

import re
import subprocess
import time
from pathlib import Path

COMMON = Path(__file__).parents[3] / "hack/common.sh"
# Seconds: the report notices the end of the script within one second; without that it would wait for 1000.
SOON = 30


def _run(script: str) -> tuple[int, str, str, float]:
    """The status, standard output, standard error and duration of a script that has sourced common.sh."""
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", f". {COMMON}\n{script}"], capture_output=True, text=True, check=False, timeout=2 * SOON
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - start


def test_a_script_reports_that_it_runs_until_the_step_ends(tmp_path: Path) -> None:
    """It reports on standard error, so that what a script answers can be captured."""
    log = tmp_path / "log"
    script = f"""
exec 2> {log}
progress 'images: the base' 1
until grep -q running {log}; do sleep 0.1; done
end_progress
echo ended >&2
sleep 2.5
echo answer
"""
    status, answer, *_ = _run(script)
    assert status == 0
    assert answer == "answer\n"
    assert re.fullmatch(r"(images: the base: still running \(\d+ s\)\n)+ended\n", log.read_text())


def test_a_short_step_is_not_reported() -> None:
    assert _run("progress 'x'\nend_progress\necho answer")[:3] == (0, "answer\n", "")


def test_the_report_ends_with_a_script_that_fails() -> None:
    """It holds no output open, so a reader of that output does not wait."""
    status, _, said, seconds = _run("progress 'x' 1000\nfalse\necho never")
    assert status == 1
    assert said == ""
    assert seconds < SOON
