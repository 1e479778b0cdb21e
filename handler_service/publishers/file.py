"""Publishes into a directory of VMI documents: `DIR/NAMESPACE/NAME.json`. No cluster is needed.

A document is somebody else's: only `status.serviceStatus.vncSessions` is changed, everything else in it is kept, and a
document that is not understood is left alone and told. It is replaced in one step, so a reader sees the old or the new
one, and a full disk leaves the old one. A symbolic link is not followed: who may write the directory of a namespace
must not gain a file elsewhere by it.
"""

import asyncio
import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId

Document = dict[str, Any]

#: A document is read by whoever may look at the directory; the directory's own mode decides who that is.
_NEW_FILE_MODE: Final = 0o644
_NEW_DIRECTORY_MODE: Final = 0o755
#: What this publisher shows besides the number: that there is a document, and that its field is well-formed.
_WELL_FORMED: Final = "well-formed"


class DocumentError(Exception):
    """A document cannot be used; the text names the file."""


class FilePublisher:
    """The embedded publisher."""

    name = "file"

    def __init__(self, directory: Path) -> None:
        """`directory` exists and may be written."""
        self._directory = directory

    def detail(self, desired: DesiredStatus) -> Hashable:  # noqa: ARG002  # the interface's; a document shows no more
        """A document shall exist as soon as anything is known."""
        return _WELL_FORMED

    async def read(self, vmi: VmiId) -> Outcome:
        """What the document holds; no document holds nothing."""
        return await asyncio.to_thread(self._read, vmi)

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Replace the document."""
        return await asyncio.to_thread(self._write, vmi, value)

    def path(self, vmi: VmiId) -> Path:
        """Where the document of `vmi` is."""
        return self._directory / vmi.namespace / f"{vmi.name}.json"

    def _read(self, vmi: VmiId) -> Outcome:
        try:
            return Outcome(OutcomeKind.UNCHANGED, _shown(load(self.path(vmi))))
        except (DocumentError, OSError) as error:
            return _failed(error)

    def _write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        path = self.path(vmi)
        try:
            document = load(path)
            if _shown(document) == value:
                return Outcome(OutcomeKind.UNCHANGED, value)
            replace(path, changed(document if document is not None else _empty(vmi), value.sessions))
            return Outcome(OutcomeKind.WRITTEN, value)
        except (DocumentError, OSError) as error:
            return _failed(error)


def load(path: Path) -> Document | None:
    """The document at `path`; None when there is no file. Raises DocumentError, OSError."""
    try:
        document = json.loads(_text(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DocumentError(f"{path} is not a JSON object")
    _service_status(document, path)
    return document


def changed(document: Document, number: int) -> Document:
    """`document` with the number; at zero the field, and what would be left empty around it, is absent."""
    status = dict(document.get("status") or {})
    service_status = dict(status.get("serviceStatus") or {})
    if number:
        service_status["vncSessions"] = number
    else:
        service_status.pop("vncSessions", None)
    if service_status:
        status["serviceStatus"] = service_status
    else:
        status.pop("serviceStatus", None)
    result = dict(document)
    if status or "status" in document:
        result["status"] = status
    return result


def replace(path: Path, document: Document) -> None:
    """Put `document` at `path` in one step, with the mode and owner of the file that was there.

    Raises DocumentError, OSError.
    """
    text = _serialized(path, document)
    _make_directory(path.parent)
    try:
        _replace(path, text)
    except OSError as error:
        # With the document's own name: that of the temporary file would make each try a new trouble, to be told anew.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, text: str) -> None:
    # A short name: that of the document may be as long as a file's name can be.
    handle, temporary = tempfile.mkstemp(prefix=".vmi-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            _take_over_mode(path, file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _text(path: Path) -> str:
    """The text of a regular file. Neither a link nor a pipe, which would block for ever, is opened for reading."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DocumentError(f"{path} is a symbolic link") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DocumentError(f"{path} is no regular file")
        with open(handle, encoding="utf-8", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _serialized(path: Path, document: Document) -> str:
    try:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    except (ValueError, RecursionError) as error:  # Python reads NaN and 1e999, which JSON cannot hold
        raise DocumentError(f"{path} cannot be written as JSON: {error}") from error


def _make_directory(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(_NEW_DIRECTORY_MODE)


def _take_over_mode(path: Path, descriptor: int) -> None:
    try:
        before = path.lstat()
    except FileNotFoundError:
        os.fchmod(descriptor, _NEW_FILE_MODE)
        return
    os.fchmod(descriptor, before.st_mode & 0o7777)
    with contextlib.suppress(PermissionError):  # only root gives files away; the content matters more than the owner
        os.fchown(descriptor, before.st_uid, before.st_gid)


def _shown(document: Document | None) -> PublishedValue:
    """What a loaded document shows. Where there is none, or its field holds no number of at least 1, write it anew."""
    if document is None:
        return PublishedValue(0, "no document")
    service_status = _service_status(document, None)
    if "vncSessions" not in service_status:
        return PublishedValue(0, _WELL_FORMED)
    value = service_status["vncSessions"]
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return PublishedValue(value, _WELL_FORMED)
    return PublishedValue(0, "malformed")


def _empty(vmi: VmiId) -> Document:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": vmi.name, "namespace": vmi.namespace},
        "status": {},
    }


def _service_status(document: Document, path: Path | None) -> Document:
    found: Any = document
    for key in ("status", "serviceStatus"):
        found = found.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise DocumentError(f"{path}: {key} is not an object")
    service_status: Document = found
    return service_status


def _failed(error: Exception) -> Outcome:
    kind = OutcomeKind.FORBIDDEN if isinstance(error, PermissionError) else OutcomeKind.ERROR
    return Outcome(kind, message=str(error))
