"""The name and the addresses of a cluster, decided once and written into its folder.

Only two of its names are seen outside its namespaces: its cgroup and the link to the machine. Both are its `id`, which
follows from its folder. Of its networks only that of the nodes is seen there; pods and services are behind it and may
have the same addresses in every cluster.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

PREFIX = "vmiss-"
# The name of the control plane's namespaces, of their bridge, and of their end of the link to the machine.
CONTROL_PLANE = "plane"
BRIDGE = "bridge"
MACHINE = "machine"
SERVICES = "10.215.0.0/24"
FIRST_SERVICE = "10.215.0.1"
DNS = "10.215.0.10"
API_PORT = 6443
# One digit each in names and addresses; the machine's memory is the tighter limit.
MAX_NODES = 9
# A file that only a cluster's folder contains, so that no other folder is ever removed.
PLAN = "vmiss-plan.json"
NEW = "vmiss-plan.json.new"


@dataclass(frozen=True)
class Plan:
    """`network` is the third number of the nodes' addresses."""

    folder: Path
    network: int
    nodes: int

    @property
    def id(self) -> str:
        return cluster_id(self.folder)

    @property
    def api_server(self) -> str:
        """The address of the API server."""
        return f"{network_of(self.network)}1"

    @property
    def machine(self) -> str:
        """The address of the machine in the nodes' network."""
        return f"{network_of(self.network)}254"

    def node(self, number: int) -> str:
        """The address of a node; the first has the number 1."""
        return f"{network_of(self.network)}{10 + number}"

    def pods(self, number: int) -> str:
        """The addresses of a node's pods."""
        return f"10.214.{number}.0/24"

    @property
    def numbers(self) -> range:
        return range(1, self.nodes + 1)

    def write(self) -> None:
        """Write it and rename it into place, so that a plan that exists is complete."""
        new = self.folder / NEW
        new.write_text(json.dumps({**asdict(self), "folder": str(self.folder)}))
        new.rename(plan_file(self.folder))


def read_plan(folder: Path) -> Plan:
    """Return the plan of the cluster that was started in this folder."""
    fields = json.loads(plan_file(folder).read_text())
    return Plan(folder=Path(fields["folder"]), network=fields["network"], nodes=fields["nodes"])


def network_of(number: int) -> str:
    """Return the beginning of the addresses of a nodes' network."""
    return f"10.213.{number}."


def plan_file(folder: Path) -> Path:
    return folder / PLAN


def cluster_id(folder: Path) -> str:
    """At most 15 bytes long, as names of links are."""
    return PREFIX + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]


def is_plan_folder(folder: Path) -> bool:
    """Return whether a cluster was started, or its start began, in this folder, so that it may be removed."""
    if not folder.is_dir():
        return False
    return plan_file(folder).exists() or all(path.name == NEW for path in folder.iterdir())
