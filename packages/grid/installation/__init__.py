"""A node's identity, database, contents and home belong together: claimed once, checked at every start.

Knows the database, the store of contents, the audit log and the home; must not know what services do with them.
"""
