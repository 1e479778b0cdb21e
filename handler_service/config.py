"""Parses and validates the handler's flags, once, at the start."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler_service import polling_flag
from handler_service.model import VmiId
from servicestatus import addresses, contract, flags, names, version
from servicestatus.addresses import Address
from servicestatus.flags import DurationRange, checked_by
from servicestatus.service_flags import add_api_server_flags, add_http_flags

#: A file name has at most 255 bytes, and the document of a VMI is called NAME.json.
LONGEST_DOCUMENT_NAME: Final = 250
#: The defaults are what the systemd units in manifests/systemd/ make.
ADMIN_SOCKET: Final = "/run/vmi-service-status/admin.sock"
FILE_DIR: Final = "/var/lib/vmi-service-status"

#: A group of flags; argparse exports its class under this name alone.
Flags = argparse._ArgumentGroup  # noqa: SLF001 - as above
_CLUSTER_PUBLISHERS: Final = ("auto", "vmi-status", "companion")
_DESCRIPTION: Final = (
    "Receives reports from the agents of this host's VMs and publishes the number of VNC sessions of each VM."
)
_EPILOG: Final = """\
examples:
  on one host without a cluster, as its systemd unit does; a VM vm1 has its document at
  /var/lib/vmi-service-status/default/vm1.json:
    handler-service --endpoints-dir /run/launcher-agent

  the VMs of a handler that runs here:
    handler-service status

  on a node, as its DaemonSet does, beside socket-opener:
    handler-service --publisher auto --node-name "$NODE_NAME" --opener /run/opener/opener.sock

  show all that the handler knows:
    grpcurl -plaintext -unix /run/vmi-service-status/admin.sock \\
      servicestatus.v1.ServiceStatusService/ListServiceStatuses

Every flag can be set by an environment variable: --file-dir is HANDLER_SERVICE_FILE_DIR. The values of a repeatable
flag are separated by white space there.
"""


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """Holds a value of --endpoint: a VMI and its socket."""

    vmi: VmiId
    socket: Path


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """Configures a handler without a cluster: endpoints from the command line or in a directory, values in files."""

    endpoints: tuple[StaticEndpoint, ...]
    file_dir: Path
    #: The directory of the VMs' directories, instead of `endpoints`.
    endpoints_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Configures a handler on a node of a cluster."""

    #: "auto", "vmi-status" or "companion".
    publisher: str
    node: str
    #: The socket of the opener, which opens the sockets of launcher pods.
    opener: Path
    #: None for the pod's own service account.
    kubeconfig: Path | None
    #: Seconds until a request times out, and until a watch is renewed.
    api_timeout: float
    watch_timeout: float
    #: Whether to write Kubernetes events about VMIs.
    events: bool
    #: The namespace of this node's Lease; None if no controller runs that reads it.
    lease_namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Holds the values of all flags."""

    mode: StaticConfig | ClusterConfig
    admin_socket: Path
    admin_address: Address | None
    probe_address: Address | None
    metrics_address: Address | None
    settings: contract.StreamSettings
    #: The services that agents poll, and the seconds between two polls.
    polling: Mapping[int, float]
    log_level: str
    log_format: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration; after a mistake, exit with status 2 and one line that names the flag."""
    parser = _parser()
    options = parser.parse(arguments, environment)
    if options.lease < 2 * options.heartbeat_interval:
        parser.fail("--lease", f"{options.lease:g}s is less than two heartbeat intervals")
    mode = _static(parser, options) if options.publisher == "file" else _cluster(parser, options)
    # Last, so that an unusable default is reported only after the mistakes in flags that were given.
    try:
        flags.socket_path(options.admin_socket)
    except ValueError as error:
        parser.fail("--admin-socket", str(error))
    return Config(
        mode=mode,
        admin_socket=options.admin_socket,
        admin_address=options.admin_address,
        probe_address=options.probe_address,
        metrics_address=options.metrics_address,
        settings=contract.StreamSettings(heartbeat_interval=options.heartbeat_interval, lease=options.lease),
        polling=polling_flag.polling(parser, options.poll),
        log_level=options.log_level,
        log_format=options.log_format,
    )


def parse_endpoint(text: str) -> StaticEndpoint:
    """Parse `NAMESPACE/NAME=SOCKET`; raises ValueError with the reason."""
    name, separator, socket = text.partition("=")
    namespace, slash, name = name.partition("/")
    if not (separator and slash and socket):
        raise ValueError("it is not NAMESPACE/NAME=SOCKET")
    if not names.is_namespace(namespace):
        raise ValueError(f"{namespace!r} is not the name of a namespace")
    if not names.is_object_name(name):
        raise ValueError(f"{name!r} is not the name of a VMI")
    if len(name) > LONGEST_DOCUMENT_NAME:
        raise ValueError(
            f"{name!r} is not usable with files: its document's name, NAME.json, has {len(name) + 5} bytes, and a file"
            f" name at most 255; use a VMI name of at most {LONGEST_DOCUMENT_NAME} characters"
        )
    path = Path(socket).absolute()
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a directory: create it first, or name another socket")
    return StaticEndpoint(VmiId(namespace, name, ""), path)


