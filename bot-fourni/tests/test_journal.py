import json
import os
from collections.abc import Iterator

import pytest

from journal import MAX_LINE_BYTES, Journal, timestamp


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # closed by the test


def test_a_line_is_one_json_object(pipe: tuple[int, int]) -> None:
    Journal("bot", pipe[1]).warn("order refused", retcode=10019, msg="cannot be overwritten")
    line = os.read(pipe[0], 10_000)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    value = json.loads(line)
    assert (value["level"], value["msg"], value["component"]) == ("warn", "order refused", "bot")
    assert value["retcode"] == 10019
    assert value["time"].endswith("Z")
    assert list(value)[:3] == ["time", "level", "msg"]


def test_lines_are_bounded(pipe: tuple[int, int]) -> None:
    journal = Journal("bot", pipe[1])
    journal.info("long", text="x" * 100_000)
    assert len(json.loads(os.read(pipe[0], 10_000))["text"]) == 512
    journal.info("wide", **{f"field{i}": "\n" * 512 for i in range(50)})
    line = os.read(pipe[0], 10_000)
    assert len(line) <= MAX_LINE_BYTES
    assert json.loads(line)["truncated"] is True


def test_a_reader_that_does_not_read_blocks_nobody(pipe: tuple[int, int]) -> None:
    journal = Journal("bot", pipe[1])
    for number in range(5_000):
        journal.info("line", number=number)
    os.read(pipe[0], 1 << 20)
    journal.info("reader is back")
    value = json.loads(os.read(pipe[0], 10_000))
    assert value["msg"] == "reader is back"
    assert value["droppedLines"] > 0


def test_a_reader_that_is_gone_blocks_nobody(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    Journal("bot", pipe[1]).error("nobody hears this")


def test_timestamps() -> None:
    assert timestamp(0.0019) == "1970-01-01T00:00:00.001Z"
    assert timestamp(1_700_000_000.5) == "2023-11-14T22:13:20.500Z"
