"""One's own keys and sessions; what an administrator sees and ends of others'; the counters."""

from __future__ import annotations

import pytest

from grid.node import Context
from syft_ext.errors import BadRequest, Conflict, Forbidden, InvalidToken, NotFound, Unauthenticated
from syft_ext.identity import Identity
from syft_ext.messages.accounts import CreateGroup, GetMe, Login, UpdateSettings, UpdateUser
from syft_ext.messages.dashboard import GetDashboard
from syft_ext.messages.own_account import (
    EndAccountSession,
    EndAccountSessionOf,
    KeyView,
    ListAccountSessions,
    ListAccountSessionsOf,
    ListKeys,
    RegisterKey,
    RemoveKey,
    key_proof,
)
from syft_ext.transport import Connection
from tests.accounts.people import PASSWORD, House


def register(
    house: House,
    connection: Connection,
    key: Identity,
    *,
    signer: Identity | None = None,
    user_id: str = "",
    node_id: str = "",
    age: float = 0.0,
    password: str = PASSWORD,
) -> KeyView:
    user_id = user_id or connection.call(GetMe()).id
    signed_at = house.clock.now() - age
    proof = (signer or key).sign(key_proof(node_id or house.node.id, user_id, key.verify_key, signed_at))
    message = RegisterKey(
        verify_key=key.verify_key, proof=proof, signed_at=signed_at, password=password, name="robot"
    )
    view: KeyView = connection.call(message)
    return view


# -- keys ----------------------------------------------------------------------------------------------


