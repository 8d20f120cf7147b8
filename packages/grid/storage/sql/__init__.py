"""The database: engines, pool, transactions, prepared statements, the commit-scoped cache.

Knows SQLite and PostgreSQL; must not know any table but its own.
"""
