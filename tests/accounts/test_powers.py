"""Powers come from roles and groups; nobody gives, takes or touches one that they lack.

The model below knows nothing of the node's code: sets of flags, and the rules as the documents state them.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from syft_ext.errors import Forbidden
from syft_ext.messages import FLAGS, Message
from syft_ext.messages.accounts import (
    CreateGroup,
    CreateRole,
    CreateUser,
    DeleteGroup,
    DeleteUser,
    GetMe,
    GetUser,
    ListGroups,
    ListUsers,
    RevokeUser,
    UpdateGroup,
    UpdateRole,
    UpdateUser,
)
from syft_ext.transport import Connection
from tests.accounts.people import OWNER, PASSWORD, House, everybody

PEOPLE = ("owner", "admin", "deputy", "clerk", "guest")
ROLES = ("User", "Administrator", "Deputy", "Clerk")
GROUPS = ("ward", "board", "crew")
EVERYTHING = frozenset(FLAGS)

who = st.sampled_from(PEOPLE)
flag_sets = st.frozensets(st.sampled_from(FLAGS), max_size=3)
members = st.frozensets(who, max_size=3)


class Model:
    """What the documents say, in a few sets."""

    def __init__(self) -> None:
        self.roles: dict[str, frozenset[str]] = {
            "User": frozenset(),
            "Administrator": EVERYTHING - {"can_edit_roles", "can_manage_infrastructure"},
            "Deputy": frozenset({"can_create_groups", "can_create_users", "can_edit_roles"}),
            "Clerk": frozenset({"can_create_groups", "can_upload_data"}),
            "Owner": EVERYTHING,
        }
        self.role_of = dict(zip(PEOPLE, ("Owner", "Administrator", "Deputy", "Clerk", "User"), strict=True))
        self.group_flags: dict[str, frozenset[str]] = dict.fromkeys(GROUPS, frozenset())
        self.members: dict[str, frozenset[str]] = dict.fromkeys(GROUPS, frozenset())

    def power(self, person: str) -> frozenset[str]:
        carried = [self.group_flags[group] for group in GROUPS if person in self.members[group]]
        return self.roles[self.role_of[person]].union(*carried)

    def touches(self, actor: str, person: str) -> bool:
        return person != "owner" and self.power(person) <= self.power(actor)

    def may_edit(self, actor: str, person: str) -> bool:
        able = "can_create_users" in self.power(actor)
        return able and actor != person and self.touches(actor, person)

    def may_set_role(self, actor: str, person: str, role: str) -> bool:
        return self.may_edit(actor, person) and self.roles[role] <= self.power(actor)

    def may_set_groups(self, actor: str, person: str, groups: Iterable[str]) -> bool:
        changed = [group for group in GROUPS if (group in groups) != (person in self.members[group])]
        carried = frozenset[str]().union(*(self.group_flags[group] for group in changed))
        return self.may_edit(actor, person) and carried <= self.power(actor)

    def may_change_group(self, actor: str, group: str, people: frozenset[str], flags: frozenset[str]) -> bool:
        if "can_create_groups" not in self.power(actor):
            return False
        carried = self.group_flags[group] | flags
        if not carried:
            return True
        moved = self.members[group] ^ people
        if not carried <= self.power(actor):
            return False
        if not all(self.touches(actor, person) for person in moved - {actor}):
            return False
        own = actor in moved or (flags != self.group_flags[group] and actor in self.members[group] | people)
        return not own or actor == "owner"

    def may_change_role(self, actor: str, role: str, flags: frozenset[str]) -> bool:
        able = "can_edit_roles" in self.power(actor)
        return able and self.role_of[actor] != role and self.roles[role] | flags <= self.power(actor)


class People(RuleBasedStateMachine):
    house: House
    run = 0

    def __init__(self) -> None:
        super().__init__()
        People.run += 1
        self.model = Model()
        self.connections: dict[str, Connection] = {}
        self.ids: dict[str, str] = {}
        root = self.house.log_in()
        self.ids["owner"], self.connections["owner"] = root.call(GetMe()).id, root
        names = {role: role if role in ("User", "Administrator") else f"{role}{self.run}" for role in ROLES}
        self.names = names
        self.role_ids = {"User": 1, "Administrator": 3}
        for role in ("Deputy", "Clerk"):
            flags = dict.fromkeys(self.model.roles[role], True)
            self.role_ids[role] = root.call(CreateRole(name=names[role], **flags)).id
        self.reset_seed_roles(root)
        for person in PEOPLE[1:]:
            email = f"{person}{self.run}@x.org"
            role = names[self.model.role_of[person]]
            self.ids[person] = root.call(CreateUser(email=email, password=PASSWORD, role=role)).id
            self.connections[person] = self.house.log_in(email)
        self.group_ids = {g: root.call(CreateGroup(name=f"{g}{self.run}")).id for g in GROUPS}

    def reset_seed_roles(self, root: Connection) -> None:
        for role in ("User", "Administrator"):
            flags = {flag: flag in self.model.roles[role] for flag in FLAGS}
            root.call(UpdateRole(role_id=self.role_ids[role], **flags))

    def attempt(self, actor: str, message: Message, allowed: bool) -> bool:
        """Do it; what the node says must be what the model says, and nobody's other powers move."""
        before = {person: self.model.power(person) for person in PEOPLE}
        try:
            self.connections[actor].call(message)
            done = True
        except Forbidden:
            done = False
        assert done == allowed, (actor, message, before[actor])
        self.before, self.actor = before, actor
        return done

    @rule(actor=who, person=who, role=st.sampled_from(ROLES))
    def set_role(self, actor: str, person: str, role: str) -> None:
        message = UpdateUser(user_id=self.ids[person], role=self.names[role])
        if self.attempt(actor, message, self.model.may_set_role(actor, person, role)):
            self.model.role_of[person] = role

    @rule(actor=who, person=who, groups=st.frozensets(st.sampled_from(GROUPS)))
    def set_groups(self, actor: str, person: str, groups: frozenset[str]) -> None:
        message = UpdateUser(user_id=self.ids[person], groups=[f"{group}{self.run}" for group in groups])
        if self.attempt(actor, message, self.model.may_set_groups(actor, person, groups)):
            for group in GROUPS:
                others = self.model.members[group] - {person}
                self.model.members[group] = others | {person} if group in groups else others

    @rule(actor=who, group=st.sampled_from(GROUPS), people=members | st.none(), flags=flag_sets | st.none())
    def change_group(
        self, actor: str, group: str, people: frozenset[str] | None, flags: frozenset[str] | None
    ) -> None:
        message = UpdateGroup(
            group_id=self.group_ids[group],
            users=None if people is None else [self.ids[person] for person in people],
            flags=None if flags is None else sorted(flags),  # type: ignore[arg-type]
        )
        people = self.model.members[group] if people is None else people
        flags = self.model.group_flags[group] if flags is None else flags
        if self.attempt(actor, message, self.model.may_change_group(actor, group, people, flags)):
            self.model.members[group], self.model.group_flags[group] = people, flags

    @rule(actor=who, group=st.sampled_from(GROUPS))
    def delete_group(self, actor: str, group: str) -> None:
        people = self.model.members[group]
        allowed = self.model.may_change_group(actor, group, people, frozenset())
        if self.attempt(actor, DeleteGroup(group_id=self.group_ids[group]), allowed):
            self.model.members[group] = self.model.group_flags[group] = frozenset()
            made = self.connections["owner"].call(CreateGroup(name=f"{group}{self.run}"))
            self.group_ids[group] = made.id

    @rule(actor=who, role=st.sampled_from(ROLES), flags=flag_sets)
    def change_role(self, actor: str, role: str, flags: frozenset[str]) -> None:
        message = UpdateRole(role_id=self.role_ids[role], **{flag: flag in flags for flag in FLAGS})
        if self.attempt(actor, message, self.model.may_change_role(actor, role, flags)):
            self.model.roles[role] = flags

    @invariant()
    def everybody_has_what_the_model_says_from_the_very_next_call(self) -> None:
        for person, connection in self.connections.items():
            assert frozenset(connection.call(GetMe()).flags) == self.model.power(person), person
            able = "can_triage_requests" in self.model.power(person)
            try:
                connection.call(ListUsers(limit=1))
            except Forbidden:
                assert not able, person
            else:
                assert able, person

    @invariant()
    def nobody_gave_or_took_what_they_lack_nor_changed_themselves(self) -> None:
        if not hasattr(self, "before"):
            return
        moved = {person: self.model.power(person) ^ self.before[person] for person in PEOPLE}
        assert moved[self.actor] == frozenset()
        assert all(flags <= self.before[self.actor] for flags in moved.values())

    def teardown(self) -> None:
        """The next run begins with the same seed roles."""
        fresh = Model()
        self.model.roles.update({role: fresh.roles[role] for role in ("User", "Administrator")})
        self.reset_seed_roles(self.connections["owner"])


