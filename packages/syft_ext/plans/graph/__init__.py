"""What a plan *is*: its operations, values, roles, limits and its one form in bytes.

Knows no torch beyond names of dtypes and operators; must not know how a graph is made or run.
"""
