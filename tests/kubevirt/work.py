"""How much KubeVirt's own programs have done, by their own counters: writes, and reconciles."""

import json
import re
from collections import Counter
from collections.abc import Iterator

from tests.cluster.cluster import Cluster
from tests.kubevirt.objects import NAMESPACE

PROGRAMS = ("virt-api", "virt-controller", "virt-handler")
PORT = 8443
_LINE = re.compile(r"^kubevirt_(rest_client_requests_total|workqueue_adds_total)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# What a program writes periodically, whatever its VMs do.
_HEARTBEATS = {"leases", "nodes"}


def work_done(cluster: Cluster) -> Counter[str]:
    """Return counts since the programs started: `virt-api writes`, `virt-handler reconciles`...; nodes are added up."""
    pods = json.loads(cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=json"))["items"]
    done: Counter[str] = Counter()
    for pod in pods:
        program = pod["metadata"]["labels"].get("kubevirt.io")
        if program in PROGRAMS:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/https:{pod['metadata']['name']}:{PORT}/proxy/metrics"
            for kind, count in _counts(cluster.kubectl("get", "--raw", path)):
                done[f"{program} {kind}"] += count
    return done


def _counts(metrics: str) -> Iterator[tuple[str, int]]:
    for name, labels, value in _LINE.findall(metrics):
        label = dict(_LABEL.findall(labels))
        if name == "workqueue_adds_total":
            yield "reconciles", int(float(value))
        elif label["method"] != "GET" and label["resource"] not in _HEARTBEATS:
            yield "writes", int(float(value))
