"""One search over all Domains of a Network: asked at the same time, answered by a deadline.

A Domain that is down costs nothing but a note. Domains that are offline by their heartbeats are not asked;
one that failed lately is asked now and then (:mod:`grid.concurrency.breaker`), and nobody waits for its answer.
"""

from __future__ import annotations

import _thread
import heapq
import logging
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from operator import attrgetter
from typing import Any

import msgspec

from grid.concurrency.breaker import Breaker
from grid.network.answers import Answers, Remembered
from grid.network.associations import AssociationService, online_status
from grid.network.registry import Peer
from grid.node import Context, Node, Service, handles
from syft_ext.errors import Forbidden, GridError, InvalidEnvelope, Unauthenticated, Unavailable
from syft_ext.messages import Reply
from syft_ext.messages.datasets import SearchPublished
from syft_ext.messages.network import NetworkHit, SearchNetwork, SearchNote, SearchReply, shown_address
from syft_ext.messages.vocabulary import Kind, terms_of

__all__ = ["NetworkSearchService"]

logger = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode

#: What a search without a kind is for.
KINDS: tuple[Kind, ...] = ("dataset", "model")
#: Seconds that a suspect may still be at it after everybody else; its late answer closes its circuit.
PROBE_TIMEOUT = 10.0


_name = attrgetter("name")


class _PublishedEntry(Reply, dict=True):
    """A :class:`SearchEntry` whose details are read only if it is among those that are answered with."""

    kind: str
    id: str
    name: str
    description: str
    tags: list[str]
    created_at: float
    details: msgspec.Raw

    @cached_property
    def item(self) -> dict[str, Any]:
        """It, as the Network's users see it."""
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "created_at": self.created_at,
            "details": _details(self.details),
        }


class _Published(Reply):
    entries: list[_PublishedEntry]
    digest: bytes = b""
    unchanged: bool = False


@dataclass(slots=True)
class _Answer:
    domain: Peer
    entries: Sequence[_PublishedEntry]
    error: str = ""


