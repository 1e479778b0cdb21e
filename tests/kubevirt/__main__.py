"""A real KubeVirt with the project on it, for manual use: `python -m tests.kubevirt`.

It returns when VMs can be created and leaves the cluster running; `python -m tests.cluster --dir FOLDER` operates and
ends it. With KUBEVIRT_CLUSTER=FOLDER the tests use it instead of a cluster of their own. It needs root.
"""

import argparse
import contextlib
import sys
from pathlib import Path

from hack.builds.cache import CACHE
from tests.apiserver.client import Client
from tests.cluster.cluster import Cluster
from tests.kubevirt.build import Build
from tests.kubevirt.deployment import Deployment


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kubevirt", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dir", type=Path, default=CACHE / "kubevirt-cluster", help="its folder")
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    build = Build.find()
    cluster = Cluster(options.dir, nodes=options.nodes, images=[build.archive]).up(detached=True)
    with contextlib.closing(Client(cluster.kubeconfig)) as client:
        deployment = Deployment(cluster, client, build)
        deployment.deploy()
        deployment.give_images()
        deployment.install()
    sys.stdout.write(f"KUBECONFIG={cluster.kubeconfig}\nVIRTCTL={build.virtctl}\n")


if __name__ == "__main__":
    main()
