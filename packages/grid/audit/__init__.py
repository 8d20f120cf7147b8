"""The audit log of a node: who did what to which object by which grant, append-only and hash-chained.

Knows entries and their chain; must not know what the operations mean that it is told of.
"""
