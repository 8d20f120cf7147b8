"""Nodes that know each other: associations, heartbeats, search over Domains, messages carried to them.

Knows nodes, their keys and how they are; must not open the messages that it carries between them.
"""
