"""Run by Alembic: binds the migrations to the connection that ``grid.schema.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

import grid.schema.tables  # noqa: F401  (completes Base.metadata)
from grid.storage.sql.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,  # true of SQLite as well, with the driver's own transactions switched off
)
with context.begin_transaction():
    context.run_migrations()
