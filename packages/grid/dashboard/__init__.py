"""Counters of all rooms, and what heartbeats tell of them.

Knows the tables of others to count in them; must not change them.
"""
