"""The flags of the programs that use the API server and have HTTP ports: the handler, the controller and the webhook.

`add` is the `add_argument` of a parser or of a group. The agent has none of them, and not the modules they need either.
"""

from collections.abc import Callable

from servicestatus import addresses, flags
from servicestatus.flags import DurationRange, checked_by


def add_api_server_flags(add: Callable[..., object], timeout: str) -> None:
    """Add how the API server is used; `timeout` is the default duration of a request."""
    add("--kubeconfig", type=checked_by(flags.existing_file), metavar="FILE",
        help="how to reach the API server (default: the pod's service account)")  # fmt: skip
    add("--api-timeout", type=DurationRange(0.5, 60), default=timeout, metavar="DURATION",
        help="the timeout of a request to the API server")  # fmt: skip
    add("--watch-timeout", type=DurationRange(1, 3600), default="2m", metavar="DURATION",
        help="renew a watch after about this time, which limits how long a dead one stays unnoticed")  # fmt: skip


def add_http_flags(add: Callable[..., object]) -> None:
    """Add the ports of servicestatus/http_ports.py."""
    add("--probe-address", type=checked_by(addresses.parse), metavar="[HOST]:PORT",
        help="serve /healthz and /readyz on this address (default: none)")  # fmt: skip
    add("--metrics-address", type=checked_by(addresses.parse), metavar="[HOST]:PORT",
        help="serve /metrics on this address (default: none)")  # fmt: skip
