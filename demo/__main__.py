"""The command line: `python -m demo [--live]`, and every way in which it may end.

Invariant: nothing is left, however it ends. An orderly end and Ctrl-C take everything down here; after a SIGKILL the
kernel ends both programs, and the guardian of the private libvirt removes the rest.
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

# What can go wrong with real parts, said in one line; anything else is a mistake in here and shows its traceback.
FAILURES = (AssertionError, OSError, GrpcurlError, HandshakeRefusedError, libvirt.libvirtError)

_EPILOG = """\
examples:
  make demo         sets everything up, tells the story and takes it down again
  make demo-live    sets everything up and waits for viewers of your own; it says how to connect and where to look

It needs no cluster, no network and no root. It leaves nothing, however it ends.
"""


def main() -> int:
    """Run it; the exit status."""
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    # A shell that starts a program in the background has it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    narrator = Narrator(sys.stdout)
    try:
        _run(narrator, stay=options.live)
    except KeyboardInterrupt:
        narrator.say("interrupted; everything is taken down")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `make demo | head`: nobody reads on, so there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except FAILURES as error:
        sys.stdout.flush()
        sys.stderr.write(f"demo: FAILED: {error or type(error).__name__}\n")
        return 1
    return 0


def _run(narrator: Narrator, *, stay: bool) -> None:
    narrator.title("VMI Service Status: how many people watch a VM over VNC, told in the VM's own status")
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
