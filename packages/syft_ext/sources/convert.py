"""A process that converts one file: ``main(["required" or "permissive"])``, with a job on standard input.

It answers on standard output with the line "ok" and the content, or with one problem document. It ends when its
parent does. Before it looks at the file it confines itself (:mod:`syft_ext.confinement`): whoever breaks its
parser has this file, a folder for unnamed ones, and nothing else. Nothing is unpickled.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path, PosixPath
from typing import Any

import msgspec

from syft_ext.confinement.lockdown import enter
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages.vocabulary import TableOptions
from syft_ext.sources.rule.times import zone_named

__all__ = ["Job"]

MEMORY = 4 << 30  # address space, bytes
LONGEST_JOB = 64 << 20
UPLOAD, SPOOL = "/upload", "/spool"  # where they are once it is confined


class Job(msgspec.Struct, kw_only=True):
    """Attributes:
    path: the file (one of this process's descriptors). format: see :data:`syft_ext.sources.opening.FORMATS`.
    columns: only these; empty: all. schema: what its owner says of columns. options: how its text is written.
    spool: a folder for unnamed files, of this job alone.
    limit: bytes that any of these may have. seconds: of processor time.
    """

    path: str
    format: str
    columns: list[str] = []
    schema: dict[str, dict[str, Any]] = {}
    options: TableOptions = TableOptions()
    spool: str
    limit: int
    seconds: int


def main(arguments: list[str]) -> None:
    """Answer one job on standard output: "ok" or a problem document as the first line, then the tensor file."""
    try:
        _answer(permissive=arguments == ["permissive"])
    except (MemoryError, OSError) as failed:
        raise SystemExit(1) from failed
    except msgspec.MsgspecError as failed:
        raise SystemExit(str(BadRequest(str(failed)))) from failed


def _answer(*, permissive: bool) -> None:
    job = msgspec.json.decode(sys.stdin.buffer.readline(LONGEST_JOB), type=Job)
    resource.setrlimit(resource.RLIMIT_CPU, (job.seconds, job.seconds))
    output = sys.stdout.buffer
    try:
        _know_zones(job)
        found = enter(
            MEMORY,
            permissive=permissive,
            needs=["convert"],
            places={UPLOAD: job.path, SPOOL: job.spool},
            writable=SPOOL,
            file_size=job.limit,
        )
        threading.Thread(target=_end_with_parent, daemon=True).start()
        from syft_ext.sources.opening import open_source

        content = open_source(
            _Upload(found.places[UPLOAD]),
            job.schema,
            spool=Path(found.places[SPOOL]),
            columns=job.columns or None,
            kind=job.format,
            options=job.options,
        )
    except GridError as error:
        output.write(msgspec.json.encode(error.to_problem()) + b"\n")
        return
    output.write(b"ok\n")
    for piece in content.pieces():
        output.write(piece)
    output.flush()


def _know_zones(job: Job) -> None:
    """Read the rules of the zones that are named while the machine's files can be read."""
    for name, said in job.schema.items():
        if zone := said.get("timezone"):
            try:
                zone_named(str(zone))
            except ValueError as error:
                raise BadRequest(f"column {name!r}: {error}") from None


class _Upload(PosixPath):
    """The file, named in errors as its uploader knows it: not by the descriptor that it is opened through."""

    @property
    def name(self) -> str:
        return "the upload"


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
