"""A second store of contents, on what an object store offers: whole objects under keys, put-if-absent, ranged
reads, listing; no locks, no renaming, no open files.

Nobody locks anything, so readers and writers take *leases*: objects that say until when a content is in use.
Whoever deletes puts a *notice* first, then looks for leases and other notices; whoever holds puts a lease first,
then looks for notices. One of the two sees the other. Leases are renewed while their owner lives, and lapse when
it died; who deletes gives up when it took so long that its own notice may be ignored.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import SplitResult, unquote
from weakref import WeakSet

from blake3 import blake3

from grid.storage.blobs.blob import Blob, check_digest
from grid.storage.blobs.interface import BlobReader, BlobStore, BlobWriter, Check
from grid.storage.blobs.partials import PartialContent, PartialContents
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, NotFound
from syft_ext.ids import check_id, new_id

__all__ = ["Bucket", "BucketStore", "open_url"]

PART = 1 << 20
LIFETIME = 30.0
"""Seconds that a lease or a notice counts, unless it is renewed."""


def open_url(url: SplitResult, *, make: bool) -> BucketStore:
    """The entry point: ``bucket:///folder``."""
    root = Path(unquote(url.path))
    if not root.is_absolute():
        raise InvalidConfig("contents: bucket:///folder")
    if not make and not root.is_dir():
        raise NotFound("there is no such bucket")
    return BucketStore(Bucket(root))


