"""Small contents in the memory that they came in, for who reads them at once."""

from __future__ import annotations

import pytest
from blake3 import blake3

from grid.storage.blobs.buffers import Buffers
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.recent import RecentContents
from syft_ext.errors import BadRequest


def put(blobs: FileBlobStore, content: bytes, *, remember: bool = True) -> str:
    with blobs.create(len(content)) as writer:
        writer.write(content)
        with writer.commit(remember=remember) as blob:
            return blob.digest


def test_only_what_will_be_read_soon_is_remembered(blobs: FileBlobStore) -> None:
    one, other = put(blobs, b"1" * 1000), put(blobs, b"2" * 1000, remember=False)
    view = blobs.recent(one)
    assert view == b"1" * 1000 and view.readonly
    assert blobs.recent(other) is None
    blobs.trim()
    assert blobs.recent(one) == b"1" * 1000
    blobs.trim(everything=True)
    assert blobs.recent(one) is None and view == b"1" * 1000, "who has it goes on reading"
    assert blobs.read_range(one, 0) == b"1" * 1000


def test_what_is_not_needed_goes_unless_it_is_read(blobs: FileBlobStore) -> None:
    one, other = put(blobs, b"1" * 1000), put(blobs, b"2" * 1000)
    view = blobs.recent(one)
    blobs.forget([one, other, "0" * 64])
    assert blobs.recent(other) is None and blobs.recent(one) == view
    del view
    blobs.forget([one])
    assert blobs.recent(one) is None


def test_what_was_refused_is_not_remembered(blobs: FileBlobStore) -> None:
    def refuse(view: memoryview) -> None:
        raise BadRequest("no")

    with blobs.create(10) as writer, pytest.raises(BadRequest):
        writer.write(b"0123456789")
        writer.commit(check=refuse, remember=True)
    assert blobs.recent(blake3(b"0123456789").hexdigest()) is None


def test_the_oldest_goes_and_what_is_read_is_not_written_over() -> None:
    buffers = Buffers(limit=10 << 20, step=1 << 20)
    recent = RecentContents(buffers, limit=3 << 20)
    views = []
    for number in range(40):
        memory = buffers.take(1 << 20)
        assert memory is not None, "none is lost, also of those that somebody keeps to themselves"
        memory[:] = bytes([number]) * (1 << 20)
        recent.put(str(number), memory, 1000)
        recent.put(str(number), bytearray(memory), 1000) if number == 0 else None
        view = recent.find(str(number))
        assert view is not None and len(view) == 1000
        if number % 7 == 0:
            views.append((number, view))
        del view
    assert [recent.find(str(number)) is not None for number in range(36, 40)] == [False, True, True, True]
    for number, view in views:
        assert view == bytes([number]) * 1000
