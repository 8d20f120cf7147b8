"""Associations: who becomes a node of whom, and who does not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from grid.network.associations import AssociationService
from grid.network.handshake import Transcript, new_challenge
from grid.network.requester import RequesterService
from grid.network.tables import Association
from grid.node import Node
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthenticated,
)
from syft_ext.identity import Identity
from syft_ext.messages.network import (
    AcceptAssociation,
    AssociationView,
    ConfirmAssociation,
    DeleteAssociation,
    DenyAssociation,
    GetAssociation,
    GetStanding,
    Heartbeat,
    ListAssociations,
    ListDomains,
    NotifyAssociation,
    ProveAddress,
    ReceiveAssociation,
    RequestAssociation,
)
from tests.network.nodes import USER, World

BEAT = Heartbeat(name="a", version="0")


def rows(node: Node) -> list[Association]:
    return list(node.service(AssociationService).registry.list())


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Notifications travel in the background."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def ask(world: World, domain: Node, network: Node) -> AssociationView:
    view: AssociationView = world.call(domain, RequestAssociation(address=network.address))
    return view


def accepted(world: World, network: Node, domain: Node) -> tuple[str, str]:
    """Associate the two; the association's id at the network and at the domain."""
    theirs = ask(world, domain, network).association_id
    ours = world.call(network, ListAssociations(status="pending")).associations[0].association_id
    world.call(network, AcceptAssociation(association_id=ours))
    eventually(lambda: rows(domain)[0].status == "accepted")
    return ours, theirs


def beat(domain: Node) -> None:
    """One round of the heartbeat thread, in this thread."""
    service = domain.service(RequesterService)
    for row in service.associations.registry.list(Association.direction == "outgoing"):
        service._beat(row)


