"""JSON documents of the runtime directory: bounded reading, atomic writing.

Every document is a UTF-8 JSON object of at most 64 KiB whose `schema` is 1. Standard library
only and light, because the supervisor uses it too.
"""

import json
import os
import stat

MAX_BYTES = 64 * 1024
"""A longer document is refused unread."""

SCHEMA = 1

Document = dict[str, object]


class BadDocument(Exception):
    """A document is missing or cannot be trusted.

    The message names the file and the fault, never a value: the file may hold a password.
    """

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{os.path.basename(path)}: {fault}")
        self.fault = fault


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def read(path: str) -> Document:
    """Read one document, freshly. Raises BadDocument for whatever is not a document of ours."""
    try:
        # O_NONBLOCK: a pipe put in place of the file must not hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as cause:
        raise BadDocument(path, "missing") from cause
    except OSError as cause:
        raise BadDocument(path, "cannot be opened") from cause
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadDocument(path, "not a file")
        data = os.read(descriptor, MAX_BYTES + 1)
    except OSError as cause:
        raise BadDocument(path, "cannot be read") from cause
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise BadDocument(path, "too long")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # The cause is cut off: its message can quote the content.
        raise BadDocument(path, "not JSON") from None
    if not isinstance(value, dict):
        raise BadDocument(path, "not an object")
    if value.get("schema") != SCHEMA or isinstance(value.get("schema"), bool):
        raise BadDocument(path, "another schema")
    return value


def write(path: str, document: Document) -> None:
    """Replace the document atomically. The temporary name is fixed, so a crash leaves one at most.

    Not synced to disk: the runtime directory is a tmpfs and dies with the host.
    """
    data = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise ValueError("document too long")
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.new")
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def text(document: Document, path: str, key: str, max_length: int = 256) -> str:
    """The non-empty string under `key`."""
    value = document.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= max_length:
        raise BadDocument(path, f"{key} is not a text of 1 to {max_length} characters")
    return value


def integer(document: Document, path: str, key: str, low: int, high: int) -> int:
    """The integer under `key`, within low..high."""
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadDocument(path, f"{key} is not an integer from {low} to {high}")
    return value
