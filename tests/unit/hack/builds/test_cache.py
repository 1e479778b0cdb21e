"""The cache of artifacts: built once, complete or absent, one build at a time, removed when no longer used."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hack.builds.cache import Store, describe_files, key_of
from hack.builds.commands import BuildError

DEADLINE = 120


def test_an_artifact_is_built_once(tmp_path: Path) -> None:
    store, built = Store("things", root=tmp_path), []

    def make(new: Path) -> None:
        built.append(new)
        new.write_text("content")

    paths = [store.obtain("key", make, what="a thing") for _ in range(2)]
    assert paths == [tmp_path / "things/key"] * 2
    assert paths[0].read_text() == "content"
    assert len(built) == 1


def test_an_entry_can_have_artifacts_that_are_built_one_by_one(tmp_path: Path) -> None:
    store = Store("tools", root=tmp_path)
    for name in ("etcd", "kubelet"):
        store.obtain(f"key/{name}", lambda new: new.write_text(new.name), what=name)
    assert {path.name: path.read_text() for path in (tmp_path / "tools/key").iterdir()} == {
        "etcd": "etcd",
        "kubelet": "kubelet",
    }


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store("things", root=tmp_path)

    def fail(new: Path) -> None:
        new.mkdir()
        (new.parent / "other").touch()
        raise BuildError("no compiler")

    with pytest.raises(BuildError, match="no compiler"):
        store.obtain("key", fail, what="a thing")
    assert [path.name for path in (tmp_path / "things").iterdir()] == [".lock"]


def test_a_build_starts_without_the_files_of_a_killed_one(tmp_path: Path) -> None:
    (tmp_path / "things/.work/left").mkdir(parents=True)
    seen: list[Path] = []

    def make(new: Path) -> None:
        seen.extend(new.parent.iterdir())
        new.touch()

    Store("things", root=tmp_path).obtain("key", make, what="a thing")
    assert seen == []


def test_a_build_reports_what_it_builds_and_how_long_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store("things", root=tmp_path).obtain("key", Path.touch, what="a thing", estimate="an hour")
    assert capsys.readouterr() == ("", "things: building a thing (an hour)\n")


_HOLDER = """
import sys
from pathlib import Path
from hack.builds.cache import Store

def make(new):
    print("building", flush=True)
    sys.stdin.read()
    new.write_text("theirs")

Store("things", root=Path(sys.argv[1])).obtain("key", make, what="a thing")
"""


@contextmanager
def _building(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that builds the artifact until its standard input ends."""
    command = [sys.executable, "-c", _HOLDER, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "building\n"
            yield process
        finally:
            process.kill()


def test_two_processes_build_an_artifact_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with (
        _building(tmp_path) as first,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as second,
    ):
        assert second.stderr is not None
        assert second.stderr.readline() == f"things: waiting for a thing: another build runs in {tmp_path}/things\n"
        first.communicate(timeout=DEADLINE)
        assert second.communicate(timeout=DEADLINE)[1] == ""
        assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "things/key").read_text() == "theirs"


def test_the_lock_of_a_killed_build_is_free(tmp_path: Path) -> None:
    with _building(tmp_path) as killed:
        killed.kill()
    made = Store("things", root=tmp_path).obtain("key", lambda new: new.write_text("ours"), what="a thing")
    assert made.read_text() == "ours"


def test_an_artifact_that_appears_ends_the_wait_for_the_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other build goes on to its next artifact and holds the lock."""
    folder = tmp_path / "things"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code = f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(folder / 'key')!r}).write_text('theirs')"
        with subprocess.Popen([sys.executable, "-c", code]):
            made = Store("things", root=tmp_path).obtain("key", Path.touch, what="a thing")
    assert made.read_text() == "theirs"
    assert capsys.readouterr().err == f"things: waiting for a thing: another build runs in {folder}\n"


def test_an_entry_that_was_not_used_for_two_weeks_is_removed(tmp_path: Path) -> None:
    store, now = Store("things", root=tmp_path), time.time()
    for days, name in ((15, "old"), (13, "recent"), (15, "used"), (15, ".lock"), (15, "file.log")):
        path = tmp_path / "things" / name
        path.mkdir(parents=True) if "." not in name else path.touch()
        os.utime(path, (now, now - days * 24 * 3600))
    store.obtain("used", Path.touch, what="a thing")
    assert sorted(path.name for path in (tmp_path / "things").iterdir()) == [".lock", "recent", "used"]


def test_only_entries_that_match_the_pattern_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in ("a.tar", "buildah"):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (0, 0))
    Store("images", pattern="*.tar", root=tmp_path).obtain("b.tar", Path.touch, what="b")
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "b.tar", "buildah"]


def test_a_key_depends_on_where_one_input_ends() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", b"b") == key_of(b"a", "b")
    assert len(key_of()) == 16


def test_files_are_described_by_name_mode_and_content(tmp_path: Path) -> None:
    (tmp_path / "a/__pycache__").mkdir(parents=True)
    (tmp_path / "a/__pycache__/x.pyc").touch()
    (tmp_path / "a/b").write_text("text")
    (tmp_path / "a/b").chmod(0o644)
    described = describe_files("a", root=tmp_path)
    assert described == "a/b 644 982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1\n"
    (tmp_path / "a/b").chmod(0o755)
    assert describe_files("a", root=tmp_path) != described


def test_an_input_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"/nothing is missing, but an artifact depends on it"):
        describe_files("nothing", root=tmp_path)
