"""Sealed outputs: stored first, opened by all hosts together once, and made the difference that a model takes.

A host gives its share of the key for the first output of a round that it is asked about, and for no other. So the
sealed bytes are durable, and named in the database, before any host is asked; whoever comes back after a crash
asks about the same ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, select

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK, wide_dtype
from grid.aggregation.tensor_file import TensorFile, elements
from grid.aggregation.whole import unchanged
from grid.confidential.hosts import KeyHosts, RoundFailed
from grid.confidential.restored import MARKS, facts_of
from grid.confidential.serving import Served
from grid.confidential.tables import ConfidentialOutput
from grid.federated.state.store import TrainingStore
from grid.federated.state.tables import TrainingProcess
from grid.quotas.usage import OWNER, count_with
from grid.spending.keeping import note
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseShares
from syft_ext.confidential.hpke import public_key
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy, Mechanism
from syft_ext.confidential.receipts import Receipt, ReceiptBundle, check_receipt
from syft_ext.confidential.release import SealedOutput, open_output_key
from syft_ext.confidential.rounds import ReportLayout, RoundKey
from syft_ext.errors import BadSignature, ContentDamaged, InvalidStatement, NotFound, SealBroken, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.key_host import AskConfirm

__all__ = ["OpenedOutput", "SealedOutputs", "difference"]

logger = logging.getLogger(__name__)

_BESIDE = 1 << 20
"""Bytes: header, receipt, hosts' statements, tags."""

count_with(
    "trainings",
    "sealed outputs",
    select(func.coalesce(func.sum(ConfidentialOutput.size), 0).label("size")).where(
        ConfidentialOutput.blob_digest.is_not(None),
        ConfidentialOutput.process_id.in_(
            select(TrainingProcess.id).where(TrainingProcess.owner == bindparam(OWNER))
        ),
    ),
)


class OpenedOutput:
    """An output whose key the hosts gave, and which verifies.

    Attributes:
        receipt: what the worker says of it. bundle: the same with the hosts' word on its session, to be kept.
        sums: of clipped updates, with noise, in grid units: one int64 for each number of the layout.
    """

    def __init__(self, receipt: Receipt, bundle: ReceiptBundle, sums: NDArray[np.int64]) -> None:
        self.receipt, self.bundle, self.sums = receipt, bundle, sums


