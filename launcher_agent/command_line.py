"""Parses and checks the agent's command line."""

from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from launcher_agent.config import PROGRAM, Config
from launcher_agent.vm.query_policy import QueryPolicy
from servicestatus import names
from servicestatus.flags import FlagParser, add_log_flags, filled

#: A socket's address holds 107 bytes. Its directory is opened, so what else is in it is `/proc/self/fd/NNNNNN/`.
_MAX_SOCKET_NAME: Final = 80

_EPILOG: Final = """\
every flag can be set in the environment too: --log-level is LAUNCHER_AGENT_LOG_LEVEL, --query=never is
LAUNCHER_AGENT_QUERY=never. The command line wins.

examples:
  in KubeVirt's launcher pod, where the defaults fit:
    launcher-agent
  on a libvirt host, for one of its domains, as the systemd unit launcher-agent@vm1 does:
    launcher-agent --libvirt-uri=qemu:///system --domain=vm1 \\
      --handler-socket=/run/launcher-agent/vm1/handler.sock --admin-socket=/run/launcher-agent/vm1/agent.sock
  ask a running agent what it sees:
    grpcurl -plaintext -unix /var/run/service-status/agent.sock \\
      servicestatus.v1.AgentStatusService/GetAgentStatus
"""


def parse(arguments: Sequence[str], environment: Mapping[str, str], version: str) -> Config:
    """The configuration; ends the program with status 2 and one line if a value is wrong."""
    parser = _parser(version)
    values = parser.parse(arguments, environment)
    if values.admin_socket == values.handler_socket:
        parser.fail("--admin-socket", f"{str(values.admin_socket)!r} is the handler's socket")
    return Config(**vars(values))


def _parser(version: str) -> FlagParser:
    parser = FlagParser(
        prog=PROGRAM,
        description="Watches who is connected to a VM and reports it to the handler of its node.",
        epilog=_EPILOG,
        version=version,
    )
    add = parser.add_argument_group("the VM").add_argument
    add(
        "--libvirt-uri",
        type=_libvirt_uri,
        default="qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock",
        metavar="URI",
        help="a libvirt of this machine",
    )
    add("--domain", type=filled, metavar="NAME", help="the VM's domain (default: the only one)")
    add(
        "--query",
        type=_query,
        default="auto",
        metavar="{auto,always,never}",
        help="when to ask QEMU for its VNC and SPICE clients, over a read-write connection opened for that alone; this "
        "taints the domain (custom-monitor, once per start). auto: when the agent did not see the VM start, and after "
        "a start where a client can connect before libvirt is ready (TCP and websocket; with --domain, every start). "
        "always: after every start. never: the count is then a lower bound and not observed, and USB redirections and "
        "serial consoles are not polled, whatever the handler asks for",
    )
    add("--no-query", dest="query", action="store_const", const=QueryPolicy.NEVER, help="the same as --query=never")
    add = parser.add_argument_group("the handler").add_argument
    add(
        "--handler-socket",
        type=_socket,
        default="/var/run/service-status/handler.sock",
        metavar="PATH",
        help="the unix socket of the handler",
    )
    add(
        "--namespace",
        type=_namespace,
        default="",
        help="the VMI's namespace; the handler refuses an agent whose socket belongs to another (default: not claimed)",
    )
    add(
        "--name",
        type=_object_name,
        default="",
        help="the VMI's name; the handler refuses an agent whose socket belongs to another (default: not claimed)",
    )
    add = parser.add_argument_group("operation").add_argument
    add(
        "--admin-socket",
        type=_optional_socket,
        default="/var/run/service-status/agent.sock",
        metavar="PATH",
        help="where to answer grpcurl and health checks; empty: nowhere",
    )
    add_log_flags(add)
    return parser


def _query(text: str) -> QueryPolicy:
    """The former values of a flag that was true or false stay valid: manifests may contain them."""
    text = {"true": "auto", "false": "never"}.get(text, text)
    try:
        return QueryPolicy(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is none of auto, always, never") from None


def _libvirt_uri(text: str) -> str:
    """A URI of a QEMU driver behind a unix socket: whatever else there is would need a network, or has no viewers."""
    try:
        uri = urlsplit(text)
        host = uri.netloc
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a URI: {error}") from error
    if uri.scheme not in {"qemu", "qemu+unix"}:
        raise ArgumentTypeError(f"{text!r} must begin with qemu:/// or qemu+unix:///")
    if host:
        raise ArgumentTypeError(f"{text!r} names the host {host!r}, but libvirt must be on this machine")
    if uri.path not in {"/system", "/session"}:
        raise ArgumentTypeError(f"{text!r} must have the path /system or /session")
    return text


def _socket(text: str) -> Path:
    path = Path(filled(text)).absolute()
    if text.endswith("/") or "\0" in text:
        raise ArgumentTypeError(f"{text!r} is not the path of a socket")
    if len(path.name.encode()) > _MAX_SOCKET_NAME:
        raise ArgumentTypeError(f"{text!r} ends in a name of more than {_MAX_SOCKET_NAME} bytes")
    return path


def _optional_socket(text: str) -> Path | None:
    return _socket(text) if text else None


def _namespace(text: str) -> str:
    if text and not names.is_namespace(text):
        raise ArgumentTypeError(f"{text!r} is not a Kubernetes namespace")
    return text


def _object_name(text: str) -> str:
    if text and not names.is_object_name(text):
        raise ArgumentTypeError(f"{text!r} is not a Kubernetes name")
    return text
