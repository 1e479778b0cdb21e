"""What a build reports while it runs."""

import re
import time

import pytest

from hack.builds.progress import progress


def test_a_long_step_is_reported_on_standard_error_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("images: the base", every=0.05):
        deadline, said = time.monotonic() + 60, ""
        while said.count("\n") < 2 and time.monotonic() < deadline:
            said += capsys.readouterr().err
    assert re.match(r"(images: the base: still running \(\d+ s\)\n){2}", said)
    assert capsys.readouterr().out == ""


def test_a_short_step_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("x"):
        pass
    assert capsys.readouterr() == ("", "")
