"""The server of reviews: those that arrive together do not keep the event loop from everything else."""

import asyncio
import shutil
import ssl
from collections import Counter
from pathlib import Path

from injection_webhook.certificate import ServingCertificate
from injection_webhook.review import Outcome
from injection_webhook.server import admission_server
from injection_webhook.stats import Stats
from injection_webhook.template import Template
from servicestatus.addresses import Address
from tests.cluster.pki import Authority
from tests.cluster.ports import free_port

HOST = "127.0.0.1"
PEERS = 8
REVIEW = b"POST /inject HTTP/1.1\r\nHost: webhook\r\nContent-Length: 2\r\n\r\n{}"


class Turns(Counter[Outcome]):
    """Notes in which turn of the event loop each review was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.of_reviews: list[int] = []

    def __setitem__(self, outcome: Outcome, number: int) -> None:
        self.of_reviews.append(self.turn)
        super().__setitem__(outcome, number)

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


async def test_reviews_that_arrive_together_are_made_in_turns_between_which_the_loop_runs(tmp_path: Path) -> None:
    """One megabyte of JSON takes a third of a second, and the probes must be answered within ten."""
    authority = Authority(tmp_path / "authority")
    pair = authority.serving("webhook", [f"IP:{HOST}"])
    shutil.copy(pair.certificate, tmp_path / "tls.crt")
    shutil.copy(pair.key, tmp_path / "tls.key")
    certificate, stats, address = ServingCertificate(tmp_path), Stats(), Address(HOST, free_port())
    certificate.look()
    stats.reviews = turns = Turns()
    tls = ssl.create_default_context(cafile=authority.ca.certificate)
    counting = asyncio.create_task(turns.count())
    async with admission_server(address, certificate, Template(), stats):
        peers = await asyncio.gather(*(asyncio.open_connection(*address, ssl=tls) for _ in range(PEERS)))
        for _, writer in peers:
            writer.write(REVIEW)
        answers = await asyncio.gather(*(reader.read() for reader, _ in peers))
        for _, writer in peers:
            writer.close()
    counting.cancel()
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len(set(turns.of_reviews)) == PEERS
