"""The list-watch as a transcript of its requests, over real HTTP."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from handler_service.kube.client import Object
from handler_service.kube.listing import MAX_PAGE, METADATA_ONLY, Selection
from handler_service.kube.reflector import METADATA_WATCH, Reflector
from testbed.waiting import wait_until_async
from tests.unit.handler.kube.fake_api import FakeApi

PATH = "/apis/things"


class Heard:
    """A sink that records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def listed(self, objects: list[Object]) -> None:
        self.told.append(("listed", [object_["metadata"]["name"] for object_ in objects]))

    def changed(self, object_: Object) -> None:
        self.told.append(("changed", object_["metadata"]["name"]))

    def deleted(self, object_: Object) -> None:
        self.told.append(("deleted", object_["metadata"]["name"]))


def thing(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def page(version: int, *names: str, following: str = "") -> Object:
    metadata = {"resourceVersion": str(version), **({"continue": following} if following else {})}
    return {"metadata": metadata, "items": [thing(name, 1) for name in names]}


def lines(*events: tuple[str, Object]) -> bytes:
    return b"".join(json.dumps({"type": kind, "object": object_}).encode() + b"\n" for kind, object_ in events)


STATUS_410 = {"kind": "Status", "code": 410, "message": "too old resource version"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    async with FakeApi(tmp_path) as serving:
        yield serving


async def follow(api: FakeApi, selection: Selection | None = None, proven: float = 5.0) -> Heard:
    """Until all that is expected has come."""
    heard = Heard()
    list_watch = Reflector(api.client, selection or Selection(PATH), heard, 30, proven=proven)
    task = asyncio.create_task(list_watch.run())
    await wait_until_async(lambda: api.done, what="the transcript is complete")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return heard


def versions(api: FakeApi) -> list[str | None]:
    """The resourceVersion of each request; None for a list."""
    return [seen.query.get("resourceVersion") for seen in api.seen]


async def test_a_watch_begins_where_the_list_was(api: FakeApi) -> None:
    """And the next watch where the last one ended; a bookmark moves it on without news."""
    api.expect(f"GET {PATH}", page(5, "a", "b"))
    api.expect(
        f"GET {PATH}",
        lines(
            ("ADDED", thing("c", 6)),
            ("MODIFIED", thing("a", 7)),
            ("DELETED", thing("b", 8)),
            ("BOOKMARK", thing("", 9)),
        ),
    )
    api.end(f"GET {PATH}")
    heard = await follow(api)
    assert heard.told == [("listed", ["a", "b"]), ("changed", "c"), ("changed", "a"), ("deleted", "b")]
    assert versions(api) == [None, "5", "9"]
    assert api.seen[1].query.keys() == {"watch", "allowWatchBookmarks", "resourceVersion", "timeoutSeconds"}


async def test_a_long_list_comes_in_pages(api: FakeApi) -> None:
    """The pages are reported as one list, because an object that is not in a list is deleted."""
    api.expect(f"GET {PATH}", page(5, "a", following="more"))
    api.expect(f"GET {PATH}", page(5, "b"))
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", ["a", "b"])]
    assert [seen.query.get("continue") for seen in api.seen] == [None, "more", None]
    assert [seen.query.get("limit") for seen in api.seen] == ["10", "10", None]


async def test_a_page_that_is_too_large_is_asked_for_again_with_fewer_objects(api: FakeApi) -> None:
    """The next pages grow again. A page of one object is taken whatever its size."""
    large = {**page(5, "a", following="more"), "filler": "x" * MAX_PAGE}
    api.expect(f"GET {PATH}", large)
    api.expect(f"GET {PATH}", large)
    api.expect(f"GET {PATH}", large)
    api.expect(f"GET {PATH}", page(5, "b", following="more"))
    api.expect(f"GET {PATH}", page(5, "c"))
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", ["a", "b", "c"])]
    assert [seen.query.get("limit") for seen in api.seen] == ["10", "2", "1", "2", "4", None]
    assert [seen.query.get("continue") for seen in api.seen] == [None, None, None, "more", "more", None]


async def test_each_page_is_reduced_to_what_is_kept(api: FakeApi) -> None:
    """A list of large objects is held until its last page has come."""
    api.expect(f"GET {PATH}", page(5, "a"))
    api.end(f"GET {PATH}")
    kept = Selection(PATH, keep=lambda object_: {"metadata": {"name": f"kept-{object_['metadata']['name']}"}})
    assert (await follow(api, kept)).told == [("listed", ["kept-a"])]


async def test_the_selection_is_in_each_request(api: FakeApi) -> None:
    """With only the metadata of large objects."""
    api.expect(f"GET {PATH}", page(5))
    api.end(f"GET {PATH}")
    await follow(api, Selection(PATH, {"labelSelector": "a=b"}, metadata_only=True))
    assert [seen.query["labelSelector"] for seen in api.seen] == ["a=b", "a=b"]
    assert [seen.accept for seen in api.seen] == [METADATA_ONLY, METADATA_WATCH]


async def test_a_watch_that_is_too_old_is_followed_by_a_list(api: FakeApi) -> None:
    """Whether the status says so or an event."""
    api.expect(f"GET {PATH}", page(5, "a"))
    api.refuse(f"GET {PATH}", 410)
    api.expect(f"GET {PATH}", page(6, "b"))
    api.expect(f"GET {PATH}", lines(("ADDED", thing("c", 7)), ("ERROR", STATUS_410)))
    api.expect(f"GET {PATH}", page(8, "d"))
    api.end(f"GET {PATH}")
    heard = await follow(api)
    assert heard.told == [("listed", ["a"]), ("listed", ["b"]), ("changed", "c"), ("listed", ["d"])]
    assert versions(api) == [None, "5", None, "6", None, "8"]


async def test_a_list_that_is_too_old_in_the_middle_is_begun_anew(api: FakeApi) -> None:
    """After 410 for a page, nothing of that list is reported."""
    api.expect(f"GET {PATH}", page(5, "a", following="more"))
    api.refuse(f"GET {PATH}", 410)
    api.expect(f"GET {PATH}", page(6, "b"))
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", ["b"])]


@pytest.mark.parametrize(
    "broken",
    [
        b"nonsense\n",
        b"7\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": "x"}}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"na',
        lines(("ERROR", {"kind": "Status", "code": 500, "message": "etcd is away"})),
        lines(("ERROR", {})),
    ],
)
async def test_a_watch_that_breaks_is_taken_up_where_it_was(api: FakeApi, broken: bytes) -> None:
    """No list is needed: what came before counts, and what comes after is asked for."""
    api.expect(f"GET {PATH}", page(5, "a"))
    api.expect(f"GET {PATH}", lines(("ADDED", thing("b", 6))) + broken)
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", ["a"]), ("changed", "b")]
    assert versions(api) == [None, "5", "6"]


