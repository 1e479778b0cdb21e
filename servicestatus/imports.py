"""Makes the start of a program cheaper: its imports without the garbage collector, and without modules that do nothing.

Each line that leaves a module out names what must hold. Tests start the programs in their images, and see which modules
were imported (`tests/node/test_images.py`).
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

_PYTHON_MESSAGE: Final = "google.protobuf.internal.python_message"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect no garbage meanwhile: modules are not garbage, and are looked at again and again while they grow."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def leave_out_python_message() -> None:
    """Put an empty module in place of protobuf's messages in pure Python, which take 1 MiB.

    protobuf imports them always and uses them only if its C implementation, upb, is missing. An attribute of the empty
    module raises AttributeError, so a protobuf that begins to use them is noticed at the first message.
    """
    from google.protobuf import internal  # noqa: PLC0415 - large imports come after the caller has handled signals
    from google.protobuf.internal import api_implementation  # noqa: PLC0415

    if api_implementation.Type() == "upb" and _PYTHON_MESSAGE not in sys.modules:
        stub = ModuleType(_PYTHON_MESSAGE)
        sys.modules[_PYTHON_MESSAGE] = stub
        vars(internal)["python_message"] = stub


def leave_out_typing_extensions() -> None:
    """Let gRPC take `override` and `Self` from `typing`, which has both since Python 3.12: 0.2 MiB."""
    if sys.version_info >= (3, 12):
        import typing  # noqa: PLC0415

        sys.modules["typing_extensions"] = typing
