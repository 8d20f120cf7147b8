"""A part of ``toolkit.py``: an intersection against the multiplications that it cannot do without."""

from __future__ import annotations

import argparse
import os
import time

from nacl.bindings import crypto_scalarmult_ed25519_noclamp
from rich.console import Console

from benchmarks._harness import Report
from syft_ext.intersection.group import fresh_scalar, hashed
from syft_ext.intersection.ids import number_bytes
from syft_ext.intersection.member import CHUNK, IntersectionMember
from syft_ext.intersection.reader import IntersectionReader
from syft_ext.messages.intersection_terms import IntersectionSide, IntersectionTerms
from syft_ext.mpc.seals import Frame

__all__ = ["intersection"]

TARGET = 1.3
FULL = 100_000
"""Ids from which on there is a target."""


def intersection(options: argparse.Namespace, report: Report, console: Console) -> None:
    """Both members in this process, in turn; between turns as many bare multiplications as they did, so that a
    busy machine is alike to both."""
    many, full = options.ids, options.ids >= FULL
    reader = IntersectionReader()
    terms = IntersectionTerms(
        parties=["0" * 64, "1" * 64],
        sides=[IntersectionSide(column="id", most=many)] * 2,
        kind="integer",
        minimum=1,
        reader=reader.key,
    )
    point, scalar = hashed(bytes(32), b"a point"), fresh_scalar()
    begin = time.process_time()
    sides = [range(many), range(many // 2, many // 2 + many)]
    members = [
        IntersectionMember(place, terms, [number_bytes(number) for number in side])
        for place, side in enumerate(sides)
    ]
    keys, transcript = [member.public_key for member in members], os.urandom(32)
    for member in members:
        member.begin(keys, transcript)
    whole, bare = time.process_time() - begin, 0.0
    inbox: list[list[Frame]] = [[], []]
    told: list[Frame] = []
    left = 4 * many
    while not all(member.finished for member in members):
        for place, member in enumerate(members):
            if member.finished:
                continue
            frames, inbox[place] = inbox[place], []
            begin = time.process_time()
            sent = member.advance(frames)
            whole += time.process_time() - begin
            inbox[1 - place] += [frame for frame in sent if frame.receiver == 1 - place]
            told += [frame for frame in sent if frame.receiver == 2]
            now = min(left, 2 * CHUNK)
            left -= now
            begin = time.process_time()
            for _ in range(now):
                crypto_scalarmult_ed25519_noclamp(scalar, point)
            bare += time.process_time() - begin
    begin = time.process_time()
    for _ in range(left):
        crypto_scalarmult_ed25519_noclamp(scalar, point)
    bare += time.process_time() - begin
    assert reader.size(told, keys, transcript) == many - many // 2
    floor = report.add(f"{4 * many} bare multiplications of points", bare, "CPU-s")
    ours = report.add(f"intersection of {many} ids with as many, both sides", whole, "CPU-s", against=floor)
    report.add_ratio(ours, target=TARGET if full else None)
    console.print(
        f"intersection of {many:,} ids: {ours.value:.1f} s of processor time for both sides, "
        f"bare multiplications {floor.value:.1f} s, ÷ {whole / bare:.2f}"
    )
