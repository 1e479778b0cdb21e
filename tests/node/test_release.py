"""From the folder of a release alone to a counted viewer, by the lines of docs/install.md.

The images are those of the other tests, in the form of a release. `make release` builds them for both platforms.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.builds import oci
from hack.builds.images import REGISTRY
from hack.release import folder as release
from hack.release.source import Source, project_version
from testbed.documents import script
from testbed.pool import ViewerPool
from tests.apiserver.vmis import seen
from tests.cluster.tools import tool
from tests.cluster.vmi import STOCK
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.installation import Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.manifests import images_in
from tests.node.place import Ability
from tests.node.registry import ADDRESS, Registry, variant
from tests.node.site import Site

# Any of them may be the one that starts the node and writes the folder.
pytestmark = pytest.mark.timeout(600)

SOURCE = Source(project_version(), "0" * 40, 1_000_000_000, "- First.\n")
# As docs/install.md names the registry.
EXAMPLE = "registry.example.com"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The images as OCI archives."""
    made = tmp_path_factory.mktemp("archives")
    for image in (AGENT, HANDLER):
        # Compressed little, which takes a third of the time.
        name = f"{REGISTRY}/{image}:{SOURCE.version}"
        oci.write(made / f"{image}.tar", [variant(archive_of(image), made / "variant.tar", name)], name, level=1)
    return {image: made / f"{image}.tar" for image in (AGENT, HANDLER)}


