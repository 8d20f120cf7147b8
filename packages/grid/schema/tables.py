# ruff: noqa: F401
"""Imports every module that declares tables, so that ``Base.metadata`` is complete. One line per module."""

import grid.access.tables
import grid.accounts.tables
import grid.audit.tables
import grid.catalogue.tables
import grid.confidential.tables
import grid.environments.tables
import grid.federated.state.consent_tables
import grid.federated.state.encrypted_tables
import grid.federated.state.invitation_tables
import grid.federated.state.masked_tables
import grid.federated.state.policy_tables
import grid.federated.state.strategy_tables
import grid.federated.state.tables
import grid.governance.decisions.tables
import grid.governance.intersections.tables
import grid.installation.tables
import grid.key_host.tables
import grid.network.tables
import grid.privacy.budget.ledger_tables
import grid.privacy.budget.tables
import grid.quotas.tables
import grid.spending.tables
import grid.statistics.guarded.tables
import grid.storage.objects.tables
import grid.worker.tables
