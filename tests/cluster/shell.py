"""Runs the shell scripts of docs/ as an admin of the tests' cluster does."""

import os
import subprocess
from pathlib import Path

from testbed.documents import script
from tests.cluster.administrator import Administrator
from tests.cluster.tools import tool

# The longest makes two keys and sends two requests.
TIMEOUT = 120.0


def run_script(page: str, name: str, folder: Path, administrator: Administrator) -> None:
    """In `folder`, with kubectl; fails with what it said."""
    path = ":".join([str(tool("kubectl").parent), os.environ["PATH"]])
    cache = administrator.kubectl.environment["KUBECACHEDIR"]
    environment = {"PATH": path, "KUBECONFIG": str(administrator.kubeconfig), "KUBECACHEDIR": cache}
    done = subprocess.run(
        ["sh", "-eu", "-c", script(page, name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {name}: {done.stdout}{done.stderr}"
