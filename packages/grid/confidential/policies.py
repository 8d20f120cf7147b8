"""Confidential policies that were published here: kept as they were signed, handed to the hosts that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import insert, select

from grid.confidential.choices import open_policy
from grid.confidential.hosts import KeyHosts
from grid.confidential.tables import ConfidentialPolicyRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.transparency.succession import HostSuccession, Succession, current, heirs_of
from syft_ext.errors import GridError, InvalidStatement, KeyRefused, NotFound
from syft_ext.messages.confidential import ConfidentialPolicyView, HostStanding
from syft_ext.messages.key_host import HostPolicy, RegisterPolicy

__all__ = ["PolicyShelf"]


MOST_SUCCESSIONS = 64
"""As many as an offer shows (:class:`syft_ext.confidential.offer.Offer`)."""


class PolicyShelf:
    """Publishes policies, and asks hosts about them."""

    def __init__(self, database: Database, hosts: KeyHosts, clock: Clock) -> None:
        self._database, self._hosts, self._clock = database, hosts, clock

    def publish(self, data: bytes, who: str, successions: Sequence[bytes] = ()) -> ConfidentialPolicyView:
        """Keep a policy, and hand it to its hosts, with what is known of how they follow others.

        Raises :class:`InvalidStatement` or :class:`BadSignature`.
        """
        _, policy = open_policy(data)
        _of_its_hosts(policy, (), successions)
        digest = policy.digest().hex()
        with self._database.transaction() as session:
            if session.get(ConfidentialPolicyRow, digest) is None:
                values = {
                    "digest": digest,
                    "signed": data,
                    "successions": b"\x90",
                    "published_at": self._clock.now(),
                    "published_by": who,
                }
                session.execute(insert(ConfidentialPolicyRow), values)
            if successions:
                row = session.get_one(ConfidentialPolicyRow, digest)
                known = _of_its_hosts(policy, _successions(row), successions)
                row.successions = msgspec.msgpack.encode(known)
        return self.get(digest, ask=True)

    def get(self, digest: str, *, ask: bool) -> ConfidentialPolicyView:
        """The policy with this digest. Raises :class:`NotFound`."""
        with self._database.read() as session:
            row = session.get(ConfidentialPolicyRow, digest)
            if row is None:
                raise NotFound("no such policy was published here")
            view, successions = _view(row), _successions(row)
        if ask:
            view.hosts = list(self._standings(view.policy, successions))
        return view

    def all(self) -> Sequence[ConfidentialPolicyView]:
        """All of them, the newest first."""
        newest = ConfidentialPolicyRow.published_at.desc(), ConfidentialPolicyRow.digest
        with self._database.read() as session:
            return [_view(row) for row in session.scalars(select(ConfidentialPolicyRow).order_by(*newest))]

    def successions(self, digest: str) -> tuple[Succession, ...]:
        """How the hosts of a policy that was published here follow others."""
        with self._database.read() as session:
            row = session.get(ConfidentialPolicyRow, digest)
            return () if row is None else tuple(map(Succession.decode, _successions(row)))

    def _standings(self, data: bytes, successions: list[bytes]) -> Iterator[HostStanding]:
        policy: ConfidentialPolicy = open_policy(data)[1]
        asked = RegisterPolicy(policy=data, successions=successions)
        for host in policy.hosts:
            try:
                found: HostPolicy = self._hosts.call(host, asked, timeout=10.0)
            except KeyRefused as error:
                yield HostStanding(host=host.name, state="refused", detail=error.detail)
            except GridError as error:
                refused = error.status < 500 and error.status not in (408, 429)
                state = "refused" if refused else "unreachable"
                yield HostStanding(host=host.name, state=state, detail=error.detail)
            else:
                detail = "takes simulated evidence, which protects nothing" if found.simulated else ""
                yield HostStanding(host=host.name, state=found.state, detail=detail)


def _of_its_hosts(policy: ConfidentialPolicy, kept: Sequence[bytes], given: Sequence[bytes]) -> list[bytes]:
    """How the policy's hosts follow others, of each old key the latest word: those of other keys are nobody's to
    add to it, for an offer shows so many and no more.

    Raises :class:`InvalidStatement`.
    """
    heirs = heirs_of(map(Succession.decode, (*kept, *given)))
    lines = {current(host.key, heirs) for host in policy.hosts}
    latest = dict[bytes, tuple[int, bytes]]()
    for statement in (*kept, *given):
        said = HostSuccession.decode(Succession.decode(statement).by_old.body)
        if current(said.old, heirs) not in lines:
            if statement not in given:
                continue  # an earlier version kept it
            raise InvalidStatement("a succession of key hosts that are none of the policy's")
        if said.old not in latest or latest[said.old][0] < said.at:
            latest[said.old] = (said.at, statement)
    if len(latest) > MOST_SUCCESSIONS:
        raise InvalidStatement(f"{MOST_SUCCESSIONS} successions are shown with a policy at most")
    return [statement for _, statement in latest.values()]


def _successions(row: ConfidentialPolicyRow) -> list[bytes]:
    return msgspec.msgpack.decode(row.successions, type=list[bytes])


def _view(row: ConfidentialPolicyRow) -> ConfidentialPolicyView:
    return ConfidentialPolicyView(
        digest=row.digest,
        policy=row.signed,
        published_at=row.published_at,
        published_by=row.published_by,
    )
