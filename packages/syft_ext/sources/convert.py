"""A process that converts one file: ``python -m syft_ext.sources.convert``, a job on standard input.

It answers on standard output with the line "ok" and the content, or with one problem document. It ends when its
parent does, and has bounds on its memory. Nothing is looked up on the network, nothing is unpickled.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path, PosixPath

import msgspec

from syft_ext.errors import BadRequest, GridError

__all__ = ["Job"]

MEMORY = 4 << 30  # address space, bytes
LONGEST_JOB = 64 << 20


class Job(msgspec.Struct, kw_only=True):
    """Attributes:
    path: the file (one of this process's descriptors). format: see :data:`syft_ext.sources.opening.FORMATS`.
    columns: only these; empty: all. categories: column → words.
    spool: a folder for unnamed files.
    limit: bytes that any of these may have. seconds: of processor time.
    """

    path: str
    format: str
    columns: list[str] = []
    categories: dict[str, list[str]] = {}
    spool: str
    limit: int
    seconds: int


def main() -> None:
    """Answer one job on standard output: "ok" or a problem document as the first line, then the tensor file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    job = msgspec.json.decode(sys.stdin.buffer.readline(LONGEST_JOB), type=Job)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job.limit, job.limit))
    resource.setrlimit(resource.RLIMIT_CPU, (job.seconds, job.seconds))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    output = sys.stdout.buffer
    try:
        from syft_ext.sources.opening import open_source

        metadata = {name: {"categories": words} for name, words in job.categories.items()}
        content = open_source(
            _Upload(job.path), metadata, spool=Path(job.spool), columns=job.columns or None, kind=job.format
        )
    except GridError as error:
        output.write(msgspec.json.encode(error.to_problem()) + b"\n")
        return
    output.write(b"ok\n")
    for piece in content.pieces():
        output.write(piece)
    output.flush()


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
    try:
        main()
    except (MemoryError, OSError) as failed:
        raise SystemExit(1) from failed
    except msgspec.MsgspecError as failed:
        raise SystemExit(str(BadRequest(str(failed)))) from failed
