"""Files that a forge and pre-commit read: what they call exists in this tree."""

import re
from pathlib import Path
from typing import Any

import yaml

from servicestatus.v1 import agent_status_service_pb2, service_status_service_pb2

ROOT = Path(__file__).parents[3]


def _read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_workflow_runs_targets_of_the_makefile() -> None:
    """It has no commands of its own, apart from those that prepare the container."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in _read(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"]]
    run = [step["run"].removeprefix("make ") for step in steps if step.get("run", "").startswith("make ")]
    assert run == ["check", "test"]
    assert set(run) <= targets


def test_the_workflow_pins_what_others_wrote() -> None:
    """An action is named by a commit, since a tag can be moved."""
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"uses: (\S+)", text)
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in re.findall(r"uses: (\S+)", text))


def test_each_word_of_a_hook_chooses_a_check_of_lint() -> None:
    """A check that was renamed must not leave a hook that checks nothing."""
    checks = re.findall(r"^check '([^']+)'", (ROOT / "hack/lint.sh").read_text(), re.MULTILINE)
    (repository,) = _read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        words = re.findall(r"'([^']+)'", hook["entry"])
        assert words
        assert [word for word in words if not any(word in check for check in checks)] == []


def test_a_bug_report_asks_both_debug_apis() -> None:
    """Both answers are required, and the calls exist."""
    fields = {part.get("id"): part for part in _read(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    for field, descriptor in (("agent", agent_status_service_pb2), ("handler", service_status_service_pb2)):
        assert fields[field]["validations"]["required"] is True
        service, method = re.findall(r"(servicestatus\.v1\.\w+)/(\w+)", fields[field]["attributes"]["description"])[0]
        found = descriptor.DESCRIPTOR.services_by_name[service.removeprefix("servicestatus.v1.")]
        assert method in found.methods_by_name
