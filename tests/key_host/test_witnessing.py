"""A witness signs one history of a log, whatever it is shown, and in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from grid.key_host.core import HostCore
from grid.key_host.witnessing import log_copy, witness
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.transparency.log import LogEntry, TreeHead, head_over
from syft_ext.confidential.transparency.merkle import leaf_hash, root_of
from syft_ext.errors import BadRequest, Forbidden, GridError, InvalidStatement, KeyRefused, NotFound
from syft_ext.identity import Identity
from tests.key_host.parties import T0, Party


def entry(content: int) -> LogEntry:
    return LogEntry("workload", bytes([content]) * 32, T0, "")


def head(domain: Identity, contents: list[int]) -> Signed[TreeHead]:
    key = bytes.fromhex(domain.verify_key)
    return Signed.make(head_over(key, [entry(each) for each in contents], T0), domain)


def ask(core: HostCore, domain: Identity, contents: list[int], first: int) -> TreeHead:
    """Have the log of these contents signed; it is said to be new from entry ``first`` on."""
    new = [entry(each).encode() for each in contents[first:]]
    return witness(core, head(domain, contents), first, new).open(TreeHead, core.key)


def known(party: Party) -> Identity:
    """A Domain that has a round at the hosts."""
    party.domain = Identity.generate()
    policy = party.approved(party.policy(scope=party.domain.verify_key[:8]))
    party.open(policy, party.context(policy))
    return party.domain


@given(
    asked=st.lists(
        st.tuples(st.lists(st.integers(0, 1), max_size=5), st.integers(0, 5)), min_size=1, max_size=12
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_that_is_signed_is_one_history(party: Party, asked: list[tuple[list[int], int]]) -> None:
    domain, core = known(party), party.hosts[0]
    longest: list[int] = []
    for contents, first in asked:
        try:
            signed = ask(core, domain, contents, min(first, len(contents)))
        except KeyRefused as error:
            if error.extra["reason"] == "wrong-size":
                assert error.extra["size"] == len(longest)
            continue
        except GridError:
            continue
        assert contents[: len(longest)] == longest[: len(contents)]
        longest = max(longest, contents, key=len)
        assert signed.root == root_of([leaf_hash(entry(each).encode()) for each in contents])
    with core.db.read() as session:
        name = domain.verify_key
        if longest:
            copy = log_copy(session, name, 0, 100)
            assert [LogEntry.decode(each) for each in copy.entries] == [entry(each) for each in longest]
            assert copy.size == len(longest)


def test_another_beginning_is_refused_and_kept(party: Party) -> None:
    domain, core = known(party), party.hosts[0]
    ask(core, domain, [1, 2, 3], 0)
    for contents, first in (([1, 9, 3], 3), ([9], 0), ([1, 2, 9, 4], 3)):
        with pytest.raises(KeyRefused) as caught:
            ask(core, domain, contents, first)
        assert caught.value.extra["reason"] == "two-views"
    with core.db.read() as session:
        copy = log_copy(session, domain.verify_key, 0, 100)
    assert Signed[TreeHead].decode(copy.conflict) == head(domain, [1, 9, 3])  # the first that showed it
    assert ask(core, domain, [1, 2, 3, 4], 3).size == 4
    assert ask(core, domain, [1, 2], 0).size == 2  # an older head is no other history


def test_what_is_no_log_of_the_domain(party: Party) -> None:
    domain, core, mallory = known(party), party.hosts[0], Identity.generate()
    with pytest.raises(Forbidden):
        ask(core, mallory, [1], 0)
    forged = Signed.make(head(domain, [1]).open(TreeHead, bytes.fromhex(domain.verify_key)), mallory)
    with pytest.raises(BadRequest):
        witness(core, forged, 0, [entry(1).encode()])
    with pytest.raises(InvalidStatement):
        witness(core, head(domain, [1]), 0, [entry(1).encode() + b"\0"])
    with pytest.raises(BadRequest):
        witness(core, head(domain, [1, 2]), 0, [entry(1).encode()])
    with core.db.read() as session, pytest.raises(NotFound):
        log_copy(session, domain.verify_key, 0, 10)


def test_a_copy_is_never_changed(party: Party) -> None:
    domain, core = known(party), party.hosts[0]
    ask(core, domain, [1, 2], 0)
    for statement in (
        "UPDATE key_host_log_copy SET entry = leaf",
        "DELETE FROM key_host_log_copy",
        "INSERT OR REPLACE INTO key_host_log_copy SELECT log, sequence, leaf, leaf FROM key_host_log_copy",
    ):
        with pytest.raises(DatabaseError, match="never changed"), core.db.transaction() as session:
            session.execute(text(statement))
