"""The wheel and the sdist of a release, and the one version of all programs."""

import email
import hashlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from hack.builds.commands import ROOT
from hack.release import folder
from hack.release.source import Source, project_version

SOURCE = Source(project_version(), "abc", 1_000_000_000, "- First.\n")
PACKAGES = ("controller", "handler_service", "injection_webhook", "launcher_agent", "servicestatus")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("distributions")
    folder.write_distributions(made, SOURCE)
    return made


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"vmi_service_status-{SOURCE.version}-py3-none-any.whl")


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return email.message_from_bytes(wheel.read(f"vmi_service_status-{SOURCE.version}.dist-info/METADATA"))


def test_the_metadata_says_what_an_index_of_packages_shows(metadata: Message) -> None:
    assert metadata["Name"] == "vmi-service-status"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Author"] == "The authors of VMI Service Status"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert "Proposal, https://github.com/kubevirt/enhancements/issues/119" in metadata.get_all("Project-URL", [])
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text().strip()


def test_every_package_says_that_it_has_types(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert {f"{name}/py.typed" for name in PACKAGES} <= names


def test_the_sdist_has_the_manifests_and_the_docs(built: Path) -> None:
    """From it an admin builds a kustomization with other components, and reads the pages of that release."""
    top = f"vmi_service_status-{SOURCE.version}"
    with tarfile.open(built / f"{top}.tar.gz") as sdist:
        names = set(sdist.getnames())
    wanted = ("manifests/base/kustomization.yaml", "docs/install.md", "Dockerfile.handler", "proto/released/v1.binpb")
    assert {f"{top}/{name}" for name in wanted} <= names
    assert not any("/.venv/" in name or "__pycache__" in name for name in names)


def test_both_are_the_same_whenever_they_are_built(built: Path, tmp_path: Path) -> None:
    folder.write_distributions(tmp_path, SOURCE)
    first, second = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
        for place in (built, tmp_path)
    )
    assert len(first) == 2
    assert first == second


PROGRAMS = tuple(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_the_version_of_pyproject(program: str) -> None:
    """It is written in no second place."""
    command = [str(Path(sys.executable).with_name(program)), "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    assert done.stdout == f"{program} {SOURCE.version}\n"
