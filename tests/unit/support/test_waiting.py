"""The one factor of all time limits, which a slow machine sets."""

import os
import subprocess
import sys

import pytest

# A wait of 2 s for what never comes, and how long it took.
WAIT = """
import time
from testbed.waiting import WaitTimeoutError, wait_until
start = time.monotonic()
try:
    wait_until(lambda: False, what="never", timeout=2)
except WaitTimeoutError as error:
    print(time.monotonic() - start, error)
"""


@pytest.mark.parametrize(("factor", "seconds"), [("0.1", "0.2"), ("", "2")])
def test_a_factor_scales_each_wait(factor: str, seconds: str) -> None:
    """Without one a wait has the limit that the test states."""
    environment = {name: value for name, value in os.environ.items() if name != "TIMEOUT_FACTOR"}
    environment |= {"TIMEOUT_FACTOR": factor} if factor else {}
    command = [sys.executable, "-c", WAIT]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert float(said.split()[0]) >= float(seconds)
    assert f"not within {seconds} s: never" in said
