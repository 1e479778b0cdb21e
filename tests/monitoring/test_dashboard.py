"""The dashboard: Prometheus accepts each query, and each is about metrics that the handler really has."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.decisions import Decisions
from controller.marker import Marker
from controller.metrics import ControllerCollector
from controller.watches import Watches
from handler_service.exposition import Exposition
from handler_service.kube.client import KubeClient
from injection_webhook.certificate import ServingCertificate
from injection_webhook.metrics import WebhookCollector
from injection_webhook.stats import Stats
from injection_webhook.template import Template, follow
from tests.monitoring.rules import COMPONENT, promtool, rules, write
from tests.unit.handler.metrics.scene import Scene

# KubeVirt's own metrics, if they are collected, and Prometheus' own about each target.
FOREIGN = {"kubevirt_vmi_info", "up"}
_OURS = re.compile(r"\b(?:kubevirt_vmi_|vmi_service_status_|process_|(?:cluster|node):)[\w:]+|\bup\b")
_VARIABLES = {"$__rate_interval": "5m", "$node": ".*", "$namespace": ".*"}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((COMPONENT / "dashboard.json").read_text())
    return found


def queries() -> Iterator[str]:
    """Return the queries of all panels, with Grafana's variables replaced."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for variable, value in _VARIABLES.items():
                query = query.replace(variable, value)
            yield query


def exported() -> set[str]:
    """Return the names of all samples of a handler that has counted something of everything."""
    scene = Scene()
    scene.add()
    scene.report(sessions=1, since=1.0)
    scene.manager.reports.entry("vm").counters = {"libvirt_connects": 1, "polls": 1, "poll_failures": 0}
    scene.manager.reports.stats.rejections["ABORTED"] += 1
    scene.requests.answered("PATCH", 200, 0.01)
    text = scene.text() + controller_metrics() + webhook_metrics()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    return {re.split(r"[ {]", sample, maxsplit=1)[0] for sample in samples}


def controller_metrics() -> str:
    """Return what a controller exports that has counted nothing yet."""
    client, decisions = KubeClient(None, 1.0, "test"), Decisions()
    followed = Watches(client, "vss", 1.0, decisions, time.monotonic).followed
    marker = Marker(client, "vss", decisions, time.monotonic, time.time, list_again=lambda: None)
    collector = ControllerCollector(decisions, marker, followed, time.monotonic, "1.2.3")
    return Exposition(collector).render("text/plain")[0].decode()


def webhook_metrics() -> str:
    """What a webhook exports that was asked nothing yet."""
    client, template = KubeClient(None, 1.0, "test"), Template()
    followed, certificate = follow(client, "vss", "template", 1.0, template), ServingCertificate(Path())
    collector = WebhookCollector(Stats(), certificate, template, followed, "1.2.3")
    return Exposition(collector).render("text/plain")[0].decode()


def known() -> set[str]:
    return exported() | FOREIGN | {rule["record"] for rule in rules() if "record" in rule}


def names(expression: str) -> set[str]:
    """Return the metrics in a query; text in quotation marks is a label's value."""
    return set(_OURS.findall(re.sub(r'"[^"]*"', '""', expression)))


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    """Parsed as rules, since promtool parses rules."""
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    assert len(recorded) > 20
    promtool("check", "rules", write(tmp_path / "queries.yaml", [{"name": "dashboard", "rules": recorded}]))


def test_every_query_is_about_metrics_that_exist() -> None:
    """A panel that is always empty looks as if all is well."""
    for query in queries():
        assert names(query), query
        assert names(query) <= known(), query


def test_every_rule_is_about_metrics_that_exist() -> None:
    """An alert on a metric that does not exist never fires."""
    for rule in rules():
        assert names(rule["expr"]), rule
        assert names(rule["expr"]) <= known(), rule


def test_the_panels_do_not_lie_upon_each_other() -> None:
    """Nor do they exceed the grid, which is 24 wide."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_data_source_is_for_the_reader_to_choose() -> None:
    """No panel names a data source of its author."""
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