class SealedOutputs:
    """Stores sealed outputs, and has them opened."""

    def __init__(self, store: TrainingStore, hosts: KeyHosts, identity: Identity) -> None:
        self._store, self._hosts, self._identity = store, hosts, identity

    @staticmethod
    def size_of(layout: ReportLayout) -> int:
        """Bytes that a sealed output of this layout has, about: 8 of each number, and what is beside them. The
        owner of a training needs room for it before a cycle begins: once a round is paid for, it is kept."""
        return 8 * UpdateReader(layout).size + _BESIDE

    def put(
        self, row: Any, policy: ConfidentialPolicy, manifest: Manifest, blob: Blob, served: Served
    ) -> None:
        """Write down that ``blob``, which is durable, is the output of a round; the first one stays.

        Raises :class:`Unavailable` for an output that nobody could open: another worker makes one that can be.
        """
        try:
            release: Signed[ReleaseShares] = Signed.decode(served.release)
            shares = release.open(ReleaseShares, release.signer)
        except (InvalidStatement, BadSignature) as error:
            raise Unavailable(f"the confidential worker gave no output: {error.detail}") from error
        if (shares.manifest, shares.output.hex(), shares.length) != (
            manifest.digest(),
            blob.digest,
            blob.size,
        ):
            raise Unavailable("the confidential worker gave another output than it says")
        sessions = [served.sessions.get(host.key) for host in policy.hosts]
        if None in sessions:
            raise Unavailable("the confidential worker gave an output without having asked all key hosts")
        made = ConfidentialOutput(
            process_id=row.process_id,
            sequence=row.sequence,
            digest=blob.digest,
            size=blob.size,
            blob_digest=blob.digest,
            release=served.release,
            sessions=_packed([each for each in sessions if each is not None]),
            stored_at=self._store.clock.now(),
            released_at=None,
        )
        with self._store.database.transaction() as session:
            key = (
                ConfidentialOutput.process_id == row.process_id,
                ConfidentialOutput.sequence == row.sequence,
            )
            if session.scalar(select(ConfidentialOutput.digest).where(*key).with_for_update()) is not None:
                logger.warning("round %d of training %s has its output already", row.sequence, row.process_id)
                return
            record(session, blob)
            session.add(made)
            note(session, MARKS, row.process_id, facts_of(made, row.manifest_digest))

    def open(
        self, output: Any, policy: ConfidentialPolicy, manifest: Manifest, keys: Sequence[RoundKey]
    ) -> OpenedOutput:
        """Ask every host for its share, and open the output of this row.

        Raises :class:`Unavailable` while hosts do not answer, and :class:`RoundFailed` for an output that nobody
        can have any more.
        """
        digest, sessions = manifest.digest(), _unpacked(output.sessions)
        secret = self._identity.derive_secret(f"confidential output of {digest.hex()}")
        releases = [
            self._ask(host_key, place, output, policy, digest, sessions[place], secret)
            for place, host_key in enumerate(keys)
        ]
        try:
            found = SealedOutput(open_output_key(secret, keys, releases), digest, self._reader(output))
            bundle = ReceiptBundle(
                receipt=found.receipt, sessions=tuple(Signed.decode(each) for each in sessions)
            )
            receipt = check_receipt(bundle, policy, manifest)
            sums = _numbers(found, receipt)
        except (SealBroken, InvalidStatement, BadSignature) as error:
            raise RoundFailed(f"the output of this round cannot be taken: {error.detail}") from error
        return OpenedOutput(receipt, bundle, sums)

    def _ask(
        self,
        key: RoundKey,
        place: int,
        output: Any,
        policy: ConfidentialPolicy,
        manifest: bytes,
        session: bytes,
        secret: bytes,
    ) -> Release:
        host = policy.hosts[place]
        request = ConfirmRequest(
            host=host.key,
            manifest=manifest,
            output=bytes.fromhex(output.digest),
            recipient=public_key(policy.suite, secret),
            at=int(self._store.clock.now()),
        )
        message = AskConfirm(
            request=Signed.make(request, self._identity).encode(), shares=output.release, session=session
        )
        try:
            signed: Signed[Release] = Signed.decode(self._hosts.work(host, message).statement)
            return signed.open(Release, host.key)
        except (InvalidStatement, BadSignature) as error:
            raise Unavailable(f"key host {host.name} answers with something else: {error.detail}") from error

    def _reader(self, output: Any) -> Any:
        try:
            content = self._store.blobs.map(output.digest, hold=True)
        except (NotFound, ContentDamaged) as error:
            raise Unavailable(f"the sealed output {output.digest} is gone from the contents") from error
        return lambda offset, length: content[offset : offset + length]


def _numbers(found: SealedOutput, receipt: Receipt) -> NDArray[np.int64]:
    """The sums in a sealed output, which are those that the receipt names."""
    data, digest = bytearray(), blake3()
    for piece in found.numbers():
        data += piece
        digest.update(piece)
    if digest.digest() != receipt.output or len(data) % 8:
        raise InvalidStatement("the numbers of a sealed output are not those of its receipt")
    return np.frombuffer(data, "<i8").astype(np.int64, copy=False)


def difference(
    base: TensorFile, layout: ReportLayout, sums: NDArray[np.int64], mechanism: Mechanism, count: int
) -> Aggregate:
    """What the model takes: sums over the fixed denominator, in its own numbers. What is no parameter stays.

    Args:
        count: reports in it.

    Raises :class:`RoundFailed` where the sums are not of this layout.
    """
    if len(sums) != layout.size:
        raise RoundFailed(f"{len(sums)} numbers came back, the layout has {layout.size}")
    unit = 2.0**-mechanism.grid_bits / mechanism.denominator
    specs = {spec.name: spec for spec in base.layout.specs}
    means = {
        run: np.zeros(elements(run), wide_dtype(run[0])) for run in base.runs if base.kind(run) == "parameter"
    }
    start = 0
    for tensor in layout.tensors:
        spec = specs[tensor.name]
        run = next(run for run in means if run[1] <= spec.start < run[2])
        offset = (spec.start - run[1]) // spec.itemsize
        _scale(sums[start : start + tensor.size], unit, means[run][offset : offset + tensor.size])
        start += tensor.size
    values = [
        means[run] if run in means else unchanged(elements(run), wide_dtype(run[0])) for run in base.runs
    ]
    return Aggregate(base.runs, values, 1.0, count, float(count))


def _scale(sums: NDArray[np.int64], unit: float, into: NDArray[Any]) -> None:
    for start in range(0, len(sums), BLOCK):
        part = slice(start, start + BLOCK)
        with np.errstate(over="ignore"):  # what overflows is found by whoever applies it
            np.multiply(sums[part], unit, out=into[part], casting="same_kind")


def _packed(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _unpacked(data: bytes) -> list[bytes]:
    return list(_parts(data))


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size
