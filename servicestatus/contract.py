"""Rules that agent and handler agree on and that protobuf cannot express: bounds, stream settings, features, options.

The agent and the handler import this module and never each other. Each number is here once, with its reason. The proto
files state the same numbers for readers of the API.
"""

from dataclasses import dataclass
from typing import Final

# --- Features -------------------------------------------------------------------------------------------------------
# A behaviour that is newer than the first release of v1, or that one side may decline, is in force only if both sides
# listed its string. Versions are never compared.

#: The agent sends the addresses of its sessions' peers. A handler that must not know peers does not list this feature.
IDENTIFIED_SESSIONS: Final = "identified-sessions"

#: The agent reports services other than VNC, each with its own observation, and polls those that Welcome asks for. A
#: handler without it would count each as an unknown item, so the agent sends VNC alone.
SERVICE_OBSERVATIONS: Final = "service-observations"

FEATURES: Final = frozenset({IDENTIFIED_SESSIONS, SERVICE_OBSERVATIONS})

# --- Bounds ---------------------------------------------------------------------------------------------------------
# A peer can misreport its own VM only, and its cost is limited by these bounds.

#: Bytes of one message. QEMU admits 32 finished clients by default, so a real message is below 8 KiB. The largest one
#: within the other bounds (16 services, 256 identified sessions each) would be below 640 KiB, and is rejected.
MAX_MESSAGE_BYTES: Final = 64 * 1024
#: Sessions, and unfinished clients, of one service. QEMU's own limit is 32 finished ones by default; it can be raised.
MAX_SESSIONS: Final = 65_535
#: Services in one message: twice the number of services for which KubeVirt has a subresource.
MAX_SERVICES: Final = 16
#: Identified sessions of one service.
MAX_IDENTIFIED: Final = 256
#: Bytes of an instance name, a version, a feature or an address, and of a text for people.
MAX_NAME_BYTES: Final = 64
MAX_TEXT_BYTES: Final = 256
#: Features in a Hello.
MAX_FEATURES: Final = 64
#: A Kubernetes namespace is a DNS label, an object's name a DNS subdomain.
MAX_NAMESPACE_BYTES: Final = 63
MAX_OBJECT_NAME_BYTES: Final = 253
#: Open streams of one socket: the current one and one whose end was not noticed yet, times two.
MAX_STREAMS: Final = 4
#: Open connections of one socket: the agent's, one whose end was not noticed yet, and one more. Each costs the handler
#: about 50 KiB.
MAX_CONNECTIONS: Final = 3
#: Seconds within which Hello must arrive.
HELLO_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The settings of a stream, which Welcome carries. Times in seconds. A setting that is not set has its default."""

    #: 5 s: 250 agents at rest cost their handler 30 ms/s, with the pings of their connections.
    heartbeat_interval: float = 5.0
    #: Three heartbeats: one may be late, and one may be lost in a reconnect.
    lease: float = 15.0
    #: Deltas sent and not yet accepted.
    window: int = 8
    #: A takeover is two deltas, and one person does not cause eight changes in a second.
    delta_burst: int = 8
    #: Two a second in a storm: more than a publisher writes (one a second), and each costs both programs CPU.
    delta_interval: float = 0.5


DEFAULT_SETTINGS: Final = StreamSettings()

#: The range of each setting. The agent replaces a value outside of it by the nearest bound, because a handler's mistake
#: must make the agent neither spin nor stop reporting.
HEARTBEAT_RANGE: Final = (0.1, 60.0)
LEASE_RANGE: Final = (0.2, 600.0)
WINDOW_RANGE: Final = (1, 1024)
DELTA_INTERVAL_RANGE: Final = (0.01, 10.0)

# --- Polling --------------------------------------------------------------------------------------------------------

#: Seconds between two polls of a service for which Welcome gives no interval. A poll costs agent, libvirt and QEMU
#: together 2 ms of CPU time, so 5 s are 0.4 ms/s for each VM.
POLL_INTERVAL: Final = 5.0
#: Less than a second would cost each VM more than its heartbeats; a minute is the oldest number worth a condition.
POLL_INTERVAL_RANGE: Final = (1.0, 60.0)

# --- Channel options ------------------------------------------------------------------------------------------------

Options = list[tuple[str, int]]

#: A frozen peer must be noticed within 10 s: 5 s until the ping and 3 s for its answer are 8 s. The keepalive options
#: alone need a minute (measured), because HTTP/2 has a separate timeout for pings: docs/upstream/grpc-keepalive.md.
_LIVENESS: Final[Options] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]

#: A peer that does not read costs kilobytes of buffers at the other end, not megabytes.
_SMALL_BUFFERS: Final[Options] = [
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16_384),
]


def override(options: Options, *others: tuple[str, int]) -> Options:
    """Return `options` with `others` in place of options of the same name: of two equal names gRPC takes the first."""
    return list((dict(options) | dict(others)).items())


CHANNEL_OPTIONS: Final[Options] = [
    *_LIVENESS,
    *_SMALL_BUFFERS,
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # gRPC's reconnects wait up to two minutes and have little jitter: the agent's retry table applies instead.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # An HTTP proxy of the environment must not be used for a unix socket.
    ("grpc.enable_http_proxy", 0),
]

SERVER_OPTIONS: Final[Options] = [
    *_LIVENESS,
    *_SMALL_BUFFERS,
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # The agent pings every 5 s. Half of that tolerates a timer that fires early, and stops a flood of pings.
    ("grpc.http2.min_ping_interval_without_data_ms", 2_500),
    ("grpc.max_concurrent_streams", MAX_STREAMS * 2),
    # For the debug APIs. The connections of an endpoint are bounded by the HTTP/2 proxy before it (MAX_CONNECTIONS).
    ("grpc.max_allowed_incoming_connections", 16),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_metadata_size", 8_192),
    # Two servers on one address would share its clients without an error.
    ("grpc.so_reuseport", 0),
]
