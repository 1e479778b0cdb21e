"""Reads, changes and replaces one VMI document: a JSON file in the form of a VirtualMachineInstance.

The document may belong to another program. Only the handler's own fields of `status.serviceStatus` are changed, and a
document that cannot be parsed is left unchanged. It is replaced in one step, so a reader sees the old or the new one,
and a full disk leaves the old one. A symbolic link is not followed: a user who may write a namespace's directory must
not be able to make the handler write a file elsewhere.
"""

import contextlib
import errno
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from handler_service.kube import conditions, service_conditions
from handler_service.kube.conditions import Detail
from handler_service.model import PublishedValue, VmiId
from handler_service.services import OTHERS

Document = dict[str, Any]

#: Every user may read a new document whom the mode of the directory lets in.
_NEW_FILE_MODE: Final = 0o644
_NEW_DIRECTORY_MODE: Final = 0o755
#: The fields of `status.serviceStatus` that the handler writes.
_OWN_FIELDS: Final = (
    "vncSessions",
    *(service.field for service in OTHERS),
    "since",
    "renewTime",
    "leaseDurationSeconds",
    "conditions",
)


class DocumentError(Exception):
    """A document cannot be used; the text names the file."""


def empty(vmi: VmiId) -> Document:
    """Return a document that says nothing yet."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": vmi.name, "namespace": vmi.namespace},
        "status": {},
    }


def load(path: Path) -> Document | None:
    """Return the document at `path`; None when there is no file. Raises DocumentError, OSError."""
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


def changed(document: Document, value: PublishedValue, lease: float, now: float) -> Document:
    """Return `document` with `value`, which holds for `lease` seconds from now on. `now` is wall time.

    At zero a number is absent, as VEP #119 defines it. The conditions distinguish zero from an unknown number.
    """
    shown = value.detail
    if not isinstance(shown, Detail):
        raise TypeError("a document shows details made by conditions.detail()")
    status = dict(document.get("status") or {})
    before = dict(status.get("serviceStatus") or {})
    known = before["conditions"] if isinstance(before.get("conditions"), list) else []
    own = {
        "vncSessions": value.sessions or None,
        **service_conditions.numbers(value),
        "since": None if shown.since is None else conditions.time(shown.since),
        "renewTime": conditions.time(int(now)),
        "leaseDurationSeconds": int(lease),
        "conditions": [
            *conditions.conditions(value.sessions, shown, known, now),
            *service_conditions.written(value, known, now),
        ],
    }
    others = {key: field for key, field in before.items() if key not in _OWN_FIELDS}
    status["serviceStatus"] = others | {key: field for key, field in own.items() if field is not None}
    return document | {"status": status}


def shown_value(document: Document | None) -> PublishedValue:
    """Return what a loaded document shows. The detail is None where it shows no conditions, or not as this writes."""
    service_status = {} if document is None else _service_status(document, None)
    sessions = service_status.get("vncSessions", 0)
    if not isinstance(sessions, int) or isinstance(sessions, bool) or sessions < 0:
        return PublishedValue(0)
    try:
        return PublishedValue(sessions, conditions.read_detail(service_status), service_conditions.read(service_status))
    except (AttributeError, TypeError):
        return PublishedValue(sessions)


def replace(path: Path, document: Document) -> None:
    """Put `document` at `path` in one step, with the mode and owner of the file that was there.

    Raises DocumentError, OSError.
    """
    text = _serialized(path, document)
    _make_directory(path.parent)
    try:
        _replace(path, text)
    except OSError as error:
        # With the document's own name: the name of the temporary file would make each failure a new one in the log.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, text: str) -> None:
    # A short name: the name of the document may have the maximum length of a file name.
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
    """Return the text of a regular file. Neither a link nor a pipe, which would block, is opened for reading."""
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
