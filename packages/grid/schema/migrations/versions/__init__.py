"""One file per step of the schema, numbered; see :mod:`grid.schema.migrations`.

Each knows the schema as it was; must not import the tables' classes, which have changed since.
"""
