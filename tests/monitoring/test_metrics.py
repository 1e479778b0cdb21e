"""The form of the metrics: Prometheus' own lint finds no mistake, and the docs list each metric."""

import re

from tests.monitoring.rules import REPOSITORY, promtool
from tests.monitoring.test_dashboard import controller_metrics, exported, webhook_metrics
from tests.unit.handler.metrics.scene import Scene

_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def test_the_lint_of_prometheus_finds_no_fault() -> None:
    """Names, units, suffixes, help texts."""
    scene = Scene()
    scene.add()
    scene.report(sessions=1, since=1.0)
    scene.requests.answered("PATCH", 200, 0.01)
    assert promtool("check", "metrics", input_=scene.text()) == ""
    assert promtool("check", "metrics", input_=controller_metrics()) == ""
    assert promtool("check", "metrics", input_=webhook_metrics()) == ""


def test_every_metric_is_in_the_docs_and_no_other() -> None:
    """docs/metrics.md has a line for each."""
    page = (REPOSITORY / "docs/metrics.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    ours = {_SUFFIX.sub("", name) for name in exported() if not name.startswith("process_")}
    assert listed == ours


def test_the_names_of_kubevirt_are_left_to_it() -> None:
    """KubeVirt has its own number, of the connections that pass virt-api."""
    assert "kubevirt_vnc_active_connections" not in exported()
    ours = ("kubevirt_vmi_service_", "vmi_service_status_", "process_")
    assert all(name.startswith(ours) for name in exported())
