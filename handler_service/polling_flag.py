"""The handler's flag `--poll`: which services the agents ask QEMU about, and how often."""

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from handler_service.services import OTHERS
from servicestatus import contract
from servicestatus.flags import DurationRange, FlagParser, checked_by
from servicestatus.services import POLLED

_FLAG: Final = "--poll"
_SERVICES: Final = {one.name: one.number for one in OTHERS if one.number in POLLED}
_INTERVAL: Final = DurationRange(*contract.POLL_INTERVAL_RANGE)


def add(add_argument: Callable[..., object]) -> None:
    """Add the flag; `add_argument` is that of a parser or of a group."""
    low, high = contract.POLL_INTERVAL_RANGE
    add_argument(_FLAG, action="append", type=checked_by(parse), default=[], metavar="SERVICE=DURATION",
        help=f"have agents ask QEMU about a service that no event reports, every {low:g}s to {high:g}s:"
        f" {' or '.join(_SERVICES)}; repeatable (default: none)")  # fmt: skip


def parse(text: str) -> tuple[int, float]:
    """Parse `SERVICE=DURATION`; raises ValueError with the reason."""
    name, separator, interval = text.partition("=")
    if not separator:
        raise ValueError("it is not SERVICE=DURATION, such as usb-redirection=5s")
    if name not in _SERVICES:
        raise ValueError(f"{name!r} is not a service that can be polled: {' or '.join(_SERVICES)}")
    try:
        return _SERVICES[name], _INTERVAL(interval)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from error


def polling(parser: FlagParser, polls: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Return the seconds between two polls by service; exits if a service is given twice."""
    if len(dict(polls)) < len(polls):
        parser.fail(_FLAG, "a service is given twice")
    return dict(polls)