class Bucket:
    """Objects under keys, in a plain directory. Each method is one request to an object store.

    A list is consistent, as those of object stores are: what reads a directory while others make and remove files
    in it may find neither the old one nor the new one. So changes come one at a time, and none while one lists.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = root / ".incoming"  # what a request has sent so far; no object
        self._uploads.mkdir(parents=True, exist_ok=True)
        self._turns = self._uploads / "turns"

    def put(self, key: str, chunks: Iterable[bytes | memoryview], *, if_absent: bool = False) -> bool:
        """Make a whole object, or nothing; whether it was made (``if_absent``: not in place of another)."""
        incoming, path = self._uploads / new_id(), self.root / key
        with incoming.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._turn(fcntl.LOCK_EX):
                    if if_absent:
                        os.link(incoming, path)
                        incoming.unlink()
                    else:
                        incoming.rename(path)
                return True
            except FileExistsError:
                incoming.unlink()
                return False
            except FileNotFoundError:
                continue  # somebody removed the empty folder: a detail of this imitation

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        try:
            with (self.root / key).open("rb") as file:
                file.seek(start)
                return file.read() if stop is None else file.read(stop - start)
        except FileNotFoundError:
            raise NotFound("there is no such content") from None

    def head(self, key: str) -> int:
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            raise NotFound("there is no such content") from None

    def delete(self, key: str) -> None:
        with self._turn(fcntl.LOCK_EX):
            (self.root / key).unlink(missing_ok=True)

    def list(self, prefix: str) -> list[str]:
        """Keys below ``prefix`` (a folder), sorted."""
        with self._turn(fcntl.LOCK_SH):
            found = (self.root / prefix).rglob("*")
            return sorted(str(path.relative_to(self.root)) for path in found if path.is_file())

    @contextmanager
    def _turn(self, kind: int) -> Iterator[None]:
        with self._turns.open("ab") as file:
            fcntl.flock(file, kind)
            yield


class Lease:
    """Says that a content is in use, for as long as this object is."""

    def __init__(
        self, bucket: Bucket, prefix: str, lifetime: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._bucket, self._key, self._lifetime = bucket, f"{prefix}/{new_id()}", lifetime
        self._clock = clock
        self._guard = threading.Lock()
        self.closed = False
        self.renew()

    def renew(self) -> None:
        with self._guard:
            if not self.closed:
                self._bucket.put(self._key, [repr(self._clock() + self._lifetime).encode()])

    def close(self) -> None:
        with self._guard:
            if not self.closed:
                self.closed = True
                self._bucket.delete(self._key)

    def __del__(self) -> None:
        if hasattr(self, "closed"):
            self.close()


class BucketStore(BlobStore):
    """``renewal``: seconds after which leases are renewed; None: after a third of their lifetime."""

    def __init__(
        self,
        bucket: Bucket,
        lifetime: float = LIFETIME,
        *,
        renewal: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bucket, self._lifetime, self._clock = bucket, lifetime, clock
        self._renewal = lifetime / 3 if renewal is None else renewal
        self._leases: WeakSet[Lease] = WeakSet()
        self._renewing = False
        self._guard = threading.Lock()
        self._partials = BucketPartials(self)

    # -- leases -------------------------------------------------------------------------------------

    def lease(self, prefix: str) -> Lease:
        lease = Lease(self.bucket, prefix, self._lifetime, self._clock)
        with self._guard:
            self._leases.add(lease)
            start, self._renewing = not self._renewing, True
        if start:
            threading.Thread(target=self._renew, name="leases", daemon=True).start()
        return lease

    def _renew(self) -> None:
        while True:
            time.sleep(self._renewal)
            with self._guard:
                leases = list(self._leases)
                if not leases:
                    self._renewing = False
                    return
            for lease in leases:
                lease.renew()
            del leases, lease

    def is_live(self, key: str) -> bool:
        """Whether the lease or notice under ``key`` counts."""
        try:
            return float(self.bucket.get(key)) > self._clock()
        except NotFound:
            return False

    def take(self, digest: str) -> Lease:
        """A lease on a content that may or may not be there, and that nobody is deleting."""
        lease = self.lease(f"leases/{check_digest(digest)}")
        while self._is_any(f"deleting/{digest}"):
            time.sleep(0.002)  # it will be gone, or spared for our lease; or its owner died
        return lease

    # -- the interface ------------------------------------------------------------------------------

    def identity(self, proposed: str | None = None) -> str | None:
        if proposed is not None:
            self.bucket.put("store.id", [proposed.encode()], if_absent=True)
        try:
            return self.bucket.get("store.id").decode()
        except NotFound:
            return None

    def reached(
        self, database_id: str | None = None, epoch: int = 0, *, anew: bool = False
    ) -> tuple[str, int] | None:
        """The newest of numbered notes: who puts the next number, and sees no later one, was in time."""
        while True:
            keys = self.bucket.list("reached")
            stays, number = None, 0
            if keys:
                number = int(Path(keys[-1]).name)
                try:
                    found, at = self.bucket.get(keys[-1]).decode().split()
                except NotFound:
                    continue  # a later one took its place
                except ValueError:
                    if not anew:
                        raise InvalidConfig(f"{keys[-1]} in the bucket cannot be read") from None
                else:
                    stays = found, int(at)
            if database_id is None or (
                stays is not None and not anew and (stays[0] != database_id or stays[1] >= epoch)
            ):
                return stays
            key = f"reached/{number + 1:020}"
            made = self.bucket.put(key, [f"{database_id} {epoch}".encode()], if_absent=True)
            if made and self.bucket.list("reached")[-1] == key:
                for old in keys:
                    self.bucket.delete(old)
                return database_id, epoch

    def create(self, size: int | None = None) -> BucketWriter:
        return BucketWriter(self)

    def open(self, digest: str, *, hold: bool = False) -> BucketReader:
        """Always held: an object that is deleted cannot be read on."""
        lease = self.take(digest)
        return BucketReader(self.bucket, f"contents/{digest}", self.size(digest), lease)

    def hold(self, digest: str) -> Blob:
        lease = self.take(digest)
        return Blob(digest, self.size(digest), lease)

    def size(self, digest: str) -> int:
        return self.bucket.head(f"contents/{check_digest(digest)}")

    def digests(self) -> Iterator[str]:
        yield from (Path(key).name for key in self.bucket.list("contents"))

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
        unknown: bool = False,
    ) -> int:
        begun, until = time.monotonic(), repr(self._clock() + self._lifetime).encode()
        notices: dict[str, str] = {}
        try:
            for digest in digests:
                notices[digest] = f"deleting/{check_digest(digest)}/{new_id()}"
                self.bucket.put(notices[digest], [until])
            free = [
                digest
                for digest, notice in notices.items()
                if not self._is_any(f"leases/{digest}")
                and not self._is_any(f"deleting/{digest}", beside=notice)
                and self.exists(digest)
            ]
            wanted = confirm(free)
            if time.monotonic() - begun > self._lifetime / 2:
                return 0  # somebody may soon take our notices for those of a dead process
            gone = [digest for digest in free if digest in wanted]
            for digest in gone:
                self.bucket.delete(f"contents/{digest}")
            return len(gone)
        finally:
            for notice in notices.values():
                self.bucket.delete(notice)

    def _is_any(self, prefix: str, beside: str = "") -> bool:
        return any(key != beside and self.is_live(key) for key in self.bucket.list(prefix))

    def sweep(self) -> int:
        gone = [
            k for prefix in ("leases", "deleting") for k in self.bucket.list(prefix) if not self.is_live(k)
        ]
        living = {key.split("/")[1] for key in self.bucket.list("writers") if self.is_live(key)}
        parts = [key for key in self.bucket.list("parts") if key.split("/")[1] not in living]
        for key in (*gone, *parts):
            self.bucket.delete(key)
        return len({key.split("/")[1] for key in parts})

    def check(self) -> None:
        self.bucket.put("check", [b""])

    @property
    def partials(self) -> BucketPartials:
        return self._partials

    def finish(self, keys: Iterable[str], digest: str) -> Blob:
        """The objects ``keys``, one after the other, as the content ``digest``; held."""
        lease = self.take(digest)
        self.bucket.put(f"contents/{digest}", (self.bucket.get(key) for key in keys), if_absent=True)
        return Blob(digest, self.size(digest), lease)


class BucketReader(BlobReader):
    def __init__(self, bucket: Bucket, key: str, size: int, lease: Lease) -> None:
        self._bucket, self._key, self.size, self._lease = bucket, key, size, lease

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        return self._bucket.get(self._key, start, stop)

    def file(self) -> BinaryIO:
        file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        for start in range(0, self.size, PART):
            file.write(self.read(start, start + PART))
        file.seek(0)
        file.flush()
        return file  # type: ignore[no-any-return]

    def map(self) -> memoryview:
        return memoryview(bytearray(self.read()))

    def close(self) -> None:
        self._lease.close()


class BucketWriter(BlobWriter):
    whole = False

    def __init__(self, store: BucketStore) -> None:
        self._store, self._id = store, new_id()
        self._lease: Lease | None = store.lease(f"writers/{self._id}")
        self._hash, self._buffer, self._parts = blake3(), bytearray(), 0
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self._lease is None:
            raise ValueError("the writer is closed")
        view = memoryview(chunk).cast("B")
        self._hash.update(view)
        self._buffer += view
        self.size += len(view)
        if len(self._buffer) >= PART:
            self._send()

    def _send(self) -> None:
        self._store.bucket.put(f"parts/{self._id}/{self._parts:08}", [bytes(self._buffer)])
        self._parts += 1
        self._buffer = bytearray()

    def commit(
        self, digest: str | None = None, check: Check | None = None, *, remember: bool = False
    ) -> Blob:
        if self._lease is None:
            raise ValueError("the writer is closed")
        found = self._hash.hexdigest()
        try:
            if digest is not None and digest != found:
                raise BadRequest("the content is not what its digest says", expected=digest[:64], found=found)
            self._send()
            if check is not None:
                check(memoryview(b"".join(map(self._store.bucket.get, self._keys()))))
            return self._store.finish(self._keys(), found)
        finally:
            self.abort()

    def _keys(self) -> list[str]:
        return [f"parts/{self._id}/{number:08}" for number in range(self._parts)]

    def abort(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            for key in self._keys():
                self._store.bucket.delete(key)
            lease.close()


class BucketPartials(PartialContents):
    def __init__(self, store: BucketStore) -> None:
        self._store = store

    def open(self, name: str) -> BucketPartial:
        turn = f"turns/{check_id(name)}"
        if not self._store.is_live(turn):
            self._store.bucket.delete(turn)
        until = repr(time.time() + LIFETIME).encode()
        if not self._store.bucket.put(turn, [until], if_absent=True):
            raise Conflict("the upload is in use")
        return BucketPartial(self._store, name, turn)

    def size(self, name: str) -> int:
        bucket = self._store.bucket
        return sum(bucket.head(key) for key in bucket.list(f"partial/{check_id(name)}"))

    def discard(self, name: str, *, owner: str | None = None) -> None:
        for key in self._store.bucket.list(f"partial/{check_id(name)}"):
            self._store.bucket.delete(key)

    def sweep(self, keep: Callable[[str], bool]) -> int:
        names = {key.split("/")[1] for key in self._store.bucket.list("partial")}
        gone = [name for name in names if not self._store.is_live(f"turns/{name}") and not keep(name)]
        for name in gone:
            self.discard(name)
        return len(gone)

    def check_room(self, size: int) -> None:
        """A bucket has no end."""


class BucketPartial(PartialContent):
    """Every piece is an object, named by its offset."""

    def __init__(self, store: BucketStore, name: str, turn: str) -> None:
        self._store, self._name, self._turn = store, name, turn
        self._hash = blake3()
        self.size = 0
        for key in self._keys():
            piece = store.bucket.get(key)
            self._hash.update(piece)
            self.size += len(piece)

    def _keys(self) -> list[str]:
        return self._store.bucket.list(f"partial/{self._name}")

    def append(self, data: memoryview) -> None:
        self._store.bucket.put(f"partial/{self._name}/{self.size:016}", [data])
        self._hash.update(data)
        self.size += len(data)

    def finish(self, digest: str | None = None) -> Blob:
        found = self._hash.hexdigest()
        if digest is not None and digest != found:
            raise BadRequest("the content is not what its digest says", expected=digest, found=found)
        if self._store.partials.size(self._name) != self.size:
            raise NotFound("the upload was aborted", id=self._name)
        return self._store.finish(self._keys(), found)

    def close(self) -> None:
        self._store.bucket.delete(self._turn)
