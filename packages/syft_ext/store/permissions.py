"""Who may read an object, and who may find it: sets of users, groups or verify keys, or everybody.

A set is a ``frozenset`` of user ids (32 hex digits), ``group:`` + group ids, and Ed25519 verify keys (64 hex
digits); the member ``VERIFYALL`` stands for everybody. The empty set is nobody: that is the default. A Domain
uses users and groups: one key on a machine may serve several users, and one user has several keys.
Paper, section 3.2.2 and listing 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from syft_ext.errors import BadRequest

__all__ = ["VERIFYALL", "HasPermissions", "Permissions", "allows", "check_keys", "intersect_permissions"]

VERIFYALL = "*"
_KEY = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}|group:[0-9a-f]{32}")


class HasPermissions(Protocol):
    """Anything that says who may read and who may find it."""

    @property
    def read_permissions(self) -> frozenset[str]:
        """User ids, ``group:`` + id, or verify keys; ``VERIFYALL`` for everybody."""

    @property
    def search_permissions(self) -> frozenset[str]:
        """As above, for finding."""


#: Objects, and lists, tuples or mappings of them to any depth.
Sources: TypeAlias = HasPermissions | Iterable["Sources"] | Mapping[str, "Sources"]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a derived object may be given."""

    read_permissions: frozenset[str]
    search_permissions: frozenset[str]


def check_keys(keys: Iterable[str]) -> frozenset[str]:
    """The keys as a set; raises :class:`BadRequest` if one is no user id, group, verify key or ``*``."""
    found = frozenset(keys)
    for key in found:
        if key != VERIFYALL and not _KEY.fullmatch(key):
            raise BadRequest(
                "a permission names a user (32 hex digits), group:<id>, a verify key (64 hex digits) or *",
                value=key[:64],
            )
    return found


def allows(permissions: frozenset[str], verify_key: str) -> bool:
    """Whether the holder of ``verify_key`` is in the set."""
    return verify_key in permissions or VERIFYALL in permissions


def intersect_permissions(sources: Sources) -> Permissions:
    """The permissions of an object derived from ``sources``: those that every one of them grants.

    Containers count as all their members (the original leaked through ``List.append``). Derived from
    nothing, an object is nobody's. Owners are not considered: an owner reads by being in the set.
    """
    found = list(_flatten(sources))
    if not found:
        return Permissions(frozenset(), frozenset())
    read, search = found[0].read_permissions, found[0].search_permissions
    for source in found[1:]:
        read = _intersect(read, source.read_permissions)
        search = _intersect(search, source.search_permissions)
    return Permissions(read, search)


def _intersect(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if VERIFYALL in one:
        return other
    if VERIFYALL in other:
        return one
    return one & other


def _flatten(sources: Sources) -> Iterable[HasPermissions]:
    if isinstance(sources, Mapping):
        sources = sources.values()
    if isinstance(sources, Iterable):
        for source in sources:
            yield from _flatten(source)
    else:
        yield sources
