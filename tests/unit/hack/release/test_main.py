"""The comparison of two builds."""

from pathlib import Path

import pytest

from hack.builds.commands import BuildError
from hack.release.__main__ import compare
from hack.release.folder import SUMS, sums


def built(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / SUMS).write_text(sums(folder))
    return folder


def test_two_builds_of_the_same_bytes_are_one_release(tmp_path: Path) -> None:
    files = {"a.tar": "a", "b.yaml": "b"}
    compare(built(tmp_path / "first", files), built(tmp_path / "second", files))


def test_two_builds_that_differ_are_none_and_the_files_are_named(tmp_path: Path) -> None:
    first = built(tmp_path / "first", {"a.tar": "a", "b.yaml": "b", "c.whl": "c"})
    second = built(tmp_path / "second", {"a.tar": "a", "b.yaml": "other", "d.whl": "c"})
    with pytest.raises(BuildError, match=r"two builds from nothing differ in b\.yaml, c\.whl, d\.whl"):
        compare(first, second)


def test_a_sum_is_as_sha256sum_reads_it(tmp_path: Path) -> None:
    folder = built(tmp_path / "first", {"a.tar": ""})
    assert (folder / SUMS).read_text() == ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.tar\n")
