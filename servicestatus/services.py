"""Lists the services of the contract that an agent polls. Both programs need the list; the proto file states it."""

from typing import Final

from servicestatus.v1 import sessions_pb2 as pb

#: The services that QEMU reports by no event, so that an agent polls them if its handler asks for it (Welcome.polling).
POLLED: Final = frozenset({pb.SERVICE_USB_REDIRECTION, pb.SERVICE_SERIAL_CONSOLE})
