import os
from pathlib import Path

import pytest

import documents
from documents import BadDocument


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    documents.write(path, {"schema": 1, "name": "é", "count": 3})
    assert documents.read(path) == {"schema": 1, "name": "é", "count": 3}
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"schema":1,"x":NaN}', "not JSON"),
        (b'{"schema":1,"x":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "another schema"),
        (b'{"schema":2}', "another schema"),
        (b'{"schema":true}', "another schema"),
        (b'{"schema":1,"x":"' + b"x" * 65_536 + b'"}', "too long"),
    ],
)
def test_bad_documents_are_refused(tmp_path: Path, data: bytes, fault: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(BadDocument, match=f"a.json: {fault}"):
        documents.read(str(path))


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="missing"):
        documents.read(str(tmp_path / "none.json"))
    with pytest.raises(BadDocument, match="not a file"):
        documents.read(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(BadDocument, match="not a file"):
        documents.read(str(tmp_path / "pipe.json"))


def test_a_fault_never_quotes_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema": 1, "password": "hunter2" oops')
    with pytest.raises(BadDocument) as caught:
        documents.read(str(path))
    chain = [caught.value, caught.value.__cause__]
    assert "hunter2" not in "".join(repr(each) for each in chain)


def test_too_much_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        documents.write(str(tmp_path / "a.json"), {"schema": 1, "x": "x" * 65_536})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [None, True, 1.0, "1", 11, -1])
def test_integers_are_checked(value: object) -> None:
    with pytest.raises(BadDocument, match="x is not an integer from 0 to 10"):
        documents.integer({"x": value}, "a.json", "x", 0, 10)


@pytest.mark.parametrize("value", [None, 1, "", "x" * 257])
def test_texts_are_checked(value: object) -> None:
    with pytest.raises(BadDocument, match="x is not a text"):
        documents.text({"x": value}, "a.json", "x")
