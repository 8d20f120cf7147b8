"""Key hosts sign the Domain's log: each is handed what it has not seen, and its signature is kept.

A host that has more than this Domain's database was seen by a newer one: what it has is taken up again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from grid.concurrency.jobs import JobQueue
from grid.confidential.hosts import KeyHosts
from grid.confidential.log import DomainLog
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy, Host
from syft_ext.confidential.transparency.log import TreeHead
from syft_ext.errors import Conflict, GridError, InvalidStatement, KeyRefused, NotFound, Unavailable
from syft_ext.messages.confidential import LogStanding
from syft_ext.messages.key_host import Answer, AskWitness, GetLogCopy, LogCopy

__all__ = ["WITNESS", "Witnessing"]

logger = logging.getLogger(__name__)

WITNESS = "confidential.witness"
"""Job: have the hosts of a policy sign the newest head of the log."""

_BATCH = 64
"""Entries that a host takes at once."""


class Witnessing:
    """Attributes:
    refused: what a host, by its key in hex, refused its signature with; none while it signs.
    """

    def __init__(self, log: DomainLog, hosts: KeyHosts, jobs: JobQueue) -> None:
        self._log, self._hosts, self._jobs = log, hosts, jobs
        self.refused: dict[str, str] = {}
        jobs.handle(WITNESS, self._witness)

    def ask(self, policy: ConfidentialPolicy) -> None:
        """Have the newest head signed by the policy's hosts."""
        self._ask(policy.hosts)

    def _ask(self, hosts: Iterable[Host]) -> None:
        for host in hosts:
            args = {"key": host.key.hex(), "name": host.name, "url": host.url}
            self._jobs.submit(WITNESS, args, key=f"witness {host.key.hex()}")

    def ask_again(self, policies: Iterable[ConfidentialPolicy]) -> None:
        """The same, of those hosts of these policies that have signed before."""
        sizes, asked = self._log.standing(), set[str]()
        for policy in policies:
            hosts = [host for host in policy.hosts if host.key.hex() in sizes and host.url not in asked]
            asked.update(host.url for host in hosts)
            self._ask(hosts)

    def size(self) -> int:
        """How many entries the log has."""
        return self._log.size()

    def standing(self) -> list[LogStanding]:
        """How far each host is."""
        sizes, names = self._log.standing(), self._log.hosts()
        return [
            LogStanding(host=names.get(key, key), size=sizes.get(key, 0), refused=self.refused.get(key, ""))
            for key in sorted({*sizes, *self.refused})
        ]

    def _witness(self, args: Mapping[str, Any]) -> None:
        host = Host(key=bytes.fromhex(args["key"]), name=args["name"], url=args["url"])
        try:
            self.sign(host)
        except (KeyRefused, Conflict, InvalidStatement) as error:
            # Nothing mends this by itself; participants who want this host's signature take no part meanwhile.
            logger.warning("key host %s does not sign the log: %s", host.name, error.detail)
            self.refused[host.key.hex()] = error.detail
        else:
            self.refused.pop(host.key.hex(), None)

    def sign(self, host: Host) -> None:
        """Have one host sign the newest head. Raises what it refuses with, and what passes.

        What the host has is looked at before it is shown anything: a head that does not fit is kept for ever.
        """
        signed, size = self._log.standing().get(host.key.hex(), 0), self._log.size()
        if signed == size:
            return
        has = self._copied(host)
        if has > signed:
            self._log.adopt(*self._copy_of(host))
            size = self._log.size()
        self._hand_over(host, has, size)

    def _copied(self, host: Host) -> int:
        """How many entries of this log a host has."""
        try:
            copy: LogCopy = self._hosts.call(host, GetLogCopy(log=self._log.key.hex(), limit=1))
        except NotFound:
            return 0
        except GridError as error:
            raise Unavailable(f"key host {host.name}: {error.detail}") from error
        return copy.size

    def _hand_over(self, host: Host, begin: int, size: int) -> None:
        while True:
            upto = min(begin + _BATCH, size)
            entries, _ = self._log.entries(begin, upto - begin) if upto > begin else ([], 0)
            head = self._log.head(upto).head
            message = AskWitness(head=head.encode(), first=begin, entries=entries)
            answer: Answer = self._call(host, message)
            self._log.witnessed(host.key, Signed[TreeHead].decode(answer.statement))
            if upto == size:
                return
            begin = upto

    def _call(self, host: Host, message: Any) -> Any:
        try:
            return self._hosts.call(host, message)
        except KeyRefused:
            raise
        except GridError as error:
            if error.status < 500 and error.status not in (408, 429):
                raise KeyRefused(error.detail, reason="refused") from error
            raise Unavailable(f"key host {host.name}: {error.detail}") from error

    def _copy_of(self, host: Host) -> tuple[list[bytes], Signed[TreeHead]]:
        """All that a host has of this log, and the head that this Domain signed for it."""
        entries: list[bytes] = []
        while True:
            message = GetLogCopy(log=self._log.key.hex(), offset=len(entries), limit=1000)
            copy: LogCopy = self._call(host, message)
            entries += copy.entries
            if len(entries) >= copy.size or not copy.entries:
                return entries, Signed[TreeHead].decode(copy.head)
