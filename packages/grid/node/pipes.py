"""Pipes of messages that a node's services take over, and the one that answers frames over any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from syft_ext.errors import Unavailable
from syft_ext.transport.pipe import MessagePipe

__all__ = ["ExpectedPipe", "PipeAnswering", "PipeRoute", "no_answers", "nobody"]


def nobody(caller: str) -> None:
    """For whom it is all the same who calls."""


class PipeAnswering(Protocol):
    """Answers the frames that come over a pipe, until it ends.

    ``remote`` is where its other end is. ``known`` is told who called over it, once they were answered, if they
    are somebody here: their kind (``user``, ``worker``, ``node``) and their id behind a blank.
    """

    def __call__(self, pipe: MessagePipe, *, remote: str, known: Callable[[str], None] = nobody) -> None: ...


def no_answers(pipe: MessagePipe, *, remote: str, known: Callable[[str], None] = nobody) -> None:
    """What a node has before it is served. Raises :class:`Unavailable`."""
    pipe.close()
    raise Unavailable("this node is not served")


class ExpectedPipe(MessagePipe, Protocol):
    """A pipe that somebody opened to a route, and who may be expected there."""

    def expected(self) -> None:
        """They are: they count as a stranger no more. May be called twice."""


@dataclass(frozen=True, slots=True)
class PipeRoute:
    """WebSockets at ``rule`` are handed to ``take``, as pipes whose messages have at most ``max_message`` bytes.

    ``take(pipe, remote, values)`` runs until it is done with the pipe, which is closed then; ``values`` are those
    of the rule's variables.
    """

    rule: str
    max_message: int
    take: Callable[[ExpectedPipe, str, Mapping[str, str]], None]
