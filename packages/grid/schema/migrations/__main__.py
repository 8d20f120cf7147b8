"""``python -m grid.schema.migrations NNNN concern``: draft the next migration."""

from __future__ import annotations

import sys
import tempfile

from grid import schema
from grid.schema.migrations import draft
from grid.storage.sql.database import Database


def main(number: str, concern: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        db = Database(f"sqlite:///{directory}/draft.db")
        schema.upgrade(db)
        with db.engine.begin() as connection:
            draft(connection, number, concern)
        db.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
