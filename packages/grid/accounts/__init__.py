"""People: set-up, login, users, roles, groups, settings.

Import from the modules: ``grid.accounts.service.SERVICES``, ``grid.accounts.bootstrap.bootstrap_owner``.
"""
