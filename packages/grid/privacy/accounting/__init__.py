"""Accounting: what several releases cost together, in epsilon for a given delta.

Knows events and numbers; must not know a mechanism's noise, a node, a database, or whose budget is charged.
"""