def test_a_registered_key_is_its_users(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    robot = Identity.generate()
    with pytest.raises(Unauthenticated):
        house.call_in(robot).call(GetMe())
    view = register(house, ann, robot)
    assert (view.name, view.current) == ("robot", False)
    assert house.call_in(robot).call(GetMe()).email == "ann@x.org"
    listed = {key.verify_key: key for key in ann.call(ListKeys()).keys}
    assert set(listed) == {robot.verify_key, ann.identity.verify_key}
    assert listed[ann.identity.verify_key].current
    assert listed[robot.verify_key].expires_at == house.clock.now() + 30 * 86400.0
    house.clock.advance(5)
    assert register(house, ann, robot).used_at == house.clock.now()  # again: its time begins anew
    owner.call(UpdateSettings(key_lifetime=60.0))
    house.clock.advance(61)
    with pytest.raises(Unauthenticated):
        house.call_in(robot).call(GetMe())


def test_nobody_registers_what_belongs_to_another(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    bob, bob_view = house.add_user(owner, "bob@x.org")
    key = Identity.generate()
    with pytest.raises(BadRequest, match="not a signature of the key"):
        register(house, ann, bob.identity, signer=ann.identity)
    with pytest.raises(BadRequest, match="not a signature"):
        register(house, ann, key, user_id=bob_view.id)  # a proof that was made for Bob
    with pytest.raises(BadRequest, match="not a signature"):
        register(house, ann, key, node_id="0" * 32)  # or at another node
    for age in (301.0, -301.0):
        with pytest.raises(BadRequest, match="five minutes"):
            register(house, ann, key, age=age)
    with pytest.raises(Forbidden, match="not your password"):
        register(house, ann, key, password="wrong password")
    with pytest.raises(Conflict, match="another account"):
        register(house, ann, bob.identity)  # even who has the key takes it from nobody
    assert len(ann.call(ListKeys()).keys) == 1
    assert bob.call(GetMe()).email == "bob@x.org"


def test_a_removed_key_and_its_sessions_are_good_no_more(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    other = house.log_in("ann@x.org")
    ann.call(RemoveKey(verify_key=other.identity.verify_key))
    with pytest.raises(InvalidToken):
        other.call(GetMe())
    other.token = ""
    with pytest.raises(Unauthenticated):
        other.call(GetMe())
    for verify_key in (other.identity.verify_key, owner.identity.verify_key):
        with pytest.raises(NotFound):
            ann.call(RemoveKey(verify_key=verify_key))
    owner.call(GetMe())


# -- sessions ------------------------------------------------------------------------------------------


def test_sessions_are_listed_and_ended(house: House) -> None:
    owner = house.set_up()
    house.add_user(owner, "ann@x.org")
    ann, laptop = house.log_in("ann@x.org"), Identity.generate()
    house.clock.advance(10)
    first, second = (house.log_in("ann@x.org", identity=laptop) for _ in range(2))
    sessions = ann.call(ListAccountSessions()).sessions
    assert len(sessions) == 4 and [each.current for each in sessions].count(True) == 1
    assert sessions[-1].created_at < sessions[0].created_at
    bound = [each.id for each in sessions if each.verify_key == laptop.verify_key]
    ann.call(EndAccountSession(session_id=bound[0]))
    alive = [connection for connection in (first, second) if _lives(connection)]
    assert len(alive) == 1
    alive[0].token = ""
    assert _lives(alive[0])  # the key is still bound to a session
    ann.call(EndAccountSession(session_id=bound[1]))
    assert not _lives(alive[0])
    with pytest.raises(NotFound):
        ann.call(EndAccountSession(session_id=bound[1]))
    with pytest.raises(NotFound):  # the owner's is not one of Ann's
        ann.call(EndAccountSession(session_id=owner.call(ListAccountSessions()).sessions[0].id))


def _lives(connection: Connection) -> bool:
    try:
        connection.call(GetMe())
    except Unauthenticated:
        return False
    return True


def test_a_session_says_where_it_came_from(house: House) -> None:
    owner = house.set_up()
    me = owner.call(GetMe())
    principal = house.node.principal_of_key("0" * 64)
    message = Login(email=me.email, password=PASSWORD)
    house.node.dispatch(Context(principal, remote="192.0.2.7"), message)
    assert {each.remote for each in owner.call(ListAccountSessions()).sessions} == {"", "192.0.2.7"}


def test_administrators_end_the_sessions_of_whom_they_may_edit(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, view = house.add_user(owner, "ann@x.org")
    owner_id = owner.call(GetMe()).id
    (session,) = admin.call(ListAccountSessionsOf(user_id=view.id)).sessions
    (owners,) = admin.call(ListAccountSessionsOf(user_id=owner_id)).sessions
    with pytest.raises(Forbidden):
        admin.call(EndAccountSessionOf(user_id=owner_id, session_id=owners.id))
    with pytest.raises(NotFound):  # by naming somebody they may edit
        admin.call(EndAccountSessionOf(user_id=view.id, session_id=owners.id))
    admin.call(EndAccountSessionOf(user_id=view.id, session_id=session.id))
    assert not _lives(ann) and _lives(owner)
    with pytest.raises(NotFound):
        admin.call(ListAccountSessionsOf(user_id="f" * 32))


# -- counters ------------------------------------------------------------------------------------------


def test_the_dashboard_counts_people(house: House) -> None:
    owner = house.set_up()
    house.add_user(owner, "ann@x.org")
    _, bob = house.add_user(owner, "bob@x.org")
    officer, _ = house.add_user(owner, "officer@x.org", "Compliance Officer")
    owner.call(UpdateUser(user_id=bob.id, disabled=True))
    owner.call(CreateGroup(name="ward"))
    for connection in (owner, officer):
        counters = connection.call(GetDashboard())
        assert (counters.users, counters.disabled_users, counters.groups, counters.roles) == (4, 1, 1, 4)
        assert counters.users_by_role == {
            "User": 2,
            "Compliance Officer": 1,
            "Administrator": 0,
            "Owner": 1,
        }
        assert counters.sessions == 3  # Bob's ended
        assert (counters.associations, counters.datasets, counters.objects) == ({}, 0, 0)
    house.clock.advance(3601)
    assert house.log_in().call(GetDashboard()).sessions == 1
