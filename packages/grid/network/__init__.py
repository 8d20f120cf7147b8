"""Nodes that know each other: associations, heartbeats, search over Domains, messages carried to them."""
