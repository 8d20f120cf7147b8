"""Imports every module that declares tables, so that ``Base.metadata`` is complete. One line per module."""

import grid.storage.tables  # noqa: F401
