"""What can go wrong at the edges. Foreign errors are mapped to these once, where they enter."""


class AgentError(Exception):
    """Everything that this program raises on purpose."""


class LibvirtError(AgentError):
    """libvirt could not be reached, the connection is lost, or a call has failed. Worth another try."""


class QueryError(AgentError):
    """QEMU's list of clients could not be had, or makes no sense. Worth another try."""


class DomainXMLError(AgentError):
    """A domain's description that cannot be read."""
