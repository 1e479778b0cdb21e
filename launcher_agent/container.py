"""Starts the agent in its container: the image's /usr/bin/launcher-agent calls `main`.

That script runs `python3.13 -IOO`: no code comes from the environment or a user's directory (-I), and docstrings and
assertions, which only people and tools read, do not take a megabyte or more beside every VM (-OO).
"""

import sys
from collections.abc import Callable
from typing import NoReturn

from servicestatus import imports
from servicestatus.container import end_on_sigterm


def main() -> None:
    """Run the agent. Process 1 is launcher_supervisor.c, or this process where the entry point is another one."""
    end_on_sigterm()
    load()()


def load() -> Callable[[], NoReturn]:
    """Import the program, without what it does not use, and return its `main`."""
    # asyncio works without TLS if there is no module ssl. The agent does not use TLS, and ssl takes 0.7 MiB.
    sys.modules["ssl"] = None  # type: ignore[assignment] # an import of it raises ImportError
    with imports.collector_paused():
        imports.leave_out_typing_extensions()
        imports.leave_out_python_message()
        # Imported here: everything large is imported after the lines above.
        from launcher_agent.main import main as run  # noqa: PLC0415
    return run
