"""Implements `--live`: keeps everything running and shows each change of the document, until Ctrl-C."""

import contextlib

from demo.document import DocumentWatch, described
from demo.forwarder import forwarded
from demo.narrator import Narrator
from demo.stage import Stage
from testbed.addresses import LOOPBACK, UnixAddress

# Seconds between two checks that both programs still run.
LOOK = 1.0


def stay(stage: Stage, narrator: Narrator) -> None:
    """Return at Ctrl-C; raise if a program ends by itself."""
    narrator.say("the guest runs (an empty one: its firmware looks for a disk)")
    stage.machine.resume()
    address = stage.machine.address
    assert isinstance(address, UnixAddress)
    with DocumentWatch(stage.document, stage.check_programs) as document, forwarded(address.path) as port:
        narrator.details(_help(stage, address, port))
        with contextlib.suppress(KeyboardInterrupt):
            _follow(document, narrator)
        narrator.say("Ctrl-C: all is taken down")


def _follow(document: DocumentWatch, narrator: Narrator) -> None:
    document.mark()
    narrator.say(f"-> {described(document.seen[0])}")
    while True:
        if document.wait_for_change(LOOK):
            for value in document.take():
                narrator.say(f"-> {described(value)}")


def _help(stage: Stage, address: UnixAddress, port: int) -> str:
    return "\n".join(
        [
            "Connect VNC viewers of your own, for instance TigerVNC's (without -Shared it throws the others out):",
            f"  vncviewer -Shared {LOOPBACK}::{port}",
            f"  vncviewer -Shared {address.path}",
            "The first is a loopback port that leads to the second, QEMU's own socket. Where to look:",
            *(f"  {line}" for line in stage.example_commands()),
            "Ctrl-C ends it.",
        ]
    )
