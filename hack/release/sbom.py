"""Writes an image's software bill of materials, SPDX 2.3 in JSON, from what the image itself contains.

That is each Debian package's control data and each Python package's metadata. Libraries that a wheel has linked in,
such as the TLS of gRPC, are part of that wheel and are not listed. The format is flat, so that a dictionary is enough;
`make release` has the result checked by SPDX's own spdx-tools.
"""

import email
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.parse import quote

from hack.release import licences
from hack.release.contents import Contents
from hack.release.source import Source

NAME = "vmi-service-status"
UNKNOWN = "NOASSERTION"
DEBIAN = "Organization: Debian"
# Of a licence for which Debian has a name, and SPDX has none.
NAMED = "As Debian names it; the text is in the image, in /usr/share/doc/*/copyright."
Package = dict[str, Any]


def document(image: str, contents: Contents, source: Source) -> dict[str, Any]:
    """Return the document about one image for one platform."""
    architecture = contents.platform.partition("/")[2]
    purl = f"pkg:oci/{image}@{quote(contents.digest, safe='')}?arch={architecture}&tag={source.version}"
    root = _package("image", image, source.version, purl, "Apache-2.0") | {"primaryPackagePurpose": "CONTAINER"}
    texts: dict[str, str] = {}
    parts = [*_debian(contents.files, texts), *_python(contents.files)]
    relations = [_related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    relations += [_related("SPDXRef-image", "CONTAINS", part["SPDXID"]) for part in parts]
    if "usr/bin/launcher-supervisor" in contents.files:
        # Process 1 of the agent's container is linked statically, with the glibc of the same Debian.
        relations.append(_related("SPDXRef-python-vmi-service-status", "STATIC_LINK", "SPDXRef-debian-libc6"))
    name = f"{image}-{source.version}-{contents.platform.replace('/', '-')}"
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        # The same image has the same document, and no other image has.
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl)}",
        "creationInfo": {
            "created": datetime.fromtimestamp(source.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {NAME}-release-{source.version}"],
        },
        "hasExtractedLicensingInfos": [
            {
                "licenseId": reference,
                "name": reference.removeprefix(licences.REFERENCE),
                "extractedText": texts.get(reference, NAMED),
            }
            for reference in sorted({one for part in parts for one in licences.references(part["licenseDeclared"])})
        ],
        "packages": [root, *parts],
        "relationships": relations,
    }


def _debian(files: Mapping[str, bytes], texts: dict[str, str]) -> Iterator[Package]:
    """Return the Debian packages, and put the copyright files in prose into `texts`, by their references."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', files["usr/lib/os-release"].decode(), re.MULTILINE))
    distribution = f"{release['ID']}-{release['VERSION_ID']}"
    for path in sorted(files):
        if not path.startswith("var/lib/dpkg/status.d/"):
            continue
        control = email.message_from_bytes(files[path])
        name, version, architecture = control["Package"], control["Version"], control["Architecture"]
        text = files.get(f"usr/share/doc/{name}/copyright", b"").decode(errors="replace")
        source = (control["Source"] or name).split()[0]  # its version may follow
        licence = licences.of_debian(text)
        if licence is None and (licence := licences.of_prose(source, text)):
            texts[licence] = text
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}&distro={distribution}"
        yield {
            **_package(f"debian-{name}", name, version, purl, licence),
            "supplier": DEBIAN,
            "sourceInfo": f"Debian's source package {control['Source'] or name}",
        }


def _python(files: Mapping[str, bytes]) -> Iterator[Package]:
    for path in sorted(files):
        if not path.endswith(".dist-info/METADATA"):
            continue
        metadata = email.message_from_bytes(files[path])
        name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
        # The project is in no index of packages, where its name could become another's.
        purl = None if name == NAME else f"pkg:pypi/{quote(name)}@{quote(metadata['Version'])}"
        yield _package(f"python-{name}", name, metadata["Version"], purl, _licence(metadata))


def _licence(metadata: Message) -> str | None:
    return licences.of_python(metadata["License-Expression"], metadata.get_all("Classifier", []), metadata["License"])


def _package(key: str, name: str, version: str, purl: str | None, licence: str | None) -> Package:
    package: Package = {
        "SPDXID": f"SPDXRef-{re.sub(r'[^A-Za-z0-9.-]', '-', key)}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": licence or UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": "LIBRARY",
    }
    if purl:
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        package["externalRefs"] = [reference]
    return package


def _related(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
