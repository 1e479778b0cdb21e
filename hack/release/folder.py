"""Writes the files of a release from the images' archives and the tree."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hack.builds import gotools, oci
from hack.builds.commands import output
from hack.builds.images import REGISTRY
from hack.release import contents, sbom
from hack.release.source import Source

MANIFESTS = Path("manifests")
SUMS = "SHA256SUMS"


def write(folder: Path, source: Source, archives: Mapping[str, Path]) -> None:
    """Write a release into a folder that does not exist; `archives` are the images' OCI archives, by image."""
    folder.mkdir(parents=True)
    for image, archive in archives.items():
        shutil.copyfile(archive, folder / f"{image}-{source.version}.oci.tar")
        for part in contents.read(archive):
            document = sbom.document(image, part, source)
            (folder / f"{document['name']}.spdx.json").write_text(json.dumps(document, indent=1) + "\n")
    digests = {image: oci.index_digest(archive) for image, archive in archives.items()}
    for overlay in _overlays(source.tree):
        (folder / f"install-{overlay.name}.yaml").write_text(manifests(source, overlay, digests))
    write_distributions(folder, source)
    (folder / "RELEASE-NOTES.md").write_text(f"# VMI Service Status {source.version}\n\n{source.notes}")
    shutil.copyfile(source.tree / "LICENSE", folder / "LICENSE")
    (folder / SUMS).write_text(sums(folder))


def _overlays(tree: Path) -> list[Path]:
    """Return the folders of manifests that become a file each, as their paths in the tree."""
    named = sorted(path.name for path in (tree / MANIFESTS / "overlays").iterdir())
    # The kinds are a file of their own, which is applied first, or kubectl does not know one of them.
    return [MANIFESTS / "crd", *(MANIFESTS / "overlays" / name for name in named if not name.startswith("test-"))]


def manifests(source: Source, overlay: Path, digests: Mapping[str, str]) -> str:
    """Return the objects of a folder of manifests. Each image is named by its digest, which no later push can change.

    The digest is that of the index, so a node of any platform pulls its own image by it. kustomize drops a tag that
    stands beside a digest.
    """
    (kubectl,) = gotools.build(["kubectl"])
    images = [{"name": f"{REGISTRY}/{image}", "digest": digest} for image, digest in digests.items()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(source.tree / MANIFESTS, folder / MANIFESTS)
        kustomization = {"resources": [str(overlay)], "images": images}
        (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
        objects = output([kubectl, "kustomize", folder])
    heading = f"# VMI Service Status {source.version}, {overlay}. docs/install.md: how to apply it.\n"
    return heading + objects


def sums(folder: Path) -> str:
    """Return a line for each file, which `sha256sum --check` reads."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def write_distributions(folder: Path, source: Source) -> None:
    """Write the wheel and the sdist, which has docs/ and manifests/ too."""
    with tempfile.TemporaryDirectory() as made:
        command = [sys.executable, "-m", "hatchling", "build", "--directory", made]
        output(command, environment={"SOURCE_DATE_EPOCH": str(source.epoch)}, folder=source.tree)
        for path in Path(made).iterdir():
            shutil.copyfile(path, folder / path.name)
