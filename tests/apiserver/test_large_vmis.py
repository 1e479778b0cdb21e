"""Large VMIs: every user who may create VMIs decides on their size, and all VMIs of a node are read by one handler."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import START_TIMEOUT, Node
from tests.apiserver.vmis import Vmi

pytestmark = [pytest.mark.usefixtures("service_status_schema"), pytest.mark.timeout(400)]

# Three pages of a list. Pages do not add up, so the peak is that of any number. In one page these take 30 MiB more.
VMIS = 30
# An object of 1.05 MB, of which Python makes 2 MB of objects; etcd takes no request above 1.5 MB.
ELEMENTS, TEXT = 3_000, "x" * 340
# Bytes; the DaemonSet's limit is 256 MiB. Measured with 40 of them: 104 MiB.
PEAK = 120 << 20


@pytest.fixture
def large(client: Client, namespace: str, new_node: Callable[[], Node]) -> Iterator[Node]:
    """A node with so many of them. They are gone afterwards: later tests list VMIs too."""
    node = new_node()
    vmis = [Vmi(client, namespace, f"large-{number}") for number in range(VMIS)]
    spec = {"domain": {"elements": [{"name": TEXT}] * ELEMENTS}}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda vmi: vmi.create(node.name, spec=spec), vmis))
        yield node
        list(pool.map(Vmi.delete, vmis))


def test_vmis_of_a_megabyte_fit_into_the_memory_of_a_handler_whatever_their_number(large: Node) -> None:
    """The list is read in small pages, and of each object only what is needed stays."""
    with large.handler() as handler:
        wait_until(
            lambda: handler.probe("/readyz"), lambda code: code == 200, what="all are listed", timeout=START_TIMEOUT
        )
        assert handler.peak_memory() < PEAK
