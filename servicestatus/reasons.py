"""Names the reasons for which an agent's numbers are observed or not. Each reason of the contract is named here only.

A member's name is the enum value's name in the contract, and its value is the word that Kubernetes conditions show.
"""

from enum import Enum
from typing import Final, Self, cast

from servicestatus.v1 import sessions_pb2 as pb

_PREFIX: Final = "OBSERVATION_REASON_"


class Reason(Enum):
    """Why an agent's numbers are, or are not, observed. `sessions.proto` describes each."""

    WATCHING = "Watching"
    NO_DOMAIN = "NoDomain"
    LIBVIRT_UNREACHABLE = "LibvirtUnreachable"
    RECONCILING = "Reconciling"
    AMBIGUOUS_DOMAIN = "AmbiguousDomain"
    LOWER_BOUND = "LowerBound"
    UNOBSERVABLE_LISTENER = "UnobservableListener"
    DOMAIN_NOT_DEFINED = "DomainNotDefined"
    NOT_WATCHED = "NotWatched"
    QUERY_FAILED = "QueryFailed"

    @property
    def observed(self) -> bool:
        """Whether the numbers are the truth, and not only the last known ones."""
        return self in _OBSERVED

    @property
    def wire(self) -> pb.ObservationReason:
        """The value in messages."""
        return cast("pb.ObservationReason", pb.ObservationReason.Value(_PREFIX + self.name))

    @classmethod
    def of_wire(cls, value: int) -> Self | None:
        """Return the reason of a value in a message; None for an unspecified one, or one of a later version."""
        return cls.__members__.get(_name(value))


_OBSERVED: Final = frozenset({Reason.WATCHING, Reason.NO_DOMAIN})


def _name(value: int) -> str:
    known = pb.ObservationReason.values()
    return pb.ObservationReason.Name(value).removeprefix(_PREFIX) if value in known else ""
