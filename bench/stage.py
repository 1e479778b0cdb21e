"""What all measures stand on: one control plane, the images, and nodes full of VMIs."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import bare_stream
from bench.containers import Root, sweep
from bench.revisions import Archives, archives_of, cpus_library
from bench.sides import BEFORE, OURS, PEER, Roots, Side
from hack.builds import peer
from servicestatus.file_limit import raise_file_limit
from tests.apiserver.client import Client
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Node
from tests.apiserver.vmis import Vmi
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import WITH_SERVICE_STATUS
from tests.node.archives import AGENT, HANDLER, archive_of

#: What a root has in addition to the image's own files.
BARE_STREAM: Final = Path(bare_stream.__file__)


@dataclass
class Crowd:
    """A node and its VMIs."""

    node: Node
    vmis: list[Vmi]


@dataclass
class Stage:
    """Everything that runs for as long as the bench."""

    folder: Path
    plane: ControlPlane
    client: Client
    #: Ours, the peer's, and ours before if a revision is compared.
    sides: tuple[Side, ...]
    #: How many rounds of everything; few where the bench itself is tried out.
    quick: bool
    _stack: ExitStack = field(repr=False)

    def rounds(self, many: int) -> int:
        return 2 if self.quick else many

    def seconds(self, long: float) -> float:
        return min(long, 1.0) if self.quick else long

    def size(self, many: int) -> int:
        return max(2, many // 25) if self.quick else many

    def crowd(self, size: int, *, owned: bool = True) -> Crowd:
        """A new node with so many VMIs. Those that are not `owned` are another node's to publish."""
        name = f"node-{uuid.uuid4().hex[:8]}"
        node = self._stack.enter_context(Node(self.plane, name))
        namespace = self.plane.create_namespace(name)

        def run(number: int) -> Vmi:
            vmi = node.run(Vmi(self.client, namespace, f"vm-{number:04}"))
            if not owned:
                vmi.patch(nodeName="elsewhere")
            return vmi

        with ThreadPoolExecutor(max_workers=4) as pool:
            return Crowd(node, list(pool.map(run, range(size))))

    def clear(self, crowd: Crowd) -> None:
        """Its VMIs are not needed any more."""
        self.client.delete(crowd.vmis[0].path.rpartition("/")[0])

    # --- the API server's side ---

    def writes(self) -> int:
        """Patches of VMIs that it has answered so far, by its own count."""
        return sum(
            int(float(line.rpartition(" ")[2]))
            for line in self._metrics().splitlines()
            if line.startswith("apiserver_request_total{")
            and 'resource="virtualmachineinstances"' in line
            and 'verb="PATCH"' in line
        )

    def server_seconds(self) -> float:
        """CPU time of kube-apiserver and etcd."""
        return sum(server.cpu_seconds() for server in (self.plane.apiserver, self.plane.etcd))

    def _metrics(self) -> str:
        connection = self.client.connection()
        try:
            connection.request("GET", "/metrics", headers=self.client.headers())
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@contextmanager
def stage(folder: Path, *, quick: bool, against: str = "") -> Iterator[Stage]:
    """Starts it, and ends it. `against` is a git revision to compare with."""
    # Thousands of connections at once; what is started here inherits it.
    raise_file_limit()
    sweep()
    with ExitStack() as stack:
        programs = peer.build()
        now = Archives(archive_of(AGENT), archive_of(HANDLER))
        images = {OURS: now, PEER: now, **({BEFORE: archives_of(against)} if against else {})}
        extra = [programs / "peer-launcher", cpus_library(folder), BARE_STREAM]
        roots = Roots(
            {name: stack.enter_context(Root(one.agent, extra)) for name, one in images.items()},
            {name: stack.enter_context(Root(one.handler, [programs / "peer-handler"])) for name, one in images.items()},
            programs,
        )
        plane = stack.enter_context(ControlPlane(folder / "plane", resources=[WITH_SERVICE_STATUS, BASE]))
        install(plane)
        client = stack.enter_context(closing(Client(plane.kubeconfig)))
        sides = tuple(Side(name, roots, folder) for name in images)
        yield Stage(folder, plane, client, sides, quick, stack)
