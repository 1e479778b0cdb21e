"""Reads the stream settings of a Welcome: a missing one has its default, one out of range the nearest bound.

With the settings of a faulty handler the agent must neither send without pause nor stop reporting. Texts are truncated
to the contract's limits.
"""

from collections.abc import Mapping

from servicestatus import contract
from servicestatus.services import POLLED
from servicestatus.text import truncate
from servicestatus.timestamps import seconds_of
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import Service, VmiReference


def settings(welcome: pb.Welcome) -> contract.StreamSettings:
    """Return the settings of the stream that this Welcome opens."""
    default = contract.DEFAULT_SETTINGS
    heartbeat = _setting(welcome, "heartbeat_interval", default.heartbeat_interval, contract.HEARTBEAT_RANGE)
    lease = _setting(welcome, "lease", default.lease, contract.LEASE_RANGE)
    return contract.StreamSettings(
        heartbeat_interval=heartbeat,
        lease=max(lease, 2 * heartbeat),
        window=_number(welcome.window, default.window),
        delta_burst=_number(welcome.delta_burst, default.delta_burst),
        delta_interval=_setting(welcome, "delta_interval", default.delta_interval, contract.DELTA_INTERVAL_RANGE),
    )


def features(welcome: pb.Welcome) -> frozenset[str]:
    """Return the features that both sides listed."""
    return contract.FEATURES.intersection(welcome.features)


def polling(welcome: pb.Welcome) -> Mapping[Service, float]:
    """Return the services that the handler asks the agent to poll, with the seconds between two polls."""
    if contract.SERVICE_OBSERVATIONS not in features(welcome):
        return {}
    low, high = contract.POLL_INTERVAL_RANGE
    asked: dict[Service, float] = {}
    for one in welcome.polling[: contract.MAX_SERVICES]:
        if one.service in POLLED:
            seconds = seconds_of(one, "interval")
            asked[one.service] = contract.POLL_INTERVAL if seconds is None else min(max(seconds, low), high)
    return asked


def vmi(welcome: pb.Welcome) -> VmiReference:
    """Return the VMI to which the handler assigned the socket; it is shown and not used."""
    return VmiReference(
        namespace=truncate(welcome.vmi.namespace, contract.MAX_NAMESPACE_BYTES),
        name=truncate(welcome.vmi.name, contract.MAX_OBJECT_NAME_BYTES),
        uid=truncate(welcome.vmi.uid, contract.MAX_NAME_BYTES),
    )


def _setting(welcome: pb.Welcome, field: str, default: float, bounds: tuple[float, float]) -> float:
    seconds = seconds_of(welcome, field)
    return default if seconds is None else min(max(seconds, bounds[0]), bounds[1])


def _number(value: int, default: int) -> int:
    low, high = contract.WINDOW_RANGE
    return min(max(value, low), high) if value else default
