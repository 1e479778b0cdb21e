"""The installed version."""

from importlib import metadata
from pathlib import Path

from servicestatus import version


def test_it_is_what_the_distribution_says() -> None:
    assert version.installed() == metadata.version("vmi-service-status")


def test_the_first_folder_on_the_path_wins(tmp_path: Path) -> None:
    (tmp_path / "vmi_service_status-1.2.3rc1.dist-info").mkdir()
    (tmp_path / "other-9.dist-info").mkdir()
    assert version.installed(["", str(tmp_path / "missing"), str(tmp_path)]) == "1.2.3rc1"


def test_without_an_installation_it_is_unknown(tmp_path: Path) -> None:
    assert version.installed([str(tmp_path)]) == "unknown"
