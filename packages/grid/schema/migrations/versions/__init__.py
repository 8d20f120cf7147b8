"""One file per step of the schema, numbered; see :mod:`grid.schema.migrations`."""
