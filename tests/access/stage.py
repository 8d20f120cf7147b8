"""A world in a database, and the ways of asking it who may do what: where they do not agree is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from grid.access import conditions, datasets, decision, grants, liveness, rule
from grid.access.policy import current_policy
from grid.access.scopes import LADDER
from grid.access.sources import add_sources, sources_of
from grid.access.tables import Grant, ObjectSource, PolicyRow
from grid.access.viewer import NETWORK, Viewer, viewer_of
from grid.accounts.effective_permissions import Callers
from grid.accounts.tables import Group, GroupMember, Role, User, UserSession
from grid.catalogue import visibility
from grid.catalogue.tables import DatasetRow, DatasetViewer
from grid.node import Principal
from grid.storage.objects.tables import BlobRow, ObjectPermission, ObjectRow
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden, NotFound, TooLarge
from tests.access.worlds import GROUPS, OBJECTS, SCOPES, USERS, World

_CONTENT = "d" * 64
_EMPTIED = (
    ObjectSource,
    ObjectPermission,
    Grant,
    ObjectRow,
    DatasetViewer,
    DatasetRow,
    GroupMember,
    PolicyRow,
)
_ERRORS = {rule.Reason.UNKNOWN: NotFound, rule.Reason.SCOPE: Forbidden, rule.Reason.OUTPUT: TooLarge}


class Stage:
    """Worlds are put into one migrated database, one after the other."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._callers = Callers(db)
        with db.transaction() as session:
            session.add(BlobRow(digest=_CONTENT, size=0))
            user, manager = Role(name="plain"), Role(name="manager", can_edit_settings=True)
            session.add_all([user, manager])
            session.add_all(Group(id=each, name=each) for each in GROUPS)
            session.flush()
            self._roles = {False: user.id, True: manager.id}
            for each in USERS:
                session.add(
                    User(
                        id=each,
                        email=each,
                        password_hash="",
                        role_id=user.id,
                        created_at=0.0,
                        disabled_at=None,
                    )
                )
                session.flush()
                session.add(UserSession(id=each, user_id=each, created_at=0.0, expires_at=1e12))

    def put(self, world: World) -> None:
        with self.db.transaction() as session:
            for table in _EMPTIED:
                session.execute(delete(table))
            for user in USERS:
                now = {
                    "role_id": self._roles[user in world.managers],
                    "disabled_at": 1.0 if user in world.disabled else None,
                }
                session.execute(update(User).where(User.id == user).values(**now))
            _insert(session, GroupMember, [{"group_id": g, "user_id": u} for g, u in world.members])
            document = msgspec.to_builtins(world.policy)
            session.add(PolicyRow(id=1, document=document, changed_at=0.0, changed_by=""))
            self._objects(session, world)
            for each, dataset in world.datasets.items():
                row = DatasetRow(
                    id=each,
                    owner_id=dataset.owner,
                    name=each,
                    description="",
                    tags=[],
                    visibility=dataset.visibility,
                    published=[],
                    search_text="",
                    created_at=0.0,
                    updated_at=0.0,
                )
                session.add(row)
                session.flush()
                _insert(session, DatasetViewer, [{"dataset_id": each, "subject": s} for s in dataset.named])

    @staticmethod
    def _objects(session: Session, world: World) -> None:
        """All of them, and those that are gone deleted again: what referred to them goes as it goes at a node."""
        same = {"kind": "bytes", "blob_digest": _CONTENT, "size": 0, "description": "", "search_text": ""}
        _insert(
            session,
            ObjectRow,
            [{"id": each, "owner": world.owners[each], "created_at": 0.0, **same} for each in OBJECTS],
        )
        for each, sources in world.sources.items():
            add_sources(session, each, sources)
        _insert(
            session,
            ObjectPermission,
            [{"object_id": at, "scope": name, "verify_key": who} for at, name, who in world.places],
        )
        _insert(
            session,
            Grant,
            [
                {
                    "object_id": at,
                    "granted_by": "",
                    "created_at": 0.0,
                    "plan_id": "",
                    "inputs": {},
                    "id": grant.id,
                    "scope": grant.scope,
                    "user_id": grant.user_id,
                    "expires_at": grant.expires_at,
                    "uses_left": grant.uses_left,
                    "max_output_bytes": grant.max_output_bytes,
                    "revoked_at": grant.revoked_at,
                }
                for at, grant in world.grants
            ],
        )
        session.execute(delete(ObjectRow).where(ObjectRow.id.in_(world.gone)))

    def principal(self, user: str) -> Principal | None:
        """Who an operation of the user would be run for."""
        return self._callers.of_session({"jti": user, "sub": user, "exp": 1e12})

    # -- where the ways do not agree ----------------------------------------------------------------

    def disagreements(self, world: World, now: float, size: int) -> Iterator[str]:
        """Says what in the world is answered in two ways; nothing when all agree."""
        self.put(world)
        facts = world.facts()
        with self.db.read() as session:
            if current_policy(session) != world.policy:
                yield "the policy is another one"
            viewers = [NETWORK]
            for user in USERS:
                principal = self.principal(user)
                if (principal is None) != (user in world.disabled):
                    yield f"{user} is disabled, and somebody, or is not, and nobody"
                if principal is None:
                    continue
                viewers.append(viewer_of(session, principal))
                if viewers[-1] != world.viewer(user):
                    yield f"{user} is taken for somebody else"
            for viewer in viewers:
                yield from _verdicts(session, viewer, world, facts, now, size)
                yield from _conditions(session, viewer, world, facts)
                yield from _datasets(session, viewer, world)
                if not viewer.is_network:
                    yield from self._prepared(viewer, world, facts, now)
            yield from _grants(session, world, now)
            behind = {each: world.sources.get(each, frozenset({each})) for each in world.there}
            if sources_of(session, world.there) != behind:
                yield "sources differ"

    def _prepared(self, viewer: Viewer, world: World, facts: rule.Facts, now: float) -> Iterator[str]:
        with self.db.reading() as link:
            for scope in SCOPES:
                listed = {
                    each
                    for each in OBJECTS
                    if rule.decide(viewer, scope, each, facts, now=now).reason is rule.Reason.LIST
                }
                for asked in ([each] for each in OBJECTS):
                    if conditions.all_listed(link, viewer.user_id, scope, asked) != (set(asked) <= listed):
                        yield f"prepared, {scope}: {asked}"
                for together in (sorted(listed), OBJECTS, sorted(listed)[:2] * 2):
                    if conditions.all_listed(link, viewer.user_id, scope, together) != (
                        set(together) <= listed
                    ):
                        yield f"prepared, {scope}, together: {together}"


