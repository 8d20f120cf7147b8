"""Random histories of governance against an independent model: what it allows, the platform does, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from grid import schema
from grid.access.decision import allowed, require
from grid.access.grants import spend
from grid.access.tables import Grant, ObjectSource, PolicyRow
from grid.access.viewer import Viewer
from grid.accounts.powers import flags_of_users
from grid.accounts.tables import Role, User
from grid.governance.decisions.grants import GrantManager, ReviewerLoader
from grid.governance.decisions.tables import (
    PlanRequest,
    RequestDecision,
    RequestObject,
    RequestRow,
    RequestRule,
)
from grid.governance.plans.runs import PlanRuns
from grid.governance.requests.manager import RequestManager
from grid.governance.requests.submission import ask
from grid.governance.rules.book import RuleBook
from grid.node.events import EventBus
from grid.node.plan_processes import PlanProcesses
from grid.privacy.budget.tables import PrivacyBudget
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import record
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import GridError
from syft_ext.messages import requests as r
from syft_ext.messages.grants import CreateGrant
from syft_ext.messages.plan_facts import PlanCost, PlanFacts, PlanInput, PlanOutput
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.rules import CreateRule
from tests.governance.history_model import MADE_FROM, OWNER_OF, PEOPLE, Model, Rule
from tests.governance.plan_story import mean_of_rows

IDS = {name: f"{number + 1:032x}" for number, name in enumerate(PEOPLE)}
OBJECTS = [f"{number + 100:032x}" for number in MADE_FROM]
PLAN = mean_of_rows.dumps()
EVERYTHING = (
    RequestRule, RequestDecision, RequestObject, PlanRequest, RequestRow, Grant, PrivacyBudget, ObjectSource,
    ObjectPermission, ObjectRow, User, PolicyRow,
)  # fmt: skip

someone, number = st.sampled_from(PEOPLE), st.sampled_from((0, 1, 2))
scope = st.sampled_from(("read", "compute", "statistics"))
uses, lasts = st.sampled_from((None, 1, 2)), st.sampled_from((None, 50.0))
index = st.sampled_from((0, 0, 0, 1, 2))  # of requests and grants, counted from the latest
ACTIONS = st.one_of(
    st.tuples(st.just("give"), someone, someone, number, scope, uses, lasts),
    st.tuples(st.just("take"), someone, index),
    st.tuples(st.just("ask"), someone, scope, number),
    st.tuples(st.just("ask plan"), someone, st.sampled_from(((0,), (1,), (0, 1), (2,)))),
    st.tuples(st.just("ask budget"), someone),
    st.tuples(st.just("approve"), someone, index, uses, lasts, st.sampled_from((None, 0.5))),
    st.tuples(st.just("approve"), st.sampled_from(("ann", "bob", "otto")), index, uses, lasts, st.none()),
    st.tuples(st.just("deny"), someone, index),
    st.tuples(st.just("withdraw"), someone, index),
    st.tuples(st.just("revoke"), someone, index),
    st.tuples(
        st.just("rule"), someone, st.sampled_from((True, True, False)),
        st.sampled_from(("", "", "read", "plan", "budget")),
        st.sampled_from((None, None, 0, 1)), st.sampled_from(("", "", "sue", "otto")),
        st.sampled_from((None, 1)), uses,
    ),
    st.tuples(st.just("end rule"), someone, st.integers(0, 2)),
    st.tuples(st.just("reviewer"), st.sampled_from(("otto", "olga", "ann"))),
    st.tuples(st.just("enabled"), st.sampled_from(("otto", "olga", "ann", "bob"))),
    st.tuples(st.just("needed"), st.sampled_from((1, 2))),
    st.tuples(st.just("wait"), st.sampled_from((1.0, 30.0, 60.0))),
    st.tuples(st.just("use"), someone, scope, number),
    st.tuples(st.just("run"), someone, index),
)  # fmt: skip


class World:
    """The platform, told the same things as the model."""

    def __init__(self, db: Database, blobs: FileBlobStore) -> None:
        self.db, self.model, self.clock = db, Model(), ManualClock(1000.0)
        self.grants, self.requests = GrantManager(db, self.clock), RequestManager(db, self.clock, EventBus())
        self.rules, self.runs = (
            RuleBook(db, self.clock),
            PlanRuns(db, blobs, self.clock, PlanProcesses(Gate()), bytes(32)),
        )
        self.request_ids: list[str] = []
        self.rule_ids: dict[int, str] = {}
        with blobs.put([b"data"]) as content, blobs.put([PLAN]) as plan, db.transaction() as session:
            for table in EVERYTHING:
                session.execute(delete(table))
            record(session, *sorted((content, plan), key=lambda blob: blob.digest))
            roles = {role.name: role.id for role in session.scalars(select(Role))}
            self.roles = {True: roles["Compliance Officer"], False: roles["User"]}
            for name, user_id in IDS.items():
                role_id = self.roles[name in self.model.reviewers]
                session.add(
                    User(id=user_id, email=f"{name}@x.org", password_hash="", role_id=role_id, created_at=0.0)
                )
            session.flush()
            for each, made_from in MADE_FROM.items():
                owner = OWNER_OF.get(each, "sue")
                session.add(
                    ObjectRow(id=OBJECTS[each], kind="tensor", blob_digest=content.digest, size=4, description="",
                              search_text="", owner=IDS[owner], created_at=0.0, shape=[12, 3])
                )  # fmt: skip
                session.flush()
                lists = [("search", "*"), *([("read", IDS[owner])] if each in OWNER_OF else [])]
                for kind, subject in lists:
                    session.add(ObjectPermission(object_id=OBJECTS[each], scope=kind, verify_key=subject))
                if each not in OWNER_OF:
                    for source in made_from:
                        session.add(ObjectSource(object_id=OBJECTS[each], source_id=OBJECTS[source]))
            self.content = content.digest

    def reviewer_loader(self, who: str) -> ReviewerLoader:
        def load_reviewer(session: Session) -> tuple[Viewer, bool]:
            flags = flags_of_users(session, [IDS[who]])[IDS[who]]
            return Viewer(IDS[who], frozenset({"*", IDS[who]})), "can_triage_requests" in flags

        return load_reviewer

    # -- one step -----------------------------------------------------------------------------------

    def step(self, action: tuple[Any, ...]) -> None:
        name, *rest = action
        if rest and rest[0] in self.model.disabled and name not in ("reviewer", "enabled"):
            return  # who is disabled is not let in: the sessions' to say
        if name in ("approve", "deny", "withdraw", "revoke", "run"):
            rest[1] = len(self.request_ids) - 1 - rest[1]
            if rest[1] < 0:
                return
        getattr(self, name.replace(" ", "_"))(*rest)
        self.clock.advance(1.0)
        self.model.now += 1.0

    def both(self, expected: bool, act: Callable[[], Any]) -> Any:
        try:
            result = act()
        except GridError as error:
            assert not expected, f"the model allows what was refused: {error.detail}"
            return None
        assert expected, "what the model refuses was done"
        self._name_grants()
        return result

    def _name_grants(self) -> None:
        """Tell the model which id a new grant got: of two equal ones the platform takes the lower first."""
        known = {grant.id for grant in self.model.grants}
        with self.db.read() as session:
            rows = [row for row in session.scalars(select(Grant)) if row.id not in known]
        nameless = [grant for grant in self.model.grants if grant.id is None]
        assert len(rows) == len(nameless)
        for grant in nameless:
            (row,) = [row for row in rows if row.object_id == OBJECTS[grant.object]]
            assert (row.user_id, row.scope) == (IDS[grant.user], grant.scope)
            assert (row.uses_left, row.expires_at) == (grant.uses, grant.ends)
            grant.id = row.id

    # -- the actions --------------------------------------------------------------------------------

    def give(self, giver: str, user: str, number: int, scope: Any, uses: Any, lasts: Any) -> None:
        message = CreateGrant(
            object_id=OBJECTS[number], user_id=IDS[user], scope=scope, uses=uses, expires_in=lasts
        )
        allowed = self.model.give(giver, user, number, scope, uses, lasts)
        self.both(allowed, lambda: self.grants.create(self.reviewer_loader(giver), message))

    def take(self, who: str, at: int) -> None:
        if at < len(self.model.grants):
            grant = self.model.grants[-1 - at]
            self.both(
                self.model.take(who, grant),
                lambda: self.grants.revoke(self.reviewer_loader(who), str(grant.id)),
            )

    def ask(self, who: str, scope: Any, number: int) -> None:
        message = r.CreateRequest(object_id=OBJECTS[number], scope=scope)
        self._asked(
            self.model.ask(who, scope, (number,)),
            lambda: self.requests.create(self.reviewer_loader(who), message),
        )

    def ask_budget(self, who: str) -> None:
        message = r.CreateBudgetRequest(epsilon=1.0)
        allowed = self.model.ask(who, "budget", (), 1.0)
        self._asked(allowed, lambda: self.requests.create_budget(self.reviewer_loader(who), message))

    def ask_plan(self, who: str, numbers: tuple[int, ...]) -> None:
        allowed = self.model.ask(who, "plan", numbers)
        about = sorted(set().union(*(MADE_FROM[each] for each in numbers)))

        def make(session: Session, viewer: Viewer, now: float) -> RequestRow:
            row = ask(
                session, viewer, scope="plan", same=f"plan:{about}", reason="", now=now,
                object_id=OBJECTS[numbers[0]], objects=[OBJECTS[each] for each in about],
            )  # fmt: skip
            to = {"object_id": OBJECTS[numbers[0]], "tensor": "", "digest": self.content}
            facts = PlanFacts(
                plan_id=mean_of_rows.id, name="mean", kind="statistics",
                cost=PlanCost(operations=1, flops=1, peak_bytes=1, output_bytes=12),
                inputs=[PlanInput(name="xs", role="data", source="object", dtype="f32", shape=[12, 3])],
                outputs=[PlanOutput(name="out0", role="result", dtype="f32", shape=[3])],
            )  # fmt: skip
            session.add(
                PlanRequest(request_id=row.id, plan_digest=mean_of_rows.id, name="mean", inputs={"xs": to},
                            facts=msgspec.to_builtins(facts), shown=True)
            )  # fmt: skip
            session.flush()
            return row

        self._asked(allowed, lambda: self.requests.asked(self.reviewer_loader(who), make))

    def _asked(self, expected: bool, act: Callable[[], r.RequestView]) -> None:
        view = self.both(expected, act)
        if view is not None:
            self.request_ids.append(view.id)

    def _on_request(self, expected: Callable[[], bool], at: int, act: Callable[[str], Any]) -> None:
        self.both(expected(), lambda: act(self.request_ids[at]))

    def approve(self, who: str, at: int, uses: Any, lasts: Any, epsilon: Any) -> None:
        def act(request_id: str) -> Any:
            message = r.ApproveRequest(request_id=request_id, uses=uses, expires_in=lasts, epsilon=epsilon)
            return self.requests.approve(self.reviewer_loader(who), message)

        self._on_request(lambda: self.model.approve(who, at, uses, lasts, epsilon), at, act)

    def deny(self, who: str, at: int) -> None:
        self._on_request(
            lambda: self.model.deny(who, at), at,
            lambda request_id: self.requests.deny(self.reviewer_loader(who), r.DenyRequest(request_id=request_id)),
        )  # fmt: skip

    def withdraw(self, who: str, at: int) -> None:
        def act(request_id: str) -> Any:
            return self.requests.withdraw(self.reviewer_loader(who), request_id, lambda digests, owner: None)

        self._on_request(lambda: self.model.withdraw(who, at), at, act)

    def revoke(self, who: str, at: int) -> None:
        act = lambda request_id: self.requests.revoke(self.reviewer_loader(who), request_id)  # noqa: E731
        self._on_request(lambda: self.model.revoke(who, at), at, act)

    def rule(
        self, who: str, accepts: bool, scope: str, number: int | None, user: str, times: Any, uses: Any
    ) -> None:
        if scope == "budget" and number is not None:
            return
        kind = scope if scope in ("plan", "budget") else ""
        message = CreateRule(
            action="accept" if accepts else "deny",
            kind=kind,  # type: ignore[arg-type]
            scope="" if kind else scope,  # type: ignore[arg-type]
            object_id="" if number is None else OBJECTS[number],
            user_id=IDS.get(user, ""),
            times=times,
            uses=uses if accepts else None,
        )
        expected = self.model.add_rule(
            Rule(who, accepts, scope, number, user, times, uses if accepts else None)
        )
        view = self.both(expected, lambda: self.rules.create(self.reviewer_loader(who), message))
        if view is not None:
            self.rule_ids[self.model.made_rules - 1] = view.id

    def end_rule(self, who: str, number: int) -> None:
        if number in self.rule_ids:
            act = lambda: self.rules.delete(self.reviewer_loader(who), self.rule_ids[number], "User")  # noqa: E731
            self.both(self.model.end_rule(who, number), act)

    def reviewer(self, who: str) -> None:
        self.model.reviewers ^= {who}
        self._change(who, role_id=self.roles[who in self.model.reviewers])

    def enabled(self, who: str) -> None:
        self.model.disabled ^= {who}
        self._change(who, disabled_at=1.0 if who in self.model.disabled else None)

    def _change(self, who: str, **values: Any) -> None:
        with self.db.transaction() as session:
            session.execute(update(User).where(User.id == IDS[who]).values(**values))

    def needed(self, count: int) -> None:
        self.model.needed = count
        document = msgspec.to_builtins(SitePolicy(required_approvals=count))
        with self.db.transaction() as session:
            session.merge(PolicyRow(id=1, document=document, changed_at=0.0, changed_by=""))

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.now += seconds

    def use(self, who: str, scope: Any, number: int) -> None:
        def act() -> None:
            with self.db.transaction() as session:
                viewer, _ = self.reviewer_loader(who)(session)
                grants = require(session, viewer, scope, [OBJECTS[number]], now=self.clock.now())
                spend(session, grants, now=self.clock.now())

        self.both(self.model.use(who, scope, number), act)

    def run(self, who: str, at: int) -> None:
        if self.model.asked[at].scope == "plan":

            def act(request_id: str) -> None:
                with self.db.transaction() as session:
                    self.runs._begin(session, self.reviewer_loader(who), request_id)

            self._on_request(lambda: self.model.run(who, at), at, act)

    # -- where both have come to --------------------------------------------------------------------

    def compare(self) -> None:
        with self.db.read() as session:
            states = {row.id: str(row.state) for row in session.scalars(select(RequestRow))}
            assert [states[each] for each in self.request_ids] == [each.state for each in self.model.asked]
            budgets = {row.user_id: row.granted / 1e9 for row in session.scalars(select(PrivacyBudget))}
            for who in PEOPLE:
                assert budgets.get(IDS[who], 0.0) == pytest.approx(self.model.budget.get(who, 0.0))
                viewer, _ = self.reviewer_loader(who)(session)
                for scope in ("read", "compute", "statistics"):
                    found = allowed(session, viewer, scope, OBJECTS, now=self.clock.now())  # type: ignore[arg-type]
                    expected = {n for n in MADE_FROM if self.model.resting_on(who, scope, n) is not None}
                    assert {OBJECTS.index(each) for each in found} == expected, (who, scope)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, FileBlobStore]]:
    path: Path = tmp_path_factory.mktemp("histories")
    db = Database(f"sqlite:///{path / 'node.db'}")
    schema.upgrade(db)
    yield db, FileBlobStore(path / "blobs")
    db.close()


BOTH_OWNERS = [
    ("ask plan", "sue", (2,)), ("approve", "ann", 0, 2, None, None), ("run", "sue", 0),
    ("approve", "bob", 0, 1, None, None), ("run", "sue", 0), ("run", "sue", 0),
]  # fmt: skip
A_RULE_THAT_FALLS_SILENT = [
    ("rule", "otto", True, "", None, "", None, 1), ("needed", 2), ("ask", "sue", "read", 0),
    ("enabled", "otto"), ("approve", "ann", 0, None, None, None), ("use", "sue", "read", 0),
    ("enabled", "otto"), ("approve", "olga", 0, None, None, None), ("use", "sue", "read", 0),
    ("use", "sue", "read", 0),
]  # fmt: skip


ONES_OWN_REQUEST = [
    ("ask", "otto", "read", 0), ("approve", "otto", 0, None, None, None),
    ("rule", "otto", True, "", None, "", None, None),
    ("withdraw", "otto", 0), ("ask", "otto", "read", 0), ("use", "otto", "read", 0),
    ("ask budget", "otto"), ("approve", "otto", 0, None, None, None),
]  # fmt: skip
TAKEN_BACK = [
    ("ask plan", "sue", (0,)), ("approve", "ann", 0, None, 50.0, None), ("run", "sue", 0), ("take", "ann", 0),
    ("run", "sue", 0), ("ask plan", "sue", (0,)), ("approve", "ann", 0, None, 50.0, None), ("wait", 60.0),
    ("run", "sue", 0), ("ask budget", "sue"), ("approve", "otto", 0, None, None, 0.5), ("revoke", "olga", 0),
]  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=4, max_size=28))
@example(BOTH_OWNERS)
@example(A_RULE_THAT_FALLS_SILENT)
@example(ONES_OWN_REQUEST)
@example(TAKEN_BACK)
def test_what_the_model_allows_is_done_and_nothing_else(
    place: tuple[Database, FileBlobStore], history: list[tuple[Any, ...]]
) -> None:
    world = World(*place)
    for action in history:
        world.step(action)
    world.compare()
