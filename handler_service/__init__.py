"""The DaemonSet beside virt-handler: hears the agents of its node and publishes what follows."""

from importlib.metadata import version

DISTRIBUTION = "vmi-service-status"


def program_version() -> str:
    """The version of the installed distribution."""
    return version(DISTRIBUTION)
