"""Who may call what: the whole map against every role, and attempts to get more than one has."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from grid.node import Principal
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated
from syft_ext.messages import FLAGS
from syft_ext.messages.accounts import (
    ChangeEmail,
    ChangePassword,
    CreateGroup,
    CreateRole,
    CreateUser,
    DeleteGroup,
    DeleteRole,
    DeleteUser,
    GetGroup,
    GetMe,
    GetRole,
    GetUser,
    ListGroups,
    ListRoles,
    ListUsers,
    RevokeUser,
    RoleView,
    SearchUsers,
    UpdateGroup,
    UpdateRole,
    UpdateUser,
)
from syft_ext.messages.envelope import open_frame, seal_request
from syft_ext.transport import PayloadReader
from tests.accounts.people import PASSWORD, SEED_ROLES, SEEDS, House, check_every_operation, everybody

#: pygrid.md 1.2 to 1.4, written down a second time: a declaration that changes by mistake is found here.
DECLARED = {
    "anyone": {"setup.status", "setup.create_owner", "auth.login", "users.sign_up", "node.metadata"},
    "user": {"auth.logout", "auth.revoke", "users.me", "users.change_email", "users.change_password"}
    | {"keys.list", "keys.register", "keys.remove", "sessions.list", "sessions.end"}
    | {"totp.enrol", "totp.confirm", "totp.recovery_codes", "totp.remove"},
    "can_triage_requests": {"users.list", "users.search", "users.get", "roles.list", "roles.get"}
    | {"dashboard.get"},
    "can_create_users": {"users.create", "users.update", "users.delete"}
    | {"auth.revoke_user", "auth.reset_totp", "sessions.list_of", "sessions.end_of"},
    "can_create_groups": {"groups.create", "groups.list", "groups.get", "groups.update", "groups.delete"},
    "can_edit_roles": {"roles.create", "roles.update", "roles.delete"},
    "can_edit_settings": {"settings.get", "settings.update"},
    "can_manage_infrastructure": {"restore.get", "restore.acknowledge"},
}


def test_the_declarations_are_those_of_the_paper_trail(house: House) -> None:
    found: dict[str, set[str]] = {}
    for spec in house.node.map.operations():
        found.setdefault(str(spec.permission), set()).add(spec.name)
    assert found == DECLARED


def test_every_operation_against_every_role(house: House) -> None:
    check_every_operation(house)


def test_workers_and_nodes_are_no_users(house: House) -> None:
    for kind in ("worker", "node"):
        principal = Principal(kind, id="0" * 32, flags=frozenset(FLAGS))  # type: ignore[arg-type]
        for spec in house.node.map.operations():
            if spec.permission.kind in ("user", "flag"):
                assert not principal.has(spec.permission), spec.name


def test_the_seed_roles(house: House) -> None:
    roles: list[RoleView] = house.set_up().call(ListRoles()).roles
    assert [(role.id, role.name) for role in roles] == list(enumerate(SEED_ROLES, start=1))
    for role in roles:
        assert {flag for flag in FLAGS if getattr(role, flag)} == SEEDS[role.name]
        assert role.seed


# -- escalation ----------------------------------------------------------------------------------------


def test_nobody_gives_a_role_with_a_flag_they_lack(house: House) -> None:
    people = everybody(house)
    owner, admin = people["Owner"], people["Administrator"]
    role = owner.call(CreateRole(name="Machinist", can_manage_infrastructure=True))
    with pytest.raises(Forbidden, match="can_manage_infrastructure"):
        admin.call(CreateUser(email="m@x.org", password=PASSWORD, role="Machinist"))
    user = people["User"].call(GetMe())
    with pytest.raises(Forbidden):
        admin.call(UpdateUser(user_id=user.id, role="Machinist"))
    assert admin.call(SearchUsers(role="Machinist")).total == 0
    owner.call(UpdateUser(user_id=user.id, role="Machinist"))
    with pytest.raises(Conflict):
        owner.call(DeleteRole(role_id=role.id))


@pytest.mark.parametrize("who", ["Owner", "Administrator"])
def test_nobody_makes_a_second_owner(house: House, who: str) -> None:
    people = everybody(house)
    with pytest.raises(Forbidden):
        people[who].call(CreateUser(email="two@x.org", password=PASSWORD, role="Owner"))
    with pytest.raises(Forbidden):
        people[who].call(UpdateUser(user_id=people["User"].call(GetMe()).id, role="Owner"))
    assert people["Owner"].call(SearchUsers(role="Owner")).total == 1


@pytest.mark.parametrize(
    "change",
    [
        {"password": "a new password"},
        {"email": "x@x.org"},
        {"role": "User"},
        {"disabled": True},
        {"groups": []},
    ],
)
def test_nobody_touches_the_owner_or_the_mightier(house: House, change: dict[str, object]) -> None:
    people = everybody(house)
    owner, admin = people["Owner"], people["Administrator"]
    owner.call(CreateRole(name="Chief", **dict.fromkeys(FLAGS, True)))
    chief, view = house.add_user(owner, "chief@x.org", "Chief")
    for target in (owner.call(GetMe()).id, view.id):
        with pytest.raises(Forbidden):
            admin.call(UpdateUser(user_id=target, **change))
        with pytest.raises(Forbidden):
            admin.call(DeleteUser(user_id=target))
        with pytest.raises(Forbidden):
            admin.call(RevokeUser(user_id=target))
    with pytest.raises(Forbidden):
        chief.call(UpdateUser(user_id=owner.call(GetMe()).id, **change))
    chief.call(GetMe())
    house.log_in()


def test_nobody_changes_themselves_through_the_back_door(house: House) -> None:
    people = everybody(house)
    for connection in (people["Owner"], people["Administrator"]):
        me = connection.call(GetMe()).id
        for change in (
            {"password": "a new password"},
            {"role": "User"},
            {"email": "x@x.org"},
            {"disabled": True},
        ):
            with pytest.raises(Forbidden):
                connection.call(UpdateUser(user_id=me, **change))
        with pytest.raises(Forbidden):
            connection.call(DeleteUser(user_id=me))


def test_nobody_edits_their_own_role_nor_adds_flags_they_lack(house: House) -> None:
    owner = house.set_up()
    editor_role = owner.call(CreateRole(name="Editor", can_edit_roles=True, can_triage_requests=True))
    editor, _ = house.add_user(owner, "editor@x.org", "Editor")
    with pytest.raises(Forbidden, match="own role"):
        editor.call(UpdateRole(role_id=editor_role.id, can_create_users=True))
    with pytest.raises(Forbidden, match="can_create_users"):
        editor.call(UpdateRole(role_id=1, can_create_users=True))
    with pytest.raises(Forbidden):
        editor.call(CreateRole(name="Puppet", can_upload_data=True))
    for role_id in (3, 4):  # an administrator's and the owner's have flags that the editor lacks
        with pytest.raises(Forbidden):
            editor.call(UpdateRole(role_id=role_id, can_triage_requests=False))
    with pytest.raises(Forbidden):
        owner.call(UpdateRole(role_id=4, can_triage_requests=False))
    assert editor.call(UpdateRole(role_id=1, can_triage_requests=True)).can_triage_requests
    puppet = editor.call(CreateRole(name="Puppet", can_triage_requests=True))
    editor.call(UpdateRole(role_id=puppet.id, name="Reader", can_triage_requests=False))
    assert editor.call(GetRole(role_id=puppet.id)).name == "Reader"
    editor.call(DeleteRole(role_id=puppet.id))
    with pytest.raises(NotFound):
        editor.call(GetRole(role_id=puppet.id))


def test_seed_roles_stay(house: House) -> None:
    owner = house.set_up()
    for role_id in (1, 2, 3, 4):
        with pytest.raises(Conflict):
            owner.call(DeleteRole(role_id=role_id))
    with pytest.raises(Conflict):
        owner.call(UpdateRole(role_id=1, name="Guest"))
    with pytest.raises(Conflict):
        owner.call(CreateRole(name="User"))


def test_identity_never_comes_from_the_body(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    envelope = seal_request(
        ann.identity, GetMe(), now=house.clock.now(), recipient=house.node.id, token=ann.token
    )
    envelope.body = msgspec.msgpack.encode({"current_user": owner.call(GetMe()).id})
    envelope.sign(ann.identity)
    frame = b"".join(house.node.receive(envelope, PayloadReader.of(b"")))
    with pytest.raises(BadRequest, match="current_user"):
        open_frame(frame)[0].reply_as(msgspec.Struct)


# -- the operations themselves -------------------------------------------------------------------------


def test_users_are_found(house: House) -> None:
    owner = house.set_up()
    owner.call(CreateGroup(name="oncology"))
    for number in range(5):
        groups = ["oncology"] if number % 2 else []
        owner.call(CreateUser(email=f"ann_{number}@x.org", password=PASSWORD, groups=groups))
    assert owner.call(ListUsers()).total == 6
    page = owner.call(ListUsers(offset=2, limit=2))
    assert [user.email for user in page.users] == ["ann_2@x.org", "ann_3@x.org"]
    assert owner.call(SearchUsers(email="ANN_")).total == 5
    assert owner.call(SearchUsers(email="ann%")).total == 0  # no wildcards
    found = owner.call(SearchUsers(group="oncology", role="User", email="_3"))
    assert [(user.email, user.groups) for user in found.users] == [("ann_3@x.org", ["oncology"])]
    assert owner.call(GetUser(user_id=found.users[0].id)) == found.users[0]
    assert owner.call(SearchUsers(role="nothing")).users == []


def test_an_email_is_taken_once(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@x.org")
    house.add_user(owner, "bob@x.org")
    with pytest.raises(Conflict):
        owner.call(CreateUser(email=" ANN@x.org", password=PASSWORD))
    with pytest.raises(Conflict):
        ann.call(ChangeEmail(email="bob@x.org", password=PASSWORD))
    with pytest.raises(Conflict):
        owner.call(UpdateUser(user_id=view.id, email="bob@x.org"))
    with pytest.raises(NotFound):
        owner.call(CreateUser(email="new@x.org", password=PASSWORD, role="Wizard"))
    with pytest.raises(NotFound):
        owner.call(CreateUser(email="new@x.org", password=PASSWORD, groups=["nowhere"]))
    assert owner.call(SearchUsers(email="new")).total == 0


def test_ones_own_account_needs_ones_password(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    with pytest.raises(Forbidden, match="not your password"):
        ann.call(ChangeEmail(email="eve@x.org", password="wrong password"))
    with pytest.raises(Forbidden):
        ann.call(ChangePassword(password="wrong password", new_password="something new"))
    with pytest.raises(BadRequest):
        ann.call(ChangePassword(password=PASSWORD, new_password="short"))
    assert ann.call(ChangeEmail(email="Ann@y.org", password=PASSWORD)).email == "ann@y.org"
    house.log_in("ann@y.org")


def test_a_password_set_by_an_administrator_ends_the_sessions(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@x.org")
    owner.call(UpdateUser(user_id=view.id, password="fresh password", email="anna@x.org"))
    with pytest.raises(Unauthenticated):
        ann.call(GetMe())
    house.log_in("anna@x.org", "fresh password")


def test_groups(house: House) -> None:
    owner = house.set_up()
    _, ann = house.add_user(owner, "ann@x.org")
    _, bob = house.add_user(owner, "bob@x.org")
    group = owner.call(CreateGroup(name="oncology", users=[ann.id, ann.id]))
    assert group.users == [ann.id]
    with pytest.raises(Conflict):
        owner.call(CreateGroup(name="oncology"))
    with pytest.raises(NotFound):
        owner.call(UpdateGroup(group_id=group.id, users=["f" * 32]))
    changed = owner.call(UpdateGroup(group_id=group.id, name="cardiology", users=[bob.id]))
    assert (changed.name, changed.users) == ("cardiology", [bob.id])
    assert owner.call(UpdateUser(user_id=ann.id, groups=["cardiology"])).groups == ["cardiology"]
    assert owner.call(GetGroup(group_id=group.id)).users == sorted([ann.id, bob.id])
    owner.call(DeleteUser(user_id=bob.id))
    assert [view.users for view in owner.call(ListGroups()).groups] == [[ann.id]]
    owner.call(DeleteGroup(group_id=group.id))
    with pytest.raises(NotFound):
        owner.call(GetGroup(group_id=group.id))
    assert owner.call(GetUser(user_id=ann.id)).groups == []


def test_no_private_key_and_no_hash_anywhere(house: House, tmp_path: Path) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    private = bytes(ann.identity._signing_key).hex()
    replies = [owner.call(message) for message in (ListUsers(), GetMe(), SearchUsers())]
    text = msgspec.json.encode(replies).decode()
    assert private not in text
    assert "argon2" not in text
    house.node.db.close()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert private.encode() not in content
            assert bytes(ann.identity._signing_key) not in content
            assert PASSWORD.encode() not in content


def test_everything_survives_a_restart(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@x.org", "Compliance Officer")
    group = owner.call(CreateGroup(name="oncology", users=[view.id]))
    node_id = house.node.id
    house.clock.advance(1)
    house.restart()
    assert house.node.id == node_id
    assert house.node.configured
    ann = house.call_in(ann.identity, ann.token)
    assert ann.call(GetMe()).groups == ["oncology"]
    assert house.call_in(owner.identity, owner.token).call(GetGroup(group_id=group.id)).users == [view.id]
