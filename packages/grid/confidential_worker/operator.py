"""What the worker asks of its operator, and why it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syft_ext.confidential.frames import (
    MAX_JOB,
    MAX_READ,
    Bytes,
    Failure,
    FramePipe,
    FromOperator,
    FromWorker,
    GaveUp,
    Missing,
    Operation,
    OutputPart,
    Quote,
    Read,
    Relay,
    Result,
    RoundJob,
)
from syft_ext.errors import BadRequest, ContentMissing, GridError, TooLarge

__all__ = ["GivingUp", "Operator", "giving_up"]

_ROOM = 4096


class GivingUp(Exception):
    """There will be no output; ``code`` is all that is said of why."""

    def __init__(self, code: Failure) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def giving_up(code: Failure) -> Iterator[None]:
    """What a statement of others does not hold in the block ends the job with this code."""
    try:
        yield
    except (BadRequest, GridError, ValueError) as error:
        raise GivingUp(code) from error


class Operator:
    """The other end of the pipe. Nothing that comes from it is believed."""

    def __init__(self, pipe: FramePipe[FromWorker, FromOperator]) -> None:
        self._pipe = pipe

    def job(self) -> RoundJob | None:
        """What is to be done; None where the pipe was closed without a job."""
        frame = self._receive(MAX_JOB)
        if frame is None or isinstance(frame, RoundJob):
            return frame
        raise GivingUp("protocol")

    def read(self, blob: bytes, offset: int, length: int) -> memoryview:
        """Bytes of a blob, as the operator says; perhaps others, or not as many.

        Raises :class:`ContentMissing` where there are none.
        """
        if not length:
            return memoryview(b"")
        answer = self._ask(Read(blob, offset, length), MAX_READ)
        if answer is None:
            raise ContentMissing("the operator has no such bytes")
        return answer

    def relay(self, host: bytes, operation: Operation, body: bytes, longest: int) -> memoryview:
        """A host's answer, of at most ``longest`` bytes, as the operator says."""
        answer = self._ask(Relay(host, operation, body), longest)
        if answer is None:
            raise GivingUp("host_refused")
        return answer

    def quote(self, binding: bytes, longest: int) -> memoryview:
        """Evidence that the operator made, of at most ``longest`` bytes."""
        answer = self._ask(Quote(binding), longest)
        if answer is None:
            raise GivingUp("no_evidence")
        return answer

    def output(self, piece: memoryview) -> None:
        """The next bytes of the sealed output."""
        self._pipe.send(OutputPart(piece))

    def result(self, release: bytes) -> None:
        """The output is complete."""
        self._pipe.send(Result(release))

    def gave_up(self, code: Failure) -> None:
        """There is none."""
        self._pipe.send(GaveUp(code))

    def _ask(self, question: Read | Relay | Quote, longest: int) -> memoryview | None:
        self._pipe.send(question)
        answer = self._receive(longest + _ROOM)
        if isinstance(answer, Bytes) and len(answer.data) <= longest:
            return answer.data
        if isinstance(answer, Missing):
            return None
        raise GivingUp("protocol")

    def _receive(self, longest: int) -> FromOperator | None:
        try:
            return self._pipe.receive(longest)
        except (BadRequest, TooLarge) as error:
            raise GivingUp("protocol") from error
