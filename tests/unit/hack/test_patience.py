"""What scripts say while they are at work (hack/common.sh), and that it ends with them."""

import subprocess
import time
from pathlib import Path

COMMON = Path(__file__).parents[3] / "hack/common.sh"
# Seconds: far above the one that it takes to notice that the script has ended, far below the wait that would be held.
SOON = 30


def _run(script: str) -> tuple[int, str, str, float]:
    """The status, standard output, standard error and duration of a script that has sourced common.sh."""
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", f". {COMMON}\n{script}"], capture_output=True, text=True, check=False, timeout=2 * SOON
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - start


def test_it_says_that_it_is_at_work_until_it_is_settled() -> None:
    """On standard error, so that what a script answers can be captured."""
    status, answer, said, _ = _run("patience 'images: the base' 1\nsleep 2.5\nsettle\nsleep 2.5\necho answer")
    assert status == 0
    assert answer == "answer\n"
    assert said.startswith("images: the base: still at it (1 s)\n")
    assert 1 <= said.count("still at it") <= 3


def test_it_is_silent_about_what_is_done_soon() -> None:
    assert _run("patience 'x'\nsettle\necho answer")[:3] == (0, "answer\n", "")


def test_a_script_that_fails_takes_it_along() -> None:
    """It holds no output open, so whoever reads that is not kept waiting."""
    status, _, said, seconds = _run("patience 'x' 1000\nfalse\necho never")
    assert status == 1
    assert said == ""
    assert seconds < SOON
