"""Tests the private sockets of gRPC behind the HTTP/2 proxies: other users cannot reach them."""

import socket
from pathlib import Path

import pytest

from handler_service.endpoints.private_sockets import PrivateSockets
from servicestatus.sockets import SocketError


def test_the_directory_is_made_and_closed_to_others(tmp_path: Path) -> None:
    """Whatever the umask is."""
    with PrivateSockets(tmp_path / "d") as sockets:
        assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
        assert [sockets.new_name(), sockets.new_name()] == ["1", "2"]


def test_what_an_earlier_run_left_is_taken_over(tmp_path: Path) -> None:
    """A killed process leaves its sockets behind."""
    (tmp_path / "d").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "d" / "1"))
    with PrivateSockets(tmp_path / "d") as sockets:
        assert sockets.new_name() == "1"
        assert not (tmp_path / "d" / "1").exists()


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """A user that can reach gRPC there would bypass the proxy."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    with pytest.raises(SocketError, match="is open to other users"):
        PrivateSockets(tmp_path / "d")


def test_a_symlink_is_refused(tmp_path: Path) -> None:
    """It leads who knows where."""
    (tmp_path / "d").symlink_to(tmp_path)
    with pytest.raises(SocketError):
        PrivateSockets(tmp_path / "d")
