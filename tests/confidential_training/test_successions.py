"""What a Domain shows of how key hosts follow others: of a policy's own hosts, whoever hands it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grid.confidential.policies import PolicyShelf
from syft_ext.clock import ManualClock
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.rounds import Head
from syft_ext.confidential.transparency.succession import HostSuccession, Succession
from syft_ext.errors import InvalidStatement, Unavailable
from syft_ext.identity import Identity
from tests.confidential.world import World
from tests.key_host.parties import fresh_database

HEAD = Head(incarnation=bytes(32), sequence=1, hash=bytes(32))


class AllDown:
    """Key hosts that nobody reaches."""

    def call(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("down")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[PolicyShelf]:
    db = fresh_database(tmp_path / "domain.db")
    yield PolicyShelf(db, AllDown(), ManualClock(1.0))  # type: ignore[arg-type]
    db.close()


@pytest.fixture
def world() -> World:
    return World()


def follows(old: Identity, new: Identity, at: int = 1) -> bytes:
    said = HostSuccession(old=key_of(old), new=key_of(new), at=at, head=HEAD, log=bytes(32))
    return Succession(by_old=Signed.make(said, old), by_new=Signed.make(said, new)).encode()


def shown(shelf: PolicyShelf, world: World) -> list[bytes]:
    return [each.encode() for each in shelf.successions(world.policy.digest().hex())]


def test_nobody_adds_what_is_of_other_keys(shelf: PolicyShelf, world: World) -> None:
    """Any user hands a published policy in again; an offer shows 64 of these, and more make it none."""
    policy = Signed.make(world.policy, world.owner).encode()
    oldest, old, strangers = Identity.generate(), Identity.generate(), [Identity.generate() for _ in range(2)]
    line = [follows(old, world.hosts[0]), follows(oldest, old)]
    shelf.publish(policy, "ann", line)
    for junk in (follows(*strangers), follows(world.owner, strangers[0])):
        with pytest.raises(InvalidStatement, match="none of the policy's"):
            shelf.publish(policy, "eve", [junk])
    assert shown(shelf, world) == line
    given_up = follows(world.hosts[1], strangers[0])
    shelf.publish(policy, "ann", [given_up])
    assert shown(shelf, world) == [*line, given_up]


def test_of_one_key_its_latest_word_is_shown(shelf: PolicyShelf, world: World) -> None:
    policy, old = Signed.make(world.policy, world.owner).encode(), Identity.generate()
    for at in (5, 9, 7):
        shelf.publish(policy, "ann", [follows(old, world.hosts[0], at)])
    assert shown(shelf, world) == [follows(old, world.hosts[0], 9)]
    with pytest.raises(InvalidStatement, match="two successors"):
        shelf.publish(policy, "eve", [follows(old, world.hosts[1])])
