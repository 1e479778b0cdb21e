"""Parses and validates the controller's flags, once, at the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servicestatus import flags, version
from servicestatus.addresses import Address
from servicestatus.flags import checked_by
from servicestatus.service_flags import add_api_server_flags, add_http_flags

_DESCRIPTION: Final = (
    "Marks the values of nodes whose handler is away as not observed, and removes companions that nothing maintains."
)
_EPILOG: Final = """\
example, as its Deployment does it:
  controller --lease-namespace "$POD_NAMESPACE" --probe-address :8189 --metrics-address :8188

Every flag is an environment variable too: --lease-namespace is CONTROLLER_LEASE_NAMESPACE.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Holds the values of all flags."""

    #: Where the handlers renew their Leases.
    lease_namespace: str
    #: None: the pod's own service account.
    kubeconfig: Path | None
    #: Seconds for one request, and after which a watch is renewed.
    api_timeout: float
    watch_timeout: float
    probe_address: Address | None
    metrics_address: Address | None
    log_level: str
    log_format: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration; after a mistake, exit with status 2 and one line that names the flag."""
    options = _parser().parse(arguments, environment)
    return Config(**vars(options))


def _parser() -> flags.FlagParser:
    parser = flags.FlagParser("controller", _DESCRIPTION, _EPILOG, version.installed())
    add = parser.add_argument
    add("--lease-namespace", type=checked_by(flags.namespace), required=True, metavar="NAMESPACE",
        help="where the handlers renew their Leases, as their own --lease-namespace says")  # fmt: skip
    add_api_server_flags(add, timeout="5s")
    add_http_flags(add)
    flags.add_log_flags(add)
    return parser