def test_a_domain_asks_and_an_admin_accepts(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    view = ask(world, domain, network)
    assert (view.status, view.direction, view.kind) == ("pending", "outgoing", "network")
    (pending,) = world.call(network, ListAssociations(status="pending")).associations
    assert (pending.node_id, pending.address, pending.kind) == (domain.id, domain.address, "domain")
    with pytest.raises(Unauthenticated):
        world.call(network, BEAT, domain.identity)

    done = world.call(network, AcceptAssociation(association_id=pending.association_id))
    assert (done.status, done.decided_by) == ("accepted", "admin@x.org")
    eventually(lambda: rows(domain)[0].status == "accepted")
    # Now each is a node to the other.
    assert network.principal_of_key(domain.identity.verify_key).kind == "node"
    assert domain.principal_of_key(network.identity.verify_key).kind == "node"
    assert domain.principal_of_key(network.identity.verify_key).id == network.id
    world.call(network, BEAT, domain.identity)
    with pytest.raises(Conflict):
        world.call(network, AcceptAssociation(association_id=pending.association_id))


def test_only_admins_manage_associations(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ask(world, domain, network)
    (row,) = rows(network)
    for message in (
        ListAssociations(),
        GetAssociation(association_id=row.id),
        AcceptAssociation(association_id=row.id),
        DenyAssociation(association_id=row.id),
        DeleteAssociation(association_id=row.id),
    ):
        with pytest.raises(Forbidden):
            world.call(network, message, USER)
        with pytest.raises(Unauthenticated):
            world.call(network, message, domain.identity)
    with pytest.raises(Forbidden):
        world.call(domain, RequestAssociation(address=network.address), USER)
    assert rows(network)[0].status == "pending"


def test_a_denied_domain_stays_denied_until_somebody_accepts_it(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ask(world, domain, network)
    (row,) = rows(network)
    world.call(network, DenyAssociation(association_id=row.id, reason="who are you?"))
    eventually(lambda: rows(domain)[0].status == "denied")
    assert rows(domain)[0].reason == "who are you?"
    again = ask(world, domain, network)
    assert again.status == "denied"
    assert [r.status for r in rows(network)] == ["denied"]
    with pytest.raises(Unauthenticated):
        world.call(network, BEAT, domain.identity)
    world.call(network, AcceptAssociation(association_id=row.id))
    eventually(lambda: rows(domain)[0].status == "accepted")


def test_auto_accept_is_off_unless_it_is_set(world: World) -> None:
    network, domain = world.network(auto_accept=True), world.domain("a")
    assert ask(world, domain, network).status == "accepted"
    assert rows(network)[0].decided_by == "auto_accept"
    world.call(network, BEAT, domain.identity)


def test_ending_at_the_network_acts_at_once(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ours, _ = accepted(world, network, domain)
    world.call(network, DeleteAssociation(association_id=ours, reason="bye"))
    with pytest.raises(Unauthenticated):
        world.call(network, BEAT, domain.identity)
    eventually(lambda: rows(domain)[0].status == "revoked")
    assert domain.principal_of_key(network.identity.verify_key).kind == "key"


def test_ending_at_the_domain_acts_at_once(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    _, theirs = accepted(world, network, domain)
    world.call(domain, DeleteAssociation(association_id=theirs))
    assert domain.principal_of_key(network.identity.verify_key).kind == "key"
    eventually(lambda: rows(network)[0].status == "revoked")
    with pytest.raises(Unauthenticated):
        world.call(network, BEAT, domain.identity)
    assert ask(world, domain, network).status == "pending", "it may ask again"


def test_a_domain_that_was_down_learns_of_the_decision_later(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ask(world, domain, network)
    world.down.add(domain.address)
    world.call(network, AcceptAssociation(association_id=rows(network)[0].id))
    time.sleep(0.1)
    assert rows(domain)[0].status == "pending"
    beat(domain)
    assert rows(domain)[0].status == "accepted"

    world.call(network, DeleteAssociation(association_id=rows(network)[0].id))
    time.sleep(0.1)
    assert rows(domain)[0].status == "accepted"
    beat(domain)
    assert rows(domain)[0].status == "revoked"


def test_a_domain_that_moves_proves_its_new_address(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    accepted(world, network, domain)
    world.nodes["http://moved:80"] = domain
    domain.address = "http://moved:80"
    beat(domain)
    (row,) = rows(network)
    assert (row.address, row.status) == ("http://moved:80", "accepted")


def test_heartbeats_say_who_is_online(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    accepted(world, network, domain)
    world.call(
        network,
        Heartbeat(name="Hospital", version="1.2", status="busy", load={"cpu": 0.9}, counts={"datasets": 3}),
        domain.identity,
    )
    (view,) = world.call(network, ListDomains(), USER).domains
    assert (view.name, view.status, view.counts, view.version) == ("Hospital", "busy", {"datasets": 3}, "1.2")
    world.clock.advance(19)
    assert world.call(network, ListDomains(), USER).domains[0].status == "busy"
    world.clock.advance(2)
    assert world.call(network, ListDomains(), USER).domains[0].status == "offline"
    beat(domain)
    assert world.call(network, ListDomains(), USER).domains[0].status in ("online", "busy")


# -- attacks -------------------------------------------------------------------------------------------


def test_nobody_registers_somebody_elses_address(world: World) -> None:
    network, victim, thief = world.network(), world.domain("a"), world.domain("thief")
    thief.address = victim.address
    with pytest.raises(Forbidden, match="did not prove"):
        ask(world, thief, network)
    assert rows(network) == []
    thief.address = network.address  # not the Network's own either
    with pytest.raises(Forbidden, match="did not prove"):
        ask(world, thief, network)
    thief.address = "http://nowhere:80"
    with pytest.raises(Forbidden, match="did not prove"):
        ask(world, thief, network)
    assert rows(network) == []


def test_nobody_leads_the_network_into_its_own_process(world: World) -> None:
    """A stranger's address is called back: one that only means something on the Network's machine is none."""
    network, thief = world.network(), world.domain("thief")
    for address in (
        "local://net",
        "local:///etc",
        "unix:///run/docker.sock",
        "file:///etc/passwd",
        "gopher://x",
    ):
        thief.address = address
        with pytest.raises(BadRequest, match=r"says nothing to other machines|no transport is known"):
            ask(world, thief, network)
    assert rows(network) == []


def _challenged(world: World, network: Node, key: Identity, **changes: object) -> tuple[str, Transcript]:
    mine = new_challenge()
    values = {"kind": "domain", "name": "x", "address": "http://x:80", "challenge": mine} | changes
    reply = world.call(network, ReceiveAssociation(**values), key)  # type: ignore[arg-type]
    transcript = Transcript(
        key.verify_key, network.identity.verify_key, "domain", "x", "http://x:80", mine, reply.challenge
    )
    transcript.check("hub", reply.proof)
    return reply.handshake_id, transcript


def test_a_forged_proof_is_refused_and_uses_the_handshake_up(world: World) -> None:
    network, key, other = world.network(), Identity.generate(), Identity.generate()
    handshake, transcript = _challenged(world, network, key)
    with pytest.raises(Forbidden):  # somebody else cannot take it over
        proof = transcript.prove(other, "requester")
        world.call(network, ConfirmAssociation(handshake_id=handshake, proof=proof), other)
    with pytest.raises(BadSignature):
        proof = transcript.prove(other, "requester")
        world.call(network, ConfirmAssociation(handshake_id=handshake, proof=proof), key)
    with pytest.raises(NotFound):
        proof = transcript.prove(key, "requester")
        world.call(network, ConfirmAssociation(handshake_id=handshake, proof=proof), key)


def test_a_proof_is_worth_nothing_in_another_handshake_or_role(world: World) -> None:
    network, key = world.network(), Identity.generate()
    _, first = _challenged(world, network, key)
    handshake, second = _challenged(world, network, key)
    assert first.hub_challenge != second.hub_challenge
    for proof in (first.prove(key, "requester"), second.prove(key, "hub"), b"", b"\0" * 64):
        with pytest.raises(BadSignature):
            world.call(network, ConfirmAssociation(handshake_id=handshake, proof=proof), key)
        handshake, second = _challenged(world, network, key)


def test_a_handshake_expires(world: World) -> None:
    network, key = world.network(), Identity.generate()
    handshake, transcript = _challenged(world, network, key)
    world.clock.advance(61)
    with pytest.raises(NotFound):
        proof = transcript.prove(key, "requester")
        world.call(network, ConfirmAssociation(handshake_id=handshake, proof=proof), key)


def test_a_domain_proves_its_address_only_to_the_network_that_it_asked(world: World) -> None:
    domain = world.domain("a")
    message = ProveAddress(handshake_challenge=new_challenge(), challenge=new_challenge())
    with pytest.raises(NotFound):
        world.call(domain, message, Identity.generate())


def test_a_network_that_answers_with_another_key_is_refused(world: World) -> None:
    network, domain, other = world.network(), world.domain("a"), world.network("other")
    message = RequestAssociation(address=network.address, verify_key=other.identity.verify_key)
    with pytest.raises(BadSignature):
        world.call(domain, message)
    assert rows(domain) == []


def test_a_stranger_cannot_decide_for_the_network(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ask(world, domain, network)
    with pytest.raises(NotFound):
        world.call(domain, NotifyAssociation(status="accepted"), Identity.generate())
    assert rows(domain)[0].status == "pending"


def test_a_domain_cannot_accept_itself(world: World) -> None:
    network, domain = world.network(), world.domain("a")
    ask(world, domain, network)
    world.call(network, NotifyAssociation(status="accepted"), domain.identity)
    assert rows(network)[0].status == "pending"
    assert world.call(network, GetStanding(), domain.identity).status == "pending"
    assert world.call(network, GetStanding(), Identity.generate()).status == "none"


def test_wrong_kinds_of_node_are_refused(world: World) -> None:
    network, domain, worker = world.network(), world.domain("a"), world.worker("w")
    with pytest.raises(BadRequest, match="associates with a domain"):
        ask(world, worker, network)
    with pytest.raises(BadRequest, match="associates with a network"):
        world.call(domain, RequestAssociation(address=domain.address))
    domain.address = ""
    with pytest.raises(BadRequest, match="needs an address"):
        ask(world, domain, network)


def test_a_worker_without_an_address_can_join_a_domain(world: World) -> None:
    domain, worker = world.domain("a"), world.worker("w")
    assert ask(world, worker, domain).status == "pending"
    (row,) = rows(domain)
    assert (row.address, row.kind) == ("", "worker")
    world.call(domain, AcceptAssociation(association_id=row.id))
    beat(worker)
    assert rows(worker)[0].status == "accepted"


def test_requests_and_handshakes_are_limited(world: World) -> None:
    network = world.network(max_pending=2)
    for name in ("a", "b"):
        ask(world, world.domain(name), network)
    with pytest.raises(TooManyRequests):
        ask(world, world.domain("c"), network)
    assert len(rows(network)) == 2
    with pytest.raises(TooManyRequests):
        for _ in range(300):
            _challenged(world, network, Identity.generate())
