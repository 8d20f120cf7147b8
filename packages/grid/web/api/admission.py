"""Who may come in now: the node's names, the pace of callers, how much is held of whom before they are known."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from grid.concurrency.offload import native_lock
from grid.node import Node
from grid.node.networks import is_this_machine, network_of
from grid.web.http.hosts import HostNames
from grid.web.http.request_record import RequestRecord, record_of
from grid.web.http.settings import WebSettings
from grid.web.limits.pace import Pace
from syft_ext.errors import GridError, Unauthenticated
from syft_ext.messages.envelope import Envelope, Opening

__all__ = ["STRANGERS_ENVELOPE", "Admission"]

#: Bytes of an envelope, or of a WebSocket's message, that are held for whoever sends them.
STRANGERS_ENVELOPE = 64 << 10
#: What an envelope may have beside its body: keys, token, signature.
_BESIDE_BODY = 16 << 10
#: What a refusal costs, in requests: some are dear to find out.
REFUSED = {401: 4.0, 413: 4.0, 429: 4.0, 503: 50.0}
#: For so many seconds' worth of requests nobody waits.
_BURST = 2.0
#: The same of accounts: the next one waits two milliseconds.
_ACCOUNT_BURST = 0.2
_SENDERS = 65_536


class Admission:
    """Asked by every way in, before anything of a request is read that a stranger could make large."""

    def __init__(self, node: Node, settings: WebSettings) -> None:
        self._node = node
        self._names = None if settings.hosts is None else HostNames(settings.hosts)
        self._strangers = Pace(settings.stranger_rate, settings.stranger_rate * _BURST)
        self._accounts = Pace(settings.account_rate, settings.account_rate * _ACCOUNT_BURST)
        #: Known keys, by where they were seen, and who they are.
        self._senders: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = native_lock()

    def request(self, environ: dict[str, Any]) -> None:
        """A request whose head came. Raises :class:`Refusal` (421) and :class:`TooManyRequests`."""
        if self._names is not None:
            self._names.check(environ.get("HTTP_HOST"))
        if environ["PATH_INFO"] == "/messages":
            return  # who calls stands in the envelope
        record = record_of(environ)
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        self.token(record, token.strip() if scheme.lower() == "bearer" else "")

    def token(self, record: RequestRecord, token: str) -> bool:
        """Let a caller with ``token`` ("": none) wait their turn; whether it is one of ours, still good."""
        record.account = account = self._account(token) if token else ""
        self._wait(record)
        if account and record.memory is not None:
            record.memory.belongs_to(account)
        return bool(account)

    def _account(self, token: str) -> str:
        try:
            claims = self._node.tokens.verify(token)
        except GridError:
            return ""
        return f"{claims['typ']} {claims['sub']}"

    def envelope(self, record: RequestRecord, envelope: Envelope) -> None:
        """The same for a signed message, not verified yet: a key counts as known only where it was seen."""
        known = (network_of(record.remote), envelope.sender) in self._senders
        record.account = envelope.sender if known else ""
        self._wait(record)

    def _wait(self, record: RequestRecord) -> None:
        pace, name = self._pace_of(record)
        if name:
            pace.wait(name)

    def _pace_of(self, record: RequestRecord) -> tuple[Pace, str]:
        """Whose pace a request counts for; the name is "" for strangers on this machine itself."""
        if record.account:
            return self._accounts, record.account
        network = network_of(record.remote)
        return self._strangers, "" if is_this_machine(network) else network

    def answered(self, record: RequestRecord, status: int) -> None:
        """Who is told to wait, or that it is too much, and comes again at once, waits longer."""
        cost = REFUSED.get(status)
        if cost is not None:
            pace, name = self._pace_of(record)
            if name:
                pace.charge(name, cost)

    def knows(self, record: RequestRecord, envelope: Envelope) -> str:
        """Who here the sender is of a message that was verified and answered (kind and id), which is remembered;
        "" for nobody."""
        place = (network_of(record.remote), envelope.sender)
        name = self._senders.get(place) or self._name_of(envelope)
        if not name:
            return ""
        with self._lock:
            self._senders[place] = name
            self._senders.move_to_end(place)
            while len(self._senders) > _SENDERS:
                self._senders.popitem(last=False)
        return name

    def _name_of(self, envelope: Envelope) -> str:
        account = self._account(envelope.token) if envelope.token else ""
        if account:
            return account
        principal = self._node.principal_of_key(envelope.sender)
        return f"{principal.kind} {principal.id}" if principal.kind != "key" else ""

    def large_envelope(self, record: RequestRecord, opening: Opening | None, size: int) -> None:
        """An envelope of ``size`` bytes is on its way; raises unless so much may be taken from its sender.

        The signature comes with the rest: the sender is who it says until then.
        """
        if opening is not None:
            if opening.recipient == self._node.id:
                self._node.map.operation(opening.operation).check_size(size - _BESIDE_BODY)
            if self._node.principal_of_key(opening.sender).kind != "key":
                return
        self._wait(record)
        raise Unauthenticated("a message so large is taken from those who are known here; log in first")