def _insert(session: Session, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), rows)


def _verdicts(
    session: Session, viewer: Viewer, world: World, facts: rule.Facts, now: float, size: int
) -> Iterator[str]:
    """The rule, and what operations are told."""
    for scope in SCOPES:
        for spent in ((), world.spent):
            expected = {
                each: rule.decide(viewer, scope, each, facts, now=now, output_bytes=size, spent=spent)
                for each in OBJECTS
            }
            found = decision.allowed(session, viewer, scope, OBJECTS, now=now, output_bytes=size, spent=spent)
            if found != {each: verdict for each, verdict in expected.items() if verdict.allowed}:
                yield f"{scope}: {found} and not {expected}"
        of_each_kind = {verdict: each for each, verdict in expected.items()}
        for verdict, each in of_each_kind.items():
            try:
                resting = decision.require(
                    session, viewer, scope, [each], now=now, output_bytes=size, spent=world.spent
                )
            except tuple(_ERRORS.values()) as error:
                if type(error) is not _ERRORS.get(verdict.reason):
                    yield f"{scope} {each}: {type(error)} and not {verdict}"
            else:
                if not verdict.allowed or resting != verdict.grants:
                    yield f"{scope} {each}: rests on {resting} and not {verdict}"


def _conditions(session: Session, viewer: Viewer, world: World, facts: rule.Facts) -> Iterator[str]:
    """What listings and searches show, and who governs."""

    def selected(condition: Any) -> set[str]:
        return set(session.scalars(select(ObjectRow.id).where(condition)))

    for scope in SCOPES:
        listed = {each for each in facts if rule.on_a_list(viewer, scope, facts[each].lists)}
        if selected(conditions.on_a_list(viewer, *LADDER[scope].lists)) != listed:
            yield f"on a list for {scope}"
    searched = {each for each in facts if viewer.subjects & frozenset(facts[each].lists["search"])}
    shown = selected(conditions.in_listing(viewer))
    if selected(conditions.searchable(viewer)) != searched:
        yield "what a search shows"
    if shown != (set(facts) if viewer.manager else searched):
        yield "what a listing shows"
    if not all(rule.decide(viewer, "find", each, facts, now=0.0).allowed for each in shown | searched):
        yield "what is shown cannot be found"
    governed = {each for each in OBJECTS if rule.governs(viewer.user_id, each, facts)}
    if selected(conditions.governed(viewer.user_id)) != governed:
        yield "who governs, as a condition"
    if {each for each in OBJECTS if decision.governs(session, viewer.user_id, each)} != governed:
        yield "who governs, one by one"


def _datasets(session: Session, viewer: Viewer, world: World) -> Iterator[str]:
    found = set(session.scalars(select(DatasetRow.id).where(visibility.findable(viewer))))
    expected = {
        each
        for each, dataset in world.datasets.items()
        if datasets.finds_dataset(
            viewer, owner=dataset.owner, visibility=dataset.visibility, named=dataset.named
        )
    }
    if found != expected:
        yield f"datasets: {found} and not {expected}"
    everybody = set(session.scalars(select(DatasetRow.id).where(visibility.findable_by_every_user())))
    if not viewer.is_network and not everybody <= found:
        yield "a dataset that every user finds is not found"


def _grants(session: Session, world: World, now: float) -> Iterator[str]:
    """What each is worth, as Python and as SQL; and what each user is shown of them."""
    for used in (False, True):
        alive = {grant.id for _, grant in world.grants if liveness.is_live(grant, now, used=used)}
        if set(session.scalars(select(Grant.id).where(liveness.live(now, used=used)))) != alive:
            yield f"live grants, used={used}"
    for _, grant in world.grants:
        row = replace(grant)
        if (liveness.state_of(row, now) == "live") != liveness.is_live(grant, now):
            yield "the state of a grant"
    facts = world.facts()
    for user in USERS:
        shown = set(session.scalars(grants.shown_to(user, reviewer=False).with_only_columns(Grant.id)))
        mine = {
            grant.id for at, grant in world.grants if grant.user_id == user or rule.governs(user, at, facts)
        }
        if shown != mine:
            yield f"the grants that {user} is shown"
