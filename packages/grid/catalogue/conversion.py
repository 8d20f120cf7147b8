"""Uploaded tables as tensor files: a child process converts, with bounds on what it may take.

Parsing hostile or merely large text in the node's own process would hold up everybody else. The child's own
files have no names, so that they go with it; what it answers is written as every other content is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore, BlobWriter
from syft_ext.errors import BadRequest, GridError, Problem, TooLarge, TooManyRequests, from_problem
from syft_ext.messages.objects import ConvertUpload
from syft_ext.sources.convert import Job

__all__ = ["convert"]

_PIECE = 1 << 20
_AT_ONCE = threading.BoundedSemaphore(2)
_PATIENCE = 60.0
_SECONDS = 3600
_EXPANSION, _ALWAYS = 256, 64 << 20
"""A table may be so many times as large as its file: Parquet writes a million equal values as one."""


def convert(blobs: BlobStore, blob: Blob, message: ConvertUpload, spool: Path) -> Blob:
    """The table in ``blob`` as a content of kind tensors, held for the caller.

    Args:
        spool: a folder for the child's unnamed files, which may get as large as the table.

    Raises what :func:`syft_ext.sources.opening.open_source` raises, :class:`TooLarge` when the child took more
    memory or time than it may, and :class:`TooManyRequests` while others convert.
    """
    limit = _EXPANSION * blob.size + _ALWAYS
    command = [sys.executable, "-m", "syft_ext.sources.convert"]
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise TooManyRequests("this node converts other tables just now; try again later")
    try:
        with blobs.open(blob.digest) as reader, reader.file() as file, blobs.create() as writer:
            job = Job(
                path=f"/proc/self/fd/{file.fileno()}",  # the child's own, of the same number
                format=message.format,
                columns=list(message.columns),
                categories=message.categories,
                spool=str(spool),
                limit=limit,
                seconds=_SECONDS,
            )
            _run(command, msgspec.json.encode(job), writer, limit, file.fileno())
            return writer.commit()
    finally:
        _AT_ONCE.release()


def _run(command: Sequence[str], job: bytes, writer: BlobWriter, limit: int, table: int) -> None:
    """Run the child, which gets the descriptor ``table``; take what it writes: a head, then the content."""
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(table,),
        # Nothing of the node's environment: passwords and database addresses are in it.
        env={
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
        },
        cwd=Path("/"),
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        with child.stdin, child.stdout:
            child.stdin.write(job + b"\n")
            child.stdin.flush()  # and left open: its end tells the child that we are gone
            head = child.stdout.readline(1 << 16)
            if head != b"ok\n":
                raise _error(head)
            while piece := child.stdout.read(_PIECE):
                limit -= len(piece)
                if limit < 0:
                    raise TooLarge(f"the table is more than {_EXPANSION} times as large as its file")
                writer.write(piece)
        if child.wait() != 0:
            raise TooLarge("the table could not be converted within the node's limits")
    finally:
        child.kill()
        child.wait()  # cooperative under gevent; in one of its threads it would fail


def _error(head: bytes) -> GridError:
    try:
        return from_problem(msgspec.json.decode(head, type=Problem))
    except (msgspec.MsgspecError, ValueError):
        if head:
            return BadRequest("the table could not be converted")
        return TooLarge("the table could not be converted within the node's limits")
