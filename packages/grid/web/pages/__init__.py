"""Pages for people and probes: the node's page, documentation, health.

Knows Flask; must not carry operations.
"""
