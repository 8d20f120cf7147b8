"""Uploaded tables as tensor files: a child process converts, confined like those that run strangers' plans.

Parsing hostile or merely large text in the node's own process would hold up everybody else, and a parser that was
broken would have the node's rights. The child's own files have no names, so that they go with it; what it answers
is written as every other content is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore, BlobWriter
from syft_ext.confinement.child import python_command
from syft_ext.confinement.gate import Gate
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


def convert(blobs: BlobStore, blob: Blob, message: ConvertUpload, spool: Path, gate: Gate) -> Blob:
    """The table in ``blob`` as a content of kind tensors, held for the caller.

    Args:
        spool: a folder, in which one is made for the child's unnamed files; they may get as large as the table.
        gate: whether this machine can confine the child; :class:`Unconfined` where it cannot.

    Raises what :func:`syft_ext.sources.opening.open_source` raises, :class:`TooLarge` when the child took more
    memory or time than it may, and :class:`TooManyRequests` while others convert.
    """
    limit = _EXPANSION * blob.size + _ALWAYS
    gate.check()
    mode = "permissive" if gate.permissive else "required"
    # Popen closes what the child is not to have.
    command = python_command("syft_ext.sources.convert", [mode], descriptors=1 << 20)
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise TooManyRequests("this node converts other tables just now; try again later")
    try:
        with (
            TemporaryDirectory(prefix="convert-", dir=spool) as own,
            blobs.open(blob.digest) as reader,
            reader.file() as file,
            blobs.create() as writer,
        ):
            job = Job(
                path=_path(file.fileno(), Path(own)),
                format=message.format,
                columns=list(message.columns),
                schema=_said(message),
                options=message.options,
                spool=own,
                limit=limit,
                seconds=_SECONDS,
            )
            _run(command, msgspec.json.encode(job), writer, limit)
            return writer.commit()
    finally:
        _AT_ONCE.release()


def _said(message: ConvertUpload) -> dict[str, dict[str, Any]]:
    """What is said of columns, where anything is."""
    said: dict[str, dict[str, Any]] = {
        name: msgspec.to_builtins(each) for name, each in message.schema.items()
    }
    for name, words in message.categories.items():
        said.setdefault(name, {})["categories"] = words
    return said


def _path(descriptor: int, folder: Path) -> str:
    """Where the open file is; a copy in ``folder`` for one without a name: the child is shown names."""
    path = Path(f"/proc/self/fd/{descriptor}").readlink()
    with contextlib.suppress(OSError):
        if os.path.samestat(path.stat(), os.fstat(descriptor)):
            return str(path)
    copy = folder / "upload"
    with os.fdopen(os.dup(descriptor), "rb") as source, copy.open("wb") as target:
        source.seek(0)
        shutil.copyfileobj(source, target, _PIECE)
    return str(copy)


def _run(command: Sequence[str], job: bytes, writer: BlobWriter, limit: int) -> None:
    """Run the child; take what it writes: a head, then the content."""
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Nothing of the node's environment: passwords and database addresses are in it.
        env={"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
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
