"""The errors of this program. Foreign errors are mapped to these once, at the edge where they enter."""


class AgentError(Exception):
    """Base of all errors that this program raises on purpose."""


class LibvirtError(AgentError):
    """libvirt could not be reached, the connection is lost, or a call has failed. Retryable."""


class LibvirtGoneError(LibvirtError):
    """libvirt does not run: it has closed the connection, or nothing accepts on its socket. Retryable."""


class QueryError(AgentError):
    """QEMU's list of clients was refused or is invalid. Retryable."""


class UnobservableError(QueryError):
    """QEMU has a VNC server whose clients cause no event, so no later answer can help."""


class DomainXMLError(AgentError):
    """A domain's description that cannot be read."""
