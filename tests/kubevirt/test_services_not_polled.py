"""The default: no handler has anything polled, and what is not known is not zero."""

from tests.kubevirt.machines import Machines
from tests.kubevirt.test_services import CONSOLE, PASSTHROUGH, USB, wait_shows


def test_what_is_not_polled_is_unknown(machines: Machines) -> None:
    """A device is redirected and a console is open; neither number is shown, and both conditions are Unknown."""
    machine = machines.start(devices=PASSTHROUGH)
    with machine.redirect(), machine.console() as console:
        console.wait_connected()
        for field in (USB, CONSOLE):
            wait_shows(machine, field, None, observed="Unknown")
