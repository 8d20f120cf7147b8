"""Whoever is killed at any moment of a sealing sends nothing half made, and seals under another key then."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from syft_ext.confidential.sealing import Place
from syft_ext.errors import ContentCorrupt, OfferRefused
from syft_ext.federated.sealed.book import ParticipantBook
from syft_ext.federated.sealed.outbox import SealedOutbox
from tests.confidential.world import NOW, World, changed

WORLD = World()
CONTENT = bytes(range(256)) * 8192  # two chunks
DONE, KILLED = 0, 9


def place() -> Place:
    return WORLD.place(0)


def pieces(kill_at: int = -1) -> Iterator[bytes]:
    for i in range(0, len(CONTENT), 1 << 18):
        if i >> 18 == kill_at:
            os._exit(KILLED)
        yield CONTENT[i : i + (1 << 18)]


def in_a_child(folder: Path, step: int, *, kill_at: int = -1) -> int:
    """Seal in a forked process that dies at the ``step``-th thing that it does to the disk; its exit code."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, args: Any) -> None:
            nonlocal seen
            if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"):
                seen += 1
                if seen == step:
                    os._exit(KILLED)

        try:
            sys.addaudithook(hook)
            SealedOutbox(folder).seal(place(), pieces(kill_at), len(CONTENT), WORLD.participants[0])
        except BaseException:
            os._exit(1)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def commitments(folder: Path) -> set[bytes]:
    """Of all blobs on this disk, whole or not: the salt and commitment that each begins with."""
    return {blob.read_bytes()[:300] for blob in folder.glob("*/blob") if blob.stat().st_size}


def test_killed_at_every_step(tmp_path: Path) -> None:
    steps, killed = 0, 0
    for step in range(1, 60):
        folder = tmp_path / str(step)
        code = in_a_child(folder, step)
        assert code in (DONE, KILLED)
        if code == DONE:
            steps = step
            break
        killed += 1
        before = SealedOutbox(folder).find(place())
        stored = SealedOutbox(folder).seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
        if before is not None:  # all of it was there: it is that one
            assert stored.declaration == before.declaration
        blob = b"".join(bytes(each) for each in stored.pieces())
        assert (blake3(blob).digest(), len(blob)) == (stored.upload.blob, stored.upload.length)
        heads = commitments(folder)
        assert len(heads) == len(list(folder.glob("*/blob"))) - sum(
            not each.stat().st_size for each in folder.glob("*/blob")
        )
    assert steps > 6
    assert killed == steps - 1


@pytest.mark.parametrize("piece", range(9))
def test_killed_between_pieces(tmp_path: Path, piece: int) -> None:
    code = in_a_child(tmp_path, 10_000, kill_at=piece)
    assert code == (KILLED if piece < 8 else DONE)
    assert (SealedOutbox(tmp_path).find(place()) is None) == (piece < 8)
    stored = SealedOutbox(tmp_path).seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
    assert stored.pieces()


def test_a_round_has_one_upload(tmp_path: Path) -> None:
    outbox = SealedOutbox(tmp_path)
    first = outbox.seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
    again = outbox.seal(place(), [b"something else"], 14, WORLD.participants[0])
    assert again.declaration == first.declaration
    for other in (
        replace(place(), assignment="f" * 32),
        replace(place(), base=bytes(32)),
        replace(place(), keys=place().keys[::-1]),
    ):
        with pytest.raises(OfferRefused) as caught:
            outbox.seal(other, [b"x"], 1, WORLD.participants[0])
        assert caught.value.extra["check"] == "once"


def test_what_was_damaged_on_the_disk_is_not_sent(tmp_path: Path) -> None:
    outbox = SealedOutbox(tmp_path)
    stored = outbox.seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
    (blob,) = tmp_path.glob("*/blob")
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(ContentCorrupt):
        stored.pieces()
    blob.write_bytes(b"")
    with pytest.raises(ContentCorrupt):
        stored.pieces()
    (upload,) = tmp_path.glob("*/upload")
    upload.write_bytes(b"no")
    with pytest.raises(ContentCorrupt):
        outbox.find(place())


def test_an_update_that_is_not_as_long_as_said_leaves_nothing(tmp_path: Path) -> None:
    outbox = SealedOutbox(tmp_path)
    with pytest.raises(ValueError, match="bytes of content"):
        outbox.seal(place(), pieces(), len(CONTENT) + 1, WORLD.participants[0])
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_can_open_any_more_is_forgotten(tmp_path: Path) -> None:
    outbox = SealedOutbox(tmp_path)
    outbox.seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
    left = tmp_path / ".unfinished-0-1"
    left.mkdir()
    os.utime(left, (NOW, NOW))
    outbox.sweep(NOW)
    assert len(list(tmp_path.iterdir())) == 2
    os.utime(left, (NOW - 100_000, NOW - 100_000))
    outbox.sweep(NOW)
    assert len(list(tmp_path.iterdir())) == 1
    outbox.sweep(NOW + 8000)
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    SealedOutbox(tmp_path / "sealed").seal(place(), pieces(), len(CONTENT), WORLD.participants[0])
    for each in (tmp_path / "sealed").rglob("*"):
        assert each.stat().st_mode & 0o077 == 0


def test_trainings_stay_confidential(tmp_path: Path) -> None:
    book = ParticipantBook(tmp_path)
    assert not book.is_confidential("a")
    book.remember("a")
    book.remember("a")
    book.remember("b")
    again = ParticipantBook(tmp_path)
    assert again.is_confidential("a")
    assert again.is_confidential("b")
    assert not again.is_confidential("c")
    assert (tmp_path / "confidential.json").stat().st_mode & 0o077 == 0
    assert changed(again.odometer) == book.odometer
