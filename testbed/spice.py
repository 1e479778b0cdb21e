"""A SPICE client that links channels, as much as QEMU needs to count it as one that has initialized.

For each channel the client opens a connection, names the channel and its session, and receives the server's RSA key. It
answers with an encrypted ticket, which is empty here: the servers of the tests have no password. The main channel's
first message names the session, and each further channel of the same viewer must name it.
"""

import hashlib
import os
import struct
from types import TracebackType
from typing import Final, Self

from testbed.addresses import Address
from testbed.clients import Client

MAIN: Final = 1
INPUTS: Final = 3
CURSOR: Final = 4

_MAGIC: Final = b"REDQ"
_HEADER: Final = struct.Struct("<4sIII")  # magic, major and minor version, size of the rest
_LINK: Final = struct.Struct("<IBBIII")  # session, channel's type and number, two counts of capabilities, their offset
_KEY_LENGTH: Final = 162
_MAIN_INIT: Final = 103
# Authentication is selected; SPICE's own; the short header of messages.
_CAPABILITIES: Final = 0b1011
_SPICE_TICKET: Final = 1
_MODULUS: Final = 128
_EXPONENT: Final = 65537
_HASH_LENGTH: Final = 20


class SpiceRefusedError(Exception):
    """The server ended the link with an error."""


class Channel(Client):
    """One connection of a viewer."""

    def link(self, kind: int, session: int = 0) -> None:
        """Initialize it. After this QEMU counts the channel."""
        body = _LINK.pack(session, kind, 0, 1, 0, _LINK.size) + struct.pack("<I", _CAPABILITIES)
        self.send(_HEADER.pack(_MAGIC, 2, 2, len(body)) + body)
        magic, _, _, size = _HEADER.unpack(self.receive(_HEADER.size))
        assert magic == _MAGIC, magic
        reply = self.receive(size)
        self._accept(struct.unpack_from("<I", reply)[0])
        self.send(struct.pack("<I", _SPICE_TICKET) + encrypted(b"\0", reply[4 : 4 + _KEY_LENGTH]))
        self._accept(struct.unpack("<I", self.receive(4))[0])

    def session(self) -> int:
        """Return the number of the viewer's session, which the main channel's first message has."""
        while True:
            kind, size = struct.unpack("<HI", self.receive(6))
            body = self.receive(size)
            if kind == _MAIN_INIT:
                return int(struct.unpack_from("<I", body)[0])

    def _accept(self, error: int) -> None:
        if error:
            raise SpiceRefusedError(f"the server answers with error {error}")


class SpiceViewer:
    """A viewer with a main channel and others."""

    def __init__(self, address: Address) -> None:
        """Connects nothing."""
        self._address = address
        self.channels: list[Channel] = []
        self.session = 0

    @classmethod
    def establish(cls, address: Address, *others: int) -> Self:
        """Link the main channel, and then these others."""
        viewer = cls(address)
        try:
            viewer.open(MAIN)
            for kind in others:
                viewer.open(kind)
        except BaseException:
            viewer.close()
            raise
        return viewer

    def open(self, kind: int) -> Channel:
        """Link one more channel."""
        channel = self.dial()
        channel.link(kind, self.session)
        if kind == MAIN:
            self.session = channel.session()
        return channel

    def dial(self) -> Channel:
        """Connect, and send nothing: an unfinished client."""
        channel = Channel.connect(self._address)
        self.channels.append(channel)
        return channel

    @property
    def connected(self) -> bool:
        """Whether the main channel is open."""
        return bool(self.channels) and self.channels[0].connected

    def close(self) -> None:
        for channel in self.channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def encrypted(message: bytes, key: bytes) -> bytes:
    """RSA with OAEP and SHA-1, as the protocol prescribes; `key` is a SubjectPublicKeyInfo of 1024 bits.

    Written out, because no package of the tests has it: nothing secret is sent.
    """
    # DER: ... INTEGER of 129 bytes with a leading zero, INTEGER 65537 in 5 bytes with its header.
    modulus = key[-_MODULUS - 5 : -5]
    label = hashlib.sha1(b"", usedforsecurity=False).digest()
    padding = bytes(_MODULUS - len(message) - 2 * _HASH_LENGTH - 2)
    block = label + padding + b"\x01" + message
    seed = os.urandom(_HASH_LENGTH)
    masked = _xor(block, _mask(seed, len(block)))
    encoded = b"\0" + _xor(seed, _mask(masked, _HASH_LENGTH)) + masked
    number = pow(int.from_bytes(encoded, "big"), _EXPONENT, int.from_bytes(modulus, "big"))
    return number.to_bytes(_MODULUS, "big")


def _mask(seed: bytes, length: int) -> bytes:
    """MGF1."""
    blocks = (seed + struct.pack(">I", number) for number in range(-(-length // _HASH_LENGTH)))
    return b"".join(hashlib.sha1(block, usedforsecurity=False).digest() for block in blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
