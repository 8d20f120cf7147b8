"""What the operator refuses on top of any policy: workloads, certificates, subjects, levels of platforms (A10).

A host applies its own at every session and grant; workloads and certificates it tells the others in its session
statements, and applies what they tell. As all hosts of a policy are needed, the strictest of them decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from grid.key_host.core import HostCore
from grid.key_host.log import write_log
from grid.key_host.tables import KeyHostDenial, KeyHostPolicy
from syft_ext.attestation.evidence import Appraisal
from syft_ext.confidential.canonical import key_of
from syft_ext.confidential.certificates import ParticipantCertificate, person_of
from syft_ext.confidential.manifest import CheckedEntry
from syft_ext.confidential.sessions import Denials
from syft_ext.errors import BadRequest, Conflict, KeyRefused
from syft_ext.messages import key_host as m

__all__ = ["DeniedHere", "denied_here", "deny", "listed", "platform_facts", "stated"]

_LEVEL = re.compile(r"([A-Za-z0-9_.]+)(=|<)(.+)", re.DOTALL)
_MOST = 4096
"""Of each kind: what statements to other hosts have room for."""


@dataclass(frozen=True, slots=True)
class DeniedHere:
    """What is refused at a session or a grant.

    Attributes:
        persons: digests of authority and subject. levels: name, "=" or "<", and value.
    """

    workloads: frozenset[str]
    certificates: frozenset[bytes]
    persons: frozenset[bytes] = frozenset()
    levels: tuple[tuple[str, str, str], ...] = ()

    def check_appraisal(self, appraisal: Appraisal) -> None:
        """Raise :class:`KeyRefused` (``denied``) for a workload or platform that is refused."""
        self.check_workloads(appraisal.workload)
        self.check_platform(platform_facts(appraisal))

    def check_platform(self, facts: Mapping[str, str]) -> None:
        """The same, of what was appraised of a platform, by name."""
        for name, sign, value in self.levels:
            # A level that is refused below a number is refused where nothing states it, too.
            if sign == "=" and facts.get(name) == value:
                raise KeyRefused(f"platforms with {name}={value} are denied here", reason="denied")
            if sign == "<" and not _at_least(facts.get(name), value):
                raise KeyRefused(f"platforms with {name}<{value} are denied here", reason="denied")

    def check_workloads(self, workloads: Iterable[str]) -> None:
        """The same, of workloads alone."""
        for workload in workloads:
            if workload in self.workloads:
                raise KeyRefused(f"the workload {workload} is denied", reason="denied")

    def denies(self, entry: CheckedEntry, names: Iterable[bytes] = ()) -> bool:
        """Whether a participant is refused, by any of their ``names``
        (:func:`~syft_ext.confidential.certificates.names_of`)."""
        if not self.persons.isdisjoint((entry.person, *names)):
            return True
        return bool(self.certificates) and entry.certificate.digest() in self.certificates


def platform_facts(appraisal: Appraisal) -> dict[str, str]:
    """What an appraisal says of the platform, as denials name it."""
    return dict(_flat("", appraisal.platform))


def _at_least(stated: str | None, least: str) -> bool:
    try:
        return stated is not None and int(stated) >= int(least)
    except ValueError:
        return False


def _flat(prefix: str, facts: Any) -> Iterable[tuple[str, str]]:
    if isinstance(facts, Mapping):
        for name, value in facts.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), value)
    elif isinstance(facts, bytes):
        yield prefix, facts.hex()
    else:
        yield prefix, str(facts).lower() if isinstance(facts, bool) else str(facts)


def stated(session: Session) -> Denials:
    """What a session statement tells other hosts."""
    rows = session.execute(select(KeyHostDenial.kind, KeyHostDenial.value)).all()
    revoked = session.scalars(select(KeyHostPolicy.digest).where(KeyHostPolicy.state == "revoked"))
    return Denials(
        workloads=tuple(sorted(row.value for row in rows if row.kind == "workload")),
        certificates=tuple(sorted(bytes.fromhex(row.value) for row in rows if row.kind == "certificate")),
        policies=tuple(sorted(map(bytes.fromhex, revoked))),
    )


def denied_here(session: Session, others: Sequence[Denials] = ()) -> DeniedHere:
    """What is refused here, with what ``others`` state."""
    rows = session.execute(select(KeyHostDenial.kind, KeyHostDenial.value)).all()
    own = stated(session)
    return DeniedHere(
        workloads=frozenset(own.workloads).union(*(each.workloads for each in others)),
        certificates=frozenset(own.certificates).union(*(each.certificates for each in others)),
        persons=frozenset(_person(row.value) for row in rows if row.kind == "subject"),
        levels=tuple(_level(row.value) for row in rows if row.kind == "platform"),
    )


def _person(value: str) -> bytes:
    authority, separator, subject = value.partition(":")
    if not separator or not subject:
        raise BadRequest("a subject is AUTHORITY:NAME, the authority's verify key and the subject's name")
    key = key_of(authority)
    return person_of(
        ParticipantCertificate(authority=key, subject=subject, participant=key, not_before=0, not_after=1)
    )


def _level(value: str) -> tuple[str, str, str]:
    found = _LEVEL.fullmatch(value)
    if found is None or (found[2] == "<" and not found[3].isdecimal()):
        raise BadRequest("a level is NAME=VALUE, or NAME<NUMBER")
    return found[1], found[2], found[3]


def deny(core: HostCore, message: m.Deny) -> None:
    """Refuse something, or allow it again. Raises :class:`BadRequest` for a value that is none of its kind."""
    value = message.value
    if message.kind == "subject":
        _person(value)
    elif message.kind == "platform":
        _level(value)
    elif message.kind == "certificate":
        if not re.fullmatch("[0-9a-f]{64}", value):
            raise BadRequest("a certificate is named by its digest: 64 digits")
    else:
        Denials(workloads=(value,)).decode(Denials(workloads=(value,)).encode())
    with core.turn() as turn:
        place = (KeyHostDenial.kind == message.kind, KeyHostDenial.value == value)
        turn.session.execute(delete(KeyHostDenial).where(*place))
        if not message.lift:
            count = select(func.count()).where(KeyHostDenial.kind == message.kind)
            if (turn.session.scalar(count) or 0) >= _MOST:
                raise Conflict(f"{_MOST} of a kind can be denied at once", limit=_MOST)
            turn.session.add(KeyHostDenial(kind=message.kind, value=value, reason=message.reason, at=turn.at))
        write_log(core, turn, "allowed" if message.lift else "denied", what=f"{message.kind} {value}")


def listed(session: Session) -> m.DenialList:
    """What is denied here, for the operator."""
    rows = session.scalars(select(KeyHostDenial).order_by(KeyHostDenial.kind, KeyHostDenial.value))
    return m.DenialList(
        denials=[
            m.DenialView(kind=row.kind, value=row.value, reason=row.reason, at=row.at)  # type: ignore[arg-type]
            for row in rows
        ]
    )
