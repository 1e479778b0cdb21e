"""A bill of materials from an image's own files. That SPDX's tools accept it is checked by `make release`."""

from pathlib import Path

from hack.builds import oci
from hack.release import contents, sbom
from hack.release.source import Source
from tests.unit.hack.builds.archives import docker_archive, layer

SOURCE = Source("0.1.0", "abc", 1_000_000_000, "- First.\n")
COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: A
License: Expat

Files: a
Copyright: A
License: public-domain
"""
PROSE = "Übersetzt by A. You may copy it.\n".encode()
IN_PROSE = "LicenseRef-debian-copyright-p-af927123"
SITE = "usr/local/lib/python3.13/dist-packages"
DEBIAN = layer(
    {
        "usr/lib/os-release": b'NAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n',
        "var/lib/dpkg/status.d/libc6": b"Package: libc6\nSource: glibc\nVersion: 2.41-12\nArchitecture: arm64\n",
        "var/lib/dpkg/status.d/libx": b"Package: libx\nSource: x (1.0)\nVersion: 1:1.0+b1\nArchitecture: arm64\n",
        "var/lib/dpkg/status.d/libp": b"Package: libp\nSource: p (2-1)\nVersion: 2\nArchitecture: arm64\n",
        "var/lib/dpkg/status.d/libp-base": b"Package: libp-base\nSource: p\nVersion: 2\nArchitecture: all\n",
        "usr/share/doc/x-base/copyright": COPYRIGHT,
        "usr/share/doc/libp-base/copyright": PROSE,
    },
    {"usr/share/doc/libx": "x-base", "usr/share/doc/libp": "libp-base"},
)
PYTHON = layer(
    {
        f"{SITE}/a_b-2.0.dist-info/METADATA": b"Name: A.b\nVersion: 2.0\nLicense-Expression: MIT\n\nText.\n",
        f"{SITE}/vmi_service_status-0.1.0.dist-info/METADATA": b"Name: vmi-service-status\nVersion: 0.1.0\n",
        "usr/bin/launcher-supervisor": b"program",
    }
)


def document(folder: Path) -> sbom.Package:
    docker_archive(folder / "docker.tar", "arm64", [DEBIAN, PYTHON])
    oci.write(folder / "oci.tar", [folder / "docker.tar"], "launcher-agent:0.1.0")
    (image,) = contents.read(folder / "oci.tar")
    assert image.platform == "linux/arm64"
    return sbom.document("launcher-agent", image, SOURCE)


def test_each_package_is_listed_with_its_version_licence_and_purl(tmp_path: Path) -> None:
    made = document(tmp_path)
    listed = {
        package["name"]: (
            package["versionInfo"],
            package["licenseDeclared"],
            package.get("externalRefs", [{}])[0].get("referenceLocator"),
        )
        for package in made["packages"][1:]
    }
    assert listed == {
        "libc6": ("2.41-12", "NOASSERTION", "pkg:deb/debian/libc6@2.41-12?arch=arm64&distro=debian-13"),
        "libx": (
            "1:1.0+b1",
            "LicenseRef-debian-public-domain AND MIT",
            "pkg:deb/debian/libx@1%3A1.0%2Bb1?arch=arm64&distro=debian-13",
        ),
        "libp": ("2", IN_PROSE, "pkg:deb/debian/libp@2?arch=arm64&distro=debian-13"),
        "libp-base": ("2", IN_PROSE, "pkg:deb/debian/libp-base@2?arch=all&distro=debian-13"),
        "a-b": ("2.0", "MIT", "pkg:pypi/a-b@2.0"),
        "vmi-service-status": ("0.1.0", "NOASSERTION", None),
    }


def test_a_document_describes_the_image_and_relates_it_to_what_it_contains(tmp_path: Path) -> None:
    made = document(tmp_path)
    assert made["name"] == "launcher-agent-0.1.0-linux-arm64"
    assert made["creationInfo"]["created"] == "2001-09-09T01:46:40Z"
    relations = {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in made["relationships"]}
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image") in relations
    assert ("SPDXRef-image", "CONTAINS", "SPDXRef-debian-libx") in relations
    assert ("SPDXRef-python-vmi-service-status", "STATIC_LINK", "SPDXRef-debian-libc6") in relations
    named = [package["SPDXID"] for package in made["packages"]]
    assert len(named) == len(set(named))
    assert {end for one, _, other in relations for end in (one, other)} == {*named, "SPDXRef-DOCUMENT"}


def test_a_licence_without_a_name_in_spdx_has_the_text_of_its_copyright_file(tmp_path: Path) -> None:
    """Once, for all packages of a source; where Debian has a name for a licence, its text is in the image."""
    texts = {one["licenseId"]: one["extractedText"] for one in document(tmp_path)["hasExtractedLicensingInfos"]}
    assert texts == {IN_PROSE: PROSE.decode(), "LicenseRef-debian-public-domain": sbom.NAMED}


def test_the_same_image_has_the_same_document_and_another_image_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert document(tmp_path / "a") == document(tmp_path / "b")
    (image,) = contents.read(tmp_path / "a/oci.tar")
    other = sbom.document("handler-service", image, SOURCE)
    assert other["documentNamespace"] != document(tmp_path / "a")["documentNamespace"]
