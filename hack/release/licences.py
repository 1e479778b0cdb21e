"""Translates the licences that packages state into SPDX's names.

Debian's copyright files name the licence of each part of a source, in names of their own. All of these together are
what an image's package is under, at most: which part is in the package is not stated. A name that SPDX has no name for
becomes a reference (`LicenseRef-debian-NAME`). A copyright file in prose is not interpreted: it becomes a reference to
its own text, which the bill of materials has.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

REFERENCE = "LicenseRef-debian-"
# Of a text's SHA-256 in the name of its reference: no two texts of one source package share them.
_DIGITS = 8
# https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name and what Debian's files use.
DEBIAN: Mapping[str, str] = {
    "0bsd": "0BSD",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "beerware": "Beerware",
    "bsl-1.0": "BSL-1.0",
    "cc0-1.0": "CC0-1.0",
    "curl": "curl",
    "expat": "MIT",
    "fsfap": "FSFAP",
    "fsful": "FSFUL",
    "fsfullr": "FSFULLR",
    "isc": "ISC",
    "mit": "MIT",
    "mit-cmu": "MIT-CMU",
    "ms-pl": "MS-PL",
    "openldap-2.8": "OLDAP-2.8",
    "openssl": "OpenSSL",
    "psf-2": "PSF-2.0",
    "unicode-dfs-2016": "Unicode-DFS-2016",
    "x11": "X11",
    "zlib": "Zlib",
    **{f"gpl-{n}": f"GPL-{n}.0-only" for n in (1, 2, 3)},
    **{f"gpl-{n}+": f"GPL-{n}.0-or-later" for n in (1, 2, 3)},
    **{f"gpl-{n}.0+": f"GPL-{n}.0-or-later" for n in (2, 3)},
    **{f"lgpl-{n}": f"LGPL-{n}-only" for n in ("2.1",)},
    **{f"lgpl-{n}+": f"LGPL-{n}-or-later" for n in ("2.1",)},
    **{f"lgpl-{n}": f"LGPL-{n}.0-only" for n in (2, 3)},
    **{f"lgpl-{n}+": f"LGPL-{n}.0-or-later" for n in (2, 3)},
}
CLASSIFIERS: Mapping[str, str] = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# What `License:` of Python packages says that state nothing else.
NAMES: Mapping[str, str] = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "lgplv2+": "LGPL-2.0-or-later",
    "lgpl-v2.0-or-later": "LGPL-2.0-or-later",
    **{name.lower(): name for name in ("Apache-2.0", "BSD-3-Clause", "MIT", "PSF-2.0", "MPL-2.0", "ISC")},
}


def of_debian(copyright_file: str) -> str | None:
    """Return the licences of a copyright file in Debian's machine-readable form; none if it is in another."""
    if not re.match(r"(?i)format:\s*https?://\S*copyright-format", copyright_file):
        return None
    stated = re.findall(r"^License:[ \t]*(\S[^\n]*?)[ \t]*$", copyright_file, re.MULTILINE | re.IGNORECASE)
    return " AND ".join(sorted({_of_line(line.lower()) for line in stated})) or None


def of_prose(source: str, copyright_file: str) -> str | None:
    """Return the reference to a copyright file in prose, one for all packages of a source that have the same file."""
    if not copyright_file.strip():
        return None
    digest = hashlib.sha256(copyright_file.encode()).hexdigest()[:_DIGITS]
    return f"{REFERENCE}copyright-{_slug(source)}-{digest}"


def _of_line(line: str) -> str:
    """Return a choice between licences, or several at once, as SPDX writes it; a mixture of both is one reference."""
    words = [word for word in ("or", "and") if f" {word} " in line]
    if len(words) > 1:
        return _name(line)
    word = words[0] if words else "and"
    names = f" {word.upper()} ".join(sorted({_name(name) for name in line.split(f" {word} ")}))
    return f"({names})" if word == "or" else names


def _name(stated: str) -> str:
    known = DEBIAN.get(stated.strip())
    return known or REFERENCE + _slug(stated)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.replace("+", ".plus")).strip("-")


def references(expression: str) -> set[str]:
    """Return the references in an expression."""
    return set(re.findall(rf"{REFERENCE}[a-z0-9.-]+", expression))


def of_python(expression: str | None, classifiers: Iterable[str], name: str | None) -> str | None:
    """Return the licence of a Python package: its own expression, else its classifiers', else that of a known name."""
    if expression:
        return expression
    stated = [line for line in classifiers if line.startswith("License :: ") and line.count(" :: ") > 1]
    if found := _all_of({CLASSIFIERS.get(line) for line in stated}):
        return found
    return NAMES.get((name or "").strip().lower())


def _all_of(names: set[str | None]) -> str | None:
    known = sorted(name for name in names if name)
    return " AND ".join(known) if known and len(known) == len(names) else None
