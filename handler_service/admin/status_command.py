"""Runs `handler-service status`: asks a running handler for its VMs, as `kubectl get` asks a cluster."""

import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import grpc
from google.protobuf.json_format import MessageToJson

from handler_service import config
from handler_service.admin import status_table
from servicestatus import contract, flags, logs, version
from servicestatus.sockets import SocketDirectory, SocketError
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import service_status_service_pb2_grpc as pb_grpc

#: Seconds. A handler answers in milliseconds; a frozen one never.
TIMEOUT: Final = 5.0
#: A host with many VMs gives a long answer, and the handler is trusted with it.
_OPTIONS: Final = contract.override(contract.CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))
_DESCRIPTION: Final = "Shows the VMs of the handler that runs on this host."
_EPILOG: Final = """\
SESSIONS is `-`, and IDLE is Unknown, while the number is not known. A number with OBSERVED False is the last one known.
Exit status: 0 after an answer, 1 if no handler answers or if it has no such VM, 2 after a wrong flag.
"""


class NoAnswerError(Exception):
    """The handler does not answer; the text says why, and what to do."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print the status and return the exit status."""
    parser = flags.FlagParser("handler-service", _DESCRIPTION, _EPILOG, version.installed())
    parser.prog = "handler-service status"  # the variables are those of handler-service
    parser.add_argument("vm", nargs="?", metavar="VM", help="show only this VM: NAME, or NAMESPACE/NAME")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table",
        help="how to print it; json is what grpcurl prints for ListServiceStatuses, with zero and false")  # fmt: skip
    parser.add_argument("--admin-socket", type=Path, default=Path(config.ADMIN_SOCKET), metavar="SOCKET",
        help="the socket of the handler's debug API")  # fmt: skip
    options = parser.parse(arguments, environment)
    try:
        answer = ask(options.admin_socket)
    except NoAnswerError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 1
    if options.vm is not None:
        found = [one for one in answer.statuses if options.vm in (one.vmi.name, f"{one.vmi.namespace}/{one.vmi.name}")]
        if not found:
            text = f"the handler has no VM {logs.printable(options.vm)}; without a name, all of its VMs are shown"
            sys.stderr.write(f"{parser.prog}: error: {text}\n")
            return 1
        answer = pb.ListServiceStatusesResponse(statuses=found)
    if options.output == "json":
        sys.stdout.write(MessageToJson(answer, always_print_fields_with_no_presence=True) + "\n")
        return 0
    sys.stdout.write(status_table.table(answer.statuses, time.time()))
    if not answer.statuses:
        sys.stderr.write("the handler runs and has no VM: no agent was started\n")
    for problem in status_table.problems(answer.statuses):
        sys.stderr.write(f"{problem}\n")
    return 0


def ask(path: Path, timeout: float = TIMEOUT) -> pb.ListServiceStatusesResponse:
    """Return the answer of the handler that serves `path`; raises NoAnswerError. `timeout` is in seconds."""
    try:
        directory = SocketDirectory.open(path.absolute().parent)
    except SocketError as error:
        raise NoAnswerError(f"{error}; {_not_running(path)}") from error
    with closing(directory):
        _connect(directory, path, timeout)
        with grpc.insecure_channel(directory.address(path.name), _OPTIONS) as channel:
            stub = pb_grpc.ServiceStatusServiceStub(channel)
            try:
                answer: pb.ListServiceStatusesResponse = stub.ListServiceStatuses(
                    pb.ListServiceStatusesRequest(), timeout=timeout
                )
            except grpc.RpcError as error:
                raise NoAnswerError(f"{path}: {_failure(error, timeout)}") from error
    return answer


def _connect(directory: SocketDirectory, path: Path, timeout: float) -> None:
    """Connect once, because gRPC does not pass on the system's reason."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.settimeout(timeout)
            probe.connect(directory.path_of(path.name))
        except PermissionError as error:
            raise NoAnswerError(f"{path}: {error.strerror}; run this as root, or as a member of its group") from error
        except OSError as error:
            raise NoAnswerError(f"{path}: {error.strerror or error}; {_not_running(path)}") from error


def _not_running(path: Path) -> str:
    return f"the handler does not run, or has another --admin-socket than {path}"


def _failure(error: grpc.RpcError, timeout: float) -> str:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the handler has not answered within {timeout:g} s"
    return f"the handler answered with an error: {error.details()}"
