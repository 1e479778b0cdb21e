"""Serves one handler at a time, on a socket in a directory that only the two containers have.

A request is answered before the next one is read, and a handler that does not read its response is disconnected. So a
handler that was taken over costs this process a bounded amount of memory, and the node's CPU no more than the rate.
"""

import argparse
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from handler_service.opener.messages import MAX_REQUEST, MessageError, encode_refused
from handler_service.opener.opener import answer
from handler_service.opener.pod_directory import PodsDirectory
from servicestatus import logs, version
from servicestatus.file_limit import raise_file_limit
from servicestatus.rate_limit import TokenBucket
from servicestatus.sockets import SocketDirectory, SocketError

log = logging.getLogger("handler_service.opener")

#: Requests and connections at once, and seconds between further ones. A handler that starts opens a socket for each pod
#: of the node; later it asks once or twice a second for each 128 pods.
_BURST: Final = 1000
_INTERVAL: Final = 0.02
_AT_ONCE: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
#: Lines about a handler at once, and seconds between further ones.
_LINES: Final = 20
_LINE_INTERVAL: Final = 60.0
#: Seconds after which a request has hung, and the kubelet is to start this program again.
_WATCHDOG: Final = 30


def main() -> None:
    """Run the program `socket-opener`."""
    parser = argparse.ArgumentParser(
        "socket-opener",
        description="Opens sockets in the directories of launcher pods and passes them to one handler, which has no"
        " access to these directories. It runs beside the handler on each node.",
    )
    parser.add_argument("--version", action="version", version=f"socket-opener {version.installed()}")
    parser.add_argument("--pods-dir", type=Path, required=True, help="where the kubelet's pods directory is mounted")
    parser.add_argument("--socket", type=Path, required=True, help="where the handler connects")
    options = parser.parse_args()
    logs.setup("info", "text")
    # The owner and the group may use sockets: in a pod's directory the group is that of the pod.
    os.umask(0o007)
    # The kernel passes no descriptor while all processes of this user have more than that in unread messages. The user
    # is root, so these are the processes of the node and of all containers that run as root.
    raise_file_limit()
    # As process 1, a program gets no signal that it does not handle.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _end)
    try:
        run(options.pods_dir, options.socket)
    except (OSError, SocketError) as error:
        log.error("%s", error)
        sys.exit(1)


def run(pods_path: Path, path: Path) -> None:
    """Serve until a signal; raises OSError, SocketError."""
    try:
        pods = PodsDirectory(pods_path)
    except OSError as error:
        text = f"--pods-dir: {pods_path}: {error.strerror}; mount the kubelet's pods directory there"
        raise SocketError(text) from error
    directory = SocketDirectory.open(path.parent)
    with directory.take_over(path.name, kind=socket.SOCK_SEQPACKET) as listener:
        log.info("opening sockets below %s", pods_path)
        bucket, lines = TokenBucket(_BURST, _INTERVAL), TokenBucket(_LINES, _LINE_INTERVAL)
        while True:
            handler, _ = listener.accept()
            with handler:
                end = _serve(pods, handler, bucket)
            if lines.take(time.monotonic()):
                log.info("the connection of a handler has ended: %s", end)


def _serve(pods: PodsDirectory, handler: socket.socket, bucket: TokenBucket) -> str:
    """Answer until the handler hangs up, or sends what is no request; return which of these."""
    try:
        _pay(bucket)
        while request := handler.recv(MAX_REQUEST + 1):
            _pay(bucket)
            signal.alarm(_WATCHDOG)
            respond(handler, *answer(pods, request))
            signal.alarm(0)
    except MessageError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        signal.alarm(0)
    return "it has hung up"


def _pay(bucket: TokenBucket) -> None:
    """Wait for a token."""
    while not bucket.take(now := time.monotonic()):
        time.sleep(bucket.ready_at(now) - now)


def respond(handler: socket.socket, response: bytes, passed: socket.socket | None) -> None:
    """Send a response and the socket that is passed with it, which is closed here; raises OSError."""
    with passed or contextlib.nullcontext():
        descriptors: Sequence[int] = [] if passed is None else [passed.fileno()]
        try:
            socket.send_fds(handler, [response], descriptors, _AT_ONCE)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            handler.send(encode_refused(f"a socket cannot be passed: {error.strerror}"), _AT_ONCE)


def _end(number: int, _frame: object) -> None:
    if number == signal.SIGALRM:
        log.error("a request has taken more than %d s; ending", _WATCHDOG)
        sys.exit(1)
    sys.exit(0)
