"""Runs `python -m demo [--live]` and handles every way in which it may end.

Invariant: the demo leaves nothing, however it ends. At an orderly end and at Ctrl-C this module removes everything.
After a SIGKILL the kernel ends both programs, and the guardian of the private libvirt removes the rest.
"""

import argparse
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import libvirt

from demo import live, story
from demo.narrator import Narrator
from demo.stage import Stage, open_stage
from testbed.grpcurl import GrpcurlError
from testbed.rfb import HandshakeRefusedError

# Failures of real parts, reported in one line. Any other exception is a bug in the demo and shows its traceback.
FAILURES = (AssertionError, OSError, GrpcurlError, HandshakeRefusedError, libvirt.libvirtError)

_EPILOG = """\
examples:
  make demo         sets everything up, plays the story and takes everything down again
  make demo-live    sets everything up and waits for your own viewers; it prints how to connect and where to look

It needs no cluster, no network and no root. It leaves nothing, however it ends.
"""


def main() -> int:
    """Run the demo and return the exit status."""
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    # A program that a shell starts in the background ignores Ctrl-C by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    narrator = Narrator(sys.stdout)
    try:
        _run(narrator, stay=options.live)
    except KeyboardInterrupt:
        narrator.say("interrupted; everything is taken down")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `make demo | head`: the reader has ended, so no output is possible
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except FAILURES as error:
        sys.stdout.flush()
        sys.stderr.write(f"demo: FAILED: {error or type(error).__name__}\n")
        return 1
    return 0


def _run(narrator: Narrator, *, stay: bool) -> None:
    narrator.title("VMI Service Status: how many people watch a VM over VNC, shown in the VM's own status")
    with open_stage(narrator) as stage:
        try:
            _perform(stage, narrator, stay=stay)
        except FAILURES:
            narrator.details(stage.last_words())
            raise
    assert not stage.directory.exists(), f"{stage.directory} is left"
    narrator.say(f"the end: every value above was checked, and nothing is left of {stage.directory}")


def _perform(stage: Stage, narrator: Narrator, *, stay: bool) -> None:
    if stay:
        live.stay(stage, narrator)
    else:
        story.tell(stage, narrator)
    stage.stop_programs()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="A VM, viewers that come and go, and the VMI's status that follows them; half a minute.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--live", action="store_true", help="no story: wait until Ctrl-C for VNC viewers of your own")
    return parser.parse_args()


def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature is Python's
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