class NetworkSearchService(Service):
    """Fans searches out to the associated Domains.

    Args:
        deadline: seconds after which a search answers with what has come in.
    """

    def __init__(self, node: Node, *, deadline: float) -> None:
        super().__init__(node)
        self.associations = node.service(AssociationService)
        self.breaker = Breaker()
        self.known: Answers[_PublishedEntry] = Answers()
        self._deadline = deadline

    @handles(SearchNetwork)
    def search(self, ctx: Context, message: SearchNetwork) -> SearchReply:
        begun = time.monotonic()
        deadline = begun + min(message.deadline or self._deadline, self._deadline)
        answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        waiting, notes = self._ask_all(_query(message), answers, begun, deadline - begun)
        asked = len(waiting) + len(notes)
        results: list[tuple[Peer, Sequence[_PublishedEntry]]] = []
        trusted = {key for key, (_, suspect) in waiting.items() if not suspect}
        while waiting:
            # Suspects are not waited for; whoever of them was as quick as the others is heard.
            left = deadline - time.monotonic() if trusted else 0.0
            try:
                answer = answers.get(timeout=left) if left > 0 else answers.get_nowait()
            except queue.Empty:
                break
            waiting.pop(answer.domain.verify_key)
            trusted.discard(answer.domain.verify_key)
            if answer.error:
                notes.append(_note(answer.domain, answer.error))
            results.append((answer.domain, answer.entries))
        for domain, suspect in waiting.values():
            late = "did not answer lately; asked again" if suspect else "did not answer in time"
            notes.append(_note(domain, late))
            if not suspect:
                self.breaker.failed(domain.verify_key, time.monotonic(), "did not answer in time")
        return SearchReply(
            results=[_found(domain, entry) for domain, entry in islice(_by_name(results), message.limit)],
            notes=sorted(notes, key=lambda note: note.domain),
            asked=asked,
            seconds=time.monotonic() - begun,
        )

    def _ask_all(
        self, query: SearchPublished, answers: queue.SimpleQueue[_Answer], begun: float, timeout: float
    ) -> tuple[dict[str, tuple[Peer, bool]], list[SearchNote]]:
        """Begin to ask; by key, who was asked and whether it is suspect; and notes on who was not."""
        waiting: dict[str, tuple[Peer, bool]] = {}
        notes = []
        asked = _encode(query)
        now = self.node.clock.now()
        for domain in self.associations.registry.presented(self.node.kind.presents):
            key = domain.verify_key
            if online_status(domain, now, self.associations.offline_after) == "offline":
                notes.append(_note(domain, "offline"))
                continue
            state = self.breaker.state(key, time.monotonic())
            if state == "open":
                notes.append(_note(domain, f"not asked: {self.breaker.error(key)} a moment ago"))
                continue
            waiting[key] = (domain, state == "half-open")
            seconds = timeout if state == "closed" else PROBE_TIMEOUT
            _thread.start_new_thread(self._ask, (domain, query, asked, begun, seconds, answers))
        return waiting, notes

    def _ask(
        self,
        domain: Peer,
        query: SearchPublished,
        asked: bytes,
        begun: float,
        timeout: float,
        answers: queue.SimpleQueue[_Answer],
    ) -> None:
        entries: Sequence[_PublishedEntry] = ()
        error = ""
        try:
            entries = self._entries(domain, query, asked, timeout)
        except Unauthenticated as refused:
            error = refused.detail
            if refused.code == "unauthenticated":
                self._ask_standing(domain)  # it may have ended the association
        except GridError as failed:
            error = failed.detail
        except Exception:
            logger.exception("search at %s failed", domain.name)
            error = "failed"
        self._remember(domain.verify_key, time.monotonic() - begun, timeout, error)
        answers.put(_Answer(domain, entries, error))

    def _remember(self, key: str, seconds: float, timeout: float, error: str) -> None:
        """An answer that came too late to be of use does not clear a Domain of suspicion."""
        if not error and seconds <= self._deadline:
            self.breaker.succeeded(key)
        elif seconds <= timeout:  # else whoever waited for it has noted that already
            self.breaker.failed(key, time.monotonic(), error or "did not answer in time")

    def _entries(
        self, domain: Peer, query: SearchPublished, asked: bytes, timeout: float
    ) -> Sequence[_PublishedEntry]:
        """What a Domain answers to ``query``, of which ``asked`` is the msgpack."""
        known = self.known.get(domain.verify_key, asked)
        if known is not None:
            query = msgspec.structs.replace(query, known=known.digest)
        connection = self.associations.peer_connections.connect(domain.address, domain.verify_key)
        try:
            frame = connection.open(query, timeout=timeout)
        except (Forbidden, InvalidEnvelope, Unavailable) as failed:  # what is there is not for who searches
            logger.info("%s cannot be reached: %s", domain.name, failed)
            raise Unavailable("cannot be reached") from failed
        frame.payload.drain()
        reply: _Published = frame.envelope.reply_as(_Published)
        if reply.unchanged:
            if known is None or known.digest != reply.digest:
                raise InvalidEnvelope("it says unchanged of something that it never told")
            return known.entries
        entries = [entry for entry in reply.entries if entry.kind in query.kinds]
        entries.sort(key=_name)
        self.known.put(domain.verify_key, asked, Remembered(reply.digest, entries, len(frame.envelope.body)))
        return entries

    def _ask_standing(self, domain: Peer) -> None:
        try:
            self.associations.ask_standing(domain)
        except GridError as error:
            logger.info("%s did not say why it refuses us: %s", domain.name, error)


def _query(message: SearchNetwork) -> SearchPublished:
    return SearchPublished(kinds=[message.kind] if message.kind else list(KINDS), **terms_of(message))


def _by_name(
    results: Sequence[tuple[Peer, Sequence[_PublishedEntry]]],
) -> Iterator[tuple[Peer, _PublishedEntry]]:
    """All entries by name, and by that of their Domain; those of each Domain are in order already."""
    each = (zip(repeat(domain), entries) for domain, entries in results)
    return heapq.merge(*each, key=lambda found: (found[1].name, found[0].name))


def _note(domain: Peer, error: str) -> SearchNote:
    return SearchNote(domain_id=domain.node_id, domain=domain.name, error=error)


def _found(domain: Peer, entry: _PublishedEntry) -> NetworkHit:
    return NetworkHit(
        domain_id=domain.node_id,
        domain_name=domain.name,
        domain_address=shown_address(domain.address),
        kind=entry.kind,
        name=entry.name,
        item=entry.item,
    )


def _details(raw: msgspec.Raw) -> dict[str, Any]:
    """What a Domain says beyond that; one that says nonsense does not spoil the answers of the others."""
    try:
        return msgspec.msgpack.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
