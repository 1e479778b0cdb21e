"""Starts the handler in its container: the image's /usr/bin/handler-service calls `main`.

That script runs `python3.13 -IOO`: no code comes from the environment or a user's directory (-I), and docstrings and
assertions, which only people and tools read, do not take a megabyte or more (-OO).
"""

from servicestatus import imports
from servicestatus.container import end_on_sigterm


def main() -> None:
    """Run the handler as process 1."""
    end_on_sigterm()
    with imports.collector_paused():
        imports.leave_out_python_message()
        # Imported here: everything large is imported after the signal is handled.
        from handler_service.main import main as run  # noqa: PLC0415

    run()