def _static(parser: flags.FlagParser, options: argparse.Namespace) -> StaticConfig:
    if not options.endpoint and options.endpoints_dir is None:
        parser.fail("--endpoint", "or --endpoints-dir is needed with --publisher file; on a node, use --publisher auto")
    if options.endpoint and options.endpoints_dir is not None:
        parser.fail("--endpoints-dir", "is not valid together with --endpoint")
    sockets = [endpoint.socket for endpoint in options.endpoint]
    for socket in sockets:
        if sockets.count(socket) > 1:
            parser.fail("--endpoint", f"the socket {socket} is given twice; each VM needs its own")
    try:
        file_dir = _writable_directory(options.file_dir)
    except ValueError as error:
        parser.fail("--file-dir", f"{options.file_dir!r}: {error}")
    return StaticConfig(tuple(options.endpoint), file_dir, options.endpoints_dir)


def _cluster(parser: flags.FlagParser, options: argparse.Namespace) -> ClusterConfig:
    if options.node_name is None:
        parser.fail("--node-name", f"is needed with --publisher {options.publisher}")
    for flag, value in (("--endpoint", options.endpoint), ("--endpoints-dir", options.endpoints_dir)):
        if value:
            parser.fail(flag, f"is only valid with --publisher file, not with {options.publisher}")
    if options.opener is None:
        parser.fail("--opener", f"is needed with --publisher {options.publisher}")
    return ClusterConfig(
        publisher=options.publisher,
        node=options.node_name,
        opener=options.opener,
        kubeconfig=options.kubeconfig,
        api_timeout=options.api_timeout,
        watch_timeout=options.watch_timeout,
        events=options.events,
        lease_namespace=options.lease_namespace,
    )


def _parser() -> flags.FlagParser:
    parser = flags.FlagParser("handler-service", _DESCRIPTION, _EPILOG, version.installed())
    parser.add_argument("--publisher", choices=["file", *_CLUSTER_PUBLISHERS], default="file",
        help="where to publish: in files, in the VMI's own status, in a companion object of the VMI, or (auto) in the"
        " companion and, if the VMI's schema has the field, also in the VMI")  # fmt: skip
    _add_host_flags(parser.add_argument_group("one host without a cluster (--publisher file)"))
    _add_cluster_flags(parser.add_argument_group("a node of a cluster (the other publishers)"))
    _add_stream_flags(parser.add_argument_group("the agents"))
    _add_operation_flags(parser.add_argument_group("operation"))
    return parser


def _add_host_flags(group: Flags) -> None:
    group.add_argument("--endpoint", action="append", type=checked_by(parse_endpoint), default=[],
        metavar="NAMESPACE/NAME=SOCKET", help="serve a VM's agent on this socket; repeatable")  # fmt: skip
    group.add_argument("--endpoints-dir", type=checked_by(flags.existing_directory), metavar="DIR",
        help="serve the agent of each VM that has a directory DIR/NAME, on DIR/NAME/handler.sock; its VMI is"
        " default/NAME, and a new one is served within a second. Only root and this user may write to DIR")  # fmt: skip
    group.add_argument("--file-dir", default=FILE_DIR, metavar="DIR",
        help="publish in DIR/NAMESPACE/NAME.json")  # fmt: skip


def _add_cluster_flags(group: Flags) -> None:
    add = group.add_argument
    add("--node-name", type=checked_by(_node_name), metavar="NAME", help="serve the VMIs of this node of the cluster")
    add("--opener", type=checked_by(flags.socket_path), metavar="SOCKET",
        help="the socket of socket-opener, which opens the sockets of this node's launcher pods")  # fmt: skip
    add_api_server_flags(add, timeout="10s")
    add("--events", action=argparse.BooleanOptionalAction, default=True,
        help="write Kubernetes events about sessions; for each VMI a burst of ten, then one per minute")  # fmt: skip
    add("--lease-namespace", type=checked_by(flags.namespace), metavar="NAMESPACE",
        help="renew a Lease for this node in this namespace, which shows the controller that the handler runs"
        " (default: none)")  # fmt: skip


def _add_stream_flags(group: Flags) -> None:
    group.add_argument("--heartbeat-interval", type=DurationRange(*contract.HEARTBEAT_RANGE), default="5s",
        metavar="DURATION", help="the interval of an agent's heartbeats")  # fmt: skip
    group.add_argument("--lease", type=DurationRange(*contract.LEASE_RANGE), default="15s", metavar="DURATION",
        help="a value is unknown after this time without a message of its agent")  # fmt: skip
    polling_flag.add(group.add_argument)


def _add_operation_flags(group: Flags) -> None:
    add = group.add_argument
    add("--admin-socket", type=checked_by(flags.socket_path), default=Path(ADMIN_SOCKET),
        metavar="SOCKET", help="serve the debug API on this socket, for grpcurl")  # fmt: skip
    add("--admin-address", type=checked_by(addresses.parse_loopback), metavar="HOST:PORT",
        help="serve the debug API on this loopback port, for kubectl port-forward (default: none)")  # fmt: skip
    add_http_flags(add)
    flags.add_log_flags(add)


def _node_name(text: str) -> str:
    if not names.is_object_name(text):
        raise ValueError("it is not the name of a node")
    return text


def _writable_directory(text: str) -> Path:
    path = flags.existing_directory(text)
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{path} may not be written by this user")
    return path