def test_random_changes_against_a_model_of_the_rules(tmp_path: Path, sqlite_url: str) -> None:
    People.house = House(tmp_path / "home", sqlite_url)
    People.house.set_up()
    try:
        run_state_machine_as_test(
            People,
            settings=settings(
                max_examples=15,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        People.house.node.stop()


def test_a_group_gives_its_flags_from_the_next_call_on(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@x.org")
    with pytest.raises(Forbidden):
        ann.call(ListUsers())
    group = owner.call(CreateGroup(name="officers", users=[view.id], flags=["can_triage_requests"]))
    assert group.flags == ["can_triage_requests"]
    assert ann.call(ListUsers()).total == 2
    assert ann.call(GetMe()).flags == ["can_triage_requests"]
    ann.token = ""  # Ann's key alone identifies Ann too
    assert ann.call(ListUsers()).total == 2
    owner.call(UpdateGroup(group_id=group.id, flags=[]))
    with pytest.raises(Forbidden):
        ann.call(ListUsers())
    owner.call(UpdateGroup(group_id=group.id, flags=["can_triage_requests"]))
    owner.call(UpdateUser(user_id=view.id, groups=[]))
    with pytest.raises(Forbidden):
        ann.call(ListUsers())


def test_who_is_mighty_by_a_group_is_not_touched(house: House) -> None:
    people = everybody(house)
    owner, admin = people["Owner"], people["Administrator"]
    ann = people["User"].call(GetMe())
    group = owner.call(CreateGroup(name="crew", users=[ann.id], flags=["can_manage_infrastructure"]))
    for message in (
        UpdateUser(user_id=ann.id, disabled=True),
        UpdateUser(user_id=ann.id, password="another one"),
        UpdateUser(user_id=ann.id, groups=[]),
        DeleteUser(user_id=ann.id),
        RevokeUser(user_id=ann.id),
        UpdateGroup(group_id=group.id, name="robbed"),
        UpdateGroup(group_id=group.id, users=[]),
        DeleteGroup(group_id=group.id),
        CreateGroup(name="mine", flags=["can_edit_roles"]),
        CreateUser(email="new@x.org", password=PASSWORD, groups=["crew"]),
    ):
        with pytest.raises(Forbidden):
            admin.call(message)
    assert people["User"].call(GetMe()).groups == ["crew"]
    admin_id = admin.call(GetMe()).id
    with pytest.raises(Forbidden, match="own powers"):
        admin.call(CreateGroup(name="mine", users=[admin_id], flags=["can_upload_data"]))
    with pytest.raises(Forbidden):  # nor is the owner put into a group that carries flags
        admin.call(CreateGroup(name="mine", users=[owner.call(GetMe()).id], flags=["can_upload_data"]))
    assert house.log_in(OWNER).call(GetMe()).groups == []


def test_users_and_groups_may_be_changed_at_the_same_time(house: House) -> None:
    """On PostgreSQL the two lock each other's rows; whoever loses does it again."""
    owner = house.set_up()
    ann = house.add_user(owner, "ann@x.org")[1]
    bob = house.add_user(owner, "bob@x.org")[1]
    groups = [owner.call(CreateGroup(name=name)) for name in ("one", "two")]
    others = [house.log_in() for _ in range(4)]

    def by_user(number: int) -> None:
        names = ["one", "two"] if number % 2 else []
        for user in (ann, bob):
            others[0 if user is ann else 1].call(UpdateUser(user_id=user.id, groups=names))

    def by_group(number: int) -> None:
        members = [ann.id, bob.id] if number % 2 else []
        for connection, group in zip(others[2:], groups, strict=True):
            connection.call(UpdateGroup(group_id=group.id, users=members, flags=["can_upload_data"]))

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(act, number) for number in range(12) for act in (by_user, by_group)]
        for each in done:
            each.result()
    by_user(1)
    assert {tuple(group.flags) for group in owner.call(ListGroups()).groups} == {("can_upload_data",)}
    assert owner.call(GetUser(user_id=ann.id)).groups == ["one", "two"]
