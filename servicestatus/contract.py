"""What both ends must agree on and protobuf cannot say: bounds, terms, features, channel options.

The agent and the handler import this module and never each other. A number stands here once, with its reason; the
proto files state the same numbers for people who read the API without this code.
"""

from dataclasses import dataclass
from typing import Final

# --- Features -------------------------------------------------------------------------------------------------------
# A behaviour that came after the first release of v1, or that one side may decline, is in force only when both sides
# listed its string. Never compare versions.

#: Sessions whose peer has an address travel with it. A handler that must not know peers leaves it out.
IDENTIFIED_SESSIONS: Final = "identified-sessions"

FEATURES: Final = frozenset({IDENTIFIED_SESSIONS})

# --- Bounds ---------------------------------------------------------------------------------------------------------
# A peer may lie about its own VM only, and may not cost more than this.

#: Bytes of one message. The largest legal one (16 services, 256 identified sessions each) is below 640 KiB, but QEMU
#: stops at 32 finished clients, so a real one stays below 8 KiB.
MAX_MESSAGE_BYTES: Final = 64 * 1024
#: Sessions, and unfinished clients, of one service. QEMU's own limit is 32 finished ones by default; it can be raised.
MAX_SESSIONS: Final = 65_535
#: Services in one message: room for every service that KubeVirt has a subresource for, twice over.
MAX_SERVICES: Final = 16
#: Sessions whose peer is told, for one service.
MAX_IDENTIFIED: Final = 256
#: Bytes of an instance name, a version, a feature, an address; and of a text for people.
MAX_NAME_BYTES: Final = 64
MAX_TEXT_BYTES: Final = 256
#: Features in a Hello.
MAX_FEATURES: Final = 64
#: A Kubernetes namespace is a DNS label, an object's name a DNS subdomain.
MAX_NAMESPACE_BYTES: Final = 63
MAX_OBJECT_NAME_BYTES: Final = 253
#: Streams that one socket may have open: the living one, and one that is not yet noticed to be dead, twice over.
MAX_STREAMS: Final = 4
#: Connections that one socket may have open: the agent's, one that is not yet noticed to be dead, and one more. Each
#: costs the handler about 50 KiB.
MAX_CONNECTIONS: Final = 3
#: Seconds until Hello must have come.
HELLO_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What Welcome dictates. Times in seconds. The defaults hold for every term that a Welcome leaves out."""

    #: 5 s: a sign of life costs about half a millisecond on both ends together, so 250 VMs cost 25 ms/s.
    heartbeat_interval: float = 5.0
    #: Three heartbeats: one may be late and one may be lost in a reconnect.
    lease: float = 15.0
    #: Deltas sent and not yet accepted.
    window: int = 8
    #: A takeover is two deltas, and a person clicking does not make eight changes in a second.
    delta_burst: int = 8
    #: Two a second in a storm: still more than the publisher writes (one a second), and each costs both ends CPU.
    delta_interval: float = 0.5


DEFAULT_SETTINGS: Final = StreamSettings()

#: The range in which an agent follows a term; outside it takes the nearest bound, since a handler's mistake must not
#: make the agent spin or fall silent.
HEARTBEAT_RANGE: Final = (0.1, 60.0)
LEASE_RANGE: Final = (0.2, 600.0)
WINDOW_RANGE: Final = (1, 1024)
DELTA_INTERVAL_RANGE: Final = (0.01, 10.0)

# --- Channel options ------------------------------------------------------------------------------------------------

Options = list[tuple[str, int]]

#: A frozen peer must be noticed within 10 s. Keepalive alone does not (a full minute was measured, because the ping
#: timeout of HTTP/2 is separate): 5 s until the ping, 3 s for its answer make 8 s.
_LIVENESS: Final[Options] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]

#: A reader that does not read may cost kilobytes, not megabytes, of buffers at the other end.
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
    # gRPC's own reconnects wait up to two minutes and have little jitter: the agent's retry table decides instead.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A proxy set for HTTP in the environment is not meant for a unix socket.
    ("grpc.enable_http_proxy", 0),
]

SERVER_OPTIONS: Final[Options] = [
    *_LIVENESS,
    *_SMALL_BUFFERS,
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # The agent pings every 5 s. Half of that leaves room for a timer that fires early, and still stops a ping flood.
    ("grpc.http2.min_ping_interval_without_data_ms", 2_500),
    ("grpc.max_concurrent_streams", MAX_STREAMS * 2),
    # The agent's own door has this many, for people with grpcurl; before an endpoint stands the handler's gate.
    ("grpc.max_allowed_incoming_connections", 16),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_metadata_size", 8_192),
    # Two servers on one path would split the agents between them without a word.
    ("grpc.so_reuseport", 0),
]