@pytest.fixture(scope="module")
def folder(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("release") / SOURCE.version
    release.write(made, SOURCE, archives)
    return made


@pytest.fixture(scope="module")
def digests(archives: dict[str, Path]) -> dict[str, str]:
    return {image: oci.index_digest(archive) for image, archive in archives.items()}


def test_a_release_has_everything_that_an_admin_takes(folder: Path) -> None:
    version, platform = SOURCE.version, f"linux-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine] }"
    assert {path.name for path in folder.iterdir()} == {
        f"handler-service-{version}.oci.tar",
        f"launcher-agent-{version}.oci.tar",
        f"handler-service-{version}-{platform}.spdx.json",
        f"launcher-agent-{version}-{platform}.spdx.json",
        "install-crd.yaml",
        "install-kubevirt.yaml",
        "install-kubevirt-webhook.yaml",
        f"vmi_service_status-{version}-py3-none-any.whl",
        f"vmi_service_status-{version}.tar.gz",
        "RELEASE-NOTES.md",
        "LICENSE",
        "SHA256SUMS",
    }
    assert (folder / "RELEASE-NOTES.md").read_text() == f"# VMI Service Status {version}\n\n- First.\n"


def test_the_same_images_and_the_same_tree_make_the_same_release(
    folder: Path, archives: dict[str, Path], tmp_path: Path
) -> None:
    """Every file, byte by byte. `make release` compares two builds of the images too."""
    release.write(tmp_path / "again", SOURCE, archives)
    assert (tmp_path / "again/SHA256SUMS").read_text() == (folder / "SHA256SUMS").read_text()


def test_a_manifest_names_both_images_by_digest_and_no_registry(folder: Path, digests: dict[str, str]) -> None:
    """So that what is pulled is what was released, and nothing is pulled before the admin has named a registry."""
    for name in ("install-kubevirt.yaml", "install-kubevirt-webhook.yaml"):
        text = (folder / name).read_text()
        assert "kubernetes.io/arch" not in text  # the index has the image of each platform
        objects = list(yaml.safe_load_all(text))
        assert set(images_in(objects)) == {f"{REGISTRY}/{image}@{digest}" for image, digest in digests.items()}


def test_a_bill_of_materials_lists_what_is_in_the_image(folder: Path) -> None:
    """With versions and licences."""
    (path,) = folder.glob("launcher-agent-*.spdx.json")
    packages = {package["name"]: package for package in json.loads(path.read_text())["packages"]}
    assert {"libc6", "libvirt0", "python3.13-minimal", "grpcio", "libvirt-python", "vmi-service-status"} <= set(
        packages
    )
    assert packages["grpcio"]["licenseDeclared"] == "Apache-2.0"
    assert packages["vmi-service-status"]["licenseDeclared"] == "Apache-2.0"
    unversioned = [name for name, package in packages.items() if not package["versionInfo"]]
    assert unversioned == []
    silent = [name for name, package in packages.items() if package["licenseDeclared"] == "NOASSERTION"]
    assert silent == []


def run(site: Site, folder: Path, *names: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run scripts of docs/install.md on the node, in the release's folder, with the test's registry and version."""
    # A list of commands that fails does not end a shell by itself.
    text = "\ntest $? = 0\n".join(script("install.md", name) for name in names)
    text = text.replace(EXAMPLE, ADDRESS).replace("0.1.0", SOURCE.version)
    home = folder.parent / "home"
    settings = home / ".config/containers/registries.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    # Without TLS, as containerd has it on its own loopback; an admin's registry has it.
    settings.write_text(f'[[registry]]\nlocation = "{ADDRESS}"\ninsecure = true\n')
    environment = {
        "PATH": f"{tool('kubectl').parent}:/usr/bin:/bin",
        "HOME": str(home),
        "KUBECONFIG": str(site.cluster.kubeconfig),
    }
    values = (f"{name}={value}" for name, value in environment.items())
    command = site.node.command("env", "-i", *values, "sh", "-ec", f"cd {folder}\n{text}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def registry(site: Site, tmp_path: Path, digests: dict[str, str]) -> Iterator[Registry]:
    """An open one; the node loses what it pulled from it."""
    with Registry(site.node, tmp_path, is_open=True) as running:
        yield running
    for image, digest in digests.items():
        name = f"{ADDRESS}/vmi-service-status/{image}@{digest}"
        if name in site.node.ctr("images", "list", "--quiet").split():
            site.node.ctr("images", "rm", "--sync", name)


@pytest.mark.needs(Ability.LOOK)
def test_an_archive_that_was_changed_is_not_pushed(
    site: Site, folder: Path, registry: Registry, tmp_path: Path
) -> None:
    changed = shutil.copytree(folder, tmp_path / "changed")
    with (changed / f"launcher-agent-{SOURCE.version}.oci.tar").open("ab") as archive:
        archive.write(b"\0")
    done = run(site, changed, "push", check=False)
    assert done.returncode != 0
    assert f"launcher-agent-{SOURCE.version}.oci.tar: FAILED" in done.stdout
    assert not (tmp_path / "images/docker/registry/v2/repositories").exists()


@pytest.mark.needs(Ability.LOOK)
@pytest.mark.usefixtures("registry")
def test_from_the_folder_to_a_counted_viewer(
    site: Site,
    session_installation: Installation,
    folder: Path,
    digests: dict[str, str],
    namespace: str,
    viewers: ViewerPool,
    tmp_path: Path,
) -> None:
    """Nothing of the tree is used: the handler, the opener, the controller and the agent come from the registry."""
    session_installation.delete()
    site.cluster.kubectl("apply", "--server-side", "-k", STOCK)
    try:
        run(site, shutil.copytree(folder, tmp_path / "release"), "push", "apply")
        session_installation.wait_ready()
        session_installation.wait_injects()
        machine = KubeVirt(site, namespace).start()
        machine.vmi.wait_told(seen(0), timeout=60)
        viewers.establish(machine.display)
        machine.vmi.wait_told(seen(1))
        pods = [machine.launcher.object(), session_installation.handler.object()]
        used = {image for pod in pods for image in images_in(pod["spec"]) if image.startswith(ADDRESS)}
        assert used == {f"{ADDRESS}/vmi-service-status/{image}@{digest}" for image, digest in digests.items()}
    finally:
        session_installation.delete()
