"""A client of QEMU's USB redirection that plugs a made-up device in: the usbredir protocol 0.7, as of `usbredirect`.

A packet is a header (type, length of the rest, number) and its fields, all little-endian. Capabilities that both ends
announce change layouts after the hellos: QEMU's xHCI controller, which KubeVirt gives to its VMs, demands the three
below. QEMU sends its own hello when it accepts the connection.

The device has one interface and no endpoint but the control endpoint, and answers no request: no guest asks it.
"""

import argparse
import struct
from typing import Final, Self

from testbed.addresses import Address, TcpAddress
from testbed.clients import Client

HELLO: Final = 0
DEVICE_CONNECT: Final = 1
DEVICE_DISCONNECT: Final = 2
INTERFACE_INFO: Final = 4
EP_INFO: Final = 5

_HELLO_HEADER: Final = struct.Struct("<III")
_HEADER: Final = struct.Struct("<IIQ")
# The number of a capability is that of its bit: the sizes of endpoints' packets, numbers of 64 bits, long transfers.
_CAPABILITIES: Final = 1 << 4 | 1 << 5 | 1 << 6
_VERSION_LENGTH: Final = 64
_NAME: Final = b"vmi-service-status test"
_HIGH_SPEED: Final = 2
# The protocol's numbers of slots for interfaces and endpoints, and its types of endpoints.
_INTERFACES: Final = 32
_ENDPOINTS: Final = 32
_CONTROL: Final = 0
_CONTROL_SIZE: Final = 64
_INVALID: Final = 255
_VENDOR_SPECIFIC: Final = 255

VENDOR: Final = 0x1234
PRODUCT: Final = 0xABCD


class UsbClient(Client):
    """`hello` and `plug`: a device is on the guest's bus as soon as QEMU accepts the connection and the guest runs."""

    @classmethod
    def redirect(cls, address: Address) -> Self:
        """Connect, and do both."""
        client = cls.connect(address)
        client.hello()
        client.plug()
        return client

    def hello(self) -> None:
        """Send it without waiting for QEMU's: a paused VM sends none, nor does one that serves another client."""
        self.send(hello())

    def wait_hello(self) -> str:
        """Return QEMU's name and version."""
        kind, length, _ = _HELLO_HEADER.unpack(self.receive(_HELLO_HEADER.size))
        assert kind == HELLO, f"QEMU's first packet is of type {kind}"
        return self.receive(length)[:_VERSION_LENGTH].rstrip(b"\0").decode()

    def plug(self, vendor: int = VENDOR, product: int = PRODUCT) -> None:
        """A device is connected to the client's machine, and given away."""
        self.send(interface_info() + ep_info() + device_connect(vendor, product))

    def unplug(self) -> None:
        """The device is pulled out; the connection stays."""
        self.send(packet(DEVICE_DISCONNECT))


def packet(kind: int, body: bytes = b"") -> bytes:
    """Control packets have the number 0."""
    return _HEADER.pack(kind, len(body), 0) + body


def hello() -> bytes:
    """A name and the capabilities."""
    body = _NAME.ljust(_VERSION_LENGTH, b"\0") + struct.pack("<I", _CAPABILITIES)
    return _HELLO_HEADER.pack(HELLO, len(body), 0) + body


def interface_info() -> bytes:
    """One interface, of the vendor's own class."""
    count = struct.pack("<I", 1)
    numbers, classes, subclasses, protocols = 0, _VENDOR_SPECIFIC, 0, 0
    rest = bytes(_INTERFACES - 1)
    columns = (numbers, classes, subclasses, protocols)
    return packet(INTERFACE_INFO, count + b"".join(bytes([first]) + rest for first in columns))


def ep_info() -> bytes:
    """The control endpoint in both directions, and no other."""
    types = bytearray([_INVALID] * _ENDPOINTS)
    types[0] = types[_ENDPOINTS // 2] = _CONTROL
    intervals = interfaces = bytes(_ENDPOINTS)
    sizes = struct.pack(f"<{_ENDPOINTS}H", *(0 if kind == _INVALID else _CONTROL_SIZE for kind in types))
    return packet(EP_INFO, bytes(types) + intervals + interfaces + sizes)


def device_connect(vendor: int, product: int) -> bytes:
    """Speed, class, subclass, protocol, vendor and product."""
    return packet(DEVICE_CONNECT, struct.pack("<BBBBHH", _HIGH_SPEED, _VENDOR_SPECIFIC, 0, 0, vendor, product))


def main() -> None:
    """Take the place of `usbredirect` with a device that does not exist; end when the server closes the connection."""
    parser = argparse.ArgumentParser(prog="usbredirect", description=main.__doc__)
    parser.add_argument("--device", required=True, help="vendor:product, in hexadecimal digits")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    options = parser.parse_args()
    host, _, port = options.to.rpartition(":")
    vendor, _, product = options.device.partition(":")
    with UsbClient.connect(TcpAddress(int(port), host)) as client:
        client.hello()
        client.plug(int(vendor, 16), int(product, 16))
        client.wait_closed(timeout=float("inf"))


if __name__ == "__main__":
    main()
