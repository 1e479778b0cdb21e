"""What holds for every test."""

import signal

import pytest

from testbed.progress import Progress
from testbed.waiting import scaled


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--histories", type=int, default=2000, help="how many histories tests/simulation runs")


def pytest_configure() -> None:
    """A job that a shell started in the background ignores SIGINT, and each program under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scale each test's own time limit as its waits."""
    if scaled(1) == 1:
        return
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(scaled(seconds)), append=False)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say in a log how far the run is."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not reporter.isatty:
        session.config.pluginmanager.register(Progress(reporter))
