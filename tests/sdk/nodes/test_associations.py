"""Which association a word means: nobody is let in by a name that a stranger has chosen, too."""

from __future__ import annotations

from typing import Any, cast

import pytest

from syft_ext.client.associations import Associations
from syft_ext.client.node_client import NodeClient
from syft_ext.errors import Ambiguous
from syft_ext.messages.network import (
    AcceptAssociation,
    AssociationList,
    AssociationView,
    DeleteAssociation,
    DenyAssociation,
    ListAssociations,
)


def asked(id: str, name: str, status: Any = "pending", direction: Any = "incoming") -> AssociationView:
    return AssociationView(
        association_id=id * 8,
        direction=direction,
        status=status,
        node_id=f"node-{id}",
        verify_key="",
        kind="domain",
        name=name,
        address=f"http://{id}.example:5001",
        created_at=0.0,
        decided_at=None,
        decided_by="",
        last_seen=None,
        online="online",
    )


class Node:
    """Remembers what it was told to do to which association."""

    def __init__(self, *views: AssociationView) -> None:
        self.views = list(views)
        self.told: list[tuple[str, str]] = []

    def call(self, message: Any) -> Any:
        if isinstance(message, ListAssociations):
            return AssociationList(associations=self.views)
        self.told.append((type(message).__name__, message.association_id))
        return self.views[0]


DECIDING = [
    (lambda found, which: found.accept(which), AcceptAssociation),
    (lambda found, which: found.deny(which), DenyAssociation),
    (lambda found, which: found.delete(which), DeleteAssociation),
]


@pytest.mark.parametrize("known", ["pending", "accepted"])
@pytest.mark.parametrize(("decide", "message"), DECIDING)
def test_two_of_one_name_are_told_apart_by_their_ids_alone(decide: Any, message: type, known: str) -> None:
    node = Node(asked("real", "north", known), asked("fake", "north"), asked("else", "south"))
    found = Associations(cast(NodeClient, node))
    for _ in range(2):
        with pytest.raises(Ambiguous, match=r"north.*http://") as which:
            decide(found, "north")
    assert set(which.value.extra["ids"]) == {"real" * 8, "fake" * 8}
    assert node.told == []
    decide(found, "real" * 8)
    decide(found, "http://fake.example:5001")
    assert node.told == [(message.__name__, "real" * 8), (message.__name__, "fake" * 8)]


def test_who_was_turned_away_is_not_in_the_way_of_who_waits() -> None:
    turned_away = asked("past", "north", "revoked"), asked("gone", "north", direction="outgoing")
    node = Node(*turned_away, asked("next", "north"))
    Associations(cast(NodeClient, node)).accept("north")
    assert node.told == [("AcceptAssociation", "next" * 8)]


def test_a_name_that_is_an_id_of_another_is_not_taken_for_it() -> None:
    """A stranger may call themselves as another's association is numbered."""
    node = Node(asked("fake", "real" * 8), asked("real", "north"))
    Associations(cast(NodeClient, node)).accept("real" * 8)
    assert node.told == [("AcceptAssociation", "real" * 8)]
