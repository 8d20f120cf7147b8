"""Intersections with tables of other Domains: asked for, paid for by a budget of ids, and what is kept of them.

Knows terms, tables, approvals and budgets; must not know hosts, frames or points.
"""
