"""Parses and validates the webhook's flags, once, at the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from injection_webhook.template import NAME
from servicestatus import addresses, flags, version
from servicestatus.addresses import Address
from servicestatus.flags import DurationRange, checked_by
from servicestatus.service_flags import add_api_server_flags, add_http_flags

_DESCRIPTION: Final = "Adds the agent to new launcher pods, for an API server without MutatingAdmissionPolicy."
_EPILOG: Final = """\
example, as its Deployment does it:
  injection-webhook --template-namespace "$POD_NAMESPACE" --address :8443 \\
    --certificate-dir /etc/vmi-service-status/certificate --probe-address :8191

Every flag is an environment variable too: --address is INJECTION_WEBHOOK_ADDRESS.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Holds the values of all flags."""

    #: Where the API server sends its reviews.
    address: Address
    #: The mounted Secret with tls.crt and tls.key.
    certificate_dir: Path
    #: Which LauncherAgentTemplate says what is injected.
    template_namespace: str
    template_name: str
    #: None: the pod's own service account.
    kubeconfig: Path | None
    #: Seconds for one request, and after which a watch is renewed.
    api_timeout: float
    watch_timeout: float
    #: Seconds from the signal to stop until nothing is answered any more.
    drain_timeout: float
    probe_address: Address | None
    metrics_address: Address | None
    log_level: str
    log_format: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration; after a mistake, exit with status 2 and one line that names the flag."""
    options = _parser().parse(arguments, environment)
    return Config(**vars(options))


def _parser() -> flags.FlagParser:
    parser = flags.FlagParser("injection-webhook", _DESCRIPTION, _EPILOG, version.installed())
    add = parser.add_argument
    add("--address", type=checked_by(addresses.parse), required=True, metavar="[HOST]:PORT",
        help="answer the API server's reviews on this address, by TLS")  # fmt: skip
    add("--certificate-dir", type=Path, required=True, metavar="DIRECTORY",
        help="the mounted Secret with tls.crt and tls.key; it may still be empty, and is followed")  # fmt: skip
    add("--template-namespace", type=checked_by(flags.namespace), required=True, metavar="NAMESPACE",
        help="where the LauncherAgentTemplate is that says what is injected")  # fmt: skip
    add("--template-name", type=flags.filled, default=NAME, metavar="NAME",
        help="the LauncherAgentTemplate's name")  # fmt: skip
    add_api_server_flags(add, timeout="5s")
    add("--drain-timeout", type=DurationRange(0, 60), default="5s", metavar="DURATION",
        help="after a signal, answer for this time before ending")  # fmt: skip
    add_http_flags(add)
    flags.add_log_flags(add)
    return parser
