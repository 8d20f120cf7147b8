"""One job, from its statements to its sealed output, in the order in which nothing can go wrong too late.

What can be refused is refused before the hosts are asked to charge; after that nothing of the uploads' contents
decides whether there is an output. Whatever happens, the process ends: the next job is another process with
other keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from grid.confidential_worker.evidence import EvidenceSource
from grid.confidential_worker.job import OpenedJob, open_job
from grid.confidential_worker.operator import GivingUp, Operator, giving_up
from grid.confidential_worker.session import Session
from grid.confidential_worker.uploads import UploadContent
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.kernel.aggregate import Sums
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.kernel.noise import NoiseSeed
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.manifest import CheckedEntry
from syft_ext.confidential.receipts import Receipt
from syft_ext.confidential.release import OutputSealing
from syft_ext.confidential.stream import CHUNK
from syft_ext.errors import ContentDamaged, ContentMissing, Unavailable

__all__ = ["serve"]


def serve(operator: Operator, source: EvidenceSource) -> bool:
    """Do the one job that comes through the pipe; whether there is an output.

    It says to the operator which of :data:`~syft_ext.confidential.frames.FAILURES` there was, and nothing to
    anybody else. Raises :class:`~syft_ext.errors.Unavailable` when the operator has gone.
    """
    try:
        _work(operator, source)
    except GivingUp as reason:
        operator.gave_up(reason.code)
        return False
    except ContentMissing:
        operator.gave_up("blob_missing")
        return False
    except ContentDamaged:
        operator.gave_up("blob_changed")
        return False
    except Unavailable:
        raise
    except Exception:  # of which not even the kind is told: it may follow from what was opened
        operator.gave_up("internal")
        return False
    return True


def _work(operator: Operator, source: EvidenceSource) -> None:
    said = operator.job()
    if said is None:
        raise GivingUp("protocol")
    job = open_job(said)
    if job.policy.production and not source.protects:
        raise GivingUp("policy_refused")
    reader, mechanism = UpdateReader(job.layout), job.policy.mechanism
    with giving_up("policy_refused"):
        clip = Clip(mechanism.clip, mechanism.grid_bits)
        sums = Sums(reader, clip, len(job.manifest.entries), mechanism.sigma)
    session = Session(job, operator, source)
    entries = job.entries(session.at)
    secrets = session.secrets()
    seed, bad = _add_up(job, entries, secrets, operator, sums)
    _deliver(job, session, operator, sums.finish(seed), bad)


def _add_up(
    job: OpenedJob, entries: list[CheckedEntry], secrets: list[bytes], operator: Operator, sums: Sums
) -> tuple[bytes, int]:
    """Go through all uploads; the seed of the noise, and how many did not open."""
    context = job.manifest.context
    seed, bad = NoiseSeed(job.digest, context.policy), 0
    for entry in entries:
        read = partial(operator.read, entry.upload.blob)
        upload = UploadContent(read, entry.upload, job.policy, context, job.keys, secrets)
        if sums.add(upload.sweep, upload.length) and upload.content_key is not None:
            seed.opened(upload.content_key, entry.upload.assignment)
        else:
            seed.unopened()
            bad += 1
    return seed.finish(), bad


def _deliver(job: OpenedJob, session: Session, operator: Operator, numbers: NDArray[Any], bad: int) -> None:
    """Seal the numbers with their receipt, and split the key among the hosts."""
    data = numbers.astype("<i8", copy=False).view(np.uint8).data
    context, first = job.manifest.context, session.statements[0]
    receipt = Receipt(
        manifest=job.digest,
        policy=context.policy,
        domain=context.domain,
        process=context.process,
        sequence=context.sequence,
        base=job.manifest.base,
        output=blake3(data).digest(),
        layout=context.layout,
        participants=len(job.manifest.entries),
        bad_seals=bad,
        mechanism=job.policy.mechanism,
        rho=job.policy.mechanism.rho,
        workloads=first.workloads,
        evidence=session.evidence,
        sessions=tuple(signed.digest_as(type(first)) for signed in session.signed),
        grants=session.grants,
        simulated=session.simulated,
    )
    sealing = OutputSealing(job.digest, Signed.make(receipt, session.identity), _pieces(data), len(data))
    for piece in sealing.pieces():
        operator.output(memoryview(piece))
    operator.result(Signed.make(sealing.shares(job.keys), session.identity).encode())


def _pieces(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
