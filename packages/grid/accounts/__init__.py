"""People: set-up, login, users, roles, groups, settings.

Import from the modules: ``grid.accounts.service.SERVICES``, ``grid.accounts.bootstrap.bootstrap_owner``.

Knows users and what their roles allow them; must not know the data that they work on.
"""
