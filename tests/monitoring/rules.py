"""The alert rules in Prometheus' format, from the object of the Prometheus operator."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMPONENT = REPOSITORY / "manifests/components/monitoring"
# It parses some kilobytes; the rest is for a busy machine.
_TIMEOUT = 200


def groups() -> list[dict[str, Any]]:
    """Of the PrometheusRule."""
    return list(yaml.safe_load((COMPONENT / "prometheusrule.yaml").read_text())["spec"]["groups"])


def rules() -> list[dict[str, Any]]:
    """Return all rules, recording and alerting."""
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """By name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def write(file: Path, groups_: list[dict[str, Any]]) -> Path:
    """A rule file."""
    file.write_text(yaml.safe_dump({"groups": groups_}))
    return file


def promtool(*arguments: str | Path, input_: str = "") -> str:
    """Return its output; fail with the output if it reports an error."""
    done = subprocess.run(
        ["promtool", *arguments], input=input_, capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
