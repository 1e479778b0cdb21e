"""Debian's Prometheus, on this machine: it scrapes handler and controller every second and runs the project's rules."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any, Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.cluster.ports import free_port
from tests.monitoring.rules import groups, write

HANDLER, CONTROLLER = "vmi-service-status-handler", "vmi-service-status-controller"
# The rules with seconds in place of minutes, otherwise unchanged. A rate looks back over several scrapes.
_FOR, _WINDOW = "2s", "[10s]"


def _hurried(rule: dict[str, Any]) -> dict[str, Any]:
    changed = {**rule, "expr": re.sub(r"\[\d+m\]", _WINDOW, rule["expr"])}
    return {**changed, "for": _FOR} if "for" in rule else changed


class Prometheus(ManagedProcess):
    """A server with two jobs. Each has one target, which `watch` sets."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the test's own."""
        rules = [{**group, "rules": [_hurried(rule) for rule in group["rules"]]} for group in groups()]
        self._targets = {job: folder / f"{job}.json" for job in (HANDLER, CONTROLLER)}
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(write(folder / "rules.yaml", rules))],
            "scrape_configs": [
                {"job_name": job, "honor_labels": True, "file_sd_configs": [{"files": [str(targets)]}]}
                for job, targets in self._targets.items()
            ],
        }
        # What is JSON is YAML.
        (folder / "prometheus.yaml").write_text(json.dumps(config))
        flags = {
            "config.file": folder / "prometheus.yaml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{port}",
        }
        argv = ["prometheus", *(f"--{flag}={value}" for flag, value in flags.items())]
        super().__init__(argv, log=folder / "prometheus.log")

    def watch(self, job: str, port: int, **labels: str) -> Self:
        """Scrape the job's program at this port of this machine's loopback."""
        self._targets[job].write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"], "labels": labels}]))
        return self

    def query(self, expression: str) -> dict[str, float]:
        """Run an instant query; return values by their labels without the target's own."""
        found = self._get(f"query?query={urllib.request.quote(expression)}")["result"]  # type: ignore[attr-defined]
        return {_named(one["metric"]): float(one["value"][1]) for one in found}

    def firing(self) -> dict[str, dict[str, str]]:
        """Return labels by alert's name."""
        found = self._get("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in found if one["state"] == "firing"}

    def wait_firing(self, *names: str, timeout: float = 120.0) -> dict[str, dict[str, str]]:
        """Wait until all of these fire at once."""
        wanted = set(names)
        return wait_until(
            self.firing, lambda now: wanted <= now.keys(), what=f"{sorted(wanted)} fire", timeout=timeout, interval=0.2,
            retry_on=(OSError,),
        )  # fmt: skip

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}", timeout=10) as answer:  # noqa: S310  # http, to itself
            return json.loads(answer.read())["data"]


def _named(labels: dict[str, str]) -> str:
    kept = {key: value for key, value in labels.items() if key not in ("__name__", "instance", "job", "node")}
    return ",".join(f"{key}={value}" for key, value in sorted(kept.items()))
