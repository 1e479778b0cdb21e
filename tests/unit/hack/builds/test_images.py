"""How images are built: what a key depends on, and which options an engine gets."""

from pathlib import Path

import pytest

from hack.builds import engines, images
from hack.builds.commands import BuildError
from hack.builds.debian import DebianRoot
from hack.builds.machine import PipSettings, parse_pip_settings


def test_each_variable_of_a_release_makes_another_archive() -> None:
    image = images.IMAGES["launcher-agent"]
    variables = ("BASE", "SOURCE_DATE_EPOCH", "REVISION", "TAG")
    assert len({image.key({}), *(image.key({name: "1"}) for name in variables)}) == 5


def test_each_platform_and_several_together_make_another_archive() -> None:
    image = images.IMAGES["launcher-agent"]
    amd64, arm64 = "linux/amd64", "linux/arm64"
    assert len({image.key({}, amd64), image.key({}, arm64), image.key({}, amd64, arm64)}) == 3


def test_an_image_that_is_not_the_projects_is_an_error() -> None:
    with pytest.raises(BuildError, match="there is no image agent; there are: launcher-agent, handler-service"):
        images.build(["agent"])


def test_a_builder_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="BUILDER is buildah, podman or docker, not kaniko"):
        engines.choose(tmp_path, {"BUILDER": "kaniko"})


def test_the_builder_can_be_chosen(tmp_path: Path) -> None:
    chosen = [engines.choose(tmp_path, {"BUILDER": name}) for name in ("buildah", "podman", "docker")]
    assert chosen == [engines.Buildah(tmp_path), engines.Client("podman", is_layered=True), engines.Client("docker")]


def test_a_plan_becomes_the_options_of_an_engine() -> None:
    plan = engines.Plan(
        dockerfile="Dockerfile.x",
        name="x:dev",
        platform="linux/arm64",
        epoch=5,
        arguments={"VERSION": "1"},
        secrets={"pip.conf": Path("/s/pip.conf")},
        volume=Path("/wheels"),
    )
    assert [str(word) for word in plan.options()] == [
        *("--file", "Dockerfile.x", "--tag", "x:dev", "--platform", "linux/arm64", "--pull=false"),
        *("--build-arg", "VERSION=1", "--secret", "id=pip.conf,src=/s/pip.conf"),
    ]
    assert plan.layered() == ["--layers", "--timestamp", "5", "--volume=/wheels:/wheels:ro"]


def test_pips_settings_hold_in_a_build_with_the_certificates_at_another_place(tmp_path: Path) -> None:
    machines = [":env:.cert='/etc/ca.pem'", ":env:.disable-pip-version-check='1'"]
    listing = "\n".join([*machines, f"global.find-links='{tmp_path}'", "global.retries='3'\n"])
    assert parse_pip_settings(listing) == PipSettings(
        f"[global]\nfind-links = {tmp_path}\nretries = 3\ncert = /run/certificates.pem\n", Path("/etc/ca.pem"), tmp_path
    )


def test_a_machine_without_settings_needs_none_and_pip_is_patient() -> None:
    assert parse_pip_settings("") == PipSettings("[global]\nretries = 20\n")


def test_a_root_is_described_by_the_arguments_that_make_it() -> None:
    assert str(DebianRoot(packages=("a", "b"), excluded=("/usr/share/doc/*",))) == (
        '--quiet --variant=minbase --aptopt=Apt::Install-Recommends "false" --dpkgopt=path-exclude=/usr/share/doc/* '
        "--include=a,b trixie"
    )


def test_a_root_for_another_processor_is_another_root() -> None:
    arguments = DebianRoot(architecture="arm64").arguments
    assert "--architectures=arm64" in arguments
    assert [word for word in arguments if word != "--architectures=arm64"] == DebianRoot().arguments
