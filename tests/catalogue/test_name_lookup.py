"""A name is looked up by an index, however many datasets there are: the plan of the query is looked at."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite

from grid.access.viewer import Viewer
from grid.catalogue.tables import DatasetRow
from grid.catalogue.visibility import findable, newest
from grid.federated.state.tables import TrainingProcess
from grid.storage.sql.database import Database

QUERIES = {
    "dataset": newest(
        select(DatasetRow.id).where(
            findable(Viewer("1" * 32, frozenset({"1" * 32}))), DatasetRow.name == "heart"
        )
    ).limit(1),
    "fl_process": select(TrainingProcess.id).where(TrainingProcess.name == "heart"),
}


def test_datasets_and_trainings_are_found_by_an_index(database: Database) -> None:
    dialect = sqlite.dialect() if database.dialect == "sqlite" else postgresql.dialect()
    for table, query in QUERIES.items():
        words = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        with database.transaction() as session:
            if database.dialect == "sqlite":
                plan = session.execute(text(f"EXPLAIN QUERY PLAN {words}")).all()
                looked = " ".join(str(row) for row in plan)
                assert f"SEARCH {table} USING" in looked, looked
                assert f"SCAN {table}" not in looked, looked
            else:
                session.execute(
                    text("SET LOCAL enable_seqscan = off")
                )  # of an empty table it would be cheapest
                looked = " ".join(str(row) for row in session.execute(text(f"EXPLAIN {words}")))
                assert f"Seq Scan on {table}" not in looked and "Index" in looked, looked
