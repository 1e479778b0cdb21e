"""The agent's configuration: its defaults fit KubeVirt's launcher pod, and the command line changes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher_agent.vm.query_policy import QueryPolicy

PROGRAM: Final = "launcher-agent"
#: How the environment variables of the flags begin.
VARIABLES: Final = "LAUNCHER_AGENT_"


@dataclass(frozen=True, slots=True)
class Config:
    """The agent's flags."""

    libvirt_uri: str = "qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock"
    domain: str | None = None
    handler_socket: Path = Path("/var/run/service-status/handler.sock")
    admin_socket: Path | None = Path("/var/run/service-status/agent.sock")
    query: QueryPolicy = QueryPolicy.AUTO
    namespace: str = ""
    name: str = ""
    log_level: str = "info"
    log_format: str = "text"
