"""Inputs that the fuzzers have found: each once broke the promise that its test names."""

import logging

import pytest

from tests.fuzz.targets import TARGETS, joined
from tests.hostile import http2

FINDINGS = [
    # A compressed message after the first bytes of one: the connection's charge was returned twice, so that each such
    # connection would have let the socket hold more unfinished messages than its limit.
    ("http2-proxy", joined(http2.open_stream(1), http2.data(1, b"\0\0\0\0\x01"), http2.data(1, b"x\1"))),
    # int() of infinity raises OverflowError, not ValueError: the watch would have ended, and the handler with it.
    ("watch-line", b'{"type": "ERROR", "object": {"kind": "Status", "code": 1e999, "reason": "Expired"}}'),
]


@pytest.mark.parametrize(("target", "data"), FINDINGS)
def test_an_input_that_once_broke_a_promise_breaks_none(target: str, data: bytes) -> None:
    """Any of them is parsed or rejected."""
    TARGETS[target].run(data)


def test_the_programs_say_nothing_of_all_that(caplog: pytest.LogCaptureFixture) -> None:
    """A parser raises to its caller, which knows the sender."""
    with caplog.at_level(logging.DEBUG):
        for target in TARGETS.values():
            for seed in target.seeds:
                target.run(seed)
    assert caplog.records == []
