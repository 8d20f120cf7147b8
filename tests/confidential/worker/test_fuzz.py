"""Whatever a participant uploads and signs: zeros or their update, no error, and never more than the norm."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from grid.confidential_worker.uploads import UploadContent
from syft_ext.confidential.frames import FramePipe, Read, operator_pipe
from syft_ext.confidential.kernel.aggregate import Sums
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.sealing import read_head
from syft_ext.confidential.uploads import UploadStatement
from tests.confidential.worker.site import Site, SiteOperator, update_of
from tests.confidential.world import changed

TRIALS = 400


def reading(blob: bytes) -> Callable[[int, int], memoryview]:
    def read(offset: int, length: int) -> memoryview:
        return memoryview(blob)[offset : offset + length]

    return read


def mutated(blob: bytes, chance: random.Random) -> bytes:
    data = bytearray(blob)
    for _ in range(chance.choice((1, 1, 2, 9))):
        place = chance.randrange(len(data)) if data else 0
        match chance.randrange(6):
            case 0:
                data[place : place + 1] = bytes([data[place] ^ 1 << chance.randrange(8)]) if data else b""
            case 1:
                del data[place:]
            case 2:
                data += chance.randbytes(chance.randrange(1, 40))
            case 3:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                data[place : place + 8] = chance.choice((b"\xff" * 8, bytes(8)))
            case 5:
                other = chance.randrange(len(data) + 1)
                data[place : place + 50] = data[other : other + 50]
    return bytes(data)


def test_any_upload_is_zeros_or_itself() -> None:
    site = Site([update_of(0), update_of(1)], noise=0)
    secrets = [site.secret(host, "upload") for host in site.hosts]
    mechanism = site.policy.mechanism
    chance, opened = random.Random(5), 0
    blob, declaration = site.sealed(0, update_of(0))
    honest = UploadStatement.decode(declaration.entry.upload.body)
    for trial in range(TRIALS):
        other = mutated(blob, chance) if trial else blob
        said = changed(honest, blob=blake3(other).digest(), length=len(other))
        if trial % 2:  # and whatever the head says, they signed it
            try:
                header, shares, _ = read_head(other)
                said = changed(
                    said, header=header.digest(), shares=shares.digest(), ck_commit=header.ck_commit
                )
            except Exception:  # it has none
                pass
        sums = Sums(UpdateReader(site.layout), Clip(mechanism.clip, mechanism.grid_bits), 1, Fraction(0))
        upload = UploadContent(
            reading(other),
            said,
            site.policy,
            site.context,
            site.keys,
            secrets,
        )
        found = sums.add(upload.sweep, upload.length)
        opened += found
        assert (sums.values == (site.expected(1) if other == blob else 0)).all() and found == (other == blob)
    assert opened >= 1


def test_any_content_that_is_sealed_well_has_at_most_the_norm() -> None:
    site = Site([update_of(0), update_of(1)], noise=0)
    secrets = [site.secret(host, "upload") for host in site.hosts]
    mechanism, chance = site.policy.mechanism, random.Random(6)
    for _ in range(60):
        content = chance.randbytes(chance.choice((4 * Site.size, 4 * Site.size, 7, 4 * Site.size + 1)))
        blob, declaration = site.sealed(0, content)
        said = UploadStatement.decode(declaration.entry.upload.body)
        sums = Sums(UpdateReader(site.layout), Clip(mechanism.clip, mechanism.grid_bits), 1, Fraction(0))
        upload = UploadContent(
            reading(blob),
            said,
            site.policy,
            site.context,
            site.keys,
            secrets,
        )
        assert sums.add(upload.sweep, upload.length)
        assert sum(int(each) ** 2 for each in sums.values) <= mechanism.clip**2
        values = np.frombuffer(content, "<f4") if len(content) == 4 * Site.size else np.array([np.nan])
        assert sums.values.any() == bool(np.isfinite(values).all())


def test_an_operator_who_is_slow_and_answers_in_drops_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site([update_of(n) for n in range(3)])
    honest = SiteOperator(site)
    numbers = honest.opened(honest.run()).numbers

    class Slow(SiteOperator):
        def _answer(self, pipe: FramePipe[Any, Any], data: bytes | None) -> None:
            time.sleep(0.005)
            super()._answer(pipe, data)

        def read(self, question: Read) -> bytes | None:
            if len(self.reads) == 4:
                time.sleep(0.2)
            return super().read(question)

    class Drops:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def recv_into(self, buffer: memoryview, /) -> int:
            return int(self._stream.recv_into(buffer))

        def sendall(self, data: Any, /) -> None:
            for start in range(0, len(data), 700):
                self._stream.sendall(data[start : start + 700])

    monkeypatch.setattr(
        "tests.confidential.worker.site.operator_pipe", lambda stream: operator_pipe(Drops(stream))
    )
    slow = Slow(site)
    assert (slow.opened(slow.run()).numbers == numbers).all()
