"""The operator's end of a worker's pipe: hands out what its job names, carries its asks to key hosts, takes its
output."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from grid.confidential.hosts import KeyHosts, RoundFailed
from grid.storage.blobs.interface import BlobReader, BlobStore, BlobWriter
from syft_ext.confidential.asks import AttestAsk
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.frames import (
    MAX_READ,
    Bytes,
    FramePipe,
    FromOperator,
    FromWorker,
    GaveUp,
    Missing,
    OutputPart,
    Quote,
    Read,
    Relay,
    Result,
)
from syft_ext.confidential.offer import RecordedSession
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.errors import GridError, NotFound, Unavailable
from syft_ext.messages import Message
from syft_ext.messages.key_host import Answer, AskAttest, AskChallenge, AskGrant

__all__ = ["Served", "WorkerServing"]

logger = logging.getLogger(__name__)

_FINAL = ("policy_refused", "round_keys_refused", "manifest_refused", "layout_refused")
"""Why a worker gives up, where another one would as well: a public statement that does not hold."""


class _Quoter(Protocol):
    def __call__(self, binding: bytes) -> bytes:
        """Simulated evidence over ``binding``, for a worker without a platform."""


@dataclass(slots=True)
class Served:
    """What a worker left behind.

    Attributes:
        release: the signed shares of its output's key; b"" until it is done.
        sessions: what each host said of its session, by the host's key, as it was signed.
        ask: what the hosts were asked to appraise: its keys, their challenges, its evidence.
    """

    release: bytes = b""
    sessions: dict[bytes, bytes] = field(default_factory=dict)
    ask: bytes = b""

    def recorded(self, policy: ConfidentialPolicy) -> bytes | None:
        """What a participant can be shown of the session: an encoded
        :class:`~syft_ext.confidential.offer.RecordedSession`. None unless all hosts appraised it."""
        signed = [self.sessions.get(host.key) for host in policy.hosts]
        if not self.ask or None in signed:
            return None
        statements: tuple[Signed[SessionStatement], ...] = tuple(
            Signed.decode(each) for each in signed if each is not None
        )
        return RecordedSession(statements=statements, ask=AttestAsk.decode(self.ask)).encode()


class WorkerServing:
    """Serves one worker until it is done.

    Args:
        lengths: bytes of each upload that the job names, by its digest: nothing else is handed out.
        manifest: the signed manifest, which goes to hosts with an ask for a grant; empty: none is asked for one.
        output: takes the sealed output. longest: bytes that it may have.
        quote: simulated evidence; None where the policy takes none.

    Attributes:
        served: what the worker left behind, as far as it came.
    """

    def __init__(
        self,
        blobs: BlobStore,
        hosts: KeyHosts,
        policy: ConfidentialPolicy,
        *,
        lengths: Mapping[bytes, int],
        manifest: bytes,
        output: BlobWriter,
        longest: int,
        quote: _Quoter | None,
    ) -> None:
        self._blobs, self._hosts, self._policy = blobs, hosts, policy
        self._lengths, self._manifest = lengths, manifest
        self._output, self._longest, self._quote = output, longest, quote
        self._reader: tuple[bytes, BlobReader] | None = None
        self._met: GridError | None = None  # what stood in the way last
        self.served = Served()

    def serve(self, pipe: FramePipe[FromOperator, FromWorker]) -> Served:
        """Answer until the worker has given its result.

        Raises :class:`Unavailable` for what passes, and :class:`RoundFailed` for what does not: what it met at a
        host, or why the worker gave up.
        """
        try:
            while True:
                frame = pipe.receive()
                if frame is None:
                    raise Unavailable("the confidential worker ended without a result")
                if isinstance(frame, Result):
                    self.served.release = frame.release
                    return self.served
                if isinstance(frame, GaveUp):
                    raise self._why(frame)
                if isinstance(frame, OutputPart):
                    self._take(frame)
                else:
                    pipe.send(self._answer(frame))
        finally:
            self._close()

    def _why(self, frame: GaveUp) -> GridError:
        logger.warning("the confidential worker gave up: %s", frame.code)
        if self._met is not None:
            return self._met
        said = f"the confidential worker gave up: {frame.code}"
        return RoundFailed(said, reason=frame.code) if frame.code in _FINAL else Unavailable(said)

    def _answer(self, frame: Read | Relay | Quote) -> FromOperator:
        try:
            if isinstance(frame, Read):
                found: bytes | None = self._read(frame)
            elif isinstance(frame, Relay):
                found = self._relay(frame)
            else:
                found = None if self._quote is None else self._quote(frame.binding)
        except GridError as error:
            self._met = error
            found = None
        return Missing() if found is None else Bytes(memoryview(found))

    def _read(self, frame: Read) -> bytes | None:
        length = self._lengths.get(frame.blob)
        if length is None or not 0 < frame.length <= MAX_READ or frame.offset < 0:
            return None
        if self._reader is None or self._reader[0] != frame.blob:
            self._close()
            try:
                self._reader = (frame.blob, self._blobs.open(frame.blob.hex()))
            except NotFound as error:  # it may be put back; nobody is asked to go without it
                raise Unavailable(f"a sealed report is gone from the contents: {frame.blob.hex()}") from error
        return self._reader[1].read(frame.offset, frame.offset + frame.length)

    def _relay(self, frame: Relay) -> bytes | None:
        host = self._policy.host(frame.host)
        message: Message
        if frame.operation == "challenge":
            message = AskChallenge(ask=frame.body)
        elif frame.operation == "attest":
            message = AskAttest(ask=frame.body)
        elif not self._manifest:
            return None
        else:
            message = AskGrant(ask=frame.body, manifest=self._manifest)
        answer: Answer = self._hosts.work(host, message)
        if frame.operation == "attest":
            self.served.sessions[host.key] = answer.statement
            self.served.ask = frame.body
        return answer.statement

    def _take(self, frame: OutputPart) -> None:
        if self._output.size + len(frame.data) > self._longest:
            raise RoundFailed("the worker's output is longer than one can be")
        self._output.write(frame.data)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
        self._reader = None
