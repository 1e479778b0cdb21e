"""Names the services other than VNC wherever a user reads or writes their names. Pure.

One rule for each kind of name: the condition is called as the field is, with a capital letter and `Observed` behind it;
the label of metrics is the word of `--poll`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from servicestatus.v1 import sessions_pb2 as types

#: The suffix of the types of all conditions that say whether a number is known, VNC's `Observed` included.
OBSERVED: Final = "Observed"


@dataclass(frozen=True, slots=True)
class OtherService:
    """The names of one service."""

    number: int
    #: In flags and labels of metrics.
    name: str
    #: In the companion's status, and in the VMI's `status.serviceStatus`.
    field: str

    @property
    def condition(self) -> str:
        """The type of the condition that says whether the number is known."""
        return f"{self.field[0].upper()}{self.field[1:]}{OBSERVED}"


#: In the order of their numbers.
OTHERS: Final = (
    OtherService(types.SERVICE_USB_REDIRECTION, "usb-redirection", "usbRedirections"),
    OtherService(types.SERVICE_SERIAL_CONSOLE, "serial-console", "consoleSessions"),
    OtherService(types.SERVICE_SPICE, "spice", "spiceSessions"),
)
BY_NUMBER: Final[Mapping[int, OtherService]] = {one.number: one for one in OTHERS}
