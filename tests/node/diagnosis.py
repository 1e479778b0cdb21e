"""The state of a failed test's namespace and of the handlers, collected before they are removed."""

import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.cluster.workloads import Workloads

HANDLERS = "--selector=app.kubernetes.io/component=handler"
# Lines of each log.
TAIL = 60


def describe(cluster: Workloads, namespace: str) -> Iterator[tuple[str, str]]:
    """Return each title with kubectl's output; empty output is stated as such."""
    here, ours = f"--namespace={namespace}", "--namespace=vmi-service-status"
    tail = ("--prefix", f"--tail={TAIL}", "--max-log-requests=50")
    looks = {
        "pods": ("get", "pods", here, "--output=wide"),
        "companions": ("get", "vmiss", here, "--output=wide"),
        "events": ("get", "events", here, "--sort-by=.lastTimestamp"),
        "agents": ("logs", here, "--selector=kubevirt.io=virt-launcher", "--container=launcher-agent", *tail),
        "handlers": ("logs", ours, HANDLERS, "--container=handler", *tail),
    }
    for title, arguments in looks.items():
        try:
            said = cluster.kubectl(*arguments, check=False)
        except subprocess.TimeoutExpired as error:
            said = str(error)
        yield f"{title} ({namespace})", said or "nothing"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """For a conftest.py whose tests have the fixtures `cluster` and `namespace`; pytest calls it for those only."""
    report = yield
    used = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed and {"cluster", "namespace"} <= used.keys():
        report.sections.extend(describe(used["cluster"], used["namespace"]))
    return report
