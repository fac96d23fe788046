"""Log lines: one JSON object each, a constant message with fields.

A line is never longer than PIPE_BUF, so that lines of several processes do not mix, and a reader
that has stopped reading never blocks the writer: the line is dropped and counted instead.
"""

import json
import os
import select
import time

MAX_LINE_BYTES = 4096
"""PIPE_BUF of Linux: a pipe that polls writable takes this much without blocking."""

MAX_TEXT_LENGTH = 512
MAX_FIELDS = 24

_STDOUT = 1


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds, from seconds since 1970."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


class Journal:
    """Writes log lines to one file descriptor (stdout)."""

    def __init__(self, component: str, descriptor: int = _STDOUT) -> None:
        self._component = component
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0

    def info(self, message: str, **fields: object) -> None:
        self._write("info", message, fields)

    def warn(self, message: str, **fields: object) -> None:
        self._write("warn", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if self._dropped:
            fields = {**fields, "droppedLines": self._dropped}
        line = _line(level, self._component, message, fields)
        if self._put(line):
            self._dropped = 0
        else:
            self._dropped += 1

    def _put(self, line: bytes) -> bool:
        try:
            ready = self._poll.poll(0)
            return bool(ready) and os.write(self._descriptor, line) == len(line)
        except OSError:
            # The reader is gone (an agent that restarts). Trading does not depend on it; the
            # count of dropped lines stands in the next line that gets through.
            return False


def _line(level: str, component: str, message: str, fields: dict[str, object]) -> bytes:
    head = {
        "time": timestamp(time.time()),
        "level": level,
        "msg": message[:MAX_TEXT_LENGTH],
        "component": component,
    }
    body = {key: _short(value) for key, value in list(fields.items())[:MAX_FIELDS]}
    # A field cannot take the place of a name of the head.
    data = json.dumps(head | body | head, separators=(",", ":"), default=str).encode() + b"\n"
    if len(data) > MAX_LINE_BYTES:
        data = json.dumps(head | {"truncated": True}, separators=(",", ":")).encode() + b"\n"
    return data


def _short(value: object) -> object:
    return value[:MAX_TEXT_LENGTH] if isinstance(value, str) else value
