"""A real cluster to try things in, by hand: `python -m tests.cluster up`, and `down` when done.

`up` returns when every node is Ready and leaves the cluster running. `kubectl`, `ctr` and `node-exec` replace this
process by that program, so that it can be interactive (`node-exec sh`). It needs root.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.builds.cache import CACHE
from tests.cluster.cluster import Cluster
from tests.cluster.tools import tool


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        sys.exit("a cluster needs root: its nodes are namespaces with mounts, links and cgroups of their own")
    match options.command:
        case "up":
            _up(Cluster(options.dir, nodes=options.nodes, images=options.image))
        case "down":
            Cluster(options.dir).down()
        case "kubectl":
            kubectl = Cluster.attach(options.dir).kubectl
            _become(kubectl.command(*options.arguments), {**os.environ, **kubectl.environment})
        case "ctr":
            _on_node(options, [tool("ctr"), "--namespace=k8s.io", *options.arguments])
        case "node-exec":
            _on_node(options, options.arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dir", type=Path, default=CACHE / "cluster", help="its folder; there is one cluster in each")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a cluster; one that is up already stays")
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--image", type=Path, action="append", default=[], help="a docker archive that each node has")
    commands.add_parser("down", help="end it and remove all of it, also what a killed start left")
    for name, what in (("kubectl", "kubectl as admin"), ("ctr", "containerd's client"), ("node-exec", "a command")):
        command = commands.add_parser(name, help=what if name == "kubectl" else f"{what} on a node", add_help=False)
        if name != "kubectl":
            command.add_argument("--node", default="n1")
        command.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _up(cluster: Cluster) -> None:
    if not cluster.is_up:
        cluster.up(detached=True)
    sys.stdout.write(f"KUBECONFIG={cluster.kubeconfig}\n")


def _on_node(options: argparse.Namespace, command: Sequence[str | Path]) -> None:
    nodes = {node.name: node for node in Cluster.attach(options.dir).nodes}
    if options.node not in nodes:
        sys.exit(f"no node {options.node}; there are {', '.join(nodes)}")
    _become(nodes[options.node].command(*command), os.environ)


def _become(command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
    words = [str(word) for word in command]
    os.execvpe(words[0], words, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
