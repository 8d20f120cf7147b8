# ruff: noqa: F401
"""Imports every module that declares tables, so that ``Base.metadata`` is complete. One line per module."""

import grid.accounts.tables
import grid.audit.tables
import grid.catalogue.tables
import grid.environments.tables
import grid.federated.policy_tables
import grid.federated.tables
import grid.governance.budget_tables
import grid.governance.request_tables
import grid.governance.tables
import grid.network.tables
import grid.storage.tables
import grid.worker.tables
