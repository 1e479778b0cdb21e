"""What a build reports while it runs."""

import time

import pytest

from hack.builds.progress import progress


def test_a_long_step_is_reported_on_standard_error_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("images: the base", every=0.05):
        deadline, said = time.monotonic() + 30, ""
        while said.count("\n") < 2 and time.monotonic() < deadline:
            said += capsys.readouterr().err
    assert said.startswith("images: the base: still running (0 s)\nimages: the base: still running (0 s)\n")
    assert capsys.readouterr().out == ""


def test_a_short_step_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("x"):
        pass
    assert capsys.readouterr() == ("", "")
