"""A pod's directory is opened without following anything, and whatever comes of it, nothing stays open."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handler_service.opener.messages import PodState, RefusedError
from handler_service.opener.pod_directory import SOCKET, PodsDirectory, state_of
from tests.unit.handler.builders import COMPONENTS, POD_UID


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[PodsDirectory]:
    directory = PodsDirectory(tmp_path)
    before = _open_files(tmp_path)
    yield directory
    assert _open_files(tmp_path) == before
    directory.close()


def _open_files(below: Path) -> list[str]:
    """What this process has open there; other threads of it open and close files elsewhere."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208  # the listing itself is one of them
        with contextlib.suppress(FileNotFoundError):
            found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    return sorted(path for path in found if path.startswith(str(below)))


def test_a_pods_directory_is_found(pods: PodsDirectory, tmp_path: Path) -> None:
    """With its path for messages, and an identity that another directory does not have."""
    volume = tmp_path.joinpath(POD_UID, *COMPONENTS)
    volume.mkdir(parents=True)
    found, again = pods.open(POD_UID), pods.open(POD_UID)
    assert found is not None
    assert again is not None
    assert found.path == volume
    assert state_of(found) == state_of(again)
    volume.rename(volume.with_name("former"))
    volume.mkdir()
    other = pods.open(POD_UID)
    assert other is not None
    assert state_of(other).directory != state_of(found).directory
    for directory in (found, again, other):
        directory.close()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_look_tells_whether_it_is_still_the_same_directory(pods: PodsDirectory, tmp_path: Path, depth: int) -> None:
    """Not where a symlink to it, none or another one stands at any step of its path; nothing is opened for that."""
    volume = tmp_path.joinpath(POD_UID, *COMPONENTS)
    volume.mkdir(parents=True)
    found = pods.look(POD_UID).directory
    assert found is not None
    part = tmp_path.joinpath(*(POD_UID, *COMPONENTS)[:depth])
    moved = part.rename(tmp_path / "former")
    assert pods.look(POD_UID).directory is None
    part.symlink_to(moved)
    assert pods.look(POD_UID).directory != found
    part.unlink()
    volume.mkdir(parents=True)
    assert pods.look(POD_UID).directory != found


@pytest.mark.parametrize("depth", range(4))
def test_a_pod_without_the_volume_has_none(pods: PodsDirectory, tmp_path: Path, depth: int) -> None:
    """However much of the path is there."""
    tmp_path.joinpath(POD_UID, *COMPONENTS[:depth]).parent.mkdir(parents=True, exist_ok=True)
    assert pods.open(POD_UID) is None


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "../..", POD_UID.upper().replace("1", "A"), f"{POD_UID}/", f"{POD_UID}\n", POD_UID[1:]]
)
def test_what_is_no_uid_is_not_looked_for(pods: PodsDirectory, uid: str) -> None:
    """Keys of `activePods` come from the API."""
    assert pods.open(uid) is None
    assert pods.look(uid) == PodState()


@pytest.mark.parametrize("depth", range(4))
def test_a_symlink_is_refused_by_name(pods: PodsDirectory, tmp_path: Path, depth: int) -> None:
    """The text names the component that is one."""
    real = tmp_path / "elsewhere"
    real.joinpath(*COMPONENTS[depth:]).mkdir(parents=True)
    link = tmp_path.joinpath(POD_UID, *COMPONENTS[:depth])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(real)
    with pytest.raises(RefusedError, match=f"{link.name} is not used: Not a directory"):
        pods.open(POD_UID)


def test_what_stands_in_the_sockets_place_has_an_identity_only_if_it_is_a_socket(
    pods: PodsDirectory, tmp_path: Path
) -> None:
    """A file there is none of ours."""
    volume = tmp_path.joinpath(POD_UID, *COMPONENTS)
    volume.mkdir(parents=True)
    assert pods.look(POD_UID).socket is None
    (volume / SOCKET).write_text("mine")
    assert pods.look(POD_UID).socket is None
    directory = pods.open(POD_UID)
    assert directory is not None
    assert state_of(directory).socket is None
    directory.close()
