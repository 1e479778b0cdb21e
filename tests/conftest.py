"""What holds for every test."""

import signal


def pytest_configure() -> None:
    """A job that a shell started in the background ignores SIGINT, and each program under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
