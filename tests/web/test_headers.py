"""A head is understood, or refused, in the same way however it comes in."""

from __future__ import annotations

import io

from hypothesis import example, given
from hypothesis import strategies as st

from grid.web.headers import MAX_FIELDS, RequestHeaders

LINE = st.text(alphabet="ab:-_ \t\x00\r\né,", max_size=12)
HEADS = st.lists(LINE | st.sampled_from(["host: x", "Host:  y ", "a: ", " folded"]), max_size=5)


class Wire(io.RawIOBase):
    """Gives ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        data = self._data.read(min(self._step, len(room)))
        room[: len(data)] = data
        return len(data)


def parsed(data: bytes, step: int) -> tuple[dict[str, list[str]] | None, bytes]:
    """The fields, None when they are refused, and what is left for the body."""
    file = io.BufferedReader(Wire(data, step))
    try:
        fields = RequestHeaders.parse(file).fields
    except ValueError:
        return None, b""
    return fields, file.read()


@given(lines=HEADS, body=st.binary(max_size=8))
@example(lines=[], body=b"GET / HTTP/1.1\r\n\r\n")
@example(lines=["a: 1"] * MAX_FIELDS, body=b"")
@example(lines=["a: 1"] * (MAX_FIELDS - 1), body=b"x")
def test_at_once_or_by_the_byte(lines: list[str], body: bytes) -> None:
    head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    data = head.encode("latin-1") + body
    assert parsed(data, 1 << 16) == parsed(data, 1)


def test_fields() -> None:
    fields, rest = parsed(b"Host: a:1\r\nX-A:  b c \t\r\nx-a:\r\n\r\nbody", 1 << 16)
    assert (fields, rest) == ({"host": ["a:1"], "x-a": ["b c", ""]}, b"body")
