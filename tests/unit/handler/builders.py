"""Short words for the values that the tests of the core are about."""

from handler_service.model import DesiredStatus, Endpoint, Reason, VmiId, Watermark
from handler_service.reports.entry import Observed, ServiceState
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types

VNC = types.SERVICE_VNC
VMI = VmiId("default", "vm", "")
OTHER_VMI = VmiId("default", "other", "")
POD_UID = "11111111-2222-3333-4444-555555555555"
# From the kubelet's folder of a pod to its volume with the handler's socket.
COMPONENTS = ("volumes", "kubernetes.io~empty-dir", "service-status")

WATCHING = Observed(True, Reason.WATCHING)
NO_DOMAIN = Observed(True, Reason.NO_DOMAIN)
UNREACHABLE = Observed(False, Reason.LIBVIRT_UNREACHABLE, "connection refused")


def endpoint(id_: str = "a", vmi: VmiId = VMI) -> Endpoint:
    """One socket of `vmi`."""
    return Endpoint(id=id_, vmi=vmi, socket=f"/run/{id_}.sock")


def vnc(sessions: int, since: float | None = None, accuracy: int = types.ACCURACY_EXACT) -> dict[int, ServiceState]:
    """What an agent says of VNC."""
    return {VNC: ServiceState(sessions=sessions, accuracy=accuracy, since=since)}


def desired(
    sessions: int, *, observed: bool = True, synced: bool = True, sequence: int = 1, endpoint_id: str = "a"
) -> DesiredStatus:
    """What follows for a VMI with one endpoint."""
    reason = Reason.WATCHING if observed else Reason.AGENT_SILENT
    return DesiredStatus(sessions, observed, reason, "", None, synced, (Watermark(endpoint_id, 1, sequence),))


# --- messages ---


def hello(instance: str = "run-1", **fields: object) -> pb.ReportSessionsRequest:
    """The first message."""
    return pb.ReportSessionsRequest(hello=pb.Hello(instance=instance, **fields))  # type: ignore[arg-type]


def watching() -> types.Observation:
    """The agent sees the truth."""
    return types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)


def unreachable() -> types.Observation:
    """It does not."""
    return types.Observation(observed=False, reason=types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)


def snapshot(
    sequence: int, sessions: int = 0, observation: types.Observation | None = None
) -> pb.ReportSessionsRequest:
    """All that the agent knows."""
    service = types.ServiceSessions(service=VNC, sessions=sessions, accuracy=types.ACCURACY_EXACT)
    message = pb.Snapshot(sequence=sequence, observation=observation or watching(), services=[service])
    return pb.ReportSessionsRequest(snapshot=message)


def delta(sequence: int, started: int, ended: int, sessions: int) -> pb.ReportSessionsRequest:
    """What has changed."""
    service = pb.ServiceDelta(
        service=VNC, started=started, ended=ended, sessions=sessions, accuracy=types.ACCURACY_EXACT
    )
    return pb.ReportSessionsRequest(delta=pb.Delta(sequence=sequence, services=[service]))


def heartbeat(sequence: int) -> pb.ReportSessionsRequest:
    """A sign of life."""
    return pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=sequence))


def goodbye(*, domain_ended: bool = False) -> pb.ReportSessionsRequest:
    """The last message."""
    message = pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN, domain_ended=domain_ended)
    return pb.ReportSessionsRequest(goodbye=message)


def unknown_arm() -> pb.ReportSessionsRequest:
    """A message of a later version: an arm with the number 15, which holds the text "new"."""
    return pb.ReportSessionsRequest.FromString(b"\x7a\x03new")
