"""The usbredir protocol by its own library, which QEMU itself uses: a second opinion on what our client sends.

Only the parts of `struct usbredirparser` (usbredirparser.h, version 0.13) that a reader of a few packets needs. The
library promises that the structure only grows at its end.
"""

import ctypes
import ctypes.util
from typing import Any, Final

#: What QEMU announces: all capabilities up to the reception of bulk data.
_CAPABILITIES: Final = 0xFF
#: The order of the callbacks behind `priv`, as far as the last one that is used.
_CALLBACKS: Final = (
    *("log", "read", "write", "device_connect", "device_disconnect", "reset", "interface_info", "ep_info"),
    *("set_configuration", "get_configuration", "configuration_status", "set_alt_setting", "get_alt_setting"),
    *("alt_setting_status", "start_iso_stream", "stop_iso_stream", "iso_stream_status", "start_interrupt_receiving"),
    *("stop_interrupt_receiving", "interrupt_receiving_status", "alloc_bulk_streams", "free_bulk_streams"),
    *("bulk_streams_status", "cancel_data_packet", "control_packet", "bulk_packet", "iso_packet", "interrupt_packet"),
    *("alloc_lock", "lock", "unlock", "free_lock", "hello"),
)
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
_TRANSFER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
_PLAIN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_PACKET = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_ERRORS: Final = (1, 2)  # levels of its log: error, warning


class _Parser(ctypes.Structure):
    _fields_ = [("priv", ctypes.c_void_p), *((name, ctypes.c_void_p) for name in _CALLBACKS)]


class _DeviceConnect(ctypes.LittleEndianStructure):
    _pack_ = 1
    _fields_ = [
        *((name, ctypes.c_uint8) for name in ("speed", "device_class", "device_subclass", "device_protocol")),
        *((name, ctypes.c_uint16) for name in ("vendor", "product", "version")),
    ]


class GuestSide:
    """What QEMU would understand: `packets` are their names, with the device's vendor and product."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("usbredirparser")
        assert name is not None, "libusbredirparser is not installed, though QEMU's USB redirection needs it"
        self._library = ctypes.CDLL(name)
        self._library.usbredirparser_create.restype = ctypes.POINTER(_Parser)
        self._parser = self._library.usbredirparser_create()
        self._unread = b""
        self.packets: list[object] = []
        self.problems: list[str] = []
        # Kept, or Python would free what the library calls.
        self._callbacks: dict[str, Any] = {
            "log": _LOG(self._log),
            "read": _TRANSFER(self._read),
            "write": _TRANSFER(lambda _, __, count: count),
            "device_connect": _PACKET(self._device_connect),
            "device_disconnect": _PLAIN(lambda _: self.packets.append("device_disconnect")),
            "reset": _PLAIN(lambda _: self.packets.append("reset")),
            **{name: self._noted(name) for name in ("hello", "interface_info", "ep_info")},
        }
        for callback, function in self._callbacks.items():
            setattr(self._parser.contents, callback, ctypes.cast(function, ctypes.c_void_p))
        capabilities = (ctypes.c_uint32 * 1)(_CAPABILITIES)
        self._library.usbredirparser_init(self._parser, b"a guest", capabilities, 1, 0)

    def read(self, data: bytes) -> None:
        """Understand these bytes."""
        self._unread += data
        while self._unread:
            before = len(self._unread)
            result = self._library.usbredirparser_do_read(self._parser)
            if result or len(self._unread) == before:
                self.problems.append(f"usbredirparser_do_read: {result}")
                return

    def close(self) -> None:
        self._library.usbredirparser_destroy(self._parser)

    def _noted(self, name: str) -> Any:
        return _PACKET(lambda _, __: self.packets.append(name))

    def _log(self, _: object, level: int, message: bytes) -> None:
        if level in _ERRORS:
            self.problems.append(message.decode())

    def _read(self, _: object, target: int, count: int) -> int:
        part, self._unread = self._unread[:count], self._unread[count:]
        ctypes.memmove(target, part, len(part))
        return len(part)

    def _device_connect(self, _: object, packet: int) -> None:
        found = _DeviceConnect.from_address(packet)
        self.packets.append(("device_connect", found.vendor, found.product))
