"""Nodes that are reached through others: pipes that their carrier cannot read, and lines kept open to a hub.

Knows pipes and keys; must not know a node, or what is said over them.
"""