async def test_watches_that_are_cut_again_and_again_are_taken_up_soon(api: FakeApi) -> None:
    """Each had worked, so the pause is the first one, half a second at most, and does not grow with their number."""
    api.expect(f"GET {PATH}", page(5))
    for number in range(8):
        api.expect(f"GET {PATH}", lines(("ADDED", thing(str(number), 6 + number))) + b"{", seconds=0.2)
    api.end(f"GET {PATH}")
    began = time.monotonic()
    heard = await follow(api, proven=0.1)
    # Eight watches and eight pauses take 3.6 s on average. With pauses that grow it would be 45 s.
    assert time.monotonic() - began < 20
    assert len(heard.told) == 9


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": {}, "items": []}])
async def test_a_list_without_a_version_is_asked_for_again(api: FakeApi, answer: object) -> None:
    """A watch could not begin there."""
    api.expect(f"GET {PATH}", answer)
    api.expect(f"GET {PATH}", page(5, "a"))
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", ["a"])]


async def test_an_event_may_be_large(api: FakeApi) -> None:
    """A VMI with a quarter of a megabyte of annotations must not cut off its whole node."""
    large = {"metadata": {"name": "b", "resourceVersion": "6", "annotations": {"a": "x" * 1_500_000}}}
    api.expect(f"GET {PATH}", page(5))
    api.expect(f"GET {PATH}", lines(("ADDED", large)))
    api.end(f"GET {PATH}")
    assert (await follow(api)).told == [("listed", []), ("changed", "b")]


async def test_a_list_watch_can_be_renewed(api: FakeApi) -> None:
    """An open watch is given up at once, and what the list says then replaces everything."""
    heard = Heard()
    list_watch = Reflector(api.client, Selection(PATH), heard, 30)
    api.expect(f"GET {PATH}", page(5, "a"))
    api.expect(f"GET {PATH}", seconds=60)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(list_watch.run())
        await wait_until_async(lambda: api.done, what="the watch is open")
        api.expect(f"GET {PATH}", page(7, "b"))
        api.end(f"GET {PATH}")
        list_watch.renew()
        await wait_until_async(lambda: api.done, what="the transcript is complete")
        task.cancel()
    assert heard.told == [("listed", ["a"]), ("listed", ["b"])]
    assert versions(api) == [None, "5", None, "7"]


async def test_a_list_watch_that_is_renewed_while_it_lists_lists_again(api: FakeApi) -> None:
    """The answer under way may be from before."""
    heard = Heard()
    list_watch = Reflector(api.client, Selection(PATH), heard, 30)
    api.expect(f"GET {PATH}", page(5, "a"), seconds=0.2)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(list_watch.run())
        await wait_until_async(lambda: api.done, what="it lists")
        list_watch.renew()
        api.expect(f"GET {PATH}", page(7, "b"))
        api.end(f"GET {PATH}")
        await wait_until_async(lambda: api.done, what="the transcript is complete")
        task.cancel()
    assert heard.told == [("listed", ["a"]), ("listed", ["b"])]


async def test_a_kind_that_is_not_installed_is_told_in_words(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    """A 404 of a list means nothing else. An API server that does not know the group answers without a Status."""
    api.expect(f"GET {PATH}", b"404 page not found\n", status=404)
    api.end(f"GET {PATH}")
    await follow(api, Selection(PATH, missing="KubeVirt is not installed"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{PATH} cannot be followed: KubeVirt is not installed: 404: no message; retrying"]


async def test_after_a_request_for_a_new_list_the_objects_are_stale_until_it_has_come(api: FakeApi) -> None:
    api.expect(f"GET {PATH}", page(5, "a"))
    api.expect(f"GET {PATH}", b"", seconds=30)
    heard = Heard()
    list_watch = Reflector(api.client, Selection(PATH), heard, 30)
    task = asyncio.create_task(list_watch.run())
    await wait_until_async(lambda: api.done, what="it watches")
    assert not list_watch.stale
    api.expect(f"GET {PATH}", page(3, "b"))
    api.expect(f"GET {PATH}", b"", seconds=30)
    list_watch.renew()
    assert list_watch.stale
    await wait_until_async(lambda: api.done, what="it watches again")
    assert not list_watch.stale
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert heard.told == [("listed", ["a"]), ("listed", ["b"])]
    assert versions(api) == [None, "5", None, "3"]
