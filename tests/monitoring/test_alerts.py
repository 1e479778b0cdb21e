"""The alerts: they are valid rules, fire when they should and no earlier, and lead to a page that helps."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from handler_service.model import Reason
from tests.monitoring.rules import REPOSITORY, alerts, groups, promtool, write

_TESTS = Path(__file__).with_name("alerts.test.yaml")
# The headings that a person who was woken by an alert looks for, in this order.
_HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    return write(tmp_path / "rules.yaml", groups())


def test_the_rules_are_rules(rule_file: Path) -> None:
    """Prometheus itself parses them, and no rule appears twice."""
    assert "FAILED" not in promtool("check", "rules", "--lint=all", "--lint-fatal", rule_file)


def test_each_alert_fires_when_it_should(rule_file: Path) -> None:
    """At the limit of its expression and of its duration, in alerts.test.yaml."""
    tests = rule_file.with_name(_TESTS.name)
    shutil.copy(_TESTS, tests)
    promtool("test", "rules", tests)


def test_no_alert_is_without_such_a_test() -> None:
    """A new alert needs one."""
    cases = [case for test in yaml.safe_load(_TESTS.read_text())["tests"] for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts().keys()


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_leads_to_its_runbook(name: str) -> None:
    """What it means, its effect on users, commands that find the cause, what to do."""
    alert = alerts()[name]
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    text = (REPOSITORY / f"docs/runbooks/{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## .*", text, re.MULTILINE) == _HEADINGS
    diagnosis = text.partition("## Diagnosis")[2].partition("## Mitigation")[0]
    assert "```" in diagnosis


def test_no_runbook_is_without_its_alert() -> None:
    """Pages of removed alerts mislead."""
    assert {page.stem for page in (REPOSITORY / "docs/runbooks").glob("*.md")} - {"index"} == alerts().keys()


def test_every_alert_says_how_urgent_it_is() -> None:
    """In KubeVirt's words."""
    for name, alert in alerts().items():
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}, name
        assert alert["labels"]["operator_health_impact"] in {"none", "warning", "critical"}, name
        assert {"summary", "description"} <= alert["annotations"].keys(), name


def test_the_runbook_knows_every_reason() -> None:
    """Each reason for a value that is not observed has a line; a new reason needs one."""
    fine = {Reason.WATCHING, Reason.NO_DOMAIN, Reason.FINISHED, Reason.NO_AGENT, Reason.LOWER_BOUND}
    fine |= {Reason.NOT_WATCHED, Reason.QUERY_FAILED}  # of services other than VNC, about which no alert is
    page = (REPOSITORY / "docs/runbooks/VMIServiceStatusUnknown.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    assert listed == {reason.value for reason in Reason if reason not in fine}
