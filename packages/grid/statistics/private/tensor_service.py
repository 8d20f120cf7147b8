"""Private tensors of this Domain's tables: who may publish, within which bounds, and under whose guard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from sqlalchemy.orm import Session

from grid.access.decision import require
from grid.access.grants import spend
from grid.access.policy import check_operation, check_output, current_policy
from grid.access.viewer import viewer_of
from grid.concurrency.offload import Semaphore, offload
from grid.node import Context, Node, Service, handles
from grid.statistics.columns import Column
from grid.statistics.guarded.desk import GuardedDesk, Lineages
from grid.statistics.guarded.schema import Person, Said, said_of
from grid.statistics.guarded.terms import Terms, terms_of
from grid.statistics.private.gate import Gate
from grid.statistics.private.people import added_by_each, people_of
from grid.statistics.private.publication import PrivateRelease, Publisher, covered_by, release_line
from grid.statistics.private.questions import bounds_within
from grid.statistics.private.service import BYTES, Schemas, allowance_of
from grid.statistics.sweep import Opened
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest, Conflict, Forbidden
from syft_ext.messages.private_tensors import PrivateTable, Published, PublishTensor
from syft_ext.privacy.expressions import Total, propagate

__all__ = ["TensorService"]


class TensorService(Service):
    """Publishes sums over rows; charged to the ledgers of their tables and to each person in them."""

    def __init__(self, node: Node, *, schemas: Schemas, lineages: Lineages) -> None:
        super().__init__(node)
        self._schemas, self._lineages = schemas, lineages
        self._publisher, self._guard = Publisher(node), GuardedDesk(node, lineages)
        self._turns = Semaphore(len(os.sched_getaffinity(0)))

    @handles(PublishTensor)
    def publish(self, ctx: Context, message: PublishTensor) -> Published:
        objects = [each.object_id for each in message.tables]
        ctx.note(objects[0], tables=",".join(objects), steps=len(message.steps), epsilon=message.epsilon)
        if len(set(objects)) != len(objects):
            raise BadRequest("a table is named twice")
        with self.node.db.read() as session:
            self._require(session, ctx, objects)
            policy = current_policy(session)
            rows = [session.get_one(ObjectRow, each) for each in objects]
            contents = [(row.blob_digest, row.kind) for row in rows]
            members = [
                sorted({f"content:{row.blob_digest}", *self._lineages(session, row.id)}) for row in rows
            ]
        check_operation(policy, "queries.private_tensor")
        terms = terms_of(policy)
        grants: frozenset[str] = frozenset()
        leaves = 0

        def authorise(session: Session) -> None:
            nonlocal grants
            grants = self._require(session, ctx, objects, leaves)
            found = [session.get(ObjectRow, each) for each in objects]
            digests = [None if row is None else row.blob_digest for row in found]
            if digests != [digest for digest, _ in contents] or current_policy(session) != policy:
                raise Conflict("a table or the site's policy changed meanwhile; publish again")

        with ExitStack() as stack, self._turns:
            opened = [
                stack.enter_context(offload(Opened, self.node.blobs, digest, kind))
                for digest, kind in contents
            ]
            tables = [
                self._table(message, index, each, opened[index]) for index, each in enumerate(message.tables)
            ]
            bounds = _bounds(message, tables)
            values = propagate(message.steps, bounds)
            total = values[-1]
            if not isinstance(total, Total):
                raise BadRequest("rows are never published: sum them first")
            leaves = BYTES * len(total.constant)
            check_output(policy, leaves)
            with self.node.db.read() as session:
                authorise(session)  # of so much, before anything is read of the rows
            most = {index: table.person.most for index, table in enumerate(tables)}
            covered = covered_by(total, most, message.epsilon)
            if terms is not None:
                _check_floor(terms, covered.cost)
            release = PrivateRelease(
                line=release_line(
                    message.steps,
                    bounds,
                    [(digest, table.person) for (digest, _), table in zip(contents, tables, strict=True)],
                    covered.cost,
                ),
                digest=contents[0][0],
                user_id=ctx.principal.id,
                objects=objects,
                members=members,
                covered=covered,
                epsilon=message.epsilon,
                allowance=allowance_of(policy, terms),
                budget=policy.statistics_epsilon is not None,
                constant=total.constant,
                authorise=authorise,
                spend=lambda session: spend(session, grants, now=self.node.clock.now()),
            )
            shares = self._publisher.shares(release)
            if message.dry:
                return Published(deviation=covered.deviation, epsilon=message.epsilon, shares=shares)
            if terms is not None:
                gate = Gate(self._guard, terms, ctx.principal.id, authorise)
                for index, table in enumerate(tables):
                    for column in table.columns or [table.person.column]:
                        if gate.keeps_back(
                            objects[index], contents[index][0], opened[index], column.name, table.said
                        ):
                            raise Forbidden(
                                "too few rows have a value of a column; nothing is published of it"
                            )
            numbers = self._publisher.known(release)
            charged = False
            if numbers is None:
                people = {
                    index: people_of(opened[index], table.person, table.columns)
                    for index, table in enumerate(tables)
                }
                places = {
                    place: [column.name for column in tables[step.table].columns].index(step.column)
                    for place, step in enumerate(message.steps)
                    if step.op == "column"
                }
                added = offload(
                    added_by_each,
                    message.steps,
                    values,
                    total,
                    people,
                    places,
                    2.0**-covered.exponent,
                    covered.most,
                )
                numbers, charged = self._publisher.publish(release, people, added)
        for grant in grants:
            ctx.note(grant=grant)
        return Published(
            values=release.restored(numbers),
            deviation=covered.deviation,
            epsilon=message.epsilon,
            shares=shares if charged else [0.0] * len(shares),
        )

    def _table(self, message: PublishTensor, index: int, named: PrivateTable, opened: Opened) -> _TakenTable:
        used = [step for step in message.steps if step.table == index and step.op in ("column", "ones")]
        if not used:
            raise BadRequest("a table is named that no step takes rows of", table=index)
        columns = opened.table.take(list(dict.fromkeys(step.column for step in used if step.op == "column")))
        with self.node.db.read() as session:
            # With any column where only rows are counted: what is said of persons is said of the table.
            asked = columns or [next(iter(opened.table.columns.values()))]
            said = said_of(self._schemas(session, named.object_id), opened.table, asked)
        if said.person is None:
            raise BadRequest(
                "the owner does not say whom the rows of a table are about (person=)", table=index
            )
        if named.subjects not in ("", said.person.column.name):
            raise BadRequest(
                f"its owner says that {said.person.column.name!r} names whom a row is about, not "
                f"{named.subjects!r}",
                table=index,
            )
        return _TakenTable(columns, said, said.person)

    def _require(
        self, session: Session, ctx: Context, objects: Iterable[str], leaves: int = 0
    ) -> frozenset[str]:
        viewer, now = viewer_of(session, ctx.principal), self.node.clock.now()
        return require(session, viewer, "statistics", list(objects), now=now, output_bytes=leaves)


class _TakenTable:
    """A table of a release: the columns that are read, and what its owner says of them."""

    def __init__(self, columns: Sequence[Column], said: Said, person: Person) -> None:
        self.columns, self.said, self.person = columns, said, person


def _bounds(message: PublishTensor, tables: Sequence[_TakenTable]) -> dict[int, tuple[float, float]]:
    bounds = {}
    for place, step in enumerate(message.steps):
        if step.op in ("column", "ones") and not 0 <= step.table < len(tables):
            raise BadRequest("a step takes rows of a table that is not named", step=place)
        if step.op != "column":
            continue
        table = tables[step.table]
        column = next(each for each in table.columns if each.name == step.column)
        described = table.said.described.get(column.name)
        if described is not None and described.categories:
            raise BadRequest(f"{column.name!r} holds words, which are no numbers", column=column.name)
        bounds[place] = bounds_within(table.said.column(column), step.low, step.high)
    return bounds


def _check_floor(terms: Terms, cost: int) -> None:
    """No release may have less noise than a statistic of a guarded table can be bought with."""
    most = 100 * 10**12 // (2 * terms.base * terms.base)
    if cost > most:
        raise Forbidden(
            "a table is guarded: a release may take less of it at once; choose a smaller epsilon",
            most=most / 10**12,
        )
