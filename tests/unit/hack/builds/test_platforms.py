"""The platforms that images are built for."""

from pathlib import Path

import pytest

from hack.builds import platforms
from hack.builds.commands import BuildError

(FOREIGN,) = (name for name in platforms.MACHINES if name != platforms.own())


def test_without_a_choice_it_is_this_machines_platform() -> None:
    assert platforms.chosen({}) == (platforms.own(),)


def test_several_platforms_can_be_chosen_and_none_twice() -> None:
    chosen = platforms.chosen({"PLATFORM": "linux/amd64,linux/arm64,linux/amd64"})
    assert chosen == ("linux/amd64", "linux/arm64")


def test_a_platform_that_is_not_known_is_an_error() -> None:
    with pytest.raises(BuildError, match="PLATFORM names linux/amd64, linux/arm64, separated by commas, not 'arm64'"):
        platforms.chosen({"PLATFORM": "arm64"})


def test_a_platform_whose_programs_do_not_start_here_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"run `hack/setup\.sh emulation` as root"):
        platforms.check(FOREIGN, tmp_path)
    (tmp_path / f"qemu-{platforms.MACHINES[FOREIGN]}").write_text("disabled\n")
    with pytest.raises(BuildError, match=r"missing or not enabled"):
        platforms.check(FOREIGN, tmp_path)


def test_a_platform_that_the_kernel_emulates_and_the_own_one_are_accepted(tmp_path: Path) -> None:
    (tmp_path / f"qemu-{platforms.MACHINES[FOREIGN]}").write_text("enabled\ninterpreter /usr/bin/qemu\n")
    platforms.check(FOREIGN, tmp_path)
    platforms.check(platforms.own(), tmp_path / "nothing")
