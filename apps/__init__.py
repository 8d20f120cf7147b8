"""The apps: Network, Domain, Worker, and the `grid` command that starts them.

Knows which services make which kind of node; must not do the work of any service, which is in :mod:`grid`.
"""
